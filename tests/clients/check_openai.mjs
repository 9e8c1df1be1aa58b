// The `openai` package for JavaScript against Chorus.

import assert from "node:assert/strict";
import OpenAI from "openai";
import {
  TOKENS, ANSWER, BOTH, CHORUS, FIRST_PIECES, SCHEMA, THOUGHT, TOGETHER, TOOL, TOOL_ANSWER,
  TOOL_RESULT, VECTOR, WEATHER, check, collect, endings, has, hungUpOn, run, same, seen, thrown,
} from "./checks.mjs";

const client = new OpenAI({ baseURL: `${CHORUS}/v1`, apiKey: "any", timeout: 30_000 });
const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";
const RESPONSES = "/v1/responses";
const FLAT_TOOL = { type: "function", ...TOOL.function, strict: false };

const asks = (prompt) => [{ role: "user", content: prompt }];
const join = (pieces) => pieces.filter(Boolean).join("");

function sameUsage(usage, [input, output]) {
  const { prompt_tokens, completion_tokens, total_tokens } = usage;
  same([prompt_tokens, completion_tokens, total_tokens], [input, output, input + output]);
}

function sameResponsesUsage(usage, [input, output]) {
  const { input_tokens, output_tokens, total_tokens } = usage;
  same([input_tokens, output_tokens, total_tokens], [input, output, input + output]);
}

/** A failure before the answer: told once, with its reason, and not tried again by the SDK. */
async function refused(prompt, action) {
  const error = await thrown(OpenAI.InternalServerError, action);
  same([error.status, error.code, error.type], [502, "upstream_error", "api_error"]);
  has(error.message, "on strike");
  assert.ok(error.requestID, "no request id");
  same(await endings(prompt), ["refused"]);
}

/** A failure during a stream: what came before it arrived, then it was thrown, readable. */
async function brokeOff(stream, textOf, code) {
  const pieces = [];
  const error = await thrown(OpenAI.APIError, async () => {
    for await (const item of await stream) pieces.push(textOf(item));
  });
  same(join(pieces), FIRST_PIECES);
  same(error.code, code);
  has(error.message, "cut off");
}

/** Reads a stream to its first text, then leaves it. */
async function leaves(prompt, stream, textOf) {
  for await (const item of stream) {
    if (textOf(item)) break;
  }
  stream.controller.abort();
  await hungUpOn(prompt);
}

// -- /v1/chat/completions

const deltaOf = (chunk) => chunk.choices[0]?.delta.content;

check(CHAT, "plain", async (prompt) => {
  const reply = await client.chat.completions.create({ model: "talks", messages: asks(prompt) });
  const [{ message, finish_reason }] = reply.choices;
  same([message.content, message.reasoning_content, finish_reason], [ANSWER, THOUGHT, "stop"]);
  same([reply.object, reply.model], ["chat.completion", "talks"]);
  sameUsage(reply.usage, TOKENS);
});

check(CHAT, "plain, the workflow", async (prompt) => {
  const body = { model: "chorus", messages: asks(prompt), include_workflow: true };
  const reply = await client.chat.completions.create(body);
  same(reply.choices[0].message.content, ANSWER);
  same(reply.workflow.mode, "workflow");
  sameUsage(reply.usage, TOKENS);
  const { total_usage, calls } = reply.chorus;
  same([total_usage.prompt_tokens, total_usage.completion_tokens, calls], [...TOGETHER, 3]);
});

check(CHAT, "streamed", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const chunks = await collect(await client.chat.completions.create({
      model, messages: asks(prompt), stream: true, stream_options: { include_usage: true },
    }));
    same(join(chunks.map(deltaOf)), ANSWER);
    const reasoning = join(chunks.map((chunk) => chunk.choices[0]?.delta.reasoning_content));
    has(reasoning, THOUGHT);
    same(reasoning.includes("worker talks: ok"), model === "chorus");
    const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
    same([reasons, new Set(chunks.map((chunk) => chunk.id)).size], [["stop"], 1]);
    sameUsage(chunks.at(-1).usage, usage);
  }
});

check(CHAT, "streamed by the helper", async (prompt) => {
  const stream = client.chat.completions.stream({ model: "chorus", messages: asks(prompt) });
  same(await stream.finalContent(), ANSWER);
});

const askWithTool = async (model, messages) => {
  const reply = await client.chat.completions.create({ model, messages, tools: [TOOL] });
  return reply.choices[0];
};
const streamWithTool = async (model, messages) => {
  const stream = client.chat.completions.stream({ model, messages, tools: [TOOL] });
  return (await stream.finalChatCompletion()).choices[0];
};

for (const [what, ask] of [["", askWithTool], [", streamed", streamWithTool]]) {
  check(CHAT, `tools, there and back${what}`, async (prompt) => {
    for (const [model] of BOTH) {
      const { message, finish_reason } = await ask(model, asks(prompt));
      same(finish_reason, "tool_calls");
      const [call, ...others] = message.tool_calls;
      same([call.type, call.function.name, others], ["function", "weather", []]);
      same(JSON.parse(call.function.arguments), { city: "Rome" });
      const result = { role: "tool", tool_call_id: call.id, content: TOOL_RESULT };
      const last = await ask(model, [...asks(prompt), message, result]);
      same([last.message.content, last.finish_reason], [TOOL_ANSWER, "stop"]);
    }
  });
}

check(CHAT, "structured output", async (prompt) => {
  const schema = { name: "weather", schema: SCHEMA, strict: true };
  for (const [model] of BOTH) {
    for (const response_format of [
      { type: "json_schema", json_schema: schema },
      { type: "json_object" },
    ]) {
      const body = { model, messages: asks(prompt), response_format };
      const reply = await client.chat.completions.create(body);
      same(JSON.parse(reply.choices[0].message.content), WEATHER);
    }
  }
});

check(CHAT, "a request that is wrong", async (prompt) => {
  const error = await thrown(OpenAI.BadRequestError, () =>
    client.chat.completions.create({ model: "talks", messages: asks(prompt), temperature: 3 }));
  const { status, code, type, param } = error;
  same([status, code, type], [400, "invalid_request", "invalid_request_error"]);
  same(param, "temperature");
  same(await seen(prompt), []);
});

check(CHAT, "a failure before the answer", (prompt) => refused(prompt, () =>
  client.chat.completions.create({ model: "refuses", messages: asks(prompt) })));

check(CHAT, "a failure before the stream", (prompt) => refused(prompt, () =>
  client.chat.completions.create({ model: "refuses", messages: asks(prompt), stream: true })));

check(CHAT, "a failure during the stream", (prompt) => brokeOff(
  client.chat.completions.create({ model: "cuts", messages: asks(prompt), stream: true }),
  deltaOf, "upstream_error"));

check(CHAT, "a wait that nobody sits out", async (prompt) => {
  const error = await thrown(OpenAI.RateLimitError, () =>
    client.chat.completions.create({ model: "busy", messages: asks(prompt) }));
  same(error.headers.get("x-should-retry"), "false");
  has(error.message, "300 s");
});

check(CHAT, "a caller who leaves the stream", async (prompt) => leaves(prompt,
  await client.chat.completions.create({ model: "hangs", messages: asks(prompt), stream: true }),
  deltaOf));

check(CHAT, "a caller who leaves before the answer", async (prompt) => {
  const caller = new AbortController();
  const body = { model: "silent", messages: asks(prompt) };
  const answer = client.chat.completions.create(body, { signal: caller.signal });
  const left = thrown(OpenAI.APIUserAbortError, () => answer);
  while ((await seen(prompt)).length === 0) await new Promise((wake) => setTimeout(wake, 20));
  caller.abort();
  await left;
  await hungUpOn(prompt);
});

// -- /v1/completions

const textOf = (chunk) => chunk.choices[0]?.text;

check(COMPLETIONS, "plain", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const reply = await client.completions.create({ model, prompt });
    same([reply.choices[0].text, reply.choices[0].finish_reason], [ANSWER, "stop"]);
    same([reply.object, reply.model], ["text_completion", model]);
    sameUsage(reply.usage, usage);
  }
});

check(COMPLETIONS, "plain, two prompts", async (prompt) => {
  const two = [prompt, `${prompt} again`];
  const reply = await client.completions.create({ model: "talks", prompt: two });
  same(reply.choices.map(({ index, text }) => [index, text]), [[0, ANSWER], [1, ANSWER]]);
  sameUsage(reply.usage, [18, 8]);
});

check(COMPLETIONS, "streamed", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const chunks = await collect(await client.completions.create({
      model, prompt, stream: true, stream_options: { include_usage: true },
    }));
    same(join(chunks.map(textOf)), ANSWER);
    same(chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean), ["stop"]);
    sameUsage(chunks.at(-1).usage, usage);
  }
});

check(COMPLETIONS, "a failure before the answer", (prompt) => refused(prompt, () =>
  client.completions.create({ model: "refuses", prompt })));

check(COMPLETIONS, "a failure before the stream", (prompt) => refused(prompt, () =>
  client.completions.create({ model: "refuses", prompt, stream: true })));

check(COMPLETIONS, "a failure during the stream", (prompt) => brokeOff(
  client.completions.create({ model: "cuts", prompt, stream: true }), textOf, "upstream_error"));

check(COMPLETIONS, "a caller who leaves the stream", async (prompt) => leaves(prompt,
  await client.completions.create({ model: "hangs", prompt, stream: true }), textOf));

// -- /v1/responses

const outputDelta = (event) => event.type === "response.output_text.delta" && event.delta;

check(RESPONSES, "plain", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const body = { model, instructions: "Be brief.", input: prompt };
    const reply = await client.responses.create(body);
    same([reply.output_text, reply.status, reply.model], [ANSWER, "completed", model]);
    same(reply.output.map((item) => item.type), ["reasoning", "message"]);
    has(reply.output[0].summary[0].text, THOUGHT);
    sameResponsesUsage(reply.usage, usage);
  }
});

check(RESPONSES, "streamed", async (prompt) => {
  for (const [model, usage] of BOTH) {
    const body = { model, input: prompt, stream: true };
    const events = await collect(await client.responses.create(body));
    same(events.map((event) => event.sequence_number), [...events.keys()]);
    const kinds = events.map((event) => event.type);
    same(kinds.slice(0, 2), ["response.created", "response.in_progress"]);
    same(kinds.at(-1), "response.completed");
    same(join(events.map(outputDelta)), ANSWER);
    const thoughts = events.filter((e) => e.type === "response.reasoning_summary_text.delta");
    has(join(thoughts.map((event) => event.delta)), THOUGHT);
    sameResponsesUsage(events.at(-1).response.usage, usage);
  }
});

check(RESPONSES, "streamed by the helper", async (prompt) => {
  const stream = client.responses.stream({ model: "talks", input: prompt });
  const deltas = [];
  stream.on("response.output_text.delta", (event) => deltas.push(event.delta));
  same([(await stream.finalResponse()).output_text, join(deltas)], [ANSWER, ANSWER]);
});

function onlyCall(reply) {
  const [call, ...others] = reply.output.filter((item) => item.type === "function_call");
  same([call.name, JSON.parse(call.arguments), others], ["weather", { city: "Rome" }, []]);
  return call;
}
const resultOf = (call) =>
  ({ type: "function_call_output", call_id: call.call_id, output: TOOL_RESULT });

check(RESPONSES, "tools, there and back", async (prompt) => {
  for (const [model] of BOTH) {
    const tools = [FLAT_TOOL];
    const first = await client.responses.create({ model, input: asks(prompt), tools });
    const input = [...asks(prompt), ...first.output, resultOf(onlyCall(first))];
    same((await client.responses.create({ model, input, tools })).output_text, TOOL_ANSWER);
  }
});

check(RESPONSES, "tools, there and back by previous_response_id", async (prompt) => {
  const shared = { model: "talks", tools: [FLAT_TOOL] };
  const first = await client.responses.create({ ...shared, input: prompt });
  const input = [resultOf(onlyCall(first))];
  const previous_response_id = first.id;
  const second = await client.responses.create({ ...shared, input, previous_response_id });
  same([second.output_text, second.previous_response_id], [TOOL_ANSWER, first.id]);
});

check(RESPONSES, "tools, streamed", async (prompt) => {
  for (const [model] of BOTH) {
    const stream = client.responses.stream({ model, input: prompt, tools: [FLAT_TOOL] });
    onlyCall(await stream.finalResponse());
  }
});

check(RESPONSES, "structured output", async (prompt) => {
  const format = { type: "json_schema", name: "weather", schema: SCHEMA, strict: true };
  for (const [model] of BOTH) {
    const reply = await client.responses.create({ model, input: prompt, text: { format } });
    same(JSON.parse(reply.output_text), WEATHER);
  }
});

check(RESPONSES, "a request that is wrong", async () => {
  const empty = await thrown(OpenAI.BadRequestError, () =>
    client.responses.create({ model: "talks" }));
  has(empty.message, "invalid request: missing input/messages/prompt/instructions");
  const body = { model: "talks", input: "x", previous_response_id: "resp_no" };
  const unknown = await thrown(OpenAI.BadRequestError, () => client.responses.create(body));
  same([unknown.code, unknown.param], ["previous_response_not_found", "previous_response_id"]);
});

check(RESPONSES, "a failure before the answer", (prompt) => refused(prompt, () =>
  client.responses.create({ model: "refuses", input: prompt })));

check(RESPONSES, "a failure before the stream", (prompt) => refused(prompt, () =>
  client.responses.create({ model: "refuses", input: prompt, stream: true })));

check(RESPONSES, "a failure during the stream", (prompt) => brokeOff(
  client.responses.create({ model: "cuts", input: prompt, stream: true }),
  outputDelta, "server_error"));

check(RESPONSES, "a caller who leaves the stream", async (prompt) => leaves(prompt,
  await client.responses.create({ model: "hangs", input: prompt, stream: true }), outputDelta));

// -- the lists, and what is passed through

check("/v1/models", "list", async () => {
  const models = await collect(client.models.list());
  same(models.map((model) => model.id).slice(0, 2), ["chorus", "talks"]);
  assert.ok(models.every((model) => model.object === "model" && model.created > 0));
});

check("/v1/models/{id}", "show", async () => {
  for (const name of ["chorus", "talks", "lab/talks:8b"]) {
    const { id, object, owned_by } = await client.models.retrieve(name);
    same([id, object, owned_by], [name, "model", "chorus"]);
  }
});

check("/v1/models/{id}", "a name nobody knows", async () => {
  const error = await thrown(OpenAI.NotFoundError, () => client.models.retrieve("nobody"));
  same([error.code, error.param], ["model_not_found", "model"]);
  has(error.message, "nobody");
});

check("/v1/embeddings", "plain", async () => {
  for (const encoding of [{}, { encoding_format: "float" }]) {
    const body = { model: "embeds", input: ["one", "two"], ...encoding };
    const reply = await client.embeddings.create(body);
    same(reply.data.map((item) => [...item.embedding]), [VECTOR, VECTOR]);
    same(reply.usage.prompt_tokens, 5);
  }
});

check("/v1/embeddings", "not from a workflow", async () => {
  const error = await thrown(OpenAI.BadRequestError, () =>
    client.embeddings.create({ model: "chorus", input: "one" }));
  same([error.code, error.param], ["invalid_request", "model"]);
});

await run("openai-js");
