"""Those who sign software statements (RFC 7591 section 2.3), and what they sign."""

import base64
import hmac
import json
import time
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

DIRECTORY = "https://directory.example"


@cache
def rsa_key(name: str = "directory") -> RSAKey:
    """One for each name; making one takes its time."""
    return RSAKey.generate_key(2048, {"kid": name}, auto_kid=False)


@cache
def ec_key(name: str = "directory", curve: Any = "P-256") -> ECKey:
    return ECKey.generate_key(curve, {"kid": name})


@cache
def okp_key(name: str = "directory") -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": name})


def public(*keys: Key) -> dict[str, Any]:
    return {"keys": [dict(key.as_dict(private=False)) for key in keys]}


def trusted(issuer: str = DIRECTORY, key: Key | None = None, **members: Any) -> dict[str, Any]:
    """The JSON of an issuer of software statements."""
    keys = {} if "jwks_uri" in members else {"jwks": public(key or rsa_key())}
    return {"issuer": issuer, **keys, **members}


def signed(claims: object, key: Key | None = None, **header: Any) -> str:
    """A JWT with this payload, whatever it is."""
    payload = claims if isinstance(claims, str | bytes) else json.dumps(claims)
    key = key or rsa_key()
    protected = {"alg": "RS256", "kid": key.kid, **header}
    protected = {name: value for name, value in protected.items() if value is not None}
    return jws.serialize_compact(protected, payload, key, registry=_Anything(strict_check_header=False))


class _Anything(jws.JWSRegistry):
    max_header_length = 2**20
    max_payload_length = 2**20

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        pass


def statement(key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """One of the directory, but for some claims; None takes one away."""
    whole = {"iss": DIRECTORY, "iat": int(time.time()), "software_id": "4NRB1-0XZABZI9E6-5SM3R", **claims}
    return signed({name: value for name, value in whole.items() if value is not None}, key, **(header or {}))


def forged(header: dict[str, Any], claims: dict[str, Any], mac_key: bytes | None = None) -> str:
    """What joserfc does not make: without a signature, or with a MAC whose key everybody knows."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    mac = hmac.digest(mac_key, b".".join(parts), "sha256") if mac_key else b""
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()
