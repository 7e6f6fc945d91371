"""An authorization server that declares every feature there is, and what tests ask of it through HTTP."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from flask_dynreg import ClientMetadataSchema, DynamicRegistration, Fetched, FetchError
from tests.conformance.exchange import Client, post, read, update
from tests.conftest import SERVER_METADATA
from tests.statements import trusted

CIBA = "urn:openid:params:grant-type:ciba"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SIGNATURES = ["RS256", "PS256", "ES256", "EdDSA"]
MACS = ["HS256", "HS384", "HS512"]
ENCRYPTION = {"alg": ["RSA-OAEP", "ECDH-ES", "A256KW", "dir"], "enc": ["A128CBC-HS256", "A256GCM"]}
ISSUER = SERVER_METADATA["issuer"]

SERVER: Mapping[str, Any] = SERVER_METADATA | {
    "grant_types_supported": [
        *("authorization_code", "implicit", "refresh_token", "client_credentials", CIBA, DEVICE),
        *(f"urn:ietf:params:oauth:grant-type:{name}" for name in ("jwt-bearer", "saml2-bearer", "token-exchange")),
    ],
    "response_types_supported": [
        *("code", "token", "id_token", "id_token token", "none"),
        *("code id_token", "code token", "code id_token token"),
    ],
    "token_endpoint_auth_methods_supported": [
        *("none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"),
        *("tls_client_auth", "self_signed_tls_client_auth"),
    ],
    "token_endpoint_auth_signing_alg_values_supported": [*SIGNATURES, *MACS],
    # OpenID Connect
    "subject_types_supported": ["public", "pairwise"],
    "id_token_signing_alg_values_supported": [*SIGNATURES, *MACS, "none"],
    "userinfo_signing_alg_values_supported": [*SIGNATURES, *MACS, "none"],
    "request_object_signing_alg_values_supported": [*SIGNATURES, *MACS, "none"],
    **{
        f"{what}_encryption_{part}_values_supported": values
        for what in ("id_token", "userinfo", "request_object", "authorization", "introspection", "nfv_token")
        for part, values in ENCRYPTION.items()
    },
    "acr_values_supported": ["urn:acr:low", "urn:acr:high"],
    "request_parameter_supported": True,
    "request_uri_parameter_supported": True,
    "require_request_uri_registration": True,
    "end_session_endpoint": f"{ISSUER}/logout",
    "frontchannel_logout_supported": True,
    "frontchannel_logout_session_supported": True,
    "backchannel_logout_supported": True,
    "backchannel_logout_session_supported": True,
    "backchannel_authentication_endpoint": f"{ISSUER}/bc-authorize",
    "backchannel_token_delivery_modes_supported": ["poll", "ping", "push"],
    "backchannel_authentication_request_signing_alg_values_supported": SIGNATURES,
    "backchannel_user_code_parameter_supported": True,
    "client_registration_types_supported": ["automatic", "explicit"],
    # OAuth's extensions
    "require_signed_request_object": False,
    "pushed_authorization_request_endpoint": f"{ISSUER}/par",
    "authorization_details_types_supported": ["payment_initiation", "account_information"],
    "dpop_signing_alg_values_supported": SIGNATURES,
    "tls_client_certificate_bound_access_tokens": True,
    "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.as.example/token"},
    "authorization_signing_alg_values_supported": SIGNATURES,
    "introspection_signing_alg_values_supported": SIGNATURES,
    # Others
    "claims_interaction_endpoint": f"{ISSUER}/claims",
    "nfv_token_signing_alg_values_supported": SIGNATURES,
    "vp_formats_supported": {"jwt_vc_json": {"alg_values": ["ES256"]}},
    "credential_endpoint": f"{ISSUER}/credential",
}
BASE: Mapping[str, Any] = {"redirect_uris": ["https://client.example/cb"]}
DEFAULTS: Mapping[str, Any] = {
    **BASE,
    "grant_types": ["authorization_code"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "client_secret_basic",
    "subject_type": "public",
    "id_token_signed_response_alg": "RS256",
    "authorization_signed_response_alg": "RS256",
    "introspection_signed_response_alg": "RS256",
}
"""With what a client is registered that sends BASE."""
CREDENTIALS = frozenset(
    {"client_id", "client_id_issued_at", "client_secret", "client_secret_expires_at"}
    | {"registration_access_token", "registration_client_uri"}
)

ERRORS = {
    "redirect_uris": ["invalid_redirect_uri"],
    "software_statement": ["invalid_software_statement", "unapproved_software_statement"],
}
"""RFC 7591 section 3.2.2, by the member that is wrong; invalid_client_metadata for any other one."""

SECTOR = "https://sector.example/uris.json"


class Documents:
    """A fetcher as a host may bring it, with documents of its own: JSON values, bytes or FetchError by their URL."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {SECTOR: BASE["redirect_uris"]}
        self.asked: list[str] = []
        self.asked_for: list[str | None] = []

    def __call__(self, url: str, *, client_id: str | None = None) -> Fetched:
        self.asked.append(url)
        self.asked_for.append(client_id)
        found = self.found.get(url, FetchError("There is no such document."))
        if isinstance(found, FetchError):
            raise found
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        return Fetched(body, "application/json", None)


class Provider:
    def __init__(self, app: Flask, db: SQLAlchemy, dynreg: DynamicRegistration, documents: Documents) -> None:
        self.app = app
        self.dynreg = dynreg
        self.documents = documents
        self._db = db
        self._registrations = self._changes = 0

    @cached_property
    def http(self) -> FlaskClient:
        return self.app.test_client()

    def post(self, metadata: object) -> TestResponse:
        answer = post(self.http, metadata)
        self._registrations += answer.status_code == 201
        return answer

    def put(self, client: Client, metadata: Mapping[str, Any]) -> TestResponse:
        answer = update(self.http, client, {"client_id": client["client_id"], **metadata})
        self._changes += answer.status_code == 200
        return answer

    def registered(self, metadata: Mapping[str, Any]) -> Client:
        """The client information, which is the one that is read later."""
        answer = self.post(metadata)
        assert answer.status_code == 201, answer.text
        client: Client = answer.get_json()
        assert read(self.http, client).get_json() == client
        return client

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What is registered of it."""
        return told(self.registered(metadata))

    def updated(self, client: Client, metadata: Mapping[str, Any]) -> Client:
        """The client information after an update with this and with the client_id."""
        answer = self.put(client, metadata)
        assert answer.status_code == 200, answer.text
        information: Client = answer.get_json()
        assert read(self.http, client).get_json() == information
        return information

    def pointers(self, metadata: Mapping[str, Any]) -> list[str]:
        """Where a registration is wrong, each place once; nothing is stored by it. Empty if it is not refused."""
        answer = self.post(metadata)
        return [] if answer.status_code == 201 else self.refused(answer)

    def refused(self, answer: TestResponse) -> list[str]:
        body = answer.get_json()
        assert answer.status_code == 400, answer.text
        pointers = [problem["pointer"] for problem in body["errors"]]
        assert body["error"] in ERRORS.get(member_of(pointers[0]), ["invalid_client_metadata"])
        # what is wrong with the whole document has no pointer
        assert body["error_description"].startswith(
            f"{member_of(pointers[0])}: " if pointers[0] else "The request body"
        )
        assert self._rows() == (self._registrations, self._registrations + self._changes)
        return list(dict.fromkeys(pointers))

    def members(self, metadata: Mapping[str, Any]) -> set[str]:
        """The names of the members that are wrong."""
        return {member_of(pointer) for pointer in self.pointers(metadata)}

    def _rows(self) -> tuple[int, ...]:
        """How many clients and events there are."""
        with self.app.app_context():
            models = (self.dynreg.models.client, self.dynreg.models.event)
            counts = [select(func.count()).select_from(model).scalar_subquery() for model in models]
            return tuple(self._db.session.execute(select(*counts)).one())

    def set_by_operator(self, client: Client, **members: Any) -> None:
        """These members, which make a difference."""
        with self.app.app_context():
            self.dynreg.set_operator_metadata(client["client_id"], **members)
            self._db.session.commit()
        self._changes += 1

    def details(self, client: Client) -> list[dict[str, Any]]:
        """What is noted in the events of a client, the oldest first, but for what is said of every update."""
        with self.app.app_context():
            event = self.dynreg.models.event
            found = select(event.details).where(event.client_id == client["client_id"]).order_by(event.id)
            every = [json.loads(details or "{}") for details in self._db.session.scalars(found)]
            return [{name: each[name] for name in each.keys() - {"changed", "before"}} for each in every]


@contextmanager
def provider(
    *left_out: str,
    server: Mapping[str, Any] | None = None,
    schema: type[Schema] = ClientMetadataSchema,
    config: Mapping[str, Any] | None = None,
) -> Iterator[Provider]:
    """One without the server metadata that are `left_out`; `server` changes others, and `config` settings."""
    app = Flask(__name__)
    declared = {name: value for name, value in SERVER.items() if name not in left_out} | dict(server or {})
    app.config.from_mapping(
        PREFERRED_URL_SCHEME="https",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        DYNREG_ACCESS=["open"],
        DYNREG_LIMITS=[],
        DYNREG_SERVER_METADATA=declared,
        DYNREG_DISCOVERY=False,  # a document would need more than what registrations are compared with
        DYNREG_STATEMENT_ISSUERS=[trusted()],
        DYNREG_SECRET_KEYS=[Fernet.generate_key().decode()],
    )
    app.config.update(config or {})
    db, documents = SQLAlchemy(), Documents()
    dynreg = DynamicRegistration(db, schema=schema, fetcher=documents)
    db.init_app(app)
    dynreg.init_app(app)
    with app.app_context():
        db.create_all()
        engine = db.engine
    try:
        yield Provider(app, db, dynreg, documents)
    finally:
        engine.dispose()


def told(client: Client) -> dict[str, Any]:
    """The metadata in client information."""
    return {name: value for name, value in client.items() if name not in CREDENTIALS}


def member_of(pointer: str) -> str:
    return pointer.removeprefix("/").partition("/")[0].replace("~1", "/").replace("~0", "~")


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, character by character: 1 is not true here, and not 1.0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
