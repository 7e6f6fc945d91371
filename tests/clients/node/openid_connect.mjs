/** node openid_connect.mjs ISSUER METHOD METADATA: a relying party of openid-client 6, registered with the metadata (JSON). */
import { User } from "./user.mjs";

import assert from "node:assert/strict";
import * as client from "openid-client";

const [issuer, method, metadata] = process.argv.slice(2);
const REDIRECT_URI = "https://rp.example/callback";
const SIGNED_OUT = "https://rp.example/signed-out";

const isSigned = method === "private_key_jwt"; // then its authorization requests are, too
const keys = isSigned && (await client.randomDPoPKeyPair("ES256"));
const jwk = keys && { ...(await crypto.subtle.exportKey("jwk", keys.publicKey)), kid: "first", alg: "ES256" };
const key = keys && { key: keys.privateKey, kid: "first" };
const authentication = {
  none: client.None,
  client_secret_basic: client.ClientSecretBasic,
  client_secret_post: client.ClientSecretPost,
  private_key_jwt: () => client.PrivateKeyJwt(key),
}[method]();
const config = await client.dynamicClientRegistration(
  new URL(issuer),
  {
    client_name: "openid-client",
    redirect_uris: [REDIRECT_URI],
    post_logout_redirect_uris: [SIGNED_OUT],
    grant_types: ["authorization_code", "refresh_token"],
    token_endpoint_auth_method: method,
    ...(isSigned && { jwks: { keys: [jwk] }, require_signed_request_object: true }),
    ...JSON.parse(metadata),
  },
  authentication,
  { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] }, // signatures are checked, too
);

const authorizationUrl = (parameters) =>
  isSigned
    ? client.buildAuthorizationUrlWithJAR(config, parameters, key)
    : client.buildAuthorizationUrl(config, parameters);

const user = new User();
const pkceCodeVerifier = client.randomPKCECodeVerifier();
const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
const parameters = {
  redirect_uri: REDIRECT_URI,
  scope: "openid profile email offline_access",
  state: expectedState,
  nonce: expectedNonce,
  max_age: "300",
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: "S256",
};
const location = await user.answer(await authorizationUrl(parameters));
const checks = { pkceCodeVerifier, expectedState, expectedNonce, maxAge: 300, idTokenExpected: true };
await assert.rejects(client.authorizationCodeGrant(config, location, { ...checks, expectedState: "another" }));
const tokens = await client.authorizationCodeGrant(config, location, checks);
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
assert.notEqual(refreshed.refresh_token, tokens.refresh_token);

// Silently: nobody is signed in at a browser that was not here, and consent is asked for each time.
for (const [visitor, error] of [[new User(), "login_required"], [user, "consent_required"]]) {
  const silent = await visitor.answer(await authorizationUrl({ ...parameters, prompt: "none" }));
  await assert.rejects(client.authorizationCodeGrant(config, silent, checks), { error });
}

const signOut = client.buildEndSessionUrl(config, {
  id_token_hint: tokens.id_token,
  post_logout_redirect_uri: SIGNED_OUT,
  state: expectedState,
});
const signedOut = await user.answer(signOut);
assert.equal(signedOut.searchParams.get("state"), expectedState);
assert.equal(signedOut.href.split("?")[0], SIGNED_OUT);

const header = JSON.parse(Buffer.from(tokens.id_token.split(".")[0], "base64url"));
console.log(JSON.stringify({ registered: config.clientMetadata(), header, claims, userinfo, scope: tokens.scope }));
