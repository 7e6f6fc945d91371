"""How docs/clean-up.md lets others start the clean-up: the texts as they are there, run by the real scheduler or worker."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from typing import Any

import pytest
from apscheduler.events import (  # type: ignore[import-untyped]
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MISSED,
)
from celery.schedules import crontab  # type: ignore[import-untyped]
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests.access.redis_server import RedisServer
from tests.conftest import CLIENT, MakeApp
from tests.operations.served import settings
from tests.servers import ROOT, STOP_SECONDS

PAGE = (ROOT / "docs" / "clean-up.md").read_text(encoding="utf-8")
PATIENCE = 120
"""Seconds that nothing takes, were the machine ever so busy."""
LIFETIMES = {"open": {"absolute": 86400}}


def shown(after: str) -> str:
    """The block of code behind a text."""
    found = re.search(r"^```(?:python|sh)?\n(.*?)^```$", PAGE[PAGE.index(after) :], re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


class Host:
    """One with clients of which one is alive."""

    def __init__(self, app: Flask, dynreg: DynamicRegistration, database: str) -> None:
        self.app, self.dynreg = app, dynreg
        self.environment = settings(SQLALCHEMY_DATABASE_URI=database, DYNREG_CLIENT_LIFETIMES=LIFETIMES)
        self._alive = app.test_client().post("/oauth2/register", json=CLIENT).get_json()["client_id"]

    @property
    def is_clean(self) -> bool:
        with self.app.app_context():
            ids = self.dynreg._db.session.scalars(self.dynreg._db.select(self.dynreg.models.client.client_id)).all()
        return list(ids) == [self._alive]


@pytest.fixture
def host(make_app: MakeApp, aged_database: str) -> Host:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=aged_database, DYNREG_CLIENT_LIFETIMES=LIFETIMES)
    return Host(app, dynreg, aged_database)


def test_cron(host: Host, tmp_path: Path) -> None:
    when, command = shown("From cron:").strip().split("  ")
    assert when == "17 3 * * *" and not host.is_clean
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "as.py").write_text("from tests.operations.served import create_app")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **host.environment}  # cron gives little more
    subprocess.run(["/bin/sh", "-c", command.replace("/srv/as", str(tmp_path))], env=env, check=True)
    assert host.is_clean


def test_apscheduler(host: Host) -> None:
    names: dict[str, Any] = {"app": host.app, "dynreg": host.dynreg}
    exec(shown("From APScheduler"), names)  # noqa: S102 - it is our own text
    scheduler, done = names["scheduler"], SimpleQueue[Any]()
    try:
        (job,) = scheduler.get_jobs()
        assert str(job.trigger) == "cron[hour='3', minute='17']" and not host.is_clean
        scheduler.add_listener(done.put, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        job.modify(next_run_time=datetime.now(UTC))
        assert done.get(timeout=PATIENCE).code == EVENT_JOB_EXECUTED
    finally:
        scheduler.shutdown()
    assert host.is_clean


# ---- Celery


@contextmanager
def celery(command: str, folder: Path, host: Host, redis: RedisServer) -> Iterator[subprocess.Popen[str]]:
    """A process of Celery's, with what it tells as its stdout."""
    broker = redis.url.replace("redis+unix:", "redis+socket:")  # as Celery calls it
    env = os.environ | host.environment | {"CELERY_BROKER_URL": broker, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    words = [sys.executable, "-m", *command.split(), "--loglevel", "INFO"]
    process = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    timer = Timer(PATIENCE, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout
    told = []
    for line in process.stdout:
        told.append(line)
        if words in line:
            return
    raise AssertionError("".join(told))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


def test_celery_beat(host: Host, redis: RedisServer, tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "tasks"}
    exec(shown("From Celery beat"), names)  # noqa: S102 - it is our own text
    (entry,) = names["celery"].conf.beat_schedule.values()
    assert entry == {"task": "tasks.clean_up", "schedule": crontab(hour=3, minute=17)} and not host.is_clean
    ours = "from tests.operations.served import create_app, dynreg\n\napp = create_app()\n"
    (tmp_path / "tasks.py").write_text(ours + shown("From Celery beat"))
    at_once = 'from tasks import celery\n\ncelery.conf.beat_schedule["clean-up"]["schedule"] = 0.1\n'
    (tmp_path / "at_once.py").write_text(at_once)
    work, send = shown("The worker and the one").splitlines()
    with celery(f"{work} --concurrency 1", tmp_path, host, redis) as worker:
        wait_for(worker, "ready.")
        with celery(send.replace("tasks:", "at_once:"), tmp_path, host, redis) as beat:
            wait_for(beat, "Sending due task clean-up (tasks.clean_up)")
            wait_for(worker, "succeeded")
    assert host.is_clean
