"""The README says what is so: its settings are those there are, and its example works."""

import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from flask_dynreg.config import Settings
from tests.conftest import CLIENT, ISSUER, MakeApp
from tests.servers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [dedent(block) for _, block in re.findall(r"^( *)```python\n(.*?)^\1```$", README, re.MULTILINE | re.DOTALL)]
SETTINGS = {f"DYNREG_{setting.name.upper()}": setting.metadata for setting in fields(Settings)}


def section(heading: str) -> str:
    (text,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return str(text)


def test_the_table_tells_every_setting_as_the_code_does() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", section("Settings"), re.MULTILINE)
    assert {key: meaning for key, _, meaning in rows} == {key: setting["meaning"] for key, setting in SETTINGS.items()}
    for key, default, _ in rows:
        assert default in (f"`{json.dumps(SETTINGS[key]['default'])}`", "required", "see below")


def test_no_other_setting_is_spoken_of() -> None:
    assert set(re.findall(r"DYNREG_[A-Z]+(?:_[A-Z]+)*", README)) <= SETTINGS.keys()


def test_the_python_in_it_compiles() -> None:
    assert BLOCKS
    for number, block in enumerate(BLOCKS, start=1):
        compile(block, f"README.md, block {number}", "exec")


def test_the_example_of_metadata_of_a_hosts_own_works(make_app: MakeApp) -> None:
    (block,) = (block for block in BLOCKS if "ClientMetadataSchema" in block)
    db = SQLAlchemy()
    names: dict[str, Any] = {"DynamicRegistration": DynamicRegistration, "db": db}
    exec(block, names)  # noqa: S102 - it is our own text
    app = make_app(db, names["dynreg"], DYNREG_ACCESS=["open"])
    sent = CLIENT | {"department": "Sales", "risk_class": "high"}
    client = app.test_client().post("/oauth2/register", json=sent, base_url=ISSUER).get_json()
    assert client["department"] == "Sales" and "risk_class" not in client
    with app.app_context():
        names["assess"](client["client_id"])
        assert names["dynreg"].query_client(client["client_id"]).client_metadata["risk_class"] == "low"


def test_the_example_of_a_host_registers_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Flask keeps its database below the working directory
    (tmp_path / "host.py").write_text(section("Add it to your app").partition("```python\n")[2].partition("```")[0])
    spec = importlib.util.spec_from_file_location("host", tmp_path / "host.py")
    assert spec and spec.loader
    host = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(host)
    app = host.create_app()
    with app.app_context():
        host.db.create_all()
        answer = app.test_client().post("/oauth2/register", json=CLIENT, base_url=ISSUER)
        assert answer.status_code == 201, answer.text
        assert host.dynreg.query_client(answer.get_json()["client_id"])
        host.db.engine.dispose()
