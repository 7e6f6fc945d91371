import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from examples import openid_provider, quickstart
from examples import quickstart_store as store
from flask_dynreg.outbound import Fetched, FetchError
from tests.conformance.visitor import Visitor
from tests.openid_provider.relying_party import ISSUER, SECTOR

StartProvider = Callable[[Path], Flask]


@pytest.fixture(scope="session")
def start_provider() -> Iterator[StartProvider]:
    """start_provider(folder): an OpenID Provider in this process, as it starts in this instance folder."""
    apps = []

    def start(folder: Path) -> Flask:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("FLASK_")]:
                patch.delenv(name)
            patch.setenv("FLASK_INSTANCE_PATH", str(folder))
            patch.setattr(quickstart.dynreg, "_fetcher", sector_document)  # ours reaches no host of a test
            app = openid_provider.create_app(
                {"DYNREG_SERVER_METADATA": {"issuer": ISSUER}, "PREFERRED_URL_SCHEME": "https"}
            )
        apps.append(app)
        return app

    yield start
    for app in apps:
        with app.app_context():
            store.db.engine.dispose()


def sector_document(url: str, *, client_id: str | None = None) -> Fetched:
    if not url.endswith("/sector.json"):
        raise FetchError("The host must take connections.", 10)
    return Fetched(json.dumps(SECTOR).encode(), "application/json", None)


@pytest.fixture(scope="session")
def provider(start_provider: StartProvider, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return start_provider(tmp_path_factory.mktemp("openid_provider"))


@pytest.fixture
def visitor(provider: Flask) -> Visitor:
    return Visitor(provider)
