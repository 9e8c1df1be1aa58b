// The `@anthropic-ai/sdk` package against Chorus.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import {
  ANSWER, BOTH, CHORUS, FIRST_PIECES, THOUGHT, TOOL, TOOL_ANSWER, TOOL_RESULT, check, collect,
  endings, has, hungUpOn, run, same, seen, thrown,
} from "./checks.mjs";

const client = new Anthropic({ baseURL: CHORUS, apiKey: "any", timeout: 30_000 });
const MESSAGES = "/v1/messages";
const COUNT = "/v1/messages/count_tokens";
const { name, description, parameters: input_schema } = TOOL.function;
const TOOLS = [{ name, description, input_schema }];

const asks = (prompt) => [{ role: "user", content: prompt }];
const asking = (model, messages, more = {}) => ({ model, max_tokens: 100, messages, ...more });
const thinking = { type: "adaptive" };
const textOf = (message, kind = "text") =>
  message.content.filter((block) => block.type === kind).map((block) => block[kind]).join("");
const deltaOf = (event) => event.type === "content_block_delta" ? event.delta.text ?? "" : "";

function sameUsage({ input_tokens, output_tokens }, tokens) {
  same([input_tokens, output_tokens], tokens);
}

check(MESSAGES, "plain", async (prompt) => {
  for (const [model, tokens] of BOTH) {
    const message = await client.messages.create(asking(model, asks(prompt), { thinking }));
    same([textOf(message), textOf(message, "thinking")], [ANSWER, THOUGHT]);
    same([message.model, message.stop_reason], [model, "end_turn"]);
    sameUsage(message.usage, tokens);
    const bare = await client.messages.create(asking(model, asks(prompt)));
    same(bare.content[0].text, ANSWER);
  }
});

check(MESSAGES, "streamed", async (prompt) => {
  for (const [model, tokens] of BOTH) {
    const stream = client.messages.stream(asking(model, asks(prompt), { thinking }));
    const pieces = [];
    stream.on("text", (text) => pieces.push(text));
    const message = await stream.finalMessage();
    same([pieces.join(""), textOf(message)], [ANSWER, ANSWER]);
    has(textOf(message, "thinking"), THOUGHT);
    same(textOf(message, "thinking").includes("worker talks: ok"), model === "chorus");
    sameUsage(message.usage, tokens);
  }
});

const whole = (body) => client.messages.create(body);
const piecemeal = (body) => client.messages.stream(body).finalMessage();

for (const [what, ask] of [["", whole], [", streamed", piecemeal]]) {
  check(MESSAGES, `tools, there and back${what}`, async (prompt) => {
    for (const [model] of BOTH) {
      const first = await ask(asking(model, asks(prompt), { tools: TOOLS, thinking }));
      const [call, ...others] = first.content.filter((block) => block.type === "tool_use");
      same([call.name, call.input, others], ["weather", { city: "Rome" }, []]);
      same(first.stop_reason, "tool_use");
      const result = { type: "tool_result", tool_use_id: call.id, content: TOOL_RESULT };
      const messages = [
        ...asks(prompt),
        { role: "assistant", content: first.content },
        { role: "user", content: [result] },
      ];
      const last = await ask(asking(model, messages, { tools: TOOLS, thinking }));
      same([textOf(last), last.stop_reason], [TOOL_ANSWER, "end_turn"]);
    }
  });
}

check(MESSAGES, "a request that is wrong", async (prompt) => {
  const error = await thrown(Anthropic.BadRequestError, () =>
    client.messages.create(asking("talks", asks(prompt), { temperature: 3 })));
  same(error.error.error.type, "invalid_request_error");
  has(error.message, "temperature");
  same(await seen(prompt), []);
});

/** A failure before the answer: once, with its reason, and not tried again by the SDK. */
async function refused(prompt, action) {
  const error = await thrown(Anthropic.InternalServerError, action);
  same([error.status, error.error.error.type], [502, "api_error"]);
  has(error.message, "on strike");
  same(error.requestID, error.error.request_id);
  same(await endings(prompt), ["refused"]);
}

check(MESSAGES, "a failure before the answer", (prompt) => refused(prompt, () =>
  client.messages.create(asking("refuses", asks(prompt)))));

check(MESSAGES, "a failure before the stream", (prompt) => refused(prompt, () =>
  client.messages.create(asking("refuses", asks(prompt), { stream: true }))));

check(MESSAGES, "a failure during the stream", async (prompt) => {
  const pieces = [];
  const error = await thrown(Anthropic.APIError, async () => {
    const body = asking("cuts", asks(prompt), { stream: true });
    for await (const event of await client.messages.create(body)) pieces.push(deltaOf(event));
  });
  same(pieces.join(""), FIRST_PIECES);
  has(error.message, "cut off");
});

check(MESSAGES, "a caller who leaves the stream", async (prompt) => {
  const stream = await client.messages.create(asking("hangs", asks(prompt), { stream: true }));
  for await (const event of stream) {
    if (deltaOf(event)) break;
  }
  stream.controller.abort();
  await hungUpOn(prompt);
});

check(COUNT, "a count without a model", async (prompt) => {
  const body = { model: "claude-chorus", messages: asks(prompt), tools: TOOLS };
  const { input_tokens } = await client.messages.countTokens(body);
  assert.ok(input_tokens > 20 && input_tokens < 120, String(input_tokens));
  same(await seen(prompt), []);
});

check("/v1/models", "Anthropic's form of the list", async () => {
  const models = await collect(client.models.list({ limit: 2 }));
  same(models.map((model) => model.id).slice(0, 3), ["claude-chorus", "chorus", "talks"]);
});

await run("anthropic-js");
