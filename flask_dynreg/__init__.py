"""OAuth 2.0 Dynamic Client Registration (RFC 7591, RFC 7592) for Flask apps on Authlib."""

from flask_dynreg.access.permissions import Operator, Permission
from flask_dynreg.errors import ConfigurationError, RaceLostError, TemporarilyUnavailableError
from flask_dynreg.extension import DynamicRegistration
from flask_dynreg.lifecycle.clients import Withdrawal
from flask_dynreg.metadata.schema import ClientMetadataSchema
from flask_dynreg.operations.cleaning import CleanUp
from flask_dynreg.operations.migrations import include_object
from flask_dynreg.outbound import Fetched, Fetcher, FetchError, GuardedFetcher
from flask_dynreg.policies.examination import Explanation
from flask_dynreg.policies.policy import Decision, PolicyContext, Profile, refused
from flask_dynreg.protocol.endpoints import ConfigurationEndpoint, RegistrationEndpoint
from flask_dynreg.protocol.resource import ProtectedResource
from flask_dynreg.registry.models import (
    ClientEventMixin,
    InitialAccessTokenMixin,
    KeptAnswerMixin,
    Models,
    QuotaMixin,
    RegisteredClientMixin,
    RuntimeSettingMixin,
    StatementIssuerMixin,
    TombstoneMixin,
    TrailHeadMixin,
    UsedStatementMixin,
    define_models,
)
from flask_dynreg.registry.principals import Principal, Terms
from flask_dynreg.registry.tokens import TokenRecord
from flask_dynreg.registry.tombstones import Removal
from flask_dynreg.registry.trust import LookAlike, TrustFacts
from flask_dynreg.signals import (
    client_approved,
    client_deleted,
    client_older_secrets_dropped,
    client_operator_metadata_set,
    client_recovered,
    client_refused,
    client_registered,
    client_removed,
    client_resumed,
    client_secret_rotated,
    client_spent_token_used,
    client_suspended,
    client_token_reissued,
    client_update_requested,
    client_updated,
    event_noted,
    registration_refused,
)

__all__ = [
    "CleanUp",
    "ClientEventMixin",
    "ClientMetadataSchema",
    "ConfigurationEndpoint",
    "ConfigurationError",
    "Decision",
    "DynamicRegistration",
    "Explanation",
    "FetchError",
    "Fetched",
    "Fetcher",
    "GuardedFetcher",
    "InitialAccessTokenMixin",
    "KeptAnswerMixin",
    "LookAlike",
    "Models",
    "Operator",
    "Permission",
    "PolicyContext",
    "Principal",
    "Profile",
    "ProtectedResource",
    "QuotaMixin",
    "RaceLostError",
    "RegisteredClientMixin",
    "RegistrationEndpoint",
    "Removal",
    "RuntimeSettingMixin",
    "StatementIssuerMixin",
    "TemporarilyUnavailableError",
    "Terms",
    "TokenRecord",
    "TombstoneMixin",
    "TrailHeadMixin",
    "TrustFacts",
    "UsedStatementMixin",
    "Withdrawal",
    "client_approved",
    "client_deleted",
    "client_older_secrets_dropped",
    "client_operator_metadata_set",
    "client_recovered",
    "client_refused",
    "client_registered",
    "client_removed",
    "client_resumed",
    "client_secret_rotated",
    "client_spent_token_used",
    "client_suspended",
    "client_token_reissued",
    "client_update_requested",
    "client_updated",
    "define_models",
    "event_noted",
    "include_object",
    "refused",
    "registration_refused",
]
