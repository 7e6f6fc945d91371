"""What is known of a client beside what it says of itself: for consent pages, and for operators."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flask_dynreg.metadata.lookalikes import ReservedNames, names, skeleton
from flask_dynreg.metadata.places import leads_to_this_device, redirect_hosts, redirects_of, strange_pages
from flask_dynreg.metadata.uris import URI, parsed
from flask_dynreg.registry.client import RegisteredClient
from flask_dynreg.registry.clients import Clients, kept_skeleton
from flask_dynreg.registry.credentials import Credentials

OPERATOR = "operator"
"""The `source` of a client that an operator made, and for whose name the operator vouches."""


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A name that could be taken for another one.

    `member` is the member of the metadata that has it, such as `client_name#ja`; `name` is the other name. That is one of
    `DYNREG_RESERVED_NAMES`, or the name of the client with the id `client_id`, for which an operator vouches.
    """

    member: str
    name: str
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """What is known of a client when somebody has to decide whether to trust it. No fact says that it is harmless."""

    source: str | None
    """The door by which the client came in, such as `open`; None if it was there before this extension."""

    registered_at: int
    """Seconds since the epoch."""

    age: int
    """For how many seconds it has been registered."""

    vouched_by: str | None
    """Who answers for the client: `operator`, until it changes its name itself; the issuer (`iss`) of its software statement; or
    None."""

    verified_host: str | None
    """The host of a redirect URI that has said, over https, that every redirect URI of the client is its own: that of
    `sector_identifier_uri`, whose document was fetched and lists them (OpenID Connect Registration 1.0 section 5). None without
    one, where it is not the host of a redirect URI, and where a redirect URI leads to a program on the user's device, which any
    client can register. Neither a redirect URI nor a software statement proves a host: anybody can name the one, and send the
    other.
    """

    redirect_hosts: tuple[str, ...]
    """Where the answers of the authorization endpoint can go, in the order of registration: host names in small letters without a
    port, and private-use schemes as `com.example.app:`.
    """

    only_this_device: bool
    """Whether all of these lead to programs on the user's device, loopback addresses or private-use schemes: any program there
    may be listening (RFC 8252 section 8.6).
    """

    informational_hosts_agree: bool | None
    """Whether `client_uri`, `logo_uri`, `tos_uri` and `policy_uri`, in every language, have the scheme and host of a redirect URI
    (RFC 7591 section 5). Hosts are equal or not: www.app.example is not app.example. None where there is no such page, or no
    redirect URI on the web to compare it with.
    """

    flagged_name: LookAlike | None
    """The name that one of the client's names looks like. Never for a name that an operator vouches for."""


class Trust:
    """The trust facts of the clients of one issuer."""

    def __init__(self, clients: Clients, reserved_names: ReservedNames, credentials: Credentials) -> None:
        self._clients = clients
        self._reserved_names = reserved_names
        self._credentials = credentials

    def facts(self, client: RegisteredClient) -> TrustFacts:
        redirects = redirects_of(client.client_metadata)
        return TrustFacts(
            source=client.source,
            registered_at=client.client_id_issued_at,
            age=max(0, self._credentials.now() - client.client_id_issued_at),
            vouched_by=OPERATOR if _is_as_made_by_operator(client) else client.statement_issuer,
            verified_host=_verified_host(client, redirects),
            redirect_hosts=redirect_hosts(client.client_metadata),
            only_this_device=bool(redirects) and all(map(leads_to_this_device, redirects)),
            informational_hosts_agree=_agree(client.client_metadata),
            flagged_name=None if client.name_skeleton is not None else self._look_alike(client.client_metadata),
        )

    def _look_alike(self, metadata: Mapping[str, Any]) -> LookAlike | None:
        for member, reserved in self._reserved_names.found(metadata).items():
            return LookAlike(member, reserved)
        looks = {member: kept_skeleton(skeleton(name)) for member, name in names(metadata).items()}
        client_id = self._clients.vouched(frozenset(filter(None, looks.values())))
        other = self._clients.find(client_id) if client_id else None
        for member, look in looks.items():
            if other and look == other.name_skeleton:
                return LookAlike(member, str(other.client_name), client_id)
        return None


def vouched_skeleton(source: str, metadata: Mapping[str, Any]) -> str | None:
    """Of the name of a client that an operator makes: other clients' names are compared with it."""
    name = metadata.get("client_name")
    return kept_skeleton(skeleton(name)) if name and source == OPERATOR else None


def _is_as_made_by_operator(client: RegisteredClient) -> bool:
    return client.source == OPERATOR and (client.name_skeleton is not None or not names(client.client_metadata))


def _agree(metadata: Mapping[str, Any]) -> bool | None:
    strange = strange_pages(metadata)
    return None if strange is None else not strange


def _verified_host(client: RegisteredClient, redirects: Collection[URI]) -> str | None:
    sector = parsed(client.client_metadata.get("sector_identifier_uri", ""))
    # Nobody has fetched what a client names that was there before; and anybody can put a list of addresses of others at a
    # host that publishes what its users write.
    known = client.source and not any(map(leads_to_this_device, redirects))
    return sector.host if sector and known and any(uri.host == sector.host for uri in redirects) else None
