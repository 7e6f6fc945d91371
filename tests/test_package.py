"""What a user installs: the source distribution, the wheel, and that the wheel works away from the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest

import flask_dynreg
import flask_dynreg.fields
from flask_dynreg.metadata import fields
from tests.conftest import CLIENT, SERVER_METADATA
from tests.servers import ROOT

HOST = f"""
import flask_dynreg
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["PREFERRED_URL_SCHEME"] = "https"
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///app.sqlite"
app.config["DYNREG_ACCESS"] = ["open"]
app.config["DYNREG_SERVER_METADATA"] = {SERVER_METADATA}
db = SQLAlchemy(app)
flask_dynreg.DynamicRegistration(db).init_app(app)


@app.cli.command()
def register():
    print(flask_dynreg.__file__, app.test_client().post("/oauth2/register", json={CLIENT}).status)
"""


def shipped_files() -> set[str]:
    """By their path in site-packages."""
    package = [path.relative_to(ROOT) for path in (ROOT / "flask_dynreg").rglob("*")]
    history = ["flask_dynreg" / path.relative_to(ROOT) for path in (ROOT / "migrations").rglob("*")]
    return {
        path.as_posix() for path in [*package, *history] if path.suffix in (".py", ".mako", ".txt") or path.stem == "py"
    }


def run(*command: object, cwd: Path) -> str:
    words = [str(word) for word in command]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FLASK_", "PYTHON"))}
    process = subprocess.run(words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.returncode == 0, f"{' '.join(words)}:\n{process.stdout}"
    return process.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, and the wheel that is built from it. A copy is built, since building leaves files behind."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for folder in ("flask_dynreg", "migrations", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for file in (path for path in ROOT.iterdir() if path.is_file()):
        shutil.copy(file, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, source, cwd=source)
    return built


def test_the_wheel_holds_the_package_and_its_migrations(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        installed = {name for name in names if ".dist-info/" not in name}
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    assert installed == shipped_files()
    data = {"py.typed", "metadata/confusables.txt", "migrations/script.py.mako"}
    assert {f"flask_dynreg/{name}" for name in data} < installed
    assert any(name.startswith("flask_dynreg/migrations/versions/0001_") for name in installed)
    assert {"Requires-Python: >=3.11", "License: BSD-3-Clause AND Unicode-3.0", "License-File: LICENSE"} < set(
        metadata.splitlines()
    )


def test_the_source_distribution_holds_what_a_reader_wants(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "setup.cfg", "pyproject.toml", "migrations/script.py.mako"} < names
    assert not any(name.startswith("tests/") for name in names)


def test_the_packages_are_the_folders() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folders = {str(Path(name).parent).replace(os.sep, ".") for name in shipped_files() if name.endswith(".py")}
    assert setup["options"]["packages"].split() == sorted(folders)


def test_the_wheel_works_away_from_the_checkout(distributions: Path, tmp_path: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    venv.create(tmp_path / "venv", symlinks=True)
    (python,) = (tmp_path / "venv").glob("*/python3")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    # The dependencies come from here. A path file that is named in a path file is not read: the checkout stays away.
    (packages,) = (tmp_path / "venv").glob("**/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "host.py").write_text(HOST)
    run(python, "-m", "flask", "--app", "host", "dynreg", "db", "upgrade", cwd=tmp_path)
    answer = run(python, "-m", "flask", "--app", "host", "register", cwd=tmp_path)
    assert answer.strip() == f"{packages / 'flask_dynreg' / '__init__.py'} 201 CREATED"


@pytest.mark.parametrize("module", [flask_dynreg, flask_dynreg.fields])
def test_the_public_names_are_sorted_and_there(module: ModuleType) -> None:
    assert module.__all__ == sorted(module.__all__)
    assert all(
        getattr(module, name).__module__.startswith("flask_dynreg.") for name in module.__all__ if name[0].isupper()
    )


def test_every_type_that_a_host_may_need_is_public() -> None:
    """Those left out are about a single name of the specifications, or of use with a rule of ours only."""
    types = {
        name for name, found in vars(fields).items() if isinstance(found, type) and issubclass(found, fields.Member)
    }
    assert types - set(flask_dynreg.fields.__all__) == {"Choice", "Identifier", "LogoutURL", "Scope"}
