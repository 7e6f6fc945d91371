"""Policies judge what would be registered: with the defaults that come into force, and without what is taken away."""

from collections.abc import Mapping
from typing import Any

import pytest

from flask_dynreg import PolicyContext, refused
from tests.conformance.exchange import MACHINE, PUBLIC, post, registered
from tests.conformance.exchange import refused as is_refused
from tests.conftest import CLIENT, SERVER_METADATA, MakeApp
from tests.policies.test_policy import INVALID, Metadata, Server

METADATA = SERVER_METADATA | {
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256", "ES256"],
}
ALGORITHM = "id_token_signed_response_alg"
ES256 = {"policy": "signing_algorithms", "algorithms": ["ES256"]}


def without(*members: str) -> Any:
    return lambda metadata, context: {name: value for name, value in metadata.items() if name not in members}


def no_rs256(metadata: Metadata, context: PolicyContext) -> Metadata:
    """A ceiling that takes away, as the shipped one for scopes does."""
    return without(ALGORITHM)(metadata, context) if metadata.get(ALGORITHM) == "RS256" else metadata


def serve(make_app: MakeApp, *settings: Mapping[str, Any], **policies: Any) -> Any:
    named = {"DYNREG_POLICIES": [*settings, *policies]}
    return Server(make_app, policies, DYNREG_SERVER_METADATA=METADATA, **named).http


def test_a_default_does_not_come_back_under_a_ceiling(make_app: MakeApp) -> None:
    http = serve(make_app, no_rs256=no_rs256)
    for sent in ({}, {ALGORITHM: "RS256"}):
        body = is_refused(post(http, CLIENT | sent), INVALID)
        assert [problem["pointer"] for problem in body["errors"]] == [f"/{ALGORITHM}"]
    assert registered(http, **CLIENT, **{ALGORITHM: "ES256"})[ALGORITHM] == "ES256"
    for http in (serve(make_app, ES256, bare=without(ALGORITHM)), serve(make_app, bare=without(ALGORITHM))):
        is_refused(post(http, CLIENT), INVALID)


@pytest.mark.parametrize("member", ["grant_types", "response_types", "token_endpoint_auth_method"])
def test_nor_does_one_of_oauth(make_app: MakeApp, member: str) -> None:
    body = is_refused(post(serve(make_app, without=without(member)), CLIENT), INVALID)
    assert [problem["pointer"] for problem in body["errors"]] == [f"/{member}"]


def test_one_sees_what_another_brings_about(make_app: MakeApp) -> None:
    def machines(metadata: Metadata, context: PolicyContext) -> Metadata:
        if "client_credentials" not in metadata["grant_types"]:
            raise refused("grant_types", "must have client_credentials.")
        return metadata

    def public(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "token_endpoint_auth_method": "none"}

    sent = CLIENT | {"grant_types": ["authorization_code", "client_credentials"]}
    assert registered(serve(make_app, machines=machines), **sent)["grant_types"] == sent["grant_types"]
    body = is_refused(post(serve(make_app, machines=machines, public=public), sent), INVALID)
    assert [problem["pointer"] for problem in body["errors"]] == ["/grant_types"]


def test_what_says_nothing_is_no_change(make_app: MakeApp) -> None:
    def blank(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "contacts": [], "client_name": "", "logo_uri": None, "nobody_knows": 1}

    idle = {"policy": "forced", "metadata": {"token_endpoint_auth_signing_alg": "ES256"}}
    client = registered(serve(make_app, idle, blank=blank, without=without("redirect_uris")), **MACHINE)
    assert client.keys().isdisjoint({"contacts", "client_name", "logo_uri", "token_endpoint_auth_signing_alg"})


def test_the_event_tells_all_that_a_policy_changed(make_app: MakeApp) -> None:
    def after(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "client_uri": "https://a.example"} if "client_name" in metadata else metadata

    def tidy(metadata: Metadata, context: PolicyContext) -> Metadata:
        return after(without("logo_uri")(metadata, context), context)

    def named(metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**metadata, "client_name": "Named"}

    server = Server(make_app, {"tidy": tidy, "named": named})
    registered(server.http, **PUBLIC, logo_uri="https://logo.example")
    with server.app.app_context():
        (details,) = server.db.session.scalars(server.db.select(server.dynreg.models.event.details)).all()
    assert '"tidy": ["client_uri", "logo_uri"]' in details
