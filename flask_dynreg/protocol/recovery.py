"""The recovery endpoint: a new registration access token for a client that has lost its own and proves by its key who it is."""

from typing import TYPE_CHECKING, Any

from authlib.oauth2 import OAuth2Error

from flask_dynreg.errors import UnprovenClientError
from flask_dynreg.protocol import responses
from flask_dynreg.protocol.requests import RegistrationRequest

if TYPE_CHECKING:
    from flask_dynreg.protocol.endpoints import RegistrationServer

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 section 2.2"""


class RecoveryEndpoint:
    """Whatever is wrong, a stranger is told the same."""

    ENDPOINT_NAME = "client_recovery"

    def __init__(self, server: "RegistrationServer") -> None:
        self.server = server

    def __call__(self, request: RegistrationRequest) -> tuple[int, dict[str, Any], responses.Headers]:
        registrar = self.server.registrar
        request.once("arrival", registrar.doors.count_recovery, request.facts)
        client, token = registrar.recover(
            request.client_id, self._assertion(request), self.server.addresses.recovery(request.client_id)
        )
        return self.server.answer(client, registrar.information(client), token)

    def _assertion(self, request: RegistrationRequest) -> object:
        """Raises UnprovenClientError."""
        try:
            sent = request.payload.data
        except OAuth2Error:
            raise UnprovenClientError() from None
        if request.payload.signed or sent.get("client_assertion_type", ASSERTION_TYPE) != ASSERTION_TYPE:
            raise UnprovenClientError()
        return sent.get("client_assertion")
