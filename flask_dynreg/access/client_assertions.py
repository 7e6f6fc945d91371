"""Assertions by which a client proves with its own key who it is (RFC 7523 section 3): all that can be told without the key."""

from collections.abc import Collection

from flask_dynreg.metadata import jwts
from flask_dynreg.metadata.jwts import JWT, InvalidJWTError
from flask_dynreg.metadata.software_statement import OneTime

TYPE = "client-authentication+jwt"
"""draft-ietf-oauth-rfc7523bis section 4; a plain JWT is one as well."""
MAX_AGE = 300
"""Seconds that an assertion is good."""
LEEWAY = 30
"""Seconds by which the client's clock may be wrong. An assertion is not older than MAX_AGE, whatever its clock says."""

_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "jti")


def read_assertion(text: object, client_id: str, audience: str, algorithms: Collection[str], now: int) -> JWT:
    """One that this client has made for this audience alone, if it is signed by a key of the client. `now` is in seconds since
    the epoch.

    Raises InvalidJWTError.
    """
    assertion = jwts.parsed(text)
    assertion.check_algorithm(algorithms)
    assertion.check_type(None, TYPE)
    assertion.check_claims(now=now, leeway=LEEWAY, audiences=[audience], required=_REQUIRED, max_age=MAX_AGE - LEEWAY)
    claims = assertion.claims
    if claims["aud"] not in (audience, [audience]):
        raise InvalidJWTError("must be for this URL alone (aud).")
    if claims["iss"] != client_id or claims["sub"] != client_id:
        raise InvalidJWTError("must be by the client and about it (iss, sub).")
    return assertion


def one_time(assertion: JWT, audience: str) -> OneTime:
    """The `jti` of an assertion that was read."""
    claims = assertion.claims
    named = (claims["iss"], audience)
    return OneTime(named, claims["jti"], int(claims["iat"]) + MAX_AGE, "client_assertion")
