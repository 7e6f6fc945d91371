/** node openid_client.mjs ISSUER METHOD [ALGORITHM]: a client of openid-client 6, registered for one authentication method. */
import { User } from "./user.mjs";

import assert from "node:assert/strict";
import * as client from "openid-client";

const [issuer, method, algorithm] = process.argv.slice(2);
const REDIRECT_URI = "http://127.0.0.1/callback";
const RESOURCE = "https://mcp.example/mcp";
const isPublic = method === "none";

const keys = algorithm && (await client.randomDPoPKeyPair(algorithm));
const jwk = keys && { ...(await crypto.subtle.exportKey("jwk", keys.publicKey)), kid: "first", alg: algorithm };
const named = (header) => Object.assign(header, { alg: algorithm }); // openid-client says Ed25519, others still EdDSA
const authentication = {
  none: () => client.None(),
  client_secret_basic: () => client.ClientSecretBasic(),
  client_secret_post: () => client.ClientSecretPost(),
  private_key_jwt: () => client.PrivateKeyJwt({ key: keys.privateKey, kid: "first" }, { [client.modifyAssertion]: named }),
}[method]();

const metadata = {
  client_name: `openid-client ${method}`,
  redirect_uris: [REDIRECT_URI],
  grant_types: ["authorization_code", "refresh_token", ...(isPublic ? [] : ["client_credentials"])],
  response_types: ["code"],
  token_endpoint_auth_method: method,
  scope: "mcp:read mcp:write",
  ...(jwk && { jwks: { keys: [jwk] } }),
};
const config = await client.dynamicClientRegistration(new URL(issuer), metadata, authentication, {
  algorithm: "oauth2",
  execute: [client.allowInsecureRequests],
});

// Authorization code with PKCE; a response of another issuer, or of none, is not taken (RFC 9207).
const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const location = await new User().answer(
  client.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    scope: "mcp:read",
    state: expectedState,
    resource: RESOURCE,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
  }),
);
const checks = { pkceCodeVerifier, expectedState };
for (const iss of [null, "https://other.example"]) {
  const mixedUp = new URL(location);
  mixedUp.searchParams.delete("iss");
  if (iss) mixedUp.searchParams.set("iss", iss);
  await assert.rejects(client.authorizationCodeGrant(config, mixedUp, checks), { code: "OAUTH_INVALID_RESPONSE" });
}
const tokens = await client.authorizationCodeGrant(config, location, checks, { resource: RESOURCE });
assert.equal(tokens.token_type, "bearer");

// Refresh with rotation: the old refresh token is no longer good, and its use ends the new one too.
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
assert.notEqual(refreshed.access_token, tokens.access_token);
assert.notEqual(refreshed.refresh_token, tokens.refresh_token);
const introspection = isPublic ? null : await client.tokenIntrospection(config, refreshed.access_token);
await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: "invalid_grant" });
await assert.rejects(client.refreshTokenGrant(config, refreshed.refresh_token), { error: "invalid_grant" });

if (isPublic) {
  await assert.rejects(client.tokenIntrospection(config, refreshed.access_token), { status: 401 });
  await assert.rejects(client.clientCredentialsGrant(config), { status: 401 });
} else {
  const own = await client.clientCredentialsGrant(config, { scope: "mcp:write" });
  assert.equal(own.refresh_token, undefined);
  const ownIntrospection = await client.tokenIntrospection(config, own.access_token);
  assert.equal(ownIntrospection.sub, config.clientMetadata().client_id);
  await client.tokenRevocation(config, own.access_token);
  assert.deepEqual(await client.tokenIntrospection(config, own.access_token), { active: false });
}

console.log(JSON.stringify({ registered: config.clientMetadata(), scope: tokens.scope, introspection }));
