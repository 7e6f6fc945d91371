"""Software statements for own use: `flask dynreg statement issue`."""

import json
import secrets
from pathlib import Path
from typing import IO, Any

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from flask_dynreg.metadata.algorithms import SIGNATURES, can_verify
from flask_dynreg.metadata.json_objects import parsed_object
from flask_dynreg.metadata.jwts import bare
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.registrar import Registrar

statement = AppGroup("statement", help="Sign software statements of your own.")

_OWN = ("iss", "iat", "exp", "jti")
_Key = click.Path(exists=True, dir_okay=False, path_type=Path)
_key_option = click.option("--key", "key_file", type=_Key, required=True, help="A private key (PEM, or a JWK).")
_issuer_option = click.option("--issuer", "name", required=True, help="The iss of the statements.")


@statement.command()
@click.argument("file", type=click.File("rb"))
@_key_option
@_issuer_option
@click.option("--expires-in", type=click.IntRange(1), help="How long it is good, in seconds; for ever by default.")
@with_appcontext
def issue(file: IO[bytes], key_file: Path, name: str, expires_in: int | None) -> None:
    """Sign the client metadata of a JSON file (- is the standard input)."""
    registrar: Registrar = current_app.extensions["dynreg"]
    try:
        metadata = parsed_object(file.read())
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="FILE") from fault
    if metadata.keys() & set(_OWN):
        raise click.BadParameter(f"must have none of {', '.join(_OWN)}: they are set here.", param_hint="FILE")
    key = _private_key(key_file.read_bytes())
    now = registrar.credentials.now()
    claims = {"iss": name, "iat": now, "jti": secrets.token_urlsafe(16), **metadata}
    if expires_in:
        claims["exp"] = now + expires_in
    header = {"alg": _algorithm(key), "typ": "JWT", "kid": _kid(key)}
    click.echo(jws.serialize_compact(header, json.dumps(claims), bare(key), algorithms=[header["alg"]]))


@statement.command()
@_key_option
@_issuer_option
def issuer(key_file: Path, name: str) -> None:
    """Print who signs with a key, for `flask dynreg issuer add -`."""
    key = _private_key(key_file.read_bytes())
    described = {"issuer": name, "jwks": {"keys": [_public(key) | {"kid": _kid(key)}]}, "algorithms": [_algorithm(key)]}
    try:
        StatementIssuer.from_json(described)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="--issuer") from fault
    click.echo(json.dumps(described, indent=2))


def _kid(key: Key) -> str:
    return key.kid or key.thumbprint()


def _public(key: Key) -> dict[str, Any]:
    """Without key_ops: what the private key is for is nothing that a public key can do."""
    return {name: value for name, value in key.as_dict(private=False).items() if name != "key_ops"}


def _private_key(data: bytes) -> Key:
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            key: Key = kind.import_key(parsed_object(data) if data.lstrip().startswith(b"{") else data)
        except (JoseError, ValueError, TypeError, LookupError, AttributeError):
            continue  # of another kind, or no key at all
        if key.is_private:
            return key
    raise click.BadParameter("must be a private RSA, EC or Ed25519 key, as PEM or as a JWK.", param_hint="--key")


def _algorithm(key: Key) -> str:
    for algorithm in SIGNATURES:
        if algorithm != "EdDSA" and can_verify([_public(key)], [algorithm]):  # RFC 9864: it has a better name now
            return algorithm
    raise click.BadParameter("must be a key for signatures.", param_hint="--key")
