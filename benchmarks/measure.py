"""The measurement itself: a load on a server, and the CPU that the server used for it."""

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from databases import fresh_databases
from server import HERE, Server

STATUSES = {"register": 201, "read": 200, "update": 200, "refusal": 400}
CLIENTS = 64

# A public client as an MCP host registers it.
METADATA = {
    "client_name": "Benchmark client",
    "redirect_uris": ["http://127.0.0.1:3334/callback", "http://localhost:3334/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
    "scope": "mcp:read",
}
# Plain http to another host, and a fragment: Authlib minds only the second.
REFUSED = {**METADATA, "redirect_uris": ["http://client.example/callback#fragment"]}
NOT_SENT_BACK = {  # RFC 7592 section 2.2
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
}


@dataclass(frozen=True)
class Cell:
    """One load on one server."""

    database: str
    path: str
    app: str
    round: int
    requests: int
    microseconds: float
    """CPU per request."""


@dataclass(frozen=True)
class Setup:
    """What holds for every cell."""

    apps: list[str]
    rounds: int
    seconds: int
    threads: int
    connections: int
    server_core: int
    load_core: int
    postgresql: str


def measured(database: str, setup: Setup, directory: Path) -> Iterator[Cell]:
    """All cells of one database, the servers in turn: round 0 warms them up, the others count."""
    with fresh_databases(database, setup.apps, directory, setup.postgresql) as urls, ExitStack() as stack:
        servers = {}
        for app, url in urls.items():
            server = Server(app, url, setup.server_core, setup.threads, directory / f"{app}.log")
            servers[app] = stack.enter_context(server)
            (directory / f"{app}.clients").write_text("".join(registered_clients(server)))
        for number in range(setup.rounds + 1):
            for path in STATUSES:
                for app, server in servers.items():
                    requests, seconds = load(server, path, setup, directory)
                    yield Cell(database, path, app, number, requests, seconds / requests * 1e6)


def registered_clients(server: Server) -> Iterator[str]:
    """The clients that read and update use, as the lines that wrk reads."""
    for _ in range(CLIENTS):
        status, body = server.request("POST", "/oauth2/register", json.dumps(METADATA))
        if status != STATUSES["register"]:
            raise RuntimeError(f"{server.app} answered {status} to a registration: {body!r}")
        answer = json.loads(body)
        token = answer.get("registration_access_token", "none")
        entry = {name: value for name, value in answer.items() if name not in NOT_SENT_BACK}
        yield f"/oauth2/clients/{answer['client_id']}\t{token}\t{json.dumps(entry)}\n"


def load(server: Server, path: str, setup: Setup, directory: Path) -> tuple[int, float]:
    """The number of answers, and the seconds of CPU they took. An unexpected answer ends the benchmark."""
    script = "register" if path == "refusal" else path
    command = ["taskset", "--cpu-list", str(setup.load_core), "wrk", "--script", f"load/{script}.lua"]
    command += ["--threads", "1", "--connections", str(setup.connections), "--duration", f"{setup.seconds}s"]
    environment = {
        **os.environ,
        "BENCHMARK_REGISTRATION": json.dumps(REFUSED if path == "refusal" else METADATA),
        "BENCHMARK_CLIENTS": str(directory / f"{server.app}.clients"),
    }
    if server.app == "idempotency":
        environment["BENCHMARK_KEYS"] = secrets.token_urlsafe()
    before = server.cpu()
    output = subprocess.run(
        [*command, "--timeout", "30s", f"http://127.0.0.1:{server.port}"],
        cwd=HERE,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=setup.seconds + 60,
        check=True,
    ).stdout
    time.sleep(0.05)  # for the requests that were under way when wrk stopped
    seconds = server.cpu() - before
    statuses = {int(status): int(count) for status, count in re.findall(r"^status (\d+) (\d+)$", output, re.MULTILINE)}
    if set(statuses) != {STATUSES[path]} or "\nbroken 0\n" not in output:
        raise RuntimeError(f"{path} on {server.app}: every answer should be {STATUSES[path]}:\n{output}")
    return statuses[STATUSES[path]], seconds
