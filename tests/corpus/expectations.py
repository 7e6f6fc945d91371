"""What each client of the corpus gets, as far as it differs from what it asked for, and what it does with it later."""

from dataclasses import dataclass

CODE = ("authorization_code",)
CODE_AND_REFRESH = ("authorization_code", "refresh_token")
BASIC = "client_secret_basic"
POST = "client_secret_post"


@dataclass(frozen=True)
class Expected:
    """The members that defaults, narrowing and the scopes of the server decide.

    `matches` are redirect URIs that it authorizes with although it sent others; `differs` those that are near and not its.
    """

    method: str = "none"
    grant_types: tuple[str, ...] = CODE_AND_REFRESH
    response_types: tuple[str, ...] = ("code",)
    scope: str = "mcp:read"
    matches: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()


REGISTERED = {
    # An unknown scope is dropped, never a reason to refuse.
    "claude-web": Expected(differs=("https://claude.com/api/mcp/auth_callback",)),
    "claude-web-2025": Expected(),
    # Needs a secret, and asks for nothing.
    "copilot-studio": Expected(BASIC, CODE),
    # The colon in the path stays as it is.
    "open-webui": Expected(BASIC, differs=("https://chat.example.com/oauth/clients/mcp%3Adocs/callback",)),
    "n8n": Expected(),
    # A response type without its grant.
    "n8n-client-credentials": Expected(POST, ("client_credentials",), ()),
    "cloudflare-do-provider": Expected(),
    "litellm-relay": Expected(differs=("https://litellm.example/callback",)),
    # Registers one port, authorizes with another.
    "claude-code": Expected(
        matches=("http://localhost:49152/callback", "http://localhost/callback"),
        differs=(
            "http://127.0.0.1:3118/callback",
            "http://localhost:3118/callback/",
            "https://localhost:3118/callback",
        ),
    ),
    # Loopback without an application_type.
    "claude-code-no-apptype": Expected(matches=("http://localhost:39152/callback",)),
    "claude-code-desktop": Expected(BASIC, CODE, differs=("claude://evil.example/mcp-auth-callback/sdk",)),
    "gemini-cli": Expected(matches=("http://localhost:50000/oauth/callback",)),
    "gemini-cli-empty-scope": Expected(matches=("http://localhost:50000/oauth/callback",)),
    "zed": Expected(matches=("http://127.0.0.1:50124/callback",), differs=("http://localhost:50123/callback",)),
    "zed-code-only": Expected(grant_types=CODE),
    "mcp-inspector-2": Expected(grant_types=CODE),
    "mcp-inspector-0": Expected(differs=("http://localhost:6274/oauth/callback/debug",)),
    "mcp-use": Expected(),
    "mcp-use-node": Expected(),
    # Stays with the default method, so a native client has a secret.
    "python-sdk-2": Expected(BASIC, scope="mcp:read offline_access"),
    "python-sdk-1.26": Expected(BASIC),
    "python-sdk-1.12": Expected(POST, scope="offline_access mcp:read"),
    "python-sdk-1.9": Expected(POST, scope="offline_access mcp:read"),
    "fastmcp": Expected(scope="mcp:read offline_access", matches=("http://localhost:60810/callback",)),
    # Asks for the whole list of the server, client_credentials without a secret included.
    "roo-code": Expected(matches=("http://localhost:51878/callback",)),
    # Registers a query that it does not send again: exact matching refuses that.
    "continue-dev": Expected(
        matches=("http://localhost:3001/?state=6f1d7c1e-2c0b-4b7e-9a25-0d5b1f0c9a11",),
        differs=("http://localhost:3000", "http://localhost:3000/", "http://localhost:3000/?state=other"),
    ),
    "mcporter": Expected(BASIC, CODE, matches=("http://127.0.0.1:49814/callback",)),
    "pi-adapter": Expected(BASIC, CODE, matches=("http://localhost:19877/callback",)),
    # A random port, though only none and 33418 are registered.
    "vscode": Expected(matches=("http://127.0.0.1:51234/",), differs=("http://localhost:33418/",)),
    "vscode-device": Expected(matches=("http://127.0.0.1:51234/",)),
    # Three kinds of redirect URI in one request.
    "cursor": Expected(
        matches=("http://localhost:8788/callback",),
        differs=("cursor://other.extension/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/callback/"),
    ),
    "cursor-web-type": Expected(),
    # All response types: narrowed.
    "mod-auth-openidc": Expected(BASIC),
    "idpyoidc": Expected(BASIC, CODE),
    "openid-client-6": Expected(BASIC, CODE),
    "lti-tool-mock": Expected("private_key_jwt", ("client_credentials",), ()),
    # Its ID token algorithm belongs to OpenID Connect, of which this server says nothing.
    "inrupt-node": Expected(BASIC),
    "element-web": Expected(differs=("https://app.element.io/",)),
    "element-desktop": Expected(differs=("io.element.desktop://vector/webapp/", "io.element.desktop:/vector/")),
    # No port and no path; the empty path and / are the same.
    "owncloud-desktop": Expected(
        BASIC,
        CODE,
        matches=("http://127.0.0.1:45678", "http://127.0.0.1:45678/", "http://127.0.0.1/"),
        differs=("http://localhost:45678", "http://127.0.0.1:45678/cb"),
    ),
}

REFUSED = {
    "mastodon-api-apps": "invalid_redirect_uri",  # a string where an array belongs
    "jans-scim": "invalid_client_metadata",  # scope as an array
    "ltijs-style-tool": "invalid_client_metadata",  # jwks_uri by http on localhost
    "mod-auth-openidc-iat": "invalid_client_metadata",  # tls_client_auth
}
