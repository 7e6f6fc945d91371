"""Commands on a real terminal: a bar shows how far they are, on stderr; stdout is as ever."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from typing import Any

from tests.operations.conftest import LONG_AGO, NEW_KEY, OLD_KEY
from tests.operations.served import settings
from tests.servers import ROOT

ALL_IN_ALL = {"in_use": 0, "passed_over": 0, "tombstones": 0}


def on_a_terminal(database: str, *words: str, **config: Any) -> tuple[str, str]:
    """What a command prints, and what a terminal gets that stderr is."""
    command = [sys.executable, "-m", "flask", "--app", "tests.operations.served", "dynreg", *words]
    env = os.environ | settings(SQLALCHEMY_DATABASE_URI=database, **config)
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # so Linux says that nobody writes any more; elsewhere there is nothing to read
            while part := terminal.read(4096):
                shown += part
    printed, _ = process.communicate()
    assert process.returncode == 0, shown.decode()
    return printed, shown.decode()


def parts_shown(shown: str) -> list[int]:
    """What the bar has told, in per cent, each once."""
    assert re.search(r"Clients +\[#+\] +100%", shown), shown
    return sorted({int(part) for part in re.findall(r"(\d+)%", shown)})


def test_the_clean_up_goes_on_to_the_end(aged_database: str) -> None:
    lifetimes = {"DYNREG_CLIENT_LIFETIMES": {"open": {"absolute": 1}}}
    words = ["clients", "clean-up", "--batch", "1"]
    for clients in (LONG_AGO, 0):
        printed, shown = on_a_terminal(aged_database, *words, **lifetimes)
        lines = [json.loads(line) for line in printed.splitlines()]
        by_clock = [{"source": "open", "clock": "absolute", "clients": clients}] if clients else []
        assert lines == [*by_clock, {"dry_run": False, "clients": clients, **ALL_IN_ALL}]
        assert parts_shown(shown) == ([0, 20, 40, 60, 80, 100] if clients else [0, 100])


def test_encrypting_anew_goes_on_to_the_end(aged_database: str) -> None:
    printed, shown = on_a_terminal(aged_database, "secrets", "reencrypt", DYNREG_SECRET_KEYS=[NEW_KEY, OLD_KEY])
    assert printed == f"{LONG_AGO} secrets are encrypted anew. 0 cannot be read by any key.\n"
    assert parts_shown(shown) == [0, 100]
