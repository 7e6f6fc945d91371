"""One gunicorn server on its own core, and how much CPU its worker has used."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class Server:
    """A server that is up when the block begins and gone when it ends."""

    def __init__(self, app: str, database: str, core: int, threads: int, log: Path) -> None:
        self.app, self.database, self.core, self.threads, self.log = app, database, core, threads, log

    def __enter__(self) -> "Server":
        with socket.create_server(("127.0.0.1", 0)) as listener, self.log.open("wb") as log:
            self.port = int(listener.getsockname()[1])
            command = ["taskset", "--cpu-list", str(self.core), sys.executable, "-m", "gunicorn"]
            command += ["--bind", f"fd://{listener.fileno()}", "--workers", "1", "--worker-class", "gthread"]
            command += ["--threads", str(self.threads), "--keep-alive", "60", "--timeout", "60", "--no-control-socket"]
            command += ["--log-level", "warning", f'apps:made("{self.app}")']
            self.process = subprocess.Popen(
                command,
                cwd=HERE,
                env=_environment(BENCHMARK_DATABASE=self.database),
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """One request outside the measurement."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def cpu(self) -> float:
        """Seconds of CPU, user and system, that the worker has used, its threads included."""
        # The clock of another process, as clock_getcpuclockid(3) builds its number: finer than the ticks of /proc.
        return time.clock_gettime((~self.worker << 3) | 2)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.request("GET", "/")
            except OSError:
                time.sleep(0.05)
                continue
            pid = self.process.pid
            (self.worker,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            return
        raise RuntimeError(f"The server {self.app} did not start:\n{self.log.read_text()}")


def _environment(**more: str) -> Mapping[str, str]:
    root = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore", **more}
