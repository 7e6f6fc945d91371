import os
from collections.abc import Iterator

import pytest
from flask import Flask

from examples import quickstart as example
from examples import quickstart_store as store
from tests.conformance.visitor import Visitor

ISSUER = "https://as.example"
RESERVED_NAME = "Example Bank"


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The authorization server of examples/ in this process. All tests share it: each registers clients of its own."""
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FLASK_")]:
            patch.delenv(name)
        patch.setenv("FLASK_INSTANCE_PATH", str(folder))
        app = example.create_app(
            {
                "DYNREG_SERVER_METADATA": {"issuer": ISSUER},
                "DYNREG_RESERVED_NAMES": [RESERVED_NAME],
                "PREFERRED_URL_SCHEME": "https",
            }
        )
    yield app
    with app.app_context():
        store.db.engine.dispose()


@pytest.fixture
def visitor(quickstart: Flask) -> Visitor:
    return Visitor(quickstart)
