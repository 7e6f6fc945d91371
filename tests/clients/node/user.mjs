/** The user at a browser, over plain fetch: cookies by hand, forms read from the page. */
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto; // Node.js 18
globalThis.CryptoKey ??= webcrypto.CryptoKey;

const attribute = (tag, name) => tag.match(new RegExp(`\\s${name}="([^"]*)"`))?.[1];

export class User {
  #cookies = new Map();

  constructor(decision = "allow") {
    this.decision = decision;
  }

  /** Where the server sends the browser when all is said: an address of the client, which is not opened. */
  async answer(authorizationUrl) {
    const server = new URL(authorizationUrl).origin;
    let url = new URL(authorizationUrl);
    let response = await this.#send(url);
    for (let pages = 0; pages < 10; pages += 1) {
      if ([302, 303].includes(response.status)) {
        url = new URL(response.headers.get("location"), url);
        if (url.origin !== server) return url;
        response = await this.#send(url);
      } else {
        response = await this.#send(url, this.#filledIn(response.status, await response.text()));
      }
    }
    throw new Error(`Too many pages, the last is ${url}.`);
  }

  #filledIn(status, page) {
    assert.equal(status, 200, page);
    const fields = [...page.matchAll(/<input\b[^>]*>/g)].map(([tag]) => [attribute(tag, "name"), attribute(tag, "value")]);
    return new URLSearchParams(page.includes('name="decision"') ? [...fields, ["decision", this.decision]] : fields);
  }

  async #send(url, form) {
    const headers = { cookie: [...this.#cookies].map((cookie) => cookie.join("=")).join("; ") };
    const response = await fetch(url, { method: form ? "POST" : "GET", body: form, headers, redirect: "manual" });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
      this.#cookies.set(name, value);
    }
    return response;
  }
}
