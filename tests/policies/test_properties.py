"""No sequence of registrations and updates lets a client hold what the policies of its door refuse, or would change."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg import DynamicRegistration, PolicyContext, Principal, Terms
from flask_dynreg.errors import RefusedMetadataError
from tests.conftest import SERVER_METADATA

HOSTS = ("app.example", "other.example", "127.0.0.1")
GRANTS = ("authorization_code", "refresh_token", "client_credentials", "password")
SCOPES = ("mcp:read", "mcp:write", "offline_access")
CEILINGS = {"grant_types": ("authorization_code", "refresh_token"), "scopes": ("mcp:read",), "hosts": ("app.example",)}
TERMS = Terms(
    scopes=CEILINGS["scopes"],
    grant_types=CEILINGS["grant_types"],
    redirect_hosts=CEILINGS["hosts"],
    forced={"client_name": "Forced"},
    defaults={"client_uri": "https://default.example"},
    policies=("require_pkce",),
)
METHODS = ("none", "client_secret_basic", "private_key_jwt")


def subset(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=3)


requests = st.fixed_dictionaries(
    {"redirect_uris": subset(HOSTS).map(lambda hosts: [f"https://{host}/cb" for host in hosts])},
    optional={
        "grant_types": subset(GRANTS),
        "response_types": subset(("code", "id_token")),
        "scope": subset(SCOPES).map(" ".join),
        "token_endpoint_auth_method": st.sampled_from(METHODS),
        "client_name": st.sampled_from(["", "Mine", "Forced"]),
        "client_uri": st.sampled_from(["", "https://app.example"]),
        "id_token_signed_response_alg": st.sampled_from(["", "RS256", "ES256", "PS256"]),
        "token_endpoint_auth_signing_alg": st.sampled_from(["", "RS256", "ES256"]),
    },
)


def no_rs256(metadata: Mapping[str, Any], context: PolicyContext) -> Mapping[str, Any]:
    """Takes away, whatever the default is."""
    return {name: value for name, value in metadata.items() if value != "RS256"}


def public_users(metadata: Mapping[str, Any], context: PolicyContext) -> Mapping[str, Any]:
    """Brings about that something is taken away, and that something has no effect."""
    if "refresh_token" in metadata["grant_types"]:
        return metadata
    return {**metadata, "token_endpoint_auth_method": "none"}


def made() -> tuple[Flask, DynamicRegistration, SQLAlchemy]:
    app, db = Flask(__name__), SQLAlchemy()
    dynreg = DynamicRegistration(db, policies={"no_rs256": no_rs256, "public_users": public_users})
    policies = [
        "no_rs256",
        {"policy": "auth_method_ceiling", "methods": ["none", "client_secret_basic"]},
        {
            "policy": "forced",
            "metadata": {"token_endpoint_auth_signing_alg": "ES256", "tos_uri": "https://tos.example"},
        },
        "public_users",
        {"policy": "signing_algorithms", "algorithms": ["PS256", "ES256"]},
    ]
    metadata = SERVER_METADATA | {
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "PS256"],
    }
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", DYNREG_SERVER_METADATA=metadata, DYNREG_POLICIES=policies)
    db.init_app(app)
    dynreg.init_app(app)
    with app.app_context():
        db.create_all()
    return app, dynreg, db


APP, DYNREG, DB = made()


def is_within(metadata: dict[str, Any]) -> bool:
    hosts = [uri.removeprefix("https://").removesuffix("/cb") for uri in metadata["redirect_uris"]]
    return (
        set(metadata["grant_types"]) <= set(CEILINGS["grant_types"])
        and set(metadata.get("scope", "").split()) <= set(CEILINGS["scopes"])
        and set(hosts) <= set(CEILINGS["hosts"])
        and metadata["client_name"] == "Forced"
        and metadata["client_uri"] in ("https://default.example", "https://app.example")
        and set(metadata["response_types"]) <= {"code"}
        and metadata["token_endpoint_auth_method"] in ("none", "client_secret_basic")
        and metadata["id_token_signed_response_alg"] in ("PS256", "ES256")
        and metadata["tos_uri"] == "https://tos.example"
    )


@given(first=requests, updates=st.lists(requests, max_size=4))
def test_no_way_leads_beyond_the_policies(first: dict[str, Any], updates: list[dict[str, Any]]) -> None:
    principal = Principal("operator", None, "somebody", TERMS)
    with APP.app_context():
        registrar = DYNREG.registrar
        client = None
        for sent in [first, *updates]:
            try:
                if client is None:
                    checked = registrar.check(sent, principal=principal)
                    information = registrar.new_client_information(checked)
                    registered = registrar.register(information, checked, principal)
                    DB.session.commit()
                    client = registrar.authenticate(registered.client.client_id, registered.registration_access_token)
                else:
                    registrar.update(client, registrar.check(sent, client))
                    DB.session.commit()
            except RefusedMetadataError:
                DB.session.rollback()
            if client is not None:
                instance = DYNREG.query_client(client.client_id)
                assert instance and is_within(instance.client_metadata)
                assert instance.owned_by == "somebody"
                again = registrar.explain(instance.client_metadata, principal=principal)
                assert (again.metadata, again.decisions) == (instance.client_metadata, ())
        DB.session.rollback()
