"""The examples as a user runs them by hand."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.servers import ROOT, reserved_port, serve


def flask(example: str) -> list[str]:
    return [sys.executable, "-m", "flask", "--app", f"examples/{example}.py"]


def run(example: str, folder: Path, *arguments: str, expected: int = 0, env: Mapping[str, str] | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    process = subprocess.run(
        [*flask(example), *arguments],
        cwd=ROOT,
        env=environment | {"FLASK_INSTANCE_PATH": str(folder)} | dict(env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.returncode == expected, process.stdout
    return process.stdout


@contextmanager
def served(example: str, folder: Path, **env: str) -> Iterator[tuple[str, list[str]]]:
    """The issuer, and the lines that were printed."""
    log = folder / "server.log"
    with reserved_port() as port:
        settings = {"FLASK_INSTANCE_PATH": str(folder), "FLASK_RUN_PORT": str(port)} | env
        with serve([*flask(example), "run"], port, log, settings) as issuer:
            yield issuer, [line.strip() for line in log.read_text().splitlines()]


@pytest.mark.parametrize("example", ["quickstart", "openid_provider"])
def test_the_history_of_the_examples_makes_the_tables_that_their_models_have(tmp_path: Path, example: str) -> None:
    assert "No new upgrade operations detected" in run(example, tmp_path, "db", "check")


def test_the_quickstart_says_what_to_try_and_that_works(tmp_path: Path) -> None:
    with served("quickstart", tmp_path) as (issuer, lines):
        (command,) = (line for line in lines if line.startswith("curl "))
        assert f"{issuer}/oauth2/register" in command
        answer = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert '"client_id"' in answer


def test_the_quickstart_says_nothing_to_try_where_nobody_can_register(tmp_path: Path) -> None:
    with served("quickstart", tmp_path, FLASK_DYNREG_ACCESS="[]") as (_, lines):
        assert not [line for line in lines if "curl" in line]


def test_the_quickstart_names_the_endpoint_where_it_is(tmp_path: Path) -> None:
    with served("quickstart", tmp_path, FLASK_DYNREG_URL_PREFIX="/connect") as (issuer, lines):
        assert [line for line in lines if f"curl {issuer}/connect/register" in line]


def test_wrong_server_metadata_are_named(tmp_path: Path) -> None:
    told = run("quickstart", tmp_path, "db", "check", expected=1, env={"FLASK_DYNREG_SERVER_METADATA": "not JSON"})
    assert "DYNREG_SERVER_METADATA must be a JSON object" in told


def test_the_openid_provider_says_where_a_relying_party_finds_everything(tmp_path: Path) -> None:
    with served("openid_provider", tmp_path) as (issuer, lines):
        (address,) = (line.split()[-1] for line in lines if line.startswith("A relying party finds everything at "))
        assert httpx2.get(address).json()["issuer"] == issuer


def test_a_token_is_issued_for_a_quickstart_that_is_not_open(tmp_path: Path) -> None:
    setting = {"FLASK_DYNREG_ACCESS": '["initial_access_token"]'}
    printed = run("quickstart", tmp_path, "dynreg", "issue-token", "--uses", "1", env=setting)
    assert printed.startswith("dynreg_iat_")
    assert len(printed.splitlines()) == 1
