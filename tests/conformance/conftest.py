import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from examples import quickstart as example
from examples import quickstart_store as store
from flask_dynreg import Fetcher
from tests.conformance.visitor import Visitor

ISSUER = "https://as.example"
RESERVED_NAME = "Example Bank"


@contextmanager
def quickstart_in(folder: Path, fetcher: Fetcher | None = None, **settings: Any) -> Iterator[Flask]:
    """The authorization server of examples/ in this process. Its own fetcher reaches no host of a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FLASK_")]:
            patch.delenv(name)
        patch.setenv("FLASK_INSTANCE_PATH", str(folder))
        patch.setattr(example.dynreg, "_fetcher", fetcher)
        app = example.create_app(
            {
                "DYNREG_SERVER_METADATA": {"issuer": ISSUER},
                "DYNREG_RESERVED_NAMES": [RESERVED_NAME],
                "DYNREG_LIMITS": [],
                "PREFERRED_URL_SCHEME": "https",
                **settings,
            }
        )
    yield app
    with app.app_context():
        store.db.engine.dispose()


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """All tests share it: each registers clients of its own."""
    with quickstart_in(tmp_path_factory.mktemp("quickstart")) as app:
        yield app


@pytest.fixture
def visitor(quickstart: Flask) -> Visitor:
    return Visitor(quickstart)
