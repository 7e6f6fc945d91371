"""The vocabularies of OAuth's extensions: how a client proves itself, and how its requests and answers are protected."""

from marshmallow import Schema

from flask_dynreg.metadata.fields import (
    AbsoluteURI,
    DistinguishedName,
    Flag,
    HostName,
    Identifier,
    IPAddress,
    Items,
    MailAddress,
    Name,
)

MUTUAL_TLS = "RFC 8705 section 2.1.2"
BOUND_TO_CERTIFICATE = "RFC 8705 section 3.4"
FAPI2 = "FAPI 2.0 Security Profile section 5.2.2.1.1"
JAR = "RFC 9101 section 10.5"
PAR = "RFC 9126 section 6"
RAR = "RFC 9396 section 10"
DPOP = "RFC 9449 section 5.2"
INTROSPECTION = "RFC 9701 section 6"
JARM = "JWT Secured Authorization Response Mode section 3"
UMA = "UMA 2.0 Grant section 2"
NFV = "ETSI GS NFV-SEC 022"

TAKES_REQUEST_OBJECTS = (
    "require_signed_request_object",
    "request_object_signing_alg_values_supported",
    "request_parameter_supported",
    "request_uri_parameter_supported",
)


class MutualTLS(Schema):
    """RFC 8705: which certificate is the client's, and tokens that are bound to it."""

    tls_client_auth_subject_dn = DistinguishedName(MUTUAL_TLS, needs="tls_client_auth")
    tls_client_auth_san_dns = HostName(MUTUAL_TLS, needs="tls_client_auth")
    tls_client_auth_san_uri = AbsoluteURI(MUTUAL_TLS, needs="tls_client_auth")
    tls_client_auth_san_ip = IPAddress(MUTUAL_TLS, needs="tls_client_auth")
    tls_client_auth_san_email = MailAddress(MUTUAL_TLS, needs="tls_client_auth")
    tls_client_certificate_bound_access_tokens = Flag(
        BOUND_TO_CERTIFICATE, needs="tls_client_certificate_bound_access_tokens"
    )
    use_mtls_endpoint_aliases = Flag(FAPI2, needs="mtls_endpoint_aliases")


class ProtectedRequests(Schema):
    """Request objects (RFC 9101), pushed requests (RFC 9126), rich requests (RFC 9396), DPoP (RFC 9449)."""

    require_signed_request_object = Flag(JAR, needs=TAKES_REQUEST_OBJECTS)
    require_pushed_authorization_requests = Flag(
        PAR, needs=("pushed_authorization_request_endpoint", "require_pushed_authorization_requests")
    )
    authorization_details_types = Items(Name(RAR), among="authorization_details_types_supported")
    dpop_bound_access_tokens = Flag(DPOP, needs="dpop_signing_alg_values_supported")


class ProtectedAnswers(Schema):
    """Authorization responses as JWT (JARM) and introspection responses as JWT (RFC 9701)."""

    authorization_signed_response_alg = Name(JARM, among="authorization_signing_alg_values_supported", default="RS256")
    authorization_encrypted_response_alg = Name(JARM, among="authorization_encryption_alg_values_supported")
    authorization_encrypted_response_enc = Name(JARM, among="authorization_encryption_enc_values_supported")
    introspection_signed_response_alg = Name(
        INTROSPECTION, among="introspection_signing_alg_values_supported", default="RS256"
    )
    introspection_encrypted_response_alg = Name(INTROSPECTION, among="introspection_encryption_alg_values_supported")
    introspection_encrypted_response_enc = Name(INTROSPECTION, among="introspection_encryption_enc_values_supported")


class OtherSpecifications(Schema):
    """User-Managed Access 2.0 and ETSI's NFV."""

    claims_redirect_uris = Items(Identifier(UMA), needs="claims_interaction_endpoint")
    nfv_token_signed_response_alg = Name(NFV, among="nfv_token_signing_alg_values_supported")
    nfv_token_encrypted_response_alg = Name(NFV, among="nfv_token_encryption_alg_values_supported")
    nfv_token_encrypted_response_enc = Name(NFV, among="nfv_token_encryption_enc_values_supported")
