"""Software statements for own use: `flask dynreg statement issue`."""

import json
import secrets
from pathlib import Path
from typing import IO

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from flask_dynreg.metadata.algorithms import SIGNATURES, can_verify
from flask_dynreg.metadata.json_objects import parsed_object
from flask_dynreg.metadata.jwts import bare
from flask_dynreg.registrar import Registrar

statement = AppGroup("statement", help="Sign software statements.")

_OWN = ("iss", "iat", "exp", "jti")


@statement.command()
@click.argument("file", type=click.File("rb"))
@click.option("--key", "key_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--issuer", required=True, help="The iss of the statement.")
@click.option("--expires-in", type=click.IntRange(1), help="How long it is good, in seconds; for ever by default.")
@with_appcontext
def issue(file: IO[bytes], key_file: Path, issuer: str, expires_in: int | None) -> None:
    """Sign the client metadata of a JSON file (- is the standard input) with a private key (PEM, or a JWK)."""
    registrar: Registrar = current_app.extensions["dynreg"]
    try:
        metadata = parsed_object(file.read())
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="FILE") from fault
    if metadata.keys() & set(_OWN):
        raise click.BadParameter(f"must have none of {', '.join(_OWN)}: they are set here.", param_hint="FILE")
    key = _private_key(key_file.read_bytes())
    now = registrar.credentials.now()
    claims = {"iss": issuer, "iat": now, "jti": secrets.token_urlsafe(16), **metadata}
    if expires_in:
        claims["exp"] = now + expires_in
    header = {"alg": _algorithm(key), "typ": "JWT", "kid": key.kid or key.thumbprint()}
    click.echo(jws.serialize_compact(header, json.dumps(claims), bare(key), algorithms=[header["alg"]]))


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
    public = {name: value for name, value in key.as_dict(private=False).items() if name != "key_ops"}
    for algorithm in SIGNATURES:
        if algorithm != "EdDSA" and can_verify([public], [algorithm]):  # RFC 9864: it has a better name now
            return algorithm
    raise click.BadParameter("must be a key for signatures.", param_hint="--key")
