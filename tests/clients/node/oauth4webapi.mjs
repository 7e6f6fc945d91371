/** node oauth4webapi.mjs ISSUER METHOD [INITIAL_ACCESS_TOKEN]: the protocol step by step with oauth4webapi, and management. */
import { User } from "./user.mjs";

import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";

const [issuer, method, initialAccessToken] = process.argv.slice(2);
const REDIRECT_URI = "http://127.0.0.1/callback";
const insecure = { [oauth.allowInsecureRequests]: true };
const isPublic = method === "none";

const discovered = await oauth.discoveryRequest(new URL(issuer), { algorithm: "oauth2", ...insecure });
const as = await oauth.processDiscoveryResponse(new URL(issuer), discovered);
assert.equal(as.issuer, issuer);

// ---- Registration (RFC 7591)

async function register(metadata, options) {
  const response = await oauth.dynamicClientRegistrationRequest(as, metadata, { ...insecure, ...options });
  return await oauth.processDynamicClientRegistrationResponse(response);
}
const keys = method === "private_key_jwt" && (await oauth.generateKeyPair("ES256"));
const metadata = {
  client_name: "oauth4webapi",
  redirect_uris: [REDIRECT_URI],
  scope: "mcp:read mcp:write",
  token_endpoint_auth_method: method,
  ...(keys && { jwks: { keys: [await crypto.subtle.exportKey("jwk", keys.publicKey)] } }),
};
await assert.rejects(register({ ...metadata, redirect_uris: ["http://client.example/cb"] }, { initialAccessToken }), {
  name: "ResponseBodyError",
  status: 400,
  error: "invalid_redirect_uri",
});
if (initialAccessToken) {
  for (const token of [undefined, "wrong"]) {
    await assert.rejects(register(metadata, { initialAccessToken: token }), {
      name: "WWWAuthenticateChallengeError",
      status: 401,
    });
  }
}
const client = await register(metadata, { initialAccessToken });
const authentication = {
  none: () => oauth.None(),
  client_secret_basic: () => oauth.ClientSecretBasic(client.client_secret),
  client_secret_post: () => oauth.ClientSecretPost(client.client_secret),
  private_key_jwt: () => oauth.PrivateKeyJwt(keys.privateKey),
}[method]();

// ---- Authorization code with PKCE

async function authorize(user) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: REDIRECT_URI,
    response_type: "code",
    scope: "mcp:read",
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  return { verifier, parameters: oauth.validateAuthResponse(as, client, await user.answer(url), state) };
}
await assert.rejects(authorize(new User("deny")), { name: "AuthorizationResponseError", error: "access_denied" });

async function exchange({ parameters, verifier }) {
  const request = [as, client, authentication, parameters, REDIRECT_URI, verifier, insecure];
  return await oauth.processAuthorizationCodeResponse(as, client, await oauth.authorizationCodeGrantRequest(...request));
}
const user = new User();
const authorized = await authorize(user);
const wrong = { ...authorized, verifier: oauth.generateRandomCodeVerifier() };
await assert.rejects(exchange(wrong), { error: "invalid_grant" });
const tokens = await exchange(authorized);
await assert.rejects(exchange(authorized), { error: "invalid_grant" });

async function introspect(token) {
  const response = await oauth.introspectionRequest(as, client, authentication, token, insecure);
  return await oauth.processIntrospectionResponse(as, client, response);
}
const live = await exchange(await authorize(user));
const introspection = isPublic ? null : await introspect(live.access_token);
if (!isPublic) assert.deepEqual(await introspect(tokens.access_token), { active: false }); // its code came twice

// ---- Management (RFC 7592), for which there is no library: fetch

async function manage(method, body, token = client.registration_access_token) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const url = client.registration_client_uri;
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  assert.match(response.headers.get("cache-control"), /no-store/);
  return { status: response.status, challenge: response.headers.get("www-authenticate"), body: await response.text() };
}
const json = ({ status, body }) => {
  assert.equal(status, 200, body);
  return JSON.parse(body);
};
const read = json(await manage("GET"));
const sentBack = json(await manage("PUT", read));
assert.deepEqual(sentBack, read);
const { client_id, client_secret } = client;
const renamed = json(await manage("PUT", { ...metadata, client_id, client_secret, client_name: "oauth4webapi, renamed" }));
assert.deepEqual(json(await manage("GET")), renamed);
const stranger = await manage("GET", undefined, "wrong");
const deleted = await manage("DELETE");
const gone = await manage("GET");

await assert.rejects(exchange(authorized), { name: "WWWAuthenticateChallengeError", status: 401 });

console.log(JSON.stringify({ registered: client, introspection, read, renamed, stranger, deleted, gone }));
