"""The rules of OpenID: pairwise subjects, logout, request objects by reference, CIBA."""

from collections.abc import Iterator

from flask_dynreg.errors import Problem
from flask_dynreg.hosts import LOOPBACK_HOSTS, looks_public
from flask_dynreg.metadata.algorithms import MACS
from flask_dynreg.metadata.openid import CIBA, FRONT_CHANNEL_LOGOUT, OIDC, RP_INITIATED_LOGOUT
from flask_dynreg.metadata.rules import Metadata, Rules
from flask_dynreg.metadata.sectors import CIBA_GRANT, sector_identifier
from flask_dynreg.metadata.server import ServerSupport
from flask_dynreg.metadata.uris import parsed

RULES = Rules()

_PORTS = {"https": 443, "http": 80}


@RULES.rule("redirect_uris")
def redirect_uris_of_openid(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if server.redirect_rules.is_strict and not metadata["redirect_uris"]:
        yield Problem("/redirect_uris", "must have at least one URI.", OIDC)


@RULES.rule("redirect_uris", "sector_identifier_uri", "jwks_uri", about=["subject_type"])
def one_sector(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    is_used = metadata["redirect_uris"] or "backchannel_token_delivery_mode" in metadata
    if metadata["subject_type"] == "pairwise" and is_used and sector_identifier(metadata) is None:
        description = "must be there for pairwise subjects: the redirect URIs do not share one https host."
        yield Problem("/sector_identifier_uri", description, "OpenID Connect Core 1.0 section 8.1")


@RULES.rule("jwks_uri", about=["backchannel_token_delivery_mode"])
def keys_for_pairwise_backchannel(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    is_pulled = metadata["backchannel_token_delivery_mode"] in ("poll", "ping")
    if metadata.get("subject_type") == "pairwise" and is_pulled and "jwks_uri" not in metadata:
        yield Problem("/jwks_uri", "must be there for pairwise subjects with poll or ping.", CIBA)


@RULES.rule("redirect_uris", about=["frontchannel_logout_uri"])
def frontchannel_logout_at_a_redirect_uri(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if _origin(metadata["frontchannel_logout_uri"]) not in map(_origin, metadata["redirect_uris"]):
        description = "must have the scheme, the host and the port of a redirect URI."
        yield Problem("/frontchannel_logout_uri", description, FRONT_CHANNEL_LOGOUT)


@RULES.rule("token_endpoint_auth_method", about=["frontchannel_logout_uri"])
def secure_frontchannel_logout(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    uri = parsed(metadata["frontchannel_logout_uri"])
    is_confidential = metadata["token_endpoint_auth_method"] != "none"
    if uri and uri.scheme == "http" and not (is_confidential and uri.host in LOOPBACK_HOSTS):
        description = "must be https; plain http is for confidential clients on loopback alone."
        yield Problem("/frontchannel_logout_uri", description, FRONT_CHANNEL_LOGOUT)


def _origin(value: str) -> tuple[str, str, int | None] | None:
    uri = parsed(value)
    return (uri.scheme, uri.host, uri.port or _PORTS.get(uri.scheme)) if uri and uri.host else None


@RULES.rule("token_endpoint_auth_method", about=["post_logout_redirect_uris"])
def post_logout_redirect_uris_sound(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    is_public = metadata["token_endpoint_auth_method"] == "none"
    for number, uri in enumerate(metadata["post_logout_redirect_uris"]):
        fault = server.redirect_rules.fault(uri)
        if not fault and is_public and uri.lower().startswith("http:"):
            fault = "must be https or of a private-use scheme; plain http is for confidential clients alone."
        if fault:
            yield Problem(f"/post_logout_redirect_uris/{number}", fault, RP_INITIATED_LOGOUT)


@RULES.rule("request_object_signing_alg", about=["request_uris"])
def request_uris_secure(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    is_signed = metadata.get("request_object_signing_alg", "none") != "none"
    for number, value in enumerate(metadata["request_uris"]):
        uri = parsed(value)
        is_web = uri is not None and (uri.scheme == "https" or (uri.scheme == "http" and is_signed))
        if not (uri and is_web and uri.host and looks_public(uri.host)):
            description = "must be an https URL on a public host; plain http is for signed request objects alone."
            yield Problem(f"/request_uris/{number}", description, OIDC)


@RULES.rule("backchannel_token_delivery_mode", "grant_types")
def delivery_mode_of_ciba(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    mode, has_grant = metadata.get("backchannel_token_delivery_mode"), CIBA_GRANT in metadata["grant_types"]
    if mode is None and has_grant and server.declares("backchannel_token_delivery_modes_supported"):
        yield Problem("/backchannel_token_delivery_mode", "must be there for the CIBA grant.", CIBA)
    elif mode in ("poll", "ping") and not has_grant:
        yield Problem("/grant_types", f"must have {CIBA_GRANT} for poll and ping.", CIBA)


@RULES.rule("backchannel_client_notification_endpoint", about=["backchannel_token_delivery_mode"])
def notification_endpoint_of_ciba(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    is_notified = metadata["backchannel_token_delivery_mode"] in ("ping", "push")
    if is_notified and "backchannel_client_notification_endpoint" not in metadata:
        yield Problem("/backchannel_client_notification_endpoint", "must be there for ping and push.", CIBA)


@RULES.rule(about=["backchannel_authentication_request_signing_alg"])
def asymmetric_ciba_requests(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if metadata["backchannel_authentication_request_signing_alg"] in MACS | {"none"}:
        yield Problem("/backchannel_authentication_request_signing_alg", "must be an asymmetric algorithm.", CIBA)
