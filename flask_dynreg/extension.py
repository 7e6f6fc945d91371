"""DynamicRegistration: puts the rooms together for an app."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Blueprint, Flask, current_app
from marshmallow import Schema

from flask_dynreg.access.doors import SessionUser
from flask_dynreg.access.permissions import OperatorOf
from flask_dynreg.config import Settings
from flask_dynreg.errors import ConfigurationError
from flask_dynreg.lifecycle.cleaning import InUse
from flask_dynreg.lifecycle.clients import ClientColumns, Withdrawal
from flask_dynreg.lifecycle.decisions import Verdict
from flask_dynreg.metadata.schema import ClientMetadataSchema
from flask_dynreg.operations import api, cleaning, cli
from flask_dynreg.operations.cleaning import CleanUp
from flask_dynreg.outbound import Fetcher, GuardedFetcher
from flask_dynreg.policies.examination import Explanation
from flask_dynreg.policies.policy import Policy, Profile
from flask_dynreg.protocol import discovery, views
from flask_dynreg.protocol.addresses import Addresses
from flask_dynreg.protocol.endpoints import ConfigurationEndpoint, RegistrationEndpoint, RegistrationServer
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.client import RegisteredClient
from flask_dynreg.registry.clients import MOST_AT_ONCE
from flask_dynreg.registry.credentials import Clock
from flask_dynreg.registry.models import Models, RegisteredClientMixin, define_models
from flask_dynreg.registry.principals import NO_TERMS, OPEN, Principal, Terms
from flask_dynreg.registry.tokens import TokenRecord
from flask_dynreg.registry.tombstones import Removal
from flask_dynreg.registry.trust import TrustFacts

WithdrawalHook = Callable[[Withdrawal], None]


class DynamicRegistration:
    """OAuth 2.0 Dynamic Client Registration for Flask apps that are authorization servers.

        db = SQLAlchemy()
        dynreg = DynamicRegistration(db)

        def create_app():
            app = Flask(__name__)
            app.config["DYNREG_SERVER_METADATA"] = {"issuer": "https://as.example", ...}
            db.init_app(app)
            dynreg.init_app(app)
            server.init_app(app, query_client=dynreg.query_client, save_token=...)

    `db` is Flask-SQLAlchemy's `SQLAlchemy`, or anything else with a `session` and a `metadata`. `models` are the host's own
    (`Models`, or `define_models` with its client model); without them the default ones are made. `registration_endpoint` and
    `configuration_endpoint` are subclasses of the two endpoints. `client_columns(metadata, principal)` gives values for a host's
    own columns of a new client, by name. `schema` is a subclass of `ClientMetadataSchema` with names of the host's own. `fetcher`
    takes the place of the guarded one, by which documents are fetched that clients name. `policies` are the host's own,
    by name. `clock()` gives seconds since the epoch.

    Nothing of an app is kept here: one object may serve several apps. What a method raises that changes something leaves the
    session's transaction to be rolled back.
    """

    def __init__(
        self,
        db: Any,
        *,
        models: Models | None = None,
        registration_endpoint: type[RegistrationEndpoint] = RegistrationEndpoint,
        configuration_endpoint: type[ConfigurationEndpoint] = ConfigurationEndpoint,
        client_columns: ClientColumns | None = None,
        schema: type[Schema] = ClientMetadataSchema,
        fetcher: Fetcher | None = None,
        policies: Mapping[str, Policy | Profile] | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._db = db
        self._models = models
        self._registration_endpoint = registration_endpoint
        self._configuration_endpoint = configuration_endpoint
        self._client_columns = client_columns
        self._schema = schema
        self._fetcher = fetcher
        self._policies = dict(policies or {})
        self._clock = clock
        self._withdrawal_hooks: list[WithdrawalHook] = []
        self._session_user: SessionUser | None = None
        self._operator_of: OperatorOf | None = None
        self._in_use: InUse | None = None
        self._is_in_use = False
        self.blueprint: Blueprint = views.create_blueprint()
        """Where the endpoints are, before any app has it: for `before_request`, or a rate limit of the host's."""

    def on_withdrawal(self, hook: WithdrawalHook) -> WithdrawalHook:
        """Registers what ends the codes and tokens of a client that was deleted, or that gave something up.

        The hook gets a `Withdrawal`. It runs in the transaction of the deletion or update, and must not commit: what it
        raises undoes all. Raises ConfigurationError once an app was set up: it would not know of the hook.
        """
        if self._is_in_use:
            raise ConfigurationError("on_withdrawal must come before init_app.")
        self._withdrawal_hooks.append(hook)
        return hook

    def session_user(self, user: SessionUser) -> SessionUser:
        """Registers what says who is signed in, for the door `session`: the client that such a user registers belongs to them.

        `user()` gives a name by which the host knows the user, or None. Raises ConfigurationError once an app was set up.
        """
        if self._is_in_use:
            raise ConfigurationError("session_user must come before init_app.")
        self._session_user = user
        return user

    def operator(self, operator_of: OperatorOf) -> OperatorOf:
        """Registers what says who operates the server and what they may do, for their API and for `--as` of the commands.

        `operator_of(name)` gives the `Operator` of this name or, with None, the one who sends the request at hand; None if there
        is none. Raises ConfigurationError once an app was set up.
        """
        if self._is_in_use:
            raise ConfigurationError("operator must come before init_app.")
        self._operator_of = operator_of
        return operator_of

    def in_use(self, in_use: InUse) -> InUse:
        """Registers what says which clients must stay although their time is over, for the clean-up.

        `in_use(client_ids)` gives, of some ids, those of clients that still have live tokens or consents. It may read by the
        session, and must not write. Raises ConfigurationError once an app was set up.
        """
        if self._is_in_use:
            raise ConfigurationError("in_use must come before init_app.")
        self._in_use = in_use
        return in_use

    def policy(self, policy: Policy) -> Policy:
        """Makes a function a policy by its own name, for `DYNREG_POLICIES` and the terms of initial access tokens.

        Raises ConfigurationError once an app was set up: it would not know of the policy.
        """
        if self._is_in_use:
            raise ConfigurationError("policy must come before init_app.")
        self._policies[policy.__name__] = policy
        return policy

    def init_app(self, app: Flask, models: Models | None = None) -> None:
        """Checks the settings and adds the endpoints. `models` is for models that are defined in a module that imports `db`.

        Raises ConfigurationError, naming the `DYNREG_` key that is wrong.
        """
        settings = Settings.from_config(app.config)
        chosen = models or self._models or define_models(self._db)
        registrar = Registrar(
            app,
            settings,
            self._db,
            chosen,
            withdrawal_hooks=tuple(self._withdrawal_hooks),
            client_columns=self._client_columns,
            clock=self._clock,
            schema=self._schema(),
            policies=self._policies,
            session_user=self._session_user,
            operator_of=self._operator_of,
            in_use=self._in_use,
            fetcher=GuardedFetcher() if self._fetcher is None else self._fetcher,
        )
        addresses = Addresses(registrar.issuer, settings.url_prefix, app.config["APPLICATION_ROOT"])
        server = RegistrationServer(registrar, addresses, self._registration_endpoint, self._configuration_endpoint)
        views.install(app, self.blueprint, server)
        if settings.operators_api:
            api.install(app, server)
        if settings.discovery:
            discovery.install(app, registrar, addresses)
        elif settings.openid_discovery:
            raise ConfigurationError("DYNREG_OPENID_DISCOVERY needs DYNREG_DISCOVERY.")
        app.extensions["dynreg"] = registrar
        self._is_in_use = True
        app.cli.add_command(cli.group)

    @property
    def registrar(self) -> Registrar:
        """The use cases without HTTP, for the current app."""
        registrar: Registrar = current_app.extensions["dynreg"]
        return registrar

    @property
    def models(self) -> Models:
        """The models of the current app."""
        return self.registrar.models

    def query_client(self, client_id: str | None) -> RegisteredClientMixin | None:
        """The registered client with this id, or None: the `query_client` of Authlib's `AuthorizationServer`.

        Raises TemporarilyUnavailableError, an OAuth2Error with status 503, when the database cannot be asked.
        """
        return self.registrar.query_client(client_id)

    def removal(self, client_id: str) -> Removal | None:
        """That a client with this id was removed, when and why, for operators; None if there was none, or it was long ago.

        To everybody else a removed client and one that never was must look the same: `query_client` gives None for both. Raises
        TemporarilyUnavailableError when the database cannot be asked.
        """
        return self.registrar.removal(client_id)

    def clean_up(self, *, batch: int = MOST_AT_ONCE, dry_run: bool = False) -> CleanUp:
        """Removes the clients whose time is over by `DYNREG_CLIENT_LIFETIMES`, and the tombstones that are; tells how many.

        Commits by itself, for each `batch` of clients. Any number of workers may do it at the same time. With `dry_run` nothing
        is removed. Raises ConfigurationError if the session holds what is not committed, and TemporarilyUnavailableError or
        SQLAlchemy's DBAPIError when the database cannot do it: what was committed by then is done.
        """
        return sum(cleaning.clean_up(self.registrar, batch, dry_run), CleanUp())

    def set_operator_metadata(self, client_id: str, /, **members: Any) -> None:
        """Sets members of a client's metadata that are an operator's to set in the schema (`operator=True`); None removes one.

        Writes an event, and a new `version` of the client; nothing where nothing changes. Takes part in the transaction of the
        session: the caller commits. Raises ValueError, which names the member, for any other name and for a value that is not
        sound, LookupError if there is no such client, and RaceLostError if somebody else changes it at this moment: then nothing
        was written, and the caller may begin anew.
        """
        self.registrar.set_operator_metadata(client_id, members)

    def trust_facts(self, client: RegisteredClient) -> TrustFacts:
        """What is known of a client beside what it says of itself, for the page that asks a user for consent.

        Asks the database whether the client's name looks like one that an operator vouches for. Raises
        TemporarilyUnavailableError when it cannot be asked.
        """
        return self.registrar.trust_facts(client)

    def explain(self, metadata: Mapping[str, Any], *, principal: Principal = OPEN) -> Explanation:
        """What would become of a registration with these client metadata, by the same code: what would be registered, what each
        policy would change, or why it would be refused. Leaves no trace, and fetches nothing.

        Raises an OAuth2Error where a software statement in it is not to be believed, or its keys are not known.
        """
        return self.registrar.explain(metadata, principal=principal)

    def create_client(
        self, metadata: Mapping[str, Any], *, owner: str | None = None, client_id: str | None = None
    ) -> dict[str, Any]:
        """Registers a client by the operator's hand, with an id of your choice if you have one.

        The rules and policies are those of every client, but nobody has to approve of it. Gives what the client has to know (RFC
        7591 section 3.2.1): its metadata, id, secret if it has one, and the token to manage itself. Takes part in the transaction
        of the session: the caller commits. Raises RefusedMetadataError with all that is wrong, and ValueError for an id that is
        none, or is taken.
        """
        registered = self.registrar.create(metadata, owner, client_id)
        server: RegistrationServer = current_app.extensions[views.SERVER]
        return server.told(registered)

    def approve_client(self, client_id: str, reason: str, *, version: int, by: str | None = None) -> None:
        """Lets a client that waits be used, or puts in force what it has asked to be; `reason` of at most 255 characters is kept.

        `version` is `client.version` as it was when somebody looked at what waits: a client may send another wish meanwhile.
        `by` is who decides, for the trail. Takes part in the transaction of the session: the caller commits. Raises LookupError
        if there is no such client, ValueError if nothing of it waits or its version is another one, RaceLostError if somebody
        else changes it at this moment, and an OAuth2Error for a change that today's rules and policies refuse.
        """
        self.registrar.approve(client_id, version, Verdict(reason, by))

    def refuse_client(self, client_id: str, reason: str, *, by: str | None = None) -> None:
        """Refuses a client that waits, or the change for which it asks, whichever it is; otherwise as `approve_client`."""
        self.registrar.refuse(client_id, Verdict(reason, by))

    def suspend_client(self, client_id: str, reason: str, *, by: str | None = None) -> None:
        """Lets a client not be used until it is resumed. Raises ValueError if it is not active; otherwise as `approve_client`."""
        self.registrar.suspend(client_id, Verdict(reason, by))

    def resume_client(self, client_id: str, reason: str, *, by: str | None = None) -> None:
        """Lets a suspended client be used again, or wait again if nobody has approved of it yet.

        Raises ValueError if it is not suspended; otherwise as `approve_client`.
        """
        self.registrar.resume(client_id, Verdict(reason, by))

    def reissue_registration_access_token(self, client_id: str, by: str | None = None) -> str:
        """A new registration access token for a client that has lost its own, or had it stolen; all older ones are dead.

        It is known only now: its digest is kept. `by` is who does it, for the trail. Takes part in the transaction of the
        session: the caller commits. Raises LookupError if there is no such client, ValueError if `DYNREG_MANAGEMENT` lets nobody
        use the token, and RaceLostError if somebody else changes the client at this moment.
        """
        return self.registrar.reissue_token(client_id, by)

    def rotate_client_secret(self, client_id: str, *, keep: int = 0, by: str | None = None) -> str:
        """A new secret for a client, which is told this once: for one whose secret has leaked, for example.

        The secrets before it are good for `keep` seconds more, if they do not end sooner; with 0 they are gone at once. Takes
        part in the transaction of the session: the caller commits. Raises LookupError if there is no such client, ValueError if
        it needs no secret or `keep` is below 0, and RaceLostError if somebody else changes it at this moment.
        """
        return str(self.registrar.rotate_secret(client_id, keep, by)["client_secret"])

    def drop_older_client_secrets(self, client_id: str, *, by: str | None = None) -> None:
        """Leaves a client its newest secret alone. The caller commits. Raises LookupError and RaceLostError."""
        self.registrar.drop_older_secrets(client_id, by)

    def close_registration(self, reason: str, *, by: str | None = None) -> None:
        """Closes registration without a restart: all workers know within 5 seconds, and it is absent from discovery. Clients that
        are there are managed as before. `reason`, of at most 255 characters, is for operators, `by` who does it for the trail.

        Takes part in the transaction of the session: the caller commits. Raises RaceLostError if somebody else closes or opens it
        at this moment.
        """
        self.registrar.switch.close(reason, by)

    def open_registration(self, *, by: str | None = None) -> None:
        """Opens registration again, as far as `DYNREG_ACCESS` has doors; otherwise as `close_registration`."""
        self.registrar.switch.open(by)

    def server_metadata(self) -> dict[str, Any]:
        """The document of RFC 8414, for a host that serves its own (`DYNREG_DISCOVERY = False`) and merges this."""
        server: RegistrationServer = current_app.extensions[views.SERVER]
        return discovery.document(server.registrar, server.addresses)

    def issue_initial_access_token(
        self,
        *,
        label: str | None = None,
        expires_in: int | None = None,
        uses: int | None = None,
        owner: str | None = None,
        terms: Terms = NO_TERMS,
        by: str | None = None,
    ) -> str:
        """A new initial access token (RFC 7591 section 3), for `expires_in` seconds and `uses` registrations.

        None is no limit. Clients that register with it belong to `owner` (`client.owned_by`) and keep to `terms`, now and at
        every update. `by` is who issues it, for the trail. Takes part in the transaction of the session: the caller commits.
        Raises ValueError for a number below 1, and for terms that could never be met.
        """
        if any(number is not None and number < 1 for number in (expires_in, uses)):
            raise ValueError("expires_in and uses must be 1 or more.")
        return self.registrar.issue_token(label, expires_in, uses, owner, terms, by)

    def initial_access_tokens(self) -> Iterator[TokenRecord]:
        """What is known of every initial access token, the oldest first."""
        return self.registrar.tokens.all()

    def revoke_initial_access_token(self, token_id: int, *, by: str | None = None) -> bool:
        """Makes a token good for nothing, by its number; the clients that came with it stay. False if it is not there, or was
        revoked before. `by` is who does it, for the trail. Takes part in the transaction of the session: the caller commits.
        Raises RaceLostError if a refusal of who holds it is written at this moment."""
        return self.registrar.tokens.revoke(token_id, by)
