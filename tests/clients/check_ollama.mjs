// The `ollama` package for JavaScript against Chorus.

import assert from "node:assert/strict";
import { Ollama } from "ollama";
import {
  ANSWER, BOTH, CHORUS, FIRST_PIECES, SCHEMA, THOUGHT, TOOL, TOOL_ANSWER, TOOL_RESULT, VECTOR,
  WEATHER, check, collect, endings, has, hungUpOn, run, same, seen,
} from "./checks.mjs";

const client = new Ollama({ host: CHORUS });
const CHAT = "/api/chat";
const GENERATE = "/api/generate";

const asks = (prompt) => [{ role: "user", content: prompt }];
const join = (pieces) => pieces.filter(Boolean).join("");

/** The error an action throws. The package keeps its classes to itself, so it is told by name. */
async function thrown(name, action) {
  let result;
  try {
    result = await action();
  } catch (error) {
    assert.equal(error.name, name, String(error?.stack));
    return error;
  }
  throw new Error(`threw nothing; returned ${JSON.stringify(result)}`);
}

async function status(code, action) {
  const error = await thrown("ResponseError", action);
  same([error.status_code, typeof error.error], [code, "string"]);
  return error.message;
}

/** The last object of an answer has its counters and durations. */
function ended(last, usage) {
  same([last.done, last.done_reason], [true, "stop"]);
  same([last.prompt_eval_count, last.eval_count], usage);
  for (const name of ["total", "load", "prompt_eval", "eval"]) {
    assert.ok(Number.isInteger(last[`${name}_duration`]), name);
  }
}

/** A failure before the answer: its status, and its reason. */
async function refused(prompt, action) {
  has(await status(502, action), "on strike");
  same(await endings(prompt), ["refused"]);
}

/** A failure during a stream: what came before it arrived, then it was thrown, readable. */
async function brokeOff(stream, textOf) {
  const pieces = [];
  const error = await thrown("Error", async () => {
    for await (const part of await stream) pieces.push(textOf(part));
  });
  same(join(pieces), FIRST_PIECES);
  has(error.message, "cut off");
}

/** Reads a stream to its first text, then aborts it. */
async function leaves(prompt, stream, textOf) {
  await thrown("AbortError", async () => {
    for await (const part of stream) {
      if (textOf(part)) stream.abort();
    }
  });
  await hungUpOn(prompt);
}

// -- /api/chat

const contentOf = (part) => part.message.content;

check(CHAT, "plain", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const reply = await client.chat({ model, messages: asks(prompt) });
    same([reply.message.role, contentOf(reply), reply.model], ["assistant", ANSWER, model]);
    has(reply.message.thinking, THOUGHT);
    ended(reply, usage);
  }
});

check(CHAT, "streamed", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const parts = await collect(await client.chat({ model, messages: asks(prompt), stream: true }));
    same(join(parts.map(contentOf)), ANSWER);
    const thinking = join(parts.map((part) => part.message.thinking));
    has(thinking, THOUGHT);
    same(thinking.includes("worker talks: ok"), model === "chorus");
    ended(parts.at(-1), usage);
  }
});

check(CHAT, "without thinking", async (prompt) => {
  const body = { model: "chorus", messages: asks(prompt), stream: true, think: false };
  const parts = await collect(await client.chat(body));
  assert.ok(parts.every((part) => !("thinking" in part.message)));
});

const askWithTool = async (model, messages) =>
  (await client.chat({ model, messages, tools: [TOOL] })).message;
const streamWithTool = async (model, messages) => {
  const parts = await collect(await client.chat({ model, messages, tools: [TOOL], stream: true }));
  const tool_calls = parts.flatMap((part) => part.message.tool_calls ?? []);
  return { role: "assistant", content: join(parts.map(contentOf)), tool_calls };
};

for (const [what, ask] of [["", askWithTool], [", streamed", streamWithTool]]) {
  check(CHAT, `tools, there and back${what}`, async (prompt) => {
    for (const [model] of BOTH) {
      const message = await ask(model, asks(prompt));
      const calls = message.tool_calls.map((call) => [call.function.name, call.function.arguments]);
      same(calls, [["weather", { city: "Rome" }]]);
      const result = { role: "tool", tool_name: "weather", content: TOOL_RESULT };
      same((await ask(model, [...asks(prompt), message, result])).content, TOOL_ANSWER);
    }
  });
}

check(CHAT, "structured output", async (prompt) => {
  for (const [model] of BOTH) {
    for (const format of [SCHEMA, "json"]) {
      const reply = await client.chat({ model, messages: asks(prompt), format });
      same(JSON.parse(contentOf(reply)), WEATHER);
    }
  }
});

check(CHAT, "a request that is wrong", async (prompt) => {
  const body = { model: "talks", messages: asks(prompt), options: { temperature: "hot" } };
  has(await status(400, () => client.chat(body)), "temperature");
  same(await seen(prompt), []);
});

check(CHAT, "a failure before the answer", (prompt) => refused(prompt, () =>
  client.chat({ model: "refuses", messages: asks(prompt) })));

check(CHAT, "a failure before the stream", (prompt) => refused(prompt, () =>
  client.chat({ model: "refuses", messages: asks(prompt), stream: true })));

check(CHAT, "a failure during the stream", (prompt) => brokeOff(
  client.chat({ model: "cuts", messages: asks(prompt), stream: true }), contentOf));

check(CHAT, "a caller who leaves the stream", async (prompt) => leaves(prompt,
  await client.chat({ model: "hangs", messages: asks(prompt), stream: true }), contentOf));

// -- /api/generate

const responseOf = (part) => part.response;

check(GENERATE, "plain", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const reply = await client.generate({ model, prompt });
    same([reply.response, reply.model, "thinking" in reply], [ANSWER, model, false]);
    ended(reply, usage);
  }
});

check(GENERATE, "streamed", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const body = { model, prompt, stream: true, think: true };
    const parts = await collect(await client.generate(body));
    same(join(parts.map(responseOf)), ANSWER);
    has(join(parts.map((part) => part.thinking)), THOUGHT);
    ended(parts.at(-1), usage);
  }
});

check(GENERATE, "structured output", async (prompt) => {
  for (const [model] of BOTH) {
    const reply = await client.generate({ model, prompt, format: SCHEMA });
    same(JSON.parse(reply.response), WEATHER);
  }
});

check(GENERATE, "load and unload", async () => {
  for (const [keep_alive, reason] of [["5m", "load"], [0, "unload"]]) {
    const reply = await client.generate({ model: "talks", prompt: "", keep_alive });
    same([reply.response, reply.done, reply.done_reason], ["", true, reason]);
  }
});

check(GENERATE, "a failure before the answer", (prompt) => refused(prompt, () =>
  client.generate({ model: "refuses", prompt })));

check(GENERATE, "a failure before the stream", (prompt) => refused(prompt, () =>
  client.generate({ model: "refuses", prompt, stream: true })));

check(GENERATE, "a failure during the stream", (prompt) => brokeOff(
  client.generate({ model: "cuts", prompt, stream: true }), responseOf));

check(GENERATE, "a caller who leaves the stream", async (prompt) => leaves(prompt,
  await client.generate({ model: "hangs", prompt, stream: true }), responseOf));

// -- the lists, and what is passed through

check("/api/version", "version", async () => {
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
});

check("/api/tags", "list", async () => {
  const { models } = await client.list();
  same(models.map((model) => model.model).slice(0, 2), ["chorus", "talks"]);
  for (const model of models) {
    same([model.digest.length, model.details.format, model.name], [64, "chorus", model.model]);
    assert.ok(Number.isInteger(model.size) && !Number.isNaN(Date.parse(model.modified_at)));
  }
});

check("/api/show", "show", async () => {
  for (const name of ["chorus", "talks", "lab/talks:8b"]) {
    const reply = await client.show({ model: name });
    same(reply.model_info["general.architecture"], "chorus");
    same(reply.model_info["general.basename"], name);
    assert.ok(reply.model_info["chorus.context_length"] > 0);
    assert.ok(["completion", "tools"].every((what) => reply.capabilities.includes(what)));
    assert.ok(reply.details && !Number.isNaN(Date.parse(reply.modified_at)));
  }
});

check("/api/show", "a name nobody knows", async () => {
  const said = await status(404, () => client.show({ model: "nobody" }));
  has(said, "model 'nobody' not found; there are: chorus, talks");
});

check("/api/ps", "list", async () => {
  for (const model of (await client.ps()).models) {
    assert.ok(model.model && model.digest && !Number.isNaN(Date.parse(model.expires_at)));
  }
});

check("/api/embed", "plain", async () => {
  const reply = await client.embed({ model: "embeds-ollama", input: ["one", "two"] });
  same(reply.embeddings, [VECTOR, VECTOR]);
});

check("/api/embed", "not from a workflow", () =>
  status(400, () => client.embed({ model: "chorus", input: "one" })));

check("/api/embeddings", "plain", async () => {
  const reply = await client.embeddings({ model: "embeds-ollama", prompt: "one" });
  same(reply.embedding, VECTOR);
});

check("/api/pull", "and all else that is not offered", async () => {
  await status(501, () => client.pull({ model: "talks" }));
  await status(501, () => client.pull({ model: "talks", stream: true }));
  await status(501, () => client.push({ model: "talks" }));
  await status(501, () => client.create({ model: "mine", from: "talks" }));
  await status(501, () => client.copy({ source: "talks", destination: "mine" }));
  await status(501, () => client.delete({ model: "talks" }));
});

await run("ollama-js");
