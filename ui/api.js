// Asks the server that this page came from, and nobody else.

import { t } from "./strings.js";

/** Where the server is: the page may stand behind a proxy's prefix. */
export const base = new URL("..", import.meta.url);

const STORE = "chorus-key";
let wanted = null;

/** The key of this tab; it is gone with it. */
export const key = () => sessionStorage.getItem(STORE) ?? "";
export function setKey(value) {
  if (value) sessionStorage.setItem(STORE, value);
  else sessionStorage.removeItem(STORE);
}

/** Who asks the person for a key; called when the server wants one. */
export function onKeyWanted(ask) {
  wanted = ask;
}

/** What the server said instead of an answer. */
export class Refusal extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

const headers = (more) => {
  const all = new Headers(more);
  if (key()) all.set("authorization", `Bearer ${key()}`);
  return all;
};

async function refusal(response) {
  let error = {};
  try {
    const body = await response.json();
    error = typeof body.error === "string" ? { message: body.error, code: body.code } : (body.error ?? {});
  } catch {
    // Whatever stands between may answer in its own way.
  }
  return new Refusal(error.message ?? t("error.status", { status: response.status }), error.code, response.status);
}

/** A response, or a Refusal; a key is asked for once when one is needed. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, base), { ...options, headers: headers(options.headers), referrerPolicy: "no-referrer", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(t("error.unreachable"), "unreachable", 0);
  }
  if (response.status === 401 && wanted && !options.quiet) wanted();
  if (!response.ok) throw await refusal(response);
  return response;
}

export const json = async (path, options) => (await request(path, options)).json();

/** The events of a stream, as { event, data }; ends with it. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [], event = { data: [] };
  const lines = function* (chunk) {
    const pieces = chunk.split("\n");
    for (let place = 0; place < pieces.length - 1; place++) {
      parts.push(pieces[place]);
      yield parts.join("").replace(/\r$/, "");
      parts = [];
    }
    parts.push(pieces[pieces.length - 1]);
  };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    for (const line of lines(value)) {
      if (line === "") {
        if (event.data.length) yield { event: event.name ?? "message", data: event.data.join("\n") };
        event = { data: [] };
      } else if (line.startsWith("data:")) event.data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line.startsWith("event:")) event.name = line.slice(6).trim();
    }
  }
}

/**
 * Listens to the runs, again and again, until the returned function is called.
 * `on` gets { in_flight } and { run }; `state` gets "on", "off" or "none" (the server has no such thing).
 */
export function follow(on, state = () => {}) {
  const leave = new AbortController();
  (async () => {
    let pause = 500;
    while (!leave.signal.aborted) {
      try {
        const response = await request("chorus/runs/live", { signal: leave.signal, quiet: true });
        state("on");
        pause = 500;
        for await (const { event, data } of events(response)) on(event, JSON.parse(data));
      } catch (error) {
        if (leave.signal.aborted) return;
        if (error.status === 404) return state("none");
        if (error.status === 401 || error.status === 403) return state("off");
      }
      state("off");
      await new Promise((done) => setTimeout(done, pause));
      pause = Math.min(pause * 2, 10_000);
    }
  })();
  return () => leave.abort();
}
