"""`flask dynreg issuer`, and `flask dynreg statement issue`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from flask_dynreg import DynamicRegistration
from flask_dynreg.metadata import jwts
from tests.conformance.exchange import CONFIDENTIAL, registered
from tests.conftest import MakeApp
from tests.hosts import app_whose_database_is_down
from tests.operations.conftest import MakeBareApp
from tests.registry.host import Clock
from tests.statements import DIRECTORY, ec_key, okp_key, public, rsa_key, statement, trusted

COMMANDS = [
    ["add", "-"],
    ["list"],
    ["withdraw", DIRECTORY],
    ["approve", DIRECTORY, "x"],
    ["disapprove", DIRECTORY, "x"],
]


def run(app: Flask, *words: str, stdin: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", *words], input=stdin)


def done(app: Flask, *words: str, stdin: str | None = None) -> str:
    result = run(app, *words, stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def failed(app: Flask, *words: str, stdin: str | None = None) -> str:
    result = run(app, *words, stdin=stdin)
    assert result.exit_code in (1, 2) and result.stdout == "" and isinstance(result.exception, SystemExit), (
        result.output
    )
    return result.stderr


@pytest.fixture
def app(make_app: MakeApp, sqlite_url: str) -> Flask:
    return make_app(SQLALCHEMY_DATABASE_URI=sqlite_url, DYNREG_STATEMENT_ISSUERS=[trusted("set", software_ids=["set"])])


def listed(app: Flask) -> list[dict[str, Any]]:
    issuers: list[dict[str, Any]] = json.loads(done(app, "issuer", "list", "--json"))
    return issuers


def test_issuers_are_added_from_a_file_and_listed(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "issuer.json"
    file.write_text(json.dumps(trusted("file", rsa_key())))
    assert done(app, "issuer", "add", str(file)) == "Software statements of file are taken.\n"
    done(app, "issuer", "add", "-", stdin=json.dumps(trusted(jwks_uri="https://directory.example/jwks")))
    assert done(app, "issuer", "list") == f"set\tDYNREG_STATEMENT_ISSUERS\nfile\tdatabase\n{DIRECTORY}\tdatabase\n"
    assert listed(app) == [
        {**trusted("set", software_ids=["set"]), "from": "DYNREG_STATEMENT_ISSUERS"},
        {**trusted("file"), "from": "database"},
        {**trusted(jwks_uri="https://directory.example/jwks"), "from": "database"},
    ]


def test_an_issuer_is_replaced_only_on_purpose(app: Flask) -> None:
    first, second = json.dumps(trusted()), json.dumps(trusted(key=rsa_key("second")))
    assert "not there" in failed(app, "issuer", "add", "--replace", "-", stdin=first)
    done(app, "issuer", "add", "-", stdin=first)
    assert "--replace" in failed(app, "issuer", "add", "-", stdin=second)
    assert listed(app)[1]["jwks"] == public(rsa_key())
    done(app, "issuer", "add", "-", "--replace", stdin=second)
    assert listed(app)[1]["jwks"] == public(rsa_key("second"))
    client = app.test_client()
    assert registered(client, **CONFIDENTIAL, software_statement=statement(rsa_key("second")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "JSON"),
        ("[]", "JSON"),
        ("{}", "issuer must be there"),
        ('{"issuer": "x"}', "jwks"),
        ('{"issuer": "x", "issuer": "y"}', "once"),
        (json.dumps({"issuer": "x", "jwks_uri": "http://x.example"}), "https"),
        (json.dumps({"issuer": "x", "jwks_uri": "https://x.example", "leeway": "1"}), "leeway"),
    ],
)
def test_what_describes_no_issuer_is_refused(app: Flask, text: str, told: str) -> None:
    assert told in failed(app, "issuer", "add", "-", stdin=text)


def test_settings_are_not_changed_by_a_command(app: Flask) -> None:
    for words in (
        ["add", "-"],
        ["add", "--replace", "-"],
        ["withdraw", "set"],
        ["disapprove", "set", "set"],
        ["approve", "set", "other"],
    ):
        stdin = json.dumps(trusted("set")) if words[0] == "add" else None
        assert "DYNREG_STATEMENT_ISSUERS" in failed(app, "issuer", *words, stdin=stdin)
    done(app, "issuer", "approve", "set", "set")
    assert done(app, "issuer", "disapprove", "set", "other") == "0 clients are suspended.\n"


def test_an_issuer_that_is_gone_from_the_settings_can_be_withdrawn(make_app: MakeApp, sqlite_url: str) -> None:
    before = make_app(SQLALCHEMY_DATABASE_URI=sqlite_url, DYNREG_STATEMENT_ISSUERS=[trusted()])
    registered(before.test_client(), **CONFIDENTIAL, software_statement=statement())
    after = make_app(SQLALCHEMY_DATABASE_URI=sqlite_url)
    assert done(after, "issuer", "withdraw", DIRECTORY) == "1 clients are suspended.\n"
    assert "no such issuer" in failed(after, "issuer", "withdraw", DIRECTORY)


def test_an_issuer_that_there_is_not_is_told(app: Flask) -> None:
    for words in (["withdraw", "x"], ["approve", "x", "y"], ["disapprove", "x", "y"]):
        assert "no such issuer" in failed(app, "issuer", *words)


def test_software_is_decided_about(app: Flask) -> None:
    done(app, "issuer", "add", "-", stdin=json.dumps(trusted("list", software_ids=["a"])))
    done(app, "issuer", "add", "-", stdin=json.dumps(trusted("all")))
    for name in ("list", "all"):
        done(app, "issuer", "approve", name, "b")
        done(app, "issuer", "disapprove", name, "a")
    known = {issuer["issuer"]: issuer for issuer in listed(app)}
    assert known["list"]["software_ids"] == ["b"] and "refused_software_ids" not in known["list"]
    assert known["all"]["refused_software_ids"] == ["a"] and "software_ids" not in known["all"]
    assert "refused_software_ids" in failed(app, "issuer", "disapprove", "all", "x" * 256)
    assert failed(app, "issuer", "approve", "list", "")


def test_what_an_older_or_newer_version_has_kept_stops_nobody(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    done(app, "issuer", "add", "-", stdin=json.dumps(trusted("good")))
    done(app, "issuer", "add", "-", stdin=json.dumps(trusted("bad")))
    registrar = app.extensions["dynreg"]
    with app.app_context():
        table = registrar.models.statement_issuer.__table__
        for name, definition in (("bad", "{}"), ("worse", "{")):
            registrar.sessions.connection().execute(
                table.update().where(table.c.statement_issuer == "bad").values(definition=definition)
            )
            registrar.sessions.session.commit()
            assert [issuer["issuer"] for issuer in listed(app)] == ["set", "good"], name
    assert "bad" in caplog.text


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: str(words[0]))
def test_missing_tables_are_told_without_a_trace(
    make_bare_app: MakeBareApp, database_url: str, words: list[str]
) -> None:
    error = failed(make_bare_app(database_url), "issuer", *words, stdin=json.dumps(trusted()))
    assert "tables" in error and "INSERT" not in error


def test_a_database_that_is_down_is_told_without_a_trace() -> None:
    with app_whose_database_is_down() as (app, _):
        for words in COMMANDS:
            error = failed(app, "issuer", *words, stdin=json.dumps(trusted()))
            assert "database" in error and "hunter2" not in error


# ---- Statements for own use


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa_key(), "RS256"),
        (ec_key(), "ES256"),
        (ec_key("384", "P-384"), "ES384"),
        (okp_key(), "Ed25519"),
        (OKPKey.import_key({**okp_key().as_dict(private=True), "alg": "EdDSA"}), "Ed25519"),
        (ECKey.import_key({**ec_key().as_dict(private=True), "use": "sig"}), "ES256"),
    ],
    ids=lambda value: value if isinstance(value, str) else "key",
)
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_statement_for_own_use_registers(
    make_app: MakeApp, tmp_path: Path, key: Any, algorithm: str, form: str
) -> None:
    clock, db = Clock(), SQLAlchemy()
    issuer = {"issuer": "us", "jwks": public(key), "algorithms": [algorithm], "one_time": True}
    dynreg = DynamicRegistration(db, clock=clock)
    app = make_app(db, dynreg, DYNREG_STATEMENT_ISSUERS=[issuer])
    key_file, file = tmp_path / "key", tmp_path / "metadata.json"
    key_file.write_bytes(key.as_pem(private=True) if form == "pem" else json.dumps(key.as_dict(private=True)).encode())
    file.write_text(json.dumps({"client_name": "Ours", "software_id": "ours"}))
    words = ["statement", "issue", str(file), "--key", str(key_file), "--issuer", "us", "--expires-in", "60"]
    text, other = done(app, *words).strip(), done(app, *words).strip()
    assert text != other
    for issued in (text, other):
        client = registered(app.test_client(), **CONFIDENTIAL, software_statement=issued)
        assert (client["client_name"], client["software_id"]) == ("Ours", "ours")
    clock.now += 3600
    late = done(app, *words[:-2], stdin=None).strip()
    answer = app.test_client().post("/oauth2/register", json={**CONFIDENTIAL, "software_statement": late})
    assert answer.get_json()["error"] == "invalid_software_statement"  # it has no end, and is good once


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(),
        ec_key(),
        OKPKey.import_key({**okp_key().as_dict(private=True), "alg": "EdDSA"}),
        ECKey.import_key({**ec_key().as_dict(private=True), "key_ops": ["sign"]}),
    ],
)
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_who_signs_with_a_key_is_trusted_by_two_commands(app: Flask, tmp_path: Path, key: Any, form: str) -> None:
    text = key.as_pem(private=True) if form == "pem" else json.dumps(key.as_dict(private=True)).encode()
    (tmp_path / "key").write_bytes(text)
    by = ["--key", str(tmp_path / "key"), "--issuer", "https://releases.example"]
    described = done(app, "statement", "issuer", *by)
    assert not {"d", "p", "q"} & json.loads(described)["jwks"]["keys"][0].keys()
    done(app, "issuer", "add", "-", stdin=described)
    issued = done(app, "statement", "issue", "-", *by, stdin='{"client_name": "Ours"}').strip()
    client = registered(app.test_client(), **CONFIDENTIAL, software_statement=issued)
    assert client["client_name"] == "Ours"
    assert jwts.parsed(issued).kid == listed(app)[1]["jwks"]["keys"][0]["kid"]


@pytest.mark.parametrize("name", ["", " x", "\u00e9", "x" * 256])
def test_an_issuer_that_cannot_be_is_not_described(app: Flask, tmp_path: Path, name: str) -> None:
    (tmp_path / "key").write_bytes(ec_key().as_pem(private=True))
    assert "--issuer" in failed(app, "statement", "issuer", "--key", str(tmp_path / "key"), "--issuer", name)


def test_a_jwk_may_say_how_it_signs(app: Flask, tmp_path: Path) -> None:
    private = ec_key().as_dict(private=True)
    for number, members in enumerate(
        ({**rsa_key().as_dict(private=True), "alg": "PS256"}, {**private, "key_ops": ["sign"]})
    ):
        (tmp_path / "key").write_text(json.dumps(members))
        text = done(app, "statement", "issue", "-", "--key", str(tmp_path / "key"), "--issuer", "us", stdin="{}")
        header = jwts.parsed(text.strip()).header
        assert header == {"alg": ["PS256", "ES256"][number], "typ": "JWT", "kid": "directory"}


@pytest.mark.parametrize(
    "key",
    [
        RSAKey.import_key(rsa_key().as_pem(private=False)),
        OctKey.generate_key(256),
        OKPKey.generate_key("X25519"),
        RSAKey.import_key({**rsa_key().as_dict(private=True), "use": "enc"}),
        RSAKey.import_key({**rsa_key().as_dict(private=True), "alg": "RSA-OAEP"}),
        None,
    ],
    ids=["public", "symmetric", "X25519", "for encryption", "for another algorithm", "none"],
)
def test_a_key_that_cannot_sign_is_refused(app: Flask, tmp_path: Path, key: Key | None) -> None:
    (tmp_path / "key").write_text(json.dumps(key.as_dict()) if key else "no key")
    error = failed(app, "statement", "issue", "-", "--key", str(tmp_path / "key"), "--issuer", "us", stdin="{}")
    assert "--key" in error


@pytest.mark.parametrize("text", ["", "[]", '"x"', '{"iss": "x"}', '{"exp": 1}', '{"jti": "1"}', '{"a": NaN}'])
def test_what_is_no_metadata_is_not_signed(app: Flask, tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_bytes(rsa_key().as_pem(private=True))
    words = ["statement", "issue", "-", "--key", str(tmp_path / "key"), "--issuer", "us"]
    assert "FILE" in failed(app, *words, stdin=text)
