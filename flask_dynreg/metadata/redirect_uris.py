"""Which redirect URIs are sound, and which match one that is registered."""

import re
from collections.abc import Collection, Mapping

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.hosts import LOOPBACK_HOSTS
from flask_dynreg.metadata.uris import URI, has_dot_segments, parsed

# Schemes with which a browser runs code, reads files, or starts any program there is.
DANGEROUS_SCHEMES = frozenset(
    {"about", "blob", "data", "file", "filesystem", "ftp", "http", "https", "intent", "jar", "javascript", "mailto"}
    | {"ms-settings", "search-ms", "sms", "tel", "vbscript", "view-source", "ws", "wss"}
)
_LOOPBACK = re.compile(
    rf"http://(?P<host>{'|'.join(map(re.escape, LOOPBACK_HOSTS))})(?::[0-9]{{1,5}})?(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
)


class RedirectRules:
    """RFC 8252, RFC 9700 section 2.1 and, when `strict`, OpenID Connect Registration section 2 (`application_type`).

    `private_schemes` maps private-use schemes without a period to a regular expression of their authority.
    Raises ConfigurationError for a scheme that is dangerous.
    """

    def __init__(self, private_schemes: Mapping[str, str], *, strict: bool) -> None:
        if dangerous := sorted(DANGEROUS_SCHEMES & set(private_schemes)):
            raise ConfigurationError(f"DYNREG_PRIVATE_SCHEMES must not have {', '.join(dangerous)}.")
        self._private_schemes = private_schemes
        self._authorities = {scheme: re.compile(pattern) for scheme, pattern in private_schemes.items()}
        self.is_strict = strict

    def strictly(self) -> "RedirectRules":
        """The same rules, which a stated `application_type` narrows."""
        return self if self.is_strict else RedirectRules(self._private_schemes, strict=True)

    def fault(self, value: str) -> str | None:
        """What would be right about a redirect URI of any client; None if it is sound."""
        uri = parsed(value)
        if uri is None:
            return "must be an absolute URI of the characters that RFC 3986 allows, of at most 2048."
        if uri.fragment is not None:
            return "must have no fragment."
        if uri.authority and "@" in uri.authority:
            return "must have no user information."
        if "*" in value:
            return "must have no wildcard."
        if has_dot_segments(uri.path):
            return "must have no . or .. segment in its path."
        if uri.scheme in ("https", "http"):
            return self._web_fault(uri)
        return self._private_fault(uri)

    def _web_fault(self, uri: URI) -> str | None:
        if not uri.host:
            return "must have a sound host and port."
        if uri.scheme == "http" and uri.host not in LOOPBACK_HOSTS:
            return "must be https; plain http is for 127.0.0.1, [::1] and localhost alone."
        return None

    def _private_fault(self, uri: URI) -> str | None:
        known = self._authorities.get(uri.scheme)
        if known:
            fits = uri.authority is not None and known.fullmatch(uri.authority.lower())
            return None if fits else "must have the authority that this server knows for its scheme."
        if uri.scheme in DANGEROUS_SCHEMES or not _is_reverse_domain(uri.scheme):
            return "must be https, http on loopback, or a private-use scheme with a period in it."
        if uri.authority is None and not uri.path.startswith("/"):
            return "must have a / after the colon of its private-use scheme."
        if uri.authority and not uri.host:
            return "must have a sound host and port, or none."
        if uri.path.startswith("//"):
            return "must have no empty first segment in its path."
        return None

    def type_fault(self, value: str, application_type: str | None, grant_types: Collection[str]) -> str | None:
        """What would be right about a sound URI, by the `application_type` that the client states."""
        if not self.is_strict or application_type != "web" or self.fault(value):
            return None
        uri = parsed(value)
        if uri is None or uri.scheme != "https":
            return "must be https, since application_type is web."
        if "implicit" in grant_types and uri.host in LOOPBACK_HOSTS:
            return "must not be on this device, since application_type is web and the implicit grant is registered."
        return None


def _is_reverse_domain(scheme: str) -> bool:
    return "." in scheme and all(scheme.split("."))


def matches(registered: Collection[str], requested: str) -> bool:
    """Whether an authorization request may use this redirect URI.

    Character by character, but for the port of an http loopback URI (RFC 8252 section 7.3, RFC 9700 section 4.1.3): each of
    127.0.0.1, [::1] and localhost stands for itself alone, and an empty path is the path / (RFC 9110 section 4.2.3).
    """
    if requested in registered:
        return True
    wanted = _without_port(requested)
    return wanted is not None and any(wanted == _without_port(uri) for uri in registered)


def _without_port(value: str) -> tuple[str, str, str] | None:
    match = _LOOPBACK.fullmatch(value)
    return match and (match["host"], match["path"] or "/", match["query"] or "")
