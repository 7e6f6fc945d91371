/** node mcp_sdk.mjs ISSUER MCP_URL: a client of @modelcontextprotocol/sdk, which keeps its registration and its tokens. */
import { User } from "./user.mjs";

import assert from "node:assert/strict";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [issuer, mcpUrl] = process.argv.slice(2);

class Provider {
  redirectUrl = "http://127.0.0.1/callback";
  clientMetadata = {
    client_name: "MCP client in JavaScript",
    redirect_uris: [this.redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  kept = {};
  user = new User();

  clientInformation = () => this.kept.client;
  saveClientInformation = (client) => void (this.kept.client = client);
  tokens = () => this.kept.tokens;
  saveTokens = (tokens) => void (this.kept.tokens = tokens);
  codeVerifier = () => this.kept.verifier;
  saveCodeVerifier = (verifier) => void (this.kept.verifier = verifier);
  state = () => crypto.randomUUID();
  redirectToAuthorization = async (url) => void (this.location = await this.user.answer(url));
  invalidateCredentials = (scope) => void (scope === "all" ? (this.kept = {}) : delete this.kept[scope]);
}

const provider = new Provider();
const steps = [];
let registration;

/** What the SDK asks, and of the registration response what it does not keep. */
async function fetchAndNote(url, init) {
  const response = await fetch(url, init);
  const { pathname } = new URL(url);
  steps.push(`${init?.method ?? "GET"} ${pathname} ${response.status}`);
  if (response.status === 201) registration = await response.clone().json();
  return response;
}

async function call() {
  const client = new Client({ name: "test", version: "1" });
  const transport = () => new StreamableHTTPClientTransport(new URL(mcpUrl), { authProvider: provider, fetch: fetchAndNote });
  const first = transport();
  try {
    await client.connect(first);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    assert.equal(provider.location.searchParams.get("iss"), issuer);
    await first.finishAuth(provider.location.searchParams.get("code"));
    await client.connect(transport());
  }
  const sum = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
  const who = await client.callTool({ name: "whoami" });
  await client.close();
  return { sum: sum.structuredContent, who: who.structuredContent, steps: steps.splice(0) };
}

async function revoke(token) {
  const form = new URLSearchParams({ token, client_id: registration.client_id });
  assert.equal((await fetch(`${issuer}/oauth2/revoke`, { method: "POST", body: form })).status, 200);
}

const first = await call();

// The access token is gone: the SDK refreshes.
await revoke(provider.kept.tokens.access_token);
const refreshed = await call();

// The registration is gone: the SDK registers anew, and the user is asked again.
const registered = registration;
const headers = { authorization: `Bearer ${registered.registration_access_token}` };
assert.equal((await fetch(registered.registration_client_uri, { method: "DELETE", headers })).status, 204);
const anew = await call();

console.log(JSON.stringify({ registered, first, refreshed, anew, registered_anew: registration }));
