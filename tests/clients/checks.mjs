// What both JavaScript scripts share: naming checks, running them, and asking the upstream.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

export const CHORUS = process.env.CHORUS_URL;
const UPSTREAM = process.env.UPSTREAM_URL;
const SKIPPED = (process.env.CHORUS_SKIP ?? "").split(" ");
const ONLY = process.env.CHORUS_ONLY ?? "";

export const ANSWER = "The sky is blue: 蓝色.";
export const FIRST_PIECES = "The sky is blue: ";
export const THOUGHT = "Blue scatters most.";
export const VECTOR = [0.25, -0.5, 1];
// The tokens of a call of the upstream. A workflow tells those of its last call as the answer's, and
// those of all three, two workers and the synthesizer, in its `chorus` object.
export const TOKENS = [9, 4];
export const TOGETHER = [27, 12];
export const BOTH = [["talks", TOKENS], ["chorus", TOKENS]];

export const TOOL_RESULT = "21 degrees in Rome";
export const TOOL_ANSWER = `The tool said: ${TOOL_RESULT}`;
export const TOOL = {
  type: "function",
  function: {
    name: "weather",
    description: "Tells the weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "integer" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};
export const WEATHER = { city: "Rome", degrees: 21 };

const checks = [];

/** Registers a check. It gets a prompt of its own, by which the upstream knows it. */
export function check(endpoint, what, action) {
  checks.push({ endpoint, what, action });
}

/** Runs every check of a client, one line each. */
export async function run(client) {
  for (const { endpoint, what, action } of checks) {
    const name = `${client}  ${endpoint}  ${what}`;
    if (!name.includes(ONLY)) continue;
    if (SKIPPED.includes(endpoint)) {
      console.log(`off   ${name}`);
      continue;
    }
    const tooLate = new AbortController();
    try {
      await Promise.race([
        action(`[${name}]`),
        sleep(40_000, undefined, { signal: tooLate.signal }).then(() => {
          throw new Error("took more than 40 s");
        }),
      ]);
      console.log(`ok    ${name}`);
    } catch (error) {
      console.log(`FAIL  ${name}`);
      console.log(`      ${String(error?.stack ?? error).replaceAll("\n", "\n      ")}`);
    } finally {
      tooLate.abort();
    }
  }
  process.exit(0); // a connection that a failed check left open must not hold us
}

export const same = (got, wanted) => assert.deepEqual(got, wanted);

export function has(text, wanted) {
  assert.ok(text?.includes(wanted), `${JSON.stringify(text)} lacks ${JSON.stringify(wanted)}`);
}

/** The error of exactly this class that the action throws. */
export async function thrown(kind, action) {
  let result;
  try {
    result = await action();
  } catch (error) {
    assert.equal(error.constructor.name, kind.name, String(error?.stack));
    assert.ok(error instanceof kind);
    return error;
  }
  throw new Error(`threw nothing; returned ${JSON.stringify(result)}`);
}

export async function collect(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

/** The upstream's calls for a prompt. */
export async function seen(prompt) {
  const calls = await (await fetch(`${UPSTREAM}/seen`)).json();
  return calls.filter((call) => call.prompt === prompt);
}

/** How the upstream's calls for a prompt ended. It notes an end a moment after the last byte. */
export async function endings(prompt) {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    const ends = (await seen(prompt)).map((call) => call.end);
    if (ends.length > 0 && !ends.includes(null)) return ends;
    await sleep(50);
  }
  throw new Error(`the model was left talking to nobody: ${JSON.stringify(await seen(prompt))}`);
}

/** Waits until the upstream has seen its only caller hang up. */
export async function hungUpOn(prompt) {
  same(await endings(prompt), ["hung up"]);
}
