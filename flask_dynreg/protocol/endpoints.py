"""Authlib's two endpoints with their hooks filled in. A host may subclass them, and gives the class to the extension."""

from collections.abc import Callable, Mapping
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7592 import ClientConfigurationEndpoint
from flask import Response
from flask import request as flask_request
from werkzeug.exceptions import HTTPException

from flask_dynreg.errors import (
    ForbiddenError,
    MissingTokenError,
    Problem,
    RefusedMetadataError,
    SpentTokenError,
    UnknownTokenError,
    refusal,
)
from flask_dynreg.lifecycle.clients import ClientInformation, Registered
from flask_dynreg.metadata.check import CheckedMetadata
from flask_dynreg.policies.examination import principal_of
from flask_dynreg.protocol import responses
from flask_dynreg.protocol.addresses import Addresses
from flask_dynreg.protocol.recovery import RecoveryEndpoint
from flask_dynreg.protocol.requests import RegistrationRequest
from flask_dynreg.protocol.transactions import afterwards, in_one_transaction
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.principals import Principal

Answer = tuple[int, dict[str, Any], responses.Headers]

_UPDATE = "RFC 7592 section 2.2"


class RegistrationEndpoint(ClientRegistrationEndpoint):
    """The client registration endpoint (RFC 7591 section 3). The steps are Authlib's, in Authlib's order."""

    server: "RegistrationServer"

    def create_registration_response(
        self, request: RegistrationRequest
    ) -> tuple[int, dict[str, Any], responses.Headers]:
        """With an Idempotency-Key, the answer to the first of several such requests is that to all of them."""
        answers = self.server.registrar.kept_answers
        if answers is None or (key := request.idempotency_key) is None:
            return super().create_registration_response(request)
        request.takes_spent_token = True
        principal = self.authenticate_token(request)
        attempt = answers.attempt(key, principal, request.bearer_token, request.payload.content)
        answer = answers.find(attempt)
        if answer is not None:
            return 201, answer, responses.JSON_HEADERS
        if principal.is_spent:
            raise UnknownTokenError()
        # A token that is used up from here on may have served the first attempt: save_client finds out.
        request.attempt = attempt
        status, body, headers = super().create_registration_response(request)
        answers.keep(attempt, body)
        return status, body, headers

    def authenticate_token(self, request: RegistrationRequest) -> Principal:
        doors, facts = self.server.registrar.doors, request.facts
        principal = doors.admit(request.bearer_token, facts, spent=request.takes_spent_token)
        request.credential = principal  # who is refused from here on is known
        request.once("arrival", doors.count_arrival, principal, facts)
        doors.check_origin(principal, facts)
        return principal

    def extract_client_metadata(self, request: RegistrationRequest) -> dict[str, Any]:
        sent, registrar, principal = request.payload.data, self.server.registrar, request.credential
        checked = request.checked = registrar.check(
            sent, signed=request.payload.signed, principal=principal, facts=request.facts
        )
        request.once("client", registrar.doors.count_client, principal, checked)
        return checked.metadata

    def generate_client_info(self, request: RegistrationRequest) -> ClientInformation:
        return self.server.registrar.new_client_information(request.checked)

    def save_client(
        self, client_info: ClientInformation, client_metadata: dict[str, Any], request: RegistrationRequest
    ) -> Registered:
        registrar = self.server.registrar
        if registrar.kept_answers and request.attempt:
            registrar.kept_answers.claim(request.attempt, client_info)
        return registrar.register(client_info, request.checked, request.credential)

    def generate_client_registration_info(self, client: Registered, request: RegistrationRequest) -> dict[str, str]:
        return self.server.registration_information(client.client.client_id, client.registration_access_token)


class ConfigurationEndpoint(ClientConfigurationEndpoint):
    """The client configuration endpoint (RFC 7592 section 2). Authlib's hooks, but a flow that tells strangers nothing:

    a token that is wrong, another client's, or a client's that is gone are answered alike, and before anything else.
    """

    server: "RegistrationServer"

    def create_configuration_response(self, request: RegistrationRequest) -> tuple[int, Any, responses.Headers]:
        request.credential = self.authenticate_token(request)
        client = request.client = self.authenticate_client(request)
        if not self.check_permission(client, request):
            raise ForbiddenError()
        if request.method in ("PUT", "DELETE"):
            request.require_version(_entity_tag(client))
        if request.method == "PUT":
            if not client.is_active:
                raise ForbiddenError("The client waits for approval, is suspended or is over.")
            return self.create_update_client_response(client, request)
        # An update makes another version, and may have to fetch before it writes.
        if self.server.registrar.kept_answers:
            self.server.registrar.kept_answers.drop(client)
        if request.method == "DELETE":
            return self.create_delete_client_response(client, request)
        return self.create_read_client_response(client, request)

    def authenticate_token(self, request: RegistrationRequest) -> str:
        token = request.bearer_token
        if token is None:
            raise MissingTokenError("Managing a client needs its registration access token.")
        return token

    def authenticate_client(self, request: RegistrationRequest) -> ClientRecord:
        return self.server.registrar.authenticate(request.client_id, request.credential)

    def check_permission(self, client: ClientRecord, request: RegistrationRequest) -> bool:
        """Whether the client may do this with its registration: 403 if not (RFC 7592 section 2). For a host to override."""
        return True

    def create_read_client_response(
        self, client: ClientRecord, request: RegistrationRequest
    ) -> tuple[int, dict[str, Any], responses.Headers]:
        # A HEAD that gets a new token would never see it.
        operation = None if request.is_head else "read"
        return self._answer(client, request, self.server.registrar.information(client), operation)

    def create_update_client_response(
        self, client: ClientRecord, request: RegistrationRequest
    ) -> tuple[int, dict[str, Any], responses.Headers]:
        sent = request.payload.data
        problems = list(self._update_problems(sent, client, request))
        try:
            request.checked = self.server.registrar.check(sent, client, request.payload.signed, facts=request.facts)
        except RefusedMetadataError as error:
            if not problems:
                raise
            raise refusal([*problems, *error.problems]) from None
        if problems:
            raise refusal(problems)
        return self._answer(client, request, self.update_client(client, request.checked, request), "update")

    def _update_problems(
        self, sent: Mapping[str, Any], client: ClientRecord, request: RegistrationRequest
    ) -> list[Problem]:
        problems = []
        if sent.get("client_id") != client.client_id:
            problems.append(Problem("/client_id", "must be there, and be the id of this client.", _UPDATE))
        secret = sent.get("client_secret")
        if secret not in (None, "") and not self.server.registrar.secrets.knows(client, secret):
            problems.append(Problem("/client_secret", "must be the secret of this client, or absent.", _UPDATE))
        token = sent.get("registration_access_token")
        live = str(token) if self.server.registrar.is_live(client, token) else request.credential
        own = self.server.registration_information(client.client_id, live) | {
            "client_id_issued_at": client.client_id_issued_at,
            "client_secret_expires_at": self.server.registrar.secrets.end_told(
                client, sent.get("client_secret_expires_at")
            ),
        }
        for name, value in own.items():
            # A client may send back the answer that it got; anything else would be a wish.
            told = sent.get(name)
            if told not in (None, "") and not (type(told) is type(value) and told == value):
                problems.append(Problem(f"/{name}", "must be absent: the server alone sets it.", _UPDATE))
        return problems

    def update_client(
        self, client: ClientRecord, client_metadata: CheckedMetadata, request: RegistrationRequest
    ) -> ClientInformation:
        return self.server.registrar.update(client, client_metadata, request.payload.data.get("client_secret"))

    def create_delete_client_response(
        self, client: ClientRecord, request: RegistrationRequest
    ) -> tuple[int, str, responses.Headers]:
        self.delete_client(client, request)
        return 204, "", [("Cache-Control", "no-store"), ("Pragma", "no-cache")]

    def delete_client(self, client: ClientRecord, request: RegistrationRequest) -> None:
        self.server.registrar.delete(client)

    def _answer(
        self,
        client: ClientRecord,
        request: RegistrationRequest,
        information: ClientInformation,
        operation: str | None,
    ) -> tuple[int, dict[str, Any], responses.Headers]:
        token = self.server.registrar.renewed(client, request.credential, operation)
        return self.server.answer(client, information, token)


def _entity_tag(client: ClientRecord) -> str:
    """What tells one version of a registration from another (RFC 9110 section 8.8.3)."""
    return str(client.version)


class RegistrationServer(AuthorizationServer):
    """The private server of one app, through which its endpoints answer: a shared one would mix two apps' settings."""

    def __init__(
        self,
        registrar: Registrar,
        addresses: Addresses,
        registration_endpoint: type[RegistrationEndpoint],
        configuration_endpoint: type[ConfigurationEndpoint],
    ) -> None:
        super().__init__()
        self.registrar = registrar
        self.addresses = addresses
        self._by_name: dict[str, Any] = {
            endpoint.ENDPOINT_NAME: endpoint(self)
            for endpoint in (registration_endpoint, configuration_endpoint, RecoveryEndpoint)
        }

    def create_json_request(self, request: object) -> RegistrationRequest:  # type: ignore[override]
        registrar = self.registrar
        limit = registrar.settings.max_request_bytes
        takes_jwt, certificates = registrar.issuers.take_signed_requests, registrar.certificates
        # The request itself: each look through Flask's proxy costs time.
        current = flask_request._get_current_object()  # type: ignore[attr-defined]
        return RegistrationRequest(current, limit, takes_jwt, registrar.issuer, certificates)

    def create_endpoint_response(self, name: str, request: object = None) -> Response:
        """The one place that turns an error into OAuth JSON, and the one that commits."""
        endpoint, ours = self._by_name[name], self.create_json_request(request)
        try:
            status, body, headers = self._transact(lambda: endpoint(ours), ours)
        except OAuth2Error as error:
            if error.status_code < 500:
                self.registrar.refused(error, (flask_request.view_args or {}).get("client_id"))
            if isinstance(error, RefusedMetadataError | ForbiddenError):
                self._note_refusal(error, ours)
            return responses.oauth_error(error)
        except HTTPException as error:
            return responses.http_error(error)
        return responses.json_response(status, body, headers) if body else responses.no_content(headers)

    def _transact(self, operation: Callable[[], Answer], request: RegistrationRequest) -> Answer:
        """That a dead token was used is to be known, although the request is refused."""
        sessions = self.registrar.sessions
        try:
            return in_one_transaction(sessions, operation)
        except SpentTokenError:
            if sessions.is_untouched:  # what a host has begun is its own to end
                note = self.registrar.note_spent_token
                in_one_transaction(sessions, lambda: note(request.client_id, request.credential))
            raise

    def answer(self, client: ClientRecord, information: ClientInformation, registration_access_token: str) -> Answer:
        """The client information response (RFC 7592 section 3) to who manages the client."""
        registration = self.registration_information(client.client_id, registration_access_token)
        return (
            200,
            {**self.registrar.told(client.client_metadata), **information, **registration},
            [*responses.JSON_HEADERS, ("ETag", f'"{_entity_tag(client)}"')],
        )

    def _note_refusal(self, error: OAuth2Error, request: RegistrationRequest) -> None:
        """Of a registration, or of a change of a client. Nothing is written of a stranger or a token that is used up, nor of the
        clients of strangers: there may be as many of them as somebody likes."""
        client: ClientRecord | None = getattr(request, "client", None)
        principal = principal_of(client) if client else getattr(request, "credential", None)
        if (
            isinstance(principal, Principal)
            and not (principal.is_stranger or principal.is_spent)
            and request.method != "GET"
        ):
            client_id = client.client_id if client else None
            afterwards(self.registrar.sessions, lambda: self.registrar.note_refusal(error, principal, client_id))

    def told(self, registered: Registered) -> dict[str, Any]:
        """What a client is told when it has been registered (RFC 7591 section 3.2.1), where no request of its own is answered."""
        client, registrar = registered.client, self.registrar
        information = client.client_info
        if registered.client_secret:
            information |= {
                "client_secret": registered.client_secret,
                "client_secret_expires_at": client.client_secret_expires_at,
            }
        registration = self.registration_information(client.client_id, registered.registration_access_token)
        return {**registrar.told(client.client_metadata), **information, **registration}

    def registration_information(self, client_id: str, registration_access_token: str) -> dict[str, str]:
        """RFC 7592 section 3; empty where clients cannot manage themselves."""
        if not self.registrar.settings.management:
            return {}
        return {
            "registration_client_uri": self.addresses.client_configuration(client_id),
            "registration_access_token": registration_access_token,
        }
