"""docs/ say what is so."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, GuardedFetcher, Permission, Terms
from flask_dynreg.access import client_assertions
from flask_dynreg.config import DOORS
from flask_dynreg.metadata import key_sets, remote_keys
from flask_dynreg.metadata.signers import Signer
from flask_dynreg.metadata.statement_issuers import SignedRequests, StatementIssuer
from flask_dynreg.operations.api import OPERATIONS
from flask_dynreg.pacing import Budget, Budgets, Pauses
from flask_dynreg.policies.profiles import PROFILES
from flask_dynreg.policies.shipped import PLAIN, WITH_SETTINGS
from tests import servers
from tests.conformance.exchange import bearer
from tests.conftest import CLIENT, MakeApp
from tests.servers import ROOT
from tests.statements import ec_key, public, signed

STATEMENTS = (ROOT / "docs" / "software-statements.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", STATEMENTS, re.MULTILINE | re.DOTALL)]
ISSUERS = [block for block in BLOCKS if "issuer" in block]


@pytest.mark.parametrize("issuer", ISSUERS, ids=[block["issuer"] for block in ISSUERS])
def test_every_issuer_that_is_shown_is_one(issuer: dict[str, Any]) -> None:
    assert StatementIssuer.from_json(issuer).issuer == issuer["issuer"]


def test_the_commands_for_own_use_register_a_client(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```sh\n(openssl .*?)^```$", STATEMENTS, re.MULTILINE | re.DOTALL)
    door = {"FLASK_DYNREG_ACCESS": '["software_statement"]'}
    with servers.example("quickstart", tmp_path, **door) as issuer:
        settings = {"FLASK_INSTANCE_PATH": str(tmp_path), "FLASK_DYNREG_SERVER_METADATA__issuer": issuer, **door}
        commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {"FLASK_APP": str(ROOT / "examples" / "quickstart.py"), "PATH": commands, **settings}
        run = subprocess.run(["sh", "-ec", block], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        body = json.dumps({"software_statement": run.stdout.split()[-1]})
        connection = HTTPConnection(issuer.removeprefix("http://"))
        connection.request("POST", "/oauth2/register", body, {"Content-Type": "application/json"})
        client = json.load(connection.getresponse())
        connection.close()
        assert (client["software_id"], client["redirect_uris"]) == ("editor", ["http://127.0.0.1/cb"])


def test_every_member_of_an_issuer_is_told() -> None:
    told = [
        name for row in re.findall(r"^\| (`.+?) \|", STATEMENTS, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(told) == sorted(member.name for kind in (StatementIssuer, SignedRequests) for member in fields(kind))


# ---- docs/architecture.md


def test_every_room_has_its_row_in_the_house_and_every_file_of_the_metadata_too() -> None:
    house = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("\n## ")[0]
    rows = {name for row in re.findall(r"^\| (.+?) \|", house, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)}
    package = ROOT / "flask_dynreg"
    files = {path.name for folder in (package, package / "metadata") for path in folder.glob("[!_]*.[pt][yx]*")}
    assert {"schema.py", "confusables.txt", "extension.py"} < files - {"py.typed"} <= rows
    assert {f"{path.parent.name}/" for path in package.glob("*/__init__.py")} <= rows


# ---- docs/policies.md, docs/profiles/

POLICIES = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")


def test_every_policy_and_its_settings_are_told() -> None:
    told = {
        name: re.findall(r"`(\w+)`", settings)
        for name, settings in re.findall(r"^\| `(\w+)` \| (.*?) ?\|", POLICIES, re.MULTILINE)
    }
    settings = {name: [field.name for field in fields(kind)] for name, kind in WITH_SETTINGS.items()}  # type: ignore[arg-type]
    assert told == {name: [] for name in PLAIN} | settings


def test_every_profile_has_a_page_with_its_policies() -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "profiles").glob("*.md")}
    assert pages.keys() == PROFILES.keys()
    for name, page in pages.items():
        assert re.findall(rf"^\| `{name}/(\w+)` \|", page, re.MULTILINE) == list(PROFILES[name])
        assert f"(profiles/{name}.md)" in POLICIES


def test_the_policy_that_is_shown_works(make_app: MakeApp) -> None:
    first, second = re.findall(r"^```python\n(.*?)^```$", POLICIES, re.MULTILINE | re.DOTALL)
    db = SQLAlchemy()
    names: dict[str, Any] = {"dynreg": DynamicRegistration(db), "app": Flask("host")}
    exec(first + second, names)  # noqa: S102 - it is our own text
    app = make_app(db, names["dynreg"], DYNREG_POLICIES=names["app"].config["DYNREG_POLICIES"])
    sent = CLIENT | {"software_id": "reader", "logo_uri": "https://client.example/logo"}
    answer = app.test_client().post("/oauth2/register", json=sent)
    assert answer.status_code == 201 and "logo_uri" not in answer.get_json()
    assert app.test_client().post("/oauth2/register", json=CLIENT).status_code == 400


# ---- docs/doors.md


def test_every_door_is_told_and_the_function_that_is_shown_works(make_app: MakeApp) -> None:
    page = (ROOT / "docs" / "doors.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(DOORS)
    shown, settings = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    db = SQLAlchemy()
    names: dict[str, Any] = {"dynreg": DynamicRegistration(db), "app": Flask("host")}
    exec(shown + settings, names)  # noqa: S102 - it is our own text
    config = {name: value for name, value in names["app"].config.items() if name.startswith("DYNREG_")}
    config["DYNREG_ACCESS"] = ["session", *config["DYNREG_ACCESS"]]
    http = make_app(db, names["dynreg"], SECRET_KEY="for the tests", **config).test_client()
    with http.session_transaction() as cookie:
        cookie["user"] = "alice"
    answer = http.post("/oauth2/register", json=CLIENT, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 201


# ---- docs/operators.md


def test_every_permission_and_operation_is_told_and_the_function_that_is_shown_works(make_app: MakeApp) -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+:\w+)` \|", page, re.MULTILINE) == list(Permission)
    told = re.findall(r"^\| `([A-Z]+) (/\S+)` \| `(\S+)` \| (.*?) ?\|", page, re.MULTILINE)
    there = {
        (method, path, each.permission): set(each.body.fields)
        for path, methods in OPERATIONS.items()
        for method, each in methods.items()
    }
    body = {(method, path, permission): set(re.findall(r"`(\w+)`", sent)) for method, path, permission, sent in told}
    assert body == there | {("GET", "/clients", "clients:read"): set()}
    (shown,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    db = SQLAlchemy()
    names: dict[str, Any] = {"dynreg": DynamicRegistration(db)}
    exec(shown, names)  # noqa: S102 - it is our own text
    app = make_app(db, names["dynreg"], SECRET_KEY="for the tests", DYNREG_OPERATORS_API=True)
    http = app.test_client()
    assert http.get("/oauth2/operators/clients").status_code == 401
    with http.session_transaction() as cookie:
        cookie["operator"] = "bob"
    assert http.get("/oauth2/operators/clients").get_json() == {"clients": [], "next": None}
    assert http.get("/oauth2/operators/tokens").status_code == 403


# ---- docs/trail.md


def test_every_event_is_told() -> None:
    page = (ROOT / "docs" / "trail.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    package = ROOT / "flask_dynreg"
    source = "".join(path.read_text(encoding="utf-8") for path in package.glob("*/*.py"))
    source += (package / "registrar.py").read_text(encoding="utf-8")
    written = set(re.findall(r"_event\(\s*\"(\w+)\"|_decided\(client, \"(\w+)\"", source)) | set(
        re.findall(r"()trail\.note\(\s*[^\"]*?(?:\"(?:refusals|operators)\"[^\"]*)?\"(\w+)\"", source)
    )
    names = {name for pair in written for name in pair if name}
    assert {"registered", "approved", "token_issued", "registration_refused"} <= names <= told


# ---- docs/tokens.md


TOKENS = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
SHOWN = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", TOKENS, re.MULTILINE | re.DOTALL)]


def test_the_terms_that_are_shown_are_such_and_every_member_is_told() -> None:
    members = [field.name for field in fields(Terms)]
    assert Terms.from_object(SHOWN[0]) != Terms() and list(SHOWN[0]) == members
    assert re.findall(r"^\| `(\w+)` \|", TOKENS, re.MULTILINE) == members


def test_the_token_that_is_shown_is_good(make_app: MakeApp) -> None:
    _, (signer,), claims = SHOWN
    assert {*signer, "jwks"} == {field.name for field in fields(Signer)}
    keys = {"jwks": public(ec_key()), "jwks_uri": None, "max_age": None}
    access = {"DYNREG_ACCESS": ["initial_access_token"], "DYNREG_TOKEN_ISSUERS": [{**signer, **keys}]}
    token = signed(claims, ec_key(), alg="ES256", typ="initial-access-token+jwt")
    sent = CLIENT | {"scope": "mcp:read mcp:write"}
    answer = make_app(**access).test_client().post("/oauth2/register", json=sent, headers=bearer(token))
    assert (answer.status_code, answer.get_json()["scope"]) == (201, "mcp:read")


# ---- docs/idempotency.md


def test_the_use_of_a_client_is_noted_as_it_is_shown(make_app: MakeApp) -> None:
    page = (ROOT / "docs" / "idempotency.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    db = SQLAlchemy()
    dynreg, server = DynamicRegistration(db), AuthorizationServer()
    app = make_app(db, dynreg)
    names: dict[str, Any] = {"dynreg": dynreg, "server": server}
    exec(block, names)  # noqa: S102 - it is our own text
    client_id = app.test_client().post("/oauth2/register", json=CLIENT).get_json()["client_id"]
    with app.app_context():
        client = dynreg.query_client(client_id)
        assert client and client.last_used_at is None
        server.send_signal("after_authenticate_client", client=client, grant=None)
        assert client.last_used_at


# ---- docs/rotation.md


def test_the_age_of_an_assertion_is_told() -> None:
    page = (ROOT / "docs" / "rotation.md").read_text(encoding="utf-8")
    assert f"at most {client_assertions.MAX_AGE} seconds ago" in page


# ---- docs/outbound.md

OUTBOUND = (ROOT / "docs" / "outbound.md").read_text(encoding="utf-8")
OWNERS = {
    "GuardedFetcher": GuardedFetcher,
    "Pauses": Pauses,
    "Budgets": Budgets,
    "remote_keys": remote_keys,
    "key_sets": key_sets,
}


def test_every_limit_of_a_fetch_is_told() -> None:
    told = re.findall(r"^\| `(\w+)\.(\w+)` \| (.+?) \|", OUTBOUND, re.MULTILINE)
    for owner, name, value in told:
        found: Any = getattr(OWNERS[owner], name)
        assert value == (f"{found.each_minute}, {found.at_a_time}" if isinstance(found, Budget) else str(found)), name
    limits = {
        (owner, name) for owner in OWNERS for name in vars(OWNERS[owner]) if name.isupper() and not name.startswith("_")
    }
    assert {(owner, name) for owner, name, _ in told} == limits


def test_the_fetcher_that_is_shown_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "partner.json").write_text('{"keys": []}')
    (block,) = re.findall(r"^```python\n(.*?)^```$", OUTBOUND, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"db": SQLAlchemy()}
    exec(block, names)  # noqa: S102 - it is our own text
    assert names["fetch"](names["PARTNER"]).body == b'{"keys": []}'
