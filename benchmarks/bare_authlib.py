"""Authlib's registration and configuration endpoints, filled in as its documentation of RFC 7591 and RFC 7592 shows.

Two things are left out, in Authlib's favour: registering needs no token, so none is looked up, and a client has no owner.
Two examples there do not work as written and follow the docstrings of the classes instead: the client is looked up by the
path of the request, a registration access token by its value.
"""

import time
from typing import Any
from urllib.parse import urlparse

from authlib.common.security import generate_token
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.sqla_oauth2 import OAuth2ClientMixin, OAuth2TokenMixin
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7592 import ClientConfigurationEndpoint
from flask import Flask, url_for
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Boolean, Column, Integer

db = SQLAlchemy()
server: Any = AuthorizationServer()  # its type stubs do not know endpoints of this kind


class Client(db.Model, OAuth2ClientMixin):  # type: ignore[name-defined, misc]
    """A registered client."""

    __tablename__ = "oauth2_client"
    id = Column(Integer, primary_key=True)
    editable = Column(Boolean, nullable=False, default=True)

    def save(self) -> None:
        db.session.add(self)
        db.session.commit()


class Token(db.Model, OAuth2TokenMixin):  # type: ignore[name-defined, misc]
    """A token of any kind; here a registration access token."""

    __tablename__ = "oauth2_token"
    id = Column(Integer, primary_key=True)


class RegistrationEndpoint(ClientRegistrationEndpoint):
    """POST /oauth2/register"""

    def authenticate_token(self, request: Any) -> Any:
        return "open"

    def get_server_metadata(self) -> Any:
        return server.metadata

    def save_client(self, client_info: Any, client_metadata: Any, request: Any) -> Client:
        client = Client(**client_info)
        client.set_client_metadata(client_metadata)
        client.save()
        return client

    def generate_client_registration_info(self, client: Any, request: Any) -> dict[str, str]:
        token = Token(access_token=generate_token(48), client_id=client.client_id)
        db.session.add(token)
        db.session.commit()
        return {
            "registration_client_uri": url_for("client_configuration", client_id=client.client_id, _external=True),
            "registration_access_token": token.access_token,
        }


class ConfigurationEndpoint(ClientConfigurationEndpoint):
    """GET and PUT /oauth2/clients/<client_id>"""

    def authenticate_token(self, request: Any) -> Any:
        bearer_token = request.headers.get("Authorization").split()[1]
        return Token.query.filter_by(access_token=bearer_token).first()

    def authenticate_client(self, request: Any) -> Any:
        client_id = urlparse(request.uri).path.rstrip("/").rsplit("/", 1)[-1]
        return Client.query.filter_by(client_id=client_id).first()

    def revoke_access_token(self, token: Any, request: Any) -> None:
        token.access_token_revoked_at = int(time.time())
        db.session.commit()

    def check_permission(self, client: Any, request: Any) -> bool:
        return bool(client.editable)

    def delete_client(self, client: Any, request: Any) -> None:
        db.session.delete(client)
        db.session.commit()

    def update_client(self, client: Any, client_metadata: Any, request: Any) -> Any:
        client.set_client_metadata({**client.client_metadata, **client_metadata})
        client.save()
        return client

    def get_server_metadata(self) -> Any:
        return server.metadata

    def generate_client_registration_info(self, client: Any, request: Any) -> dict[str, str]:
        return {
            "registration_client_uri": request.uri,
            "registration_access_token": request.headers["Authorization"].split(" ")[1],
        }


def init_app(app: Flask, server_metadata: dict[str, Any]) -> None:
    """Register the endpoints and their routes."""
    server.metadata = server_metadata
    server.init_app(app, query_client=lambda client_id: Client.query.filter_by(client_id=client_id).first())
    server.register_endpoint(RegistrationEndpoint)
    server.register_endpoint(ConfigurationEndpoint)

    @app.post("/oauth2/register")
    def client_registration() -> Any:
        return server.create_endpoint_response("client_registration")

    @app.route("/oauth2/clients/<client_id>", methods=["GET", "PUT", "DELETE"])
    def client_configuration(client_id: str) -> Any:
        return server.create_endpoint_response("client_configuration")
