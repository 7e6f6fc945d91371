"""The vocabularies of OpenID: registration, logout, CIBA, Federation, and what wallets say of themselves."""

from marshmallow import Schema

from flask_dynreg.metadata.fields import (
    LONGEST_DESCRIPTION,
    AbsoluteURI,
    AppURL,
    Flag,
    Identifier,
    Items,
    JsonObject,
    LogoutURL,
    Name,
    Seconds,
    SecureURL,
    Text,
    WebURL,
)

OIDC = "OpenID Connect Registration 1.0 section 2"
RP_INITIATED_LOGOUT = "OpenID Connect RP-Initiated Logout 1.0 section 3.1"
FRONT_CHANNEL_LOGOUT = "OpenID Connect Front-Channel Logout 1.0 section 2"
BACK_CHANNEL_LOGOUT = "OpenID Connect Back-Channel Logout 1.0 section 2.2"
CIBA = "OpenID Connect CIBA Core 1.0 section 4"
FEDERATION = "OpenID Federation 1.0 section 5.2"
VP = "OpenID for Verifiable Presentations 1.0 section 11.1"
VCI = "OpenID for Verifiable Credential Issuance 1.0 section 12.1"

# OpenID Connect Discovery section 3 requires the second of every provider, and the first as well.
PROVIDER = ("subject_types_supported", "id_token_signing_alg_values_supported")
FEDERATES = "client_registration_types_supported"
VERIFIES = "vp_formats_supported"


class OpenIDRegistration(Schema):
    """OpenID Connect Dynamic Client Registration 1.0."""

    application_type = Name(OIDC, "web", "native")
    sector_identifier_uri = SecureURL(OIDC, fetched=True, needs=PROVIDER)
    subject_type = Name(OIDC, among="subject_types_supported", default="public")
    id_token_signed_response_alg = Name(OIDC, among="id_token_signing_alg_values_supported", default="RS256")
    id_token_encrypted_response_alg = Name(OIDC, among="id_token_encryption_alg_values_supported")
    id_token_encrypted_response_enc = Name(OIDC, among="id_token_encryption_enc_values_supported")
    userinfo_signed_response_alg = Name(OIDC, among="userinfo_signing_alg_values_supported")
    userinfo_encrypted_response_alg = Name(OIDC, among="userinfo_encryption_alg_values_supported")
    userinfo_encrypted_response_enc = Name(OIDC, among="userinfo_encryption_enc_values_supported")
    request_object_signing_alg = Name(OIDC, among="request_object_signing_alg_values_supported")
    request_object_encryption_alg = Name(OIDC, among="request_object_encryption_alg_values_supported")
    request_object_encryption_enc = Name(OIDC, among="request_object_encryption_enc_values_supported")
    token_endpoint_auth_signing_alg = Name(OIDC, among="token_endpoint_auth_signing_alg_values_supported")
    default_max_age = Seconds(OIDC, needs=PROVIDER)
    require_auth_time = Flag(OIDC, needs=PROVIDER)
    default_acr_values = Items(Name(OIDC), among="acr_values_supported")
    initiate_login_uri = SecureURL(OIDC, needs=PROVIDER)
    request_uris = Items(
        AbsoluteURI(OIDC), needs=("request_uri_parameter_supported", "require_request_uri_registration")
    )


class OpenIDLogout(Schema):
    """RP-Initiated, Front-Channel and Back-Channel Logout 1.0. Session Management defines no client metadata."""

    post_logout_redirect_uris = Items(Identifier(RP_INITIATED_LOGOUT), needs="end_session_endpoint")
    frontchannel_logout_uri = LogoutURL(FRONT_CHANNEL_LOGOUT, needs="frontchannel_logout_supported")
    frontchannel_logout_session_required = Flag(FRONT_CHANNEL_LOGOUT, needs="frontchannel_logout_session_supported")
    backchannel_logout_uri = SecureURL(BACK_CHANNEL_LOGOUT, public=True, needs="backchannel_logout_supported")
    backchannel_logout_session_required = Flag(BACK_CHANNEL_LOGOUT, needs="backchannel_logout_session_supported")


class BackchannelAuthentication(Schema):
    """Client-Initiated Backchannel Authentication (CIBA) Core 1.0."""

    backchannel_token_delivery_mode = Name(
        CIBA, "poll", "ping", "push", among="backchannel_token_delivery_modes_supported"
    )
    backchannel_client_notification_endpoint = SecureURL(
        CIBA, public=True, needs="backchannel_token_delivery_modes_supported"
    )
    backchannel_authentication_request_signing_alg = Name(
        CIBA, among="backchannel_authentication_request_signing_alg_values_supported"
    )
    backchannel_user_code_parameter = Flag(CIBA, needs="backchannel_user_code_parameter_supported")


class Federation(Schema):
    """OpenID Federation 1.0, as far as it is plain client metadata."""

    client_registration_types = Items(Name(FEDERATION), among="client_registration_types_supported")
    signed_jwks_uri = SecureURL(FEDERATION, fetched=True, needs=FEDERATES)
    organization_name = Text(FEDERATION, tagged=True, needs=FEDERATES)
    display_name = Text(FEDERATION, tagged=True, needs=FEDERATES)
    description = Text(FEDERATION, tagged=True, longest=LONGEST_DESCRIPTION, needs=FEDERATES)
    keywords = Items(Text(FEDERATION), tagged=True, needs=FEDERATES)
    information_uri = WebURL(FEDERATION, tagged=True, needs=FEDERATES)
    organization_uri = WebURL(FEDERATION, tagged=True, needs=FEDERATES)


class Wallet(Schema):
    """OpenID for Verifiable Presentations 1.0 and for Verifiable Credential Issuance 1.0: kept, and nothing more."""

    vp_formats_supported = JsonObject(VP, needs=VERIFIES)
    encrypted_response_enc_values_supported = Items(Name(VP), needs=VERIFIES)
    credential_offer_endpoint = AppURL(VCI, needs="credential_endpoint")
