"""Pairwise subjects: for which sector a client gets them (OpenID Connect Core 1.0 section 8.1, Registration section 5)."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask_dynreg.errors import Problem, TemporarilyUnavailableError
from flask_dynreg.hosts import LOOPBACK_HOSTS
from flask_dynreg.metadata.uris import parsed
from flask_dynreg.outbound import BusyError, Fetched, FetchError

SECTION = "OpenID Connect Registration 1.0 section 5"
CIBA_GRANT = "urn:openid:params:grant-type:ciba"

_POINTER = "/sector_identifier_uri"


def sector_identifier(metadata: Mapping[str, Any]) -> str | None:
    """The host that stands for the sector, in small letters; None where nothing gives one, or more than one would."""
    stated = metadata.get("sector_identifier_uri")
    addresses = [stated] if stated else [*metadata.get("redirect_uris", ()), *_backchannel_address(metadata)]
    hosts = {_sector_host(address) for address in addresses}
    return hosts.pop() if len(hosts) == 1 else None


def _sector_host(address: str) -> str | None:
    """Many clients are on loopback or have a private-use scheme: neither is one sector."""
    uri = parsed(address)
    return uri.host if uri and uri.scheme == "https" and uri.host not in LOOPBACK_HOSTS else None


def _backchannel_address(metadata: Mapping[str, Any]) -> list[str]:
    """CIBA Core section 4: what takes the place of redirect URIs for a client that has this grant."""
    mode = metadata.get("backchannel_token_delivery_mode")
    name = "backchannel_client_notification_endpoint" if mode == "push" else "jwks_uri"
    return [metadata[name]] if mode and name in metadata else []


def document_problems(metadata: Mapping[str, Any], fetch: Callable[[str], Fetched]) -> list[Problem]:
    """Fetches the document at `sector_identifier_uri`, which has to have every address of the client.

    Raises TemporarilyUnavailableError while this server fetches too much.
    """
    try:
        listed = json.loads(fetch(metadata["sector_identifier_uri"]).body)
    except BusyError as error:
        raise TemporarilyUnavailableError(retry_after=error.retry_after) from error
    except FetchError as error:
        return [Problem(_POINTER, f"must be a document that can be fetched. {error}", SECTION)]
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(address, str) for address in listed):
        return [Problem(_POINTER, "must be a document with a JSON array of strings.", SECTION)]
    wanted = [*metadata["redirect_uris"], *_backchannel_address(metadata)]
    if not set(wanted) <= set(listed):
        return [Problem(_POINTER, "must be a document that has every redirect URI of the client.", SECTION)]
    return []


def is_to_be_fetched(metadata: Mapping[str, Any], registered: Mapping[str, Any]) -> bool:
    """Whether the document has to be looked at: not again for what was registered by it (Registration section 5)."""
    if "sector_identifier_uri" not in metadata:
        return False
    names = ("sector_identifier_uri", "redirect_uris", "backchannel_token_delivery_mode")
    addresses = _backchannel_address(metadata) == _backchannel_address(registered)
    return not addresses or any(metadata.get(name) != registered.get(name) for name in names)
