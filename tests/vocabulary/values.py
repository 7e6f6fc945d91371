"""For every name that a client may send: values that are registered as they are, and values that are refused."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.metadata.keys import certificate, ec_jwk, rsa_jwk
from tests.statements import DIRECTORY, forged, rsa_key, statement
from tests.vocabulary.provider import BASE, CIBA, ISSUER, SECTOR
from tests.vocabulary.registry import CHOICES, KEPT

URL = "https://client.example/path?query=1"
LONGEST_URL = "https://client.example/".ljust(2048, "x")
JWKS_URI = "https://client.example/jwks"
NOTIFY = "https://client.example/notify"
JWKS = {"keys": [rsa_jwk(kid="s", use="sig"), ec_jwk(kid="e", use="enc")]}
NOTHING_STATED = statement(software_id=None)
CERTIFIED = {"keys": [ec_jwk(x5c=[certificate("EC")])]}


class Sample(NamedTuple):
    """A value, and what a client sends beside it."""

    value: Any
    beside: dict[str, Any]


def of(value: Any, **beside: Any) -> Sample:
    return Sample(value, beside)


def each(*values: Any, **beside: Any) -> list[Sample]:
    return [of(value, **beside) for value in values]


def sent(name: str, sample: Sample) -> dict[str, Any]:
    return {**BASE, **sample.beside, name: sample.value}


_TEXTS = each(
    "A client", "\u30af\u30e9\u30a4\u30a2\u30f3\u30c8", " e\u0301 <b>&\"'\\ ", "\u06cc\u200c\u06a9", "x" * 255
)
_PAGES = each(
    *(URL, LONGEST_URL, "http://other.example", "https://client.example:8443/#top", "http://localhost:3000/"),
    *("HTTPS://CLIENT.EXAMPLE/%C3%A9", "https://[2001:db8::1]/", "https://xn--e1aybc.example/"),
)
_DOCUMENT = each(URL, LONGEST_URL, "https://client.example:443", "HTTPS://client.example/")
_SECURE = [*_DOCUMENT, *each("https://client.example:8443")]
_FLAGS = each(True, False)
_FORMATS = {"jwt_vc_json": {"alg_values": ["ES256"]}, "\u00e9": [None, 1.5, ""]}
_ASYMMETRIC = [*each("RS256"), *each("ES256", "EdDSA", "PS256")]
_ENCRYPTED = [*each("RSA-OAEP", jwks={"keys": [rsa_jwk()]}), *each("ECDH-ES", jwks=JWKS), *each("A256KW", "dir")]


def _content(algorithm: str) -> list[Sample]:
    return each("A128CBC-HS256", "A256GCM", **{algorithm: "A256KW"})


SOUND: dict[str, list[Sample]] = {
    # RFC 7591
    "redirect_uris": each(
        *(["https://client.example/cb?a=b"], ["http://127.0.0.1:8000/cb", "com.example.app:/cb", LONGEST_URL]),
        *(["https://client.example/cb/%C3%A9"], [f"https://client.example/{number}" for number in range(100)]),
    ),
    "token_endpoint_auth_method": [
        *each("client_secret_post", "client_secret_basic", "client_secret_jwt", "none"),
        *each("private_key_jwt", jwks_uri=JWKS_URI),
        *each("self_signed_tls_client_auth", jwks=CERTIFIED),
        *each("tls_client_auth", tls_client_auth_san_dns="client.example"),
    ],
    "grant_types": [
        *each(["authorization_code", "refresh_token"], ["client_credentials"]),
        *each([CIBA], backchannel_token_delivery_mode="poll"),
    ],
    "response_types": [
        *each(["code", "none"]),
        *each(["code id_token", "token id_token"], grant_types=["authorization_code", "implicit"]),
        *each([], grant_types=["client_credentials"]),
    ],
    **dict.fromkeys(("client_name", "software_id", "software_version", "organization_name", "display_name"), _TEXTS),
    **dict.fromkeys(("client_uri", "logo_uri", "tos_uri", "policy_uri", "information_uri", "organization_uri"), _PAGES),
    "scope": each("mcp:read", "mcp:write mcp:read"),
    "contacts": each(["a@client.example", "+1 555 0100"], ["\u30e1"], ["x" * 255] * 100),
    "jwks_uri": _DOCUMENT,
    "jwks": each(JWKS, CERTIFIED, {"keys": [ec_jwk()], "x": [1.5]}, {"keys": [{"kty": "new"}, rsa_jwk()]}),
    "software_statement": each(NOTHING_STATED, statement(header={"typ": "JWT"}, software_id=None, aud=ISSUER)),
    # OpenID Connect Registration
    "application_type": each("web", "native"),
    "sector_identifier_uri": each(SECTOR),
    "subject_type": each("pairwise", "public"),
    "id_token_signed_response_alg": each("ES256", "RS256", "HS512", "none"),
    "userinfo_signed_response_alg": each("RS256", "HS256", "none"),
    "request_object_signing_alg": [*each("HS256", "none"), *each("RS256", jwks=JWKS), *each("ES256", jwks_uri=URL)],
    "token_endpoint_auth_signing_alg": [
        *each("RS256", token_endpoint_auth_method="private_key_jwt", jwks=JWKS),
        *each("HS512", token_endpoint_auth_method="client_secret_jwt"),
    ],
    "request_object_encryption_alg": each("RSA-OAEP", "ECDH-ES", "dir"),
    "default_max_age": each(0, 60, 2**31 - 1),
    "default_acr_values": each(["urn:acr:high", "urn:acr:low"], ["urn:acr:low"]),
    "initiate_login_uri": [*_SECURE, *each("https://localhost/login")],
    "request_uris": [
        *each([URL, "https://client.example/request#hash"], [LONGEST_URL]),
        *each(["http://client.example/r"], request_object_signing_alg="HS256"),
    ],
    # OpenID Connect Logout
    "post_logout_redirect_uris": each([URL, "com.example.app:/bye", "http://127.0.0.1:3000/bye"]),
    "frontchannel_logout_uri": [
        *each(URL, "https://client.example:443"),
        *each("http://localhost:3000/bye?a=b", redirect_uris=["http://localhost:3000/cb"]),
    ],
    "frontchannel_logout_session_required": each(True, False, frontchannel_logout_uri=URL),
    "backchannel_logout_uri": _SECURE,
    "backchannel_logout_session_required": each(True, False, backchannel_logout_uri=URL),
    # CIBA
    "backchannel_token_delivery_mode": [
        *each("push", backchannel_client_notification_endpoint=NOTIFY),
        *each("poll", grant_types=[CIBA]),
        *each("ping", grant_types=[CIBA], backchannel_client_notification_endpoint=NOTIFY),
    ],
    "backchannel_client_notification_endpoint": _SECURE,
    "backchannel_authentication_request_signing_alg": each("RS256", "ES256", jwks_uri=JWKS_URI),
    # Federation and wallets
    "client_registration_types": each(["explicit", "automatic"], ["automatic"]),
    "signed_jwks_uri": _DOCUMENT,
    "description": [*_TEXTS, *each("x" * 2048)],
    "keywords": each(["one", "\u4e8c"], ["x" * 255] * 100),
    "vp_formats_supported": each(_FORMATS, {}),
    "encrypted_response_enc_values_supported": each(["A128GCM", "A256GCM"]),
    "credential_offer_endpoint": each(
        "openid-credential-offer://", URL, "haip://offer?a=b", "com.example.app:///offer"
    ),
    "authorization_details_types": each(["payment_initiation"], ["account_information", "payment_initiation"]),
    # Mutual TLS
    **{
        f"tls_client_auth_{name}": each(*values, token_endpoint_auth_method="tls_client_auth")
        for name, values in {
            "subject_dn": (
                *("CN=client.example,O=Example\\, Inc.,C=DE", "CN=a, O=b", "UID=1+CN=J\\C3\\BCrgen,DC=example,DC=net"),
                *("1.3.6.1.4.1.1466.0=#04024869", "CN=\u30af", "CN=" + "x" * 2045),
            ),
            "san_dns": ("client.example", "CLIENT.example", "a_b.example", "localhost"),
            "san_uri": ("https://client.example/", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "spiffe://a/b"),
            "san_ip": ("192.0.2.1", "2001:db8::1", "2001:DB8:0:0:0:0:0:1", "::ffff:192.0.2.1"),
            "san_email": ("a@client.example", "first.last+tag@client.example"),
        }.items()
    },
    # Algorithms
    "id_token_encrypted_response_alg": _ENCRYPTED,
    "userinfo_encrypted_response_alg": _ENCRYPTED,
    "authorization_encrypted_response_alg": _ENCRYPTED,
    "introspection_encrypted_response_alg": _ENCRYPTED,
    "id_token_encrypted_response_enc": _content("id_token_encrypted_response_alg"),
    "userinfo_encrypted_response_enc": _content("userinfo_encrypted_response_alg"),
    "request_object_encryption_enc": _content("request_object_encryption_alg"),
    "authorization_encrypted_response_enc": _content("authorization_encrypted_response_alg"),
    "introspection_encrypted_response_enc": _content("introspection_encrypted_response_alg"),
    "authorization_signed_response_alg": _ASYMMETRIC,
    "introspection_signed_response_alg": _ASYMMETRIC,
    # Others
    "claims_redirect_uris": each([URL, "com.example.app:/claims", "http://127.0.0.1/claims"]),
    "nfv_token_signed_response_alg": each("ES256"),
    "nfv_token_encrypted_response_alg": each("ECDH-ES"),
    "nfv_token_encrypted_response_enc": each("A256GCM", nfv_token_encrypted_response_alg="ECDH-ES"),
    **{
        name: _FLAGS
        for name in KEPT
        if name.startswith(("require_", "dpop_", "use_", "tls_client_certificate_", "backchannel_user_"))
    },
    "require_signed_request_object": [*each(True, jwks=JWKS), *each(True, False, request_object_signing_alg="HS256")],
}

NO_URI = [
    *("client.example", "/path", "//client.example/", "https:", "https://", "https:///path", "https:client.example"),
    *(
        "https://client.example/ x",
        " https://client.example/",
        "https://client.example/\n",
        "https://client\\.example/",
    ),
    *(
        "https://\u00e9.example/",
        "https://client.example/\u00e9",
        "https://client.example/%zz",
        "https://client.example:0/",
    ),
    *("https://client.example:65536/", "https://client.example:x/", "https://[::1/", "https://a..example/"),
    *("https://user@client.example/", "https://user:word@client.example/", "https://1.2.3/", "https://0x7f.1/"),
    *("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://client.example/", "x" * 2049),
    LONGEST_URL + "x",
]
NO_SECURE_URI = [*NO_URI, "http://client.example/", "com.example.app:/x", f"{URL}#", f"{URL}#fragment"]
WITHIN_NETWORKS = [
    f"https://{host}/"
    for host in (
        *("localhost", "host", "127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.1"),
        *("[::1]", "[fd00::1]", "[fe80::1]", "[::ffff:127.0.0.1]", "a.localhost", "a.internal", "224.0.0.1"),
    )
]
_NOT_PUBLIC = [*NO_SECURE_URI, *WITHIN_NETWORKS]
_NOT_FETCHED = [*_NOT_PUBLIC, *(f"https://client.example:{port}/" for port in (1, 80, 444, 8443, 65535))]
_BAD_TEXTS = ["x" * 256, *(f"a{bad}b" for bad in "\n\x7f\x85\u061c\u200b\u200e\u2028\u202e\u2060\u2066\ufeff")]
_NO_ALGORITHM = ["XS256", "rs256", "RS256 ", "\u00e9", "RS256\n", "x" * 300]
_TLS = {"token_endpoint_auth_method": "tls_client_auth"}

_UNSOUND: dict[str, list[Any]] = {
    "redirect_uris": [[uri] for uri in (*NO_URI, f"{URL}#", "https://*.client.example/", "http://client.example/", "")],
    "token_endpoint_auth_method": ["attest_jwt_client_auth", "client_secret", "None", "x" * 256, "\u00e9"],
    "grant_types": [["password"], ["refresh_token"], ["unknown"], ["x" * 256], ["x", "\u00e9"], ["x"] * 101],
    "response_types": [
        ["code  token"],
        ["code code"],
        ["code "],
        ["unknown"],
        ["code token id_token x"],
        ["\n"],
        ["x" * 256],
        ["code"] * 101,
        [],
    ],
    **dict.fromkeys(
        ("client_name", "software_id", "software_version", "organization_name", "display_name"), _BAD_TEXTS
    ),
    **dict.fromkeys(("client_uri", "logo_uri", "tos_uri", "policy_uri", "information_uri", "organization_uri"), NO_URI),
    "scope": ["x" * 8193],
    "contacts": [["x"] * 101, ["x", ""], ["x" * 256], ["\u202e"], [" "]],
    "keywords": [["x"] * 101, ["x", ""], ["x" * 256], ["\u202e"], [" "]],
    "jwks_uri": _NOT_FETCHED,
    "software_statement": [
        *("x", "a.b.c", f"{NOTHING_STATED}x", NOTHING_STATED[:-1], f" {NOTHING_STATED}", "x" * 2049),
        *(statement(exp=1), statement(aud="https://other.example"), statement(iss="https://nobody.example")),
        *(statement(rsa_key("other")), statement(iss=None), forged({"alg": "none"}, {"iss": DIRECTORY})),
    ],
    "jwks": [
        *({"keys": [rsa_jwk(d="AQAB")]}, {"keys": [{"kty": "oct", "k": "AAAA"}]}, {"keys": []}, {"keys": [{}]}),
        *({"keys": [{"kty": "new"}]}, {"keys": [ec_jwk()] * 33}, {"keys": [ec_jwk(kid="1"), rsa_jwk(kid="1")]}),
        *({"keys": [ec_jwk(use="sig"), rsa_jwk()]}, {"keys": [ec_jwk(x5c=[certificate("RSA")])]}),
        *({"keys": [ec_jwk(use="x")]}, {"keys": [ec_jwk(kid=1)]}, {"keys": [ec_jwk() | {"x": "AAAA"}]}),
    ],
    "application_type": ["browser", "Web", "native ", "spa"],
    "sector_identifier_uri": _NOT_FETCHED,
    "subject_type": ["Public", "ephemeral"],
    "default_max_age": [-1, 2**31, 10**400],
    "default_acr_values": [["urn:acr:low", "\u00e9"], ["x"] * 101, ["x" * 256]],
    "initiate_login_uri": NO_SECURE_URI,
    "request_uris": [[uri] for uri in (*NO_URI, *WITHIN_NETWORKS, "http://client.example/r", "com.example.app:/r")],
    "post_logout_redirect_uris": [[uri] for uri in (*NO_URI, f"{URL}#", "http://client.example/", "myapp:/bye")],
    "frontchannel_logout_uri": [*NO_SECURE_URI, "https://other.example/", "https://client.example:8443/"],
    "backchannel_logout_uri": _NOT_PUBLIC,
    "backchannel_token_delivery_mode": ["Poll", "none"],
    "backchannel_client_notification_endpoint": _NOT_PUBLIC,
    "client_registration_types": [["\u00e9"], ["x"] * 101],
    "signed_jwks_uri": _NOT_FETCHED,
    "description": ["x" * 2049, "\u202e"],
    "encrypted_response_enc_values_supported": [["\u00e9"], ["x"] * 101],
    "credential_offer_endpoint": [
        *(
            *NO_URI,
            "http://client.example/",
            f"{URL}#",
            "wallet:offer",
            "wallet:",
            "wallet://user@offer",
            "wallet://a b",
            "\u00e9:",
        ),
        *(
            "javascript://client.example/%0aalert(1)",
            "JavaScript://",
            "data://x",
            "vbscript://x",
            "intent://x",
            "blob://x",
        ),
        *("wallet://#x", "wallet://offer#x", "x://" + "x" * 2045),
    ],
    "claims_redirect_uris": [[uri] for uri in (*NO_URI, f"{URL}#", "http://client.example/")],
    "authorization_details_types": [["\u00e9"], ["x"] * 101],
    "tls_client_auth_subject_dn": [
        "CN=a\nb",
        "CN=\u202e",
        "not a dn",
        "CN",
        "=x",
        "CN=a,",
        "CN=a;O=b",
        "CN=<",
        "CN=\\zz",
        "CN=#0",
    ],
    "tls_client_auth_san_dns": [
        "*.client.example",
        "client.example.",
        "192.0.2.1",
        "a b",
        "-a.example",
        "x" * 64,
        "\u00e9",
    ],
    "tls_client_auth_san_uri": ["client.example", "/path", "a b:c", "\u00e9:"],
    "tls_client_auth_san_ip": [
        "999.1.1.1",
        "1.2.3",
        "01.2.3.4",
        "[::1]",
        "::g",
        "fe80::1%eth0",
        "1.2.3.4/32",
        "a.example",
    ],
    "tls_client_auth_san_email": [
        "client.example",
        "a@",
        "@client.example",
        "a b@client.example",
        "a@b@c",
        "a@-",
        "a@client..example",
        "a@.example",
        "x" * 65 + "@a.example",
        "\u00e9@a",
    ],
}


def unsound(name: str) -> Iterator[Sample]:
    """Values that are refused by this name, beside what else is sound."""
    found = _UNSOUND.get(name)
    if found is None and name not in CHOICES and isinstance(SOUND[name][0].value, str):
        found = [*_NO_ALGORITHM, *(["none"] if "signed" not in name and "signing" not in name else [])]
    for value in found or ():
        yield of(
            value, **(_TLS if name.startswith("tls_client_auth_") else SOUND[name][0].beside if name in SOUND else {})
        )
