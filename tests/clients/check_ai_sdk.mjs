// The AI SDK against Chorus, through each of its providers that can be pointed at it.

import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenResponses } from "@ai-sdk/open-responses";
import { APICallError, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import {
  ANSWER, BOTH, CHORUS, FIRST_PIECES, THOUGHT, TOOL, TOOL_ANSWER, TOOL_RESULT, check, endings, has,
  hungUpOn, run, same,
} from "./checks.mjs";

const openai = createOpenAI({ baseURL: `${CHORUS}/v1`, apiKey: "any" });
const compatible = createOpenAICompatible({
  name: "chorus", baseURL: `${CHORUS}/v1`, apiKey: "any", includeUsage: true,
});
const responses = createOpenResponses({ name: "chorus", url: `${CHORUS}/v1/responses` });
const ollama = createOllama({ baseURL: `${CHORUS}/api` });

// What each can show. OpenAI's own chat models have no reasoning to show; open-responses reads it
// from a stream only. Two read only an error of a stricter form than OpenAI's and Ollama's own, and
// tell the status in its place; Ollama's passes over an error line and fails at the body that breaks off
// behind it.
const OPENAI = { plainThought: true, streamedThought: true, readsErrors: true };
const providers = [
  ["openai", "/v1/chat/completions", (name) => openai.chat(name),
    { ...OPENAI, plainThought: false, streamedThought: false }],
  ["openai", "/v1/responses", (name) => openai.responses(name), OPENAI],
  ["openai-compatible", "/v1/chat/completions", (name) => compatible(name), OPENAI],
  ["open-responses", "/v1/responses", (name) => responses(name),
    { ...OPENAI, plainThought: false, readsErrors: false }],
  ["ollama-ai-provider-v2", "/api/chat", (name) => ollama(name), { ...OPENAI, readsErrors: false }],
];
const providerOptions = { ollama: { think: true } };

const weather = tool({
  description: TOOL.function.description,
  inputSchema: jsonSchema(TOOL.function.parameters),
  execute: async (input) => {
    same(input, { city: "Rome" });
    return TOOL_RESULT;
  },
});

/** Everything a stream says: its text, its reasoning, its errors, its end. */
async function told(settings) {
  const all = { text: "", reasoning: "", errors: [], finish: undefined };
  const { fullStream } = streamText({ maxRetries: 0, onError() {}, providerOptions, ...settings });
  try {
    for await (const part of fullStream) {
      if (part.type === "text-delta") all.text += part.text;
      if (part.type === "reasoning-delta") all.reasoning += part.text;
      if (part.type === "error") all.errors.push(part.error);
      if (part.type === "finish") all.finish = part;
    }
  } catch (error) {
    all.errors.push(error); // a body that broke off
  }
  return all;
}

for (const [name, path, modelOf, { plainThought, streamedThought, readsErrors }] of providers) {
  const its = (what) => `${name}: ${what}`;

  check(path, its("plain"), async (prompt) => {
    for (const [model, [input, output]] of BOTH) {
      const settings = { model: modelOf(model), prompt, providerOptions, maxRetries: 0 };
      const reply = await generateText(settings);
      same([reply.text, reply.finishReason], [ANSWER, "stop"]);
      if (plainThought) has(reply.reasoningText, THOUGHT);
      same([reply.usage.inputTokens, reply.usage.outputTokens], [input, output]);
    }
  });

  check(path, its("streamed"), async (prompt) => {
    for (const [model, [input, output]] of BOTH) {
      const { text, reasoning, errors, finish } = await told({ model: modelOf(model), prompt });
      same([text, errors, finish.finishReason], [ANSWER, [], "stop"]);
      if (streamedThought) has(reasoning, THOUGHT);
      if (streamedThought && model === "chorus") has(reasoning, "worker talks: ok");
      same([finish.totalUsage.inputTokens, finish.totalUsage.outputTokens], [input, output]);
    }
  });

  check(path, its("tools, there and back"), async (prompt) => {
    for (const model of ["talks", "chorus"]) {
      const settings = { model: modelOf(model), prompt, tools: { weather } };
      settings.stopWhen = stepCountIs(3);
      same((await generateText({ ...settings, maxRetries: 0 })).text, TOOL_ANSWER);
      const { text, errors } = await told(settings);
      same([text, errors], [TOOL_ANSWER, []]);
    }
  });

  check(path, its("a failure before the answer"), async (prompt) => {
    const model = modelOf("refuses");
    const error = await generateText({ model, prompt, maxRetries: 0 }).catch((error) => error);
    // Every provider brings a copy of the class.
    assert.ok(APICallError.isInstance(error), String(error?.stack ?? error));
    same(error.statusCode, 502);
    has(readsErrors ? error.message : error.responseBody, "on strike");
    same(await endings(prompt), ["refused"]);
  });

  check(path, its("a failure before the stream"), async (prompt) => {
    const { text, errors } = await told({ model: modelOf("refuses"), prompt });
    same([text, errors.length, errors[0].statusCode], ["", 1, 502]);
    has(readsErrors ? errors[0].message : errors[0].responseBody, "on strike");
  });

  check(path, its("a failure during the stream"), async (prompt) => {
    const { text, errors, finish } = await told({ model: modelOf("cuts"), prompt });
    same(text, FIRST_PIECES);
    assert.notEqual(finish?.finishReason, "stop");
    if (path === "/api/chat") same(errors.length, 1);
    if (readsErrors) has(JSON.stringify(errors[0]?.message ?? errors[0]), "cut off");
  });

  check(path, its("a caller who leaves the stream"), async (prompt) => {
    const leaving = new AbortController();
    const abortSignal = leaving.signal;
    const { textStream } = streamText({ model: modelOf("hangs"), prompt, abortSignal });
    for await (const _ of textStream) {
      leaving.abort();
      break;
    }
    await hungUpOn(prompt);
  });
}

// Its warnings are about what providers leave out of what they were not asked for.
globalThis.AI_SDK_LOG_WARNINGS = false;
console.warn = () => {};
await run("ai-sdk");
