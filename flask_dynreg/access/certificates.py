"""Client certificates, as a proxy that ends TLS passes them on (RFC 9440, or PEM as nginx and others escape it)."""

import base64
import ipaddress
from collections.abc import Sequence
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from werkzeug.datastructures import Headers

_LONGEST = 16384
_LONGEST_OWNER = 255


class CertificateHeader:
    """The header of one app: believed if the request comes from one of the proxies, which has to set or remove it itself."""

    def __init__(self, name: str, proxies: Sequence[str]) -> None:
        self._name = name
        self._proxies = [ipaddress.ip_network(network) for network in proxies]

    def holder(self, headers: Headers, peer: str | None) -> str | None:
        """Whose the certificate is: its subject (RFC 4514), which stays when it is renewed; None where there is none to believe.

        For one without a subject, or with a very long one, it is `sha256:` and the thumbprint in hexadecimal.
        """
        value = headers.get(self._name, "") if self._name and self._is_trusted(peer) else ""
        if not value or len(value) > _LONGEST:
            return None
        try:
            certificate = _certificate(value)
            subject = certificate.subject.rfc4514_string()  # which is parsed only now
        except (ValueError, TypeError, x509.InvalidVersion):
            return None
        return subject if 0 < len(subject) <= _LONGEST_OWNER else f"sha256:{certificate.fingerprint(SHA256()).hex()}"

    def _is_trusted(self, peer: str | None) -> bool:
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._proxies)


def _certificate(value: str) -> x509.Certificate:
    if value.startswith(":") and value.endswith(":"):
        return x509.load_der_x509_certificate(base64.b64decode(value[1:-1], validate=True))
    return x509.load_pem_x509_certificate(unquote(value).encode())
