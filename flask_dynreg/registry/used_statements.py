"""What is good once: the `jti` of software statements and of signed requests, used up by the registration that it served."""

import json

from flask_dynreg.metadata.software_statement import OneTime
from flask_dynreg.registry.claims import Claims
from flask_dynreg.registry.credentials import Credentials, digest
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions


class UsedStatements:
    """What was used up at one authorization server. Takes part in the transaction of the session."""

    def __init__(self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str) -> None:
        self._claims = Claims(sessions, credentials, table_of(models.used_statement))
        self._issuer = issuer

    def use(self, one_time: OneTime) -> bool:
        """False if it was used before. One statement decides, however many ask at once."""
        name = digest(json.dumps([self._issuer, one_time.signer, one_time.jti]))
        return self._claims.take({"digest": name, "issuer": self._issuer, "expires_at": one_time.expires_at})
