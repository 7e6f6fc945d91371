"""A Redis in a process of its own, on a socket of the file system."""

import shutil
import subprocess
from pathlib import Path

import pytest


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._command = shutil.which("redis-server")
        if not self._command:
            pytest.skip("redis-server is not installed")
        self.start()

    @property
    def url(self) -> str:
        return f"redis+unix://{self._socket}"

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        assert self._command
        self._process = subprocess.Popen([self._command, *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        for line in self._process.stdout:
            if "ready to accept connections" in line.lower():
                return
        raise AssertionError("Redis did not start.")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
