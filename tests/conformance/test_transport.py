"""RFC 7591 section 5: the endpoints behind a real TLS server, and without one."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from flask_dynreg import ProtectedResource
from tests.conformance.exchange import PUBLIC, REGISTER
from tests.conformance.requirements import requirement
from tests.conftest import ISSUER, MakeApp
from tests.documents import PATIENCE, certificate_authority

HOST = "as.example"
METADATA = ["/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp"]


@contextmanager
def serving(app: Flask, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server for this app, by TLS if there is a context for it."""
    server = make_server("127.0.0.1", 0, app, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(connection: HTTPConnection, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """As at the host of the issuer: for one on loopback there are other rules."""
    headers = {"Host": HOST, "Content-Type": "application/json", "Connection": "close"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app()
    app.register_blueprint(ProtectedResource(f"https://{HOST}/mcp", [ISSUER]).blueprint)
    return app


@requirement("RFC7591-5-01", "OIDCREG-9.3-01", "RFC8414-6.1-01", "RFC9728-7.1-01")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_all_is_served_by_tls_of_today(app: Flask, version: ssl.TLSVersion) -> None:
    context = certificate_authority().trusting()
    context.minimum_version = context.maximum_version = version
    with serving(app, certificate_authority().new_context("127.0.0.1")) as port:
        connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=PATIENCE)
        for path in METADATA:
            status, document = asked(connection, "GET", path)
            assert status == 200
            urls = [value for name, value in document.items() if name.endswith("_endpoint") or name == "resource"]
            assert urls and all(url.startswith("https://") for url in urls)
        status, client = asked(connection, "POST", REGISTER, PUBLIC)
        assert status == 201 and client["registration_client_uri"].startswith("https://")


@requirement("RFC7591-5-01", "OIDCREG-9.3-01")
def test_nothing_is_registered_by_plain_http(app: Flask) -> None:
    with serving(app) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        answers = [asked(connection, "POST", REGISTER, body) for body in (PUBLIC, {"redirect_uris": 5}, 7)]
    for status, refusal in answers:
        assert (status, refusal["error"]) == (400, "invalid_request")
        assert "https" in refusal["error_description"] and "errors" not in refusal
