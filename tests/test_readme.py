"""The README says what is so: its settings are those there are, and its example works."""

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

from flask_dynreg.config import Settings
from tests.conftest import CLIENT, ISSUER
from tests.servers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
KEYS = {f"DYNREG_{setting.name.upper()}" for setting in fields(Settings)}


def section(heading: str) -> str:
    (text,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return str(text)


def test_the_table_names_every_setting_once() -> None:
    named = re.findall(r"^\| `(\w+)` \|", section("Settings"), re.MULTILINE)
    assert sorted(named) == sorted(KEYS)


def test_no_other_setting_is_spoken_of() -> None:
    assert set(re.findall(r"DYNREG_[A-Z]+(?:_[A-Z]+)*", README)) <= KEYS


def test_the_python_in_it_compiles() -> None:
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL), start=1):
        compile(block, f"README.md, block {number}", "exec")


def test_the_example_of_a_host_registers_a_client(tmp_path: Path) -> None:
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
