"""Real server processes on free ports, stopped when the block ends."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 10

logs: dict[str, Path] = {}
"""What the servers that are up now write, by their URL."""


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that the system gives to nobody else meanwhile, and on which a server can listen all the same."""
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        port: int = reservation.getsockname()[1]
        if sys.platform != "linux":  # elsewhere SO_REUSEADDR does not let a second socket in
            reservation.close()
        yield port


@contextmanager
def serve(command: list[str], port: int, log: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    """Runs a command that serves HTTP on the port, and gives its base URL when it answers."""
    url = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")} | (env or {})
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    logs[url] = log
    try:
        if not answers(port, process):
            raise RuntimeError(f"{command} did not start.")
        yield url
    except Exception as error:
        error.add_note(f"Log of {url}:\n{last_lines(log)}")
        raise
    finally:
        del logs[url]
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse()
            return True
        except (OSError, HTTPException):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        finally:
            connection.close()
    return False


def last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-60:])


@contextmanager
def example(name: str, folder: Path, **env: str) -> Iterator[str]:
    """An authorization server of examples/ as in production: gunicorn, several workers. Gives the issuer."""
    with reserved_port() as port:
        command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "--no-control-socket"]
        command += ["--worker-class=gthread", "--workers=2", "--threads=4", f"examples.{name}:create_app()"]
        settings = {
            "FLASK_INSTANCE_PATH": str(folder),
            "FLASK_DYNREG_SERVER_METADATA__issuer": f"http://127.0.0.1:{port}",
        }
        with serve(command, port, folder / "server.log", settings | env) as issuer:
            yield issuer
