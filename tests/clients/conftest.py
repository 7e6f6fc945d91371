import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT, logs, reserved_port, serve

NODE = Path(__file__).with_name("node")
OFFLINE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT)\b")
NPM_INSTALL = """
    install --no-package-lock --no-audit --no-fund --no-update-notifier --ignore-scripts
    --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000
"""

StartMcpServer = Callable[..., AbstractContextManager[str]]
RunScript = Callable[..., Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def start_mcp_server(tmp_path_factory: pytest.TempPathFactory) -> StartMcpServer:
    """`with start_mcp_server(issuer, *options) as url`: a process of examples/mcp_server.py that trusts the issuer."""

    @contextmanager
    def start(issuer: str, *options: str) -> Iterator[str]:
        with reserved_port() as port:
            command = [sys.executable, "examples/mcp_server.py", f"--issuer={issuer}", f"--port={port}", *options]
            with serve(command, port, tmp_path_factory.mktemp("mcp_server") / "server.log") as url:
                yield f"{url}/mcp"

    return start


@pytest.fixture(scope="session")
def mcp_server(quickstart_server: str, start_mcp_server: StartMcpServer) -> Iterator[str]:
    """The URL of an MCP server that trusts the quickstart and is shared by all tests."""
    with start_mcp_server(quickstart_server) as url:
        yield url


def issue_token(issuer: str) -> str:
    """An initial access token from the operator of a quickstart that runs here."""
    settings = {
        "FLASK_INSTANCE_PATH": str(logs[issuer].parent),
        "FLASK_DYNREG_SERVER_METADATA__issuer": issuer,
        "FLASK_DYNREG_ACCESS": '["initial_access_token"]',
    }
    command = [sys.executable, "-m", "flask", "--app=examples/quickstart.py", "dynreg", "issue-token", "--uses=10"]
    process = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


@pytest.fixture(scope="session")
def run_script() -> RunScript:
    """run_script("name.mjs", argument, ...) gives what a script of node/ printed, as JSON."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm or major_version(node) < 18:
        pytest.skip("Node.js 18 or newer, with npm, is not there")
    install_packages(npm)

    def run(script: str, *arguments: str) -> Any:
        process = subprocess.run([node, script, *arguments], cwd=NODE, capture_output=True, text=True, timeout=120)
        assert process.returncode == 0, f"{script} {' '.join(arguments)}:\n{process.stdout}\n{process.stderr}"
        return json.loads(process.stdout)

    return run


def major_version(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.strip().lstrip("v").split(".")[0])


def install_packages(npm: str) -> None:
    """Once for all workers, and again when package.json has changed."""
    wanted, installed = NODE / "package.json", NODE / "node_modules" / ".installed.json"
    with wanted.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed.exists() and installed.read_text() == wanted.read_text():
            return
        process = subprocess.run([npm, *NPM_INSTALL.split()], cwd=NODE, capture_output=True, text=True)
        if process.returncode and OFFLINE.search(process.stderr):
            pytest.skip("the npm registry cannot be reached")
        assert process.returncode == 0, process.stderr
        installed.write_text(wanted.read_text())
