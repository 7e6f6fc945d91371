"""The examples as a user runs them by hand."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT, reserved_port, serve

FLASK = [sys.executable, "-m", "flask", "--app", "examples/quickstart.py"]


def run(folder: Path, *arguments: str, **env: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    process = subprocess.run(
        [*FLASK, *arguments],
        cwd=ROOT,
        env=environment | {"FLASK_INSTANCE_PATH": str(folder)} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


def test_the_history_of_the_quickstart_makes_the_tables_that_its_models_have(tmp_path: Path) -> None:
    assert "No new upgrade operations detected" in run(tmp_path, "db", "check")


def test_the_quickstart_says_what_to_try_and_that_works(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with reserved_port() as port:
        settings = {"FLASK_INSTANCE_PATH": str(tmp_path), "FLASK_RUN_PORT": str(port)}
        with serve([*FLASK, "run"], port, log, settings) as issuer:
            (command,) = (line.strip() for line in log.read_text().splitlines() if line.strip().startswith("curl "))
            assert f"{issuer}/oauth2/register" in command
            answer = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert '"client_id"' in answer


def test_a_token_is_issued_for_a_quickstart_that_is_not_open(tmp_path: Path) -> None:
    printed = run(tmp_path, "dynreg", "issue-token", "--uses", "1", FLASK_DYNREG_ACCESS='["initial_access_token"]')
    assert printed.startswith("dynreg_iat_")
    assert len(printed.splitlines()) == 1
