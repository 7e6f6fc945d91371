"""Any sound metadata registers, reads back equal and updates to the same state; anything else is refused and leaves nothing."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile import json_values
from tests.metadata.keys import certificate, ec_jwk, rsa_jwk
from tests.vocabulary.provider import BASE, CIBA, DEVICE, SECTOR, Provider, same, told
from tests.vocabulary.registry import CHOICES, KEPT, LOCALIZABLE, SENT, SERVER_MADE
from tests.vocabulary.values import JWKS_URI, NOTIFY, SOUND, unsound

many = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])

CERTIFIED_RSA = rsa_jwk(kid="s", use="sig", x5c=[certificate("RSA")])
KEYS: list[dict[str, Any]] = [
    {"jwks": {"keys": [CERTIFIED_RSA, ec_jwk(kid="s2", use="sig"), ec_jwk(kid="e", use="enc")]}},
    {"jwks_uri": JWKS_URI},
]
REDIRECTS = [
    *("https://client.example/cb", "https://client.example/cb?a=b", "https://client.example:8443/%C3%A9"),
    *("http://127.0.0.1:3000/cb", "http://localhost/cb", "com.example.app:/cb", "vscode://publisher.extension/cb"),
]
RESPONSE_TYPES = {
    "authorization_code": ["code", "none"],
    "implicit": ["token", "id_token token"],
    "both": ["code id_token", "token code id_token"],
}
# With whatever else there is, each of these is fine.
ALONE = [
    *("application_type", "client_uri", "logo_uri", "tos_uri", "policy_uri", "client_name", "scope", "contacts"),
    *("software_id", "software_version", "default_max_age", "require_auth_time", "default_acr_values"),
    *("initiate_login_uri", "backchannel_logout_uri", "backchannel_user_code_parameter", "client_registration_types"),
    *("signed_jwks_uri", "organization_name", "display_name", "description", "keywords", "information_uri"),
    *("organization_uri", "vp_formats_supported", "encrypted_response_enc_values_supported"),
    *("credential_offer_endpoint", "claims_redirect_uris", "authorization_details_types", "dpop_bound_access_tokens"),
    *("tls_client_certificate_bound_access_tokens", "use_mtls_endpoint_aliases"),
    *("require_pushed_authorization_requests", "nfv_token_signed_response_alg", "nfv_token_encrypted_response_alg"),
    "authorization_signed_response_alg",
    "introspection_signed_response_alg",
]
SUBJECTS = [name for name in KEPT if name.startswith("tls_client_auth_")]
FOR_SERVER = [
    *("id_token_encrypted_response", "userinfo_encrypted_response", "authorization_encrypted_response"),
    "introspection_encrypted_response",
]


def value_of(name: str) -> st.SearchStrategy[Any]:
    """Long ones are for the tests of each name: here they would only be slow."""
    return st.sampled_from([sample.value for sample in SOUND[name] if len(str(sample.value)) < 200])


@st.composite
def grants(draw: st.DrawFn) -> dict[str, Any]:
    """Grant types and the response types they need; the first has its own in any case."""
    redirecting = draw(st.lists(st.sampled_from(["authorization_code", "implicit"]), unique=True, max_size=2))
    others = draw(st.lists(st.sampled_from(["client_credentials", DEVICE]), unique=True, min_size=not redirecting))
    refresh = draw(st.sampled_from([[], ["refresh_token"]]))
    kinds = [*redirecting, *(["both"] if len(redirecting) == 2 else [])]
    types = [draw(st.sampled_from(RESPONSE_TYPES[kind])) for kind in kinds]
    return {"grant_types": draw(st.permutations([*redirecting, *others, *refresh])), "response_types": types}


@st.composite
def methods(draw: st.DrawFn) -> dict[str, Any]:
    """A method and what it needs."""
    method = draw(value_of("token_endpoint_auth_method"))
    brought: dict[str, Any] = {"token_endpoint_auth_method": method}
    if method in ("private_key_jwt", "self_signed_tls_client_auth") or draw(st.booleans()):
        brought |= draw(st.sampled_from(KEYS))
    if method == "tls_client_auth":
        subject = draw(st.sampled_from(SUBJECTS))
        brought[subject] = draw(value_of(subject))
    algorithms = {"private_key_jwt": ["RS256", "ES256", "PS256"], "client_secret_jwt": ["HS256", "HS512"]}.get(method)
    if algorithms and draw(st.booleans()):
        brought["token_endpoint_auth_signing_alg"] = draw(st.sampled_from(algorithms))
    return brought


@st.composite
def algorithms(draw: st.DrawFn, *, is_public: bool, has_keys: bool) -> dict[str, Any]:
    """For which the client has the keys."""
    asymmetric, secret = ["RS256", "ES256"], [] if is_public else ["HS256", "HS384"]
    ciphers = [*(["ECDH-ES"] if has_keys else []), *([] if is_public else ["dir", "A256KW"])]
    options: dict[str, list[str]] = {
        "id_token_signed_response_alg": [*asymmetric, *secret],
        "userinfo_signed_response_alg": [*asymmetric, *secret, "none"],
        "request_object_signing_alg": [*(asymmetric if has_keys else []), *secret, "none"],
        "request_object_encryption_alg": ["RSA-OAEP", *([] if is_public else ["dir"])],
        "backchannel_authentication_request_signing_alg": asymmetric if has_keys else [],
        **{f"{what}_alg": ciphers for what in FOR_SERVER},
    }
    names = draw(st.lists(st.sampled_from([name for name, values in options.items() if values]), unique=True))
    chosen = {name: draw(st.sampled_from(options[name])) for name in names}
    for name in [name for name in chosen if "encrypt" in name]:
        if draw(st.booleans()):
            chosen[name.removesuffix("_alg") + "_enc"] = draw(st.sampled_from(["A128CBC-HS256", "A256GCM"]))
    return chosen


@st.composite
def sound_metadata(draw: st.DrawFn) -> dict[str, Any]:
    sent: dict[str, Any] = draw(grants()) | draw(methods())
    is_public = sent["token_endpoint_auth_method"] == "none"
    if is_public:
        sent["grant_types"] = [name for name in sent["grant_types"] if name != "client_credentials"]
    if is_public and not {"authorization_code", "implicit", DEVICE} & set(sent["grant_types"]):
        sent["grant_types"] = [*sent["grant_types"], DEVICE]
    has_keys = not {"jwks", "jwks_uri"}.isdisjoint(sent)
    sent |= draw(algorithms(is_public=is_public, has_keys=has_keys))
    sent["redirect_uris"] = draw(st.lists(st.sampled_from(REDIRECTS), min_size=1, unique=True))
    hosts = {uri.partition("/cb")[0] for uri in sent["redirect_uris"]}
    if draw(st.booleans()):
        mode = draw(st.sampled_from(["poll", "ping", "push"]))
        sent |= {"backchannel_token_delivery_mode": mode, "backchannel_client_notification_endpoint": NOTIFY}
        sent["grant_types"] = [*sent["grant_types"], *([] if mode == "push" else [CIBA])]
    elif all(host.startswith("https:") for host in hosts) and draw(st.booleans()):
        sent["subject_type"] = "pairwise"
    if sent["redirect_uris"] == BASE["redirect_uris"] and "backchannel_token_delivery_mode" not in sent:
        sent |= draw(st.sampled_from([{}, {"sector_identifier_uri": SECTOR}]))
    if "https://client.example/cb" in sent["redirect_uris"] and draw(st.booleans()):
        sent["frontchannel_logout_uri"] = "https://client.example/bye?a=b"
        sent |= draw(st.sampled_from([{}, {"frontchannel_logout_session_required": True}]))
    can_sign = has_keys and sent.get("request_object_signing_alg", "RS256") != "none"
    if can_sign and draw(st.booleans()):
        sent["require_signed_request_object"] = True
    for name in draw(st.lists(st.sampled_from(ALONE), unique=True)):
        sent[name] = draw(value_of(name))
    for name in draw(st.lists(st.sampled_from(LOCALIZABLE), unique=True, max_size=3)):
        sent[f"{name}#{draw(st.sampled_from(['ja-Jpan-JP', 'DE', 'fr-CA']))}"] = draw(value_of(name))
    return sent


@many
@given(sent=sound_metadata())
def test_sound_metadata_is_registered_as_it_is_and_updates_to_the_same_state(
    op: Provider, sent: dict[str, Any]
) -> None:
    client = op.registered(sent)
    assert same({name: client[name] for name in sent}, sent)
    assert None not in client.values() and "" not in client.values()
    assert op.updated(client, client) == client
    assert op.updated(client, told(client)) == client
    # an update is as good as a registration
    other = op.registered(BASE)
    assert same(told(op.updated(other, sent)), told(client))


GOOD = {
    name: "public"
    if "subject" in name
    else "none"
    if "methods" in name
    else "ES256"
    if "signing" in name
    else "ECDH-ES"
    for name in CHOICES
    if not name.endswith("_enc_values_supported")
}
"""A value of each list that a client with keys can have."""


@st.composite
def lists(draw: st.DrawFn) -> dict[str, list[str]]:
    """What a client can do, not all of which goes with the rest of it, or with this server."""
    chosen = draw(st.lists(st.sampled_from([*GOOD]), unique=True))
    others = st.lists(st.sampled_from(["HS256", "A256KW", "pairwise", "private_key_jwt", "unknown", "\\"]), unique=True)
    return {name: draw(st.permutations([GOOD[name], *draw(others)])) for name in chosen}


@many
@given(sent=lists(), is_public=st.booleans())
def test_of_any_lists_one_value_each_is_registered(op: Provider, sent: dict[str, list[str]], is_public: bool) -> None:
    method = {"token_endpoint_auth_method": "none"} if is_public else {}
    if is_public:
        sent.pop("token_endpoint_auth_methods_supported", None)
    client = op.registered({**BASE, **KEYS[0], **method, **sent})
    assert not client.keys() & CHOICES.keys()
    for name, wanted in sent.items():
        idle = name == "token_endpoint_auth_signing_alg_values_supported"
        assert client.get(CHOICES[name]) in [*wanted, *([None] if idle else [])]
    assert op.updated(client, client) == client


@many
@given(
    sent=st.dictionaries(
        st.sampled_from([*SENT, *SERVER_MADE, "client_name#fr", "keywords#de"]), json_values, max_size=5
    )
)
def test_any_value_under_any_name_is_taken_or_refused_and_leaves_nothing(op: Provider, sent: dict[str, Any]) -> None:
    answer = op.post({**BASE, **sent})
    if answer.status_code != 201:
        op.refused(answer)
        return
    client = answer.get_json()
    assert not client.keys() & CHOICES.keys()
    assert op.updated(client, client) == client


UNSOUND = {name: [sample.value for sample in unsound(name) if len(str(sample.value)) < 200] for name in KEPT}
UNSOUND = {name: values for name, values in UNSOUND.items() if values}
NARROWED = {"grant_types", "response_types", "default_acr_values"}
"""Of these, what the server lacks is taken away."""


@many
@given(sent=sound_metadata(), data=st.data())
def test_one_wrong_value_refuses_all_the_rest_and_leaves_the_client_as_it_was(
    op: Provider, sent: dict[str, Any], data: st.DataObject
) -> None:
    client = op.registered(sent)
    name = data.draw(st.sampled_from([name for name in UNSOUND if name not in NARROWED]))
    value = data.draw(st.sampled_from(UNSOUND[name]))
    wrong = {**sent, name: value}
    answer = op.post(wrong)
    if answer.status_code == 201:
        # it has no effect beside the rest, and is not there
        assert name not in answer.get_json()
        return
    op.refused(answer)
    op.refused(op.put(client, wrong))
    assert op.updated(client, client) == client
