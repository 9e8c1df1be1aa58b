// The `@google/genai` package against Chorus.

import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";
import {
  ANSWER, BOTH, CHORUS, SCHEMA, THOUGHT, TOOL, TOOL_ANSWER, TOOL_RESULT, WEATHER, check, collect,
  endings, has, hungUpOn, run, same, seen, thrown,
} from "./checks.mjs";

const clientOf = (apiVersion) =>
  new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl: CHORUS, apiVersion, timeout: 30_000 } });
const clients = [clientOf("v1beta"), clientOf("v1")];
const [client] = clients;
const GENERATE = ":generateContent";
const STREAM = ":streamGenerateContent";
const { name, description, parameters: parametersJsonSchema } = TOOL.function;
const tools = [{ functionDeclarations: [{ name, description, parametersJsonSchema }] }];

const asking = (model, contents, more = {}) =>
  ({ model, contents, config: { thinkingConfig: { includeThoughts: true }, ...more } });
const partsOf = (answers) =>
  answers.flatMap((one) => one.candidates ?? []).flatMap((one) => one.content?.parts ?? []);
const textOf = (answers, thought = false) => partsOf(answers)
  .filter((part) => Boolean(part.thought) === thought).map((part) => part.text ?? "").join("");
const whole = async (body, one = client) => [await one.models.generateContent(body)];
const piecemeal = async (body, one = client) =>
  collect(await one.models.generateContentStream(body));

for (const [path, what, ask] of [[GENERATE, "plain", whole], [STREAM, "streamed", piecemeal]]) {
  check(path, what, async (prompt) => {
    for (const one of clients) {
      for (const [model, tokens] of BOTH) {
        const answers = await ask(asking(model, prompt), one);
        same(textOf(answers), ANSWER);
        has(textOf(answers, true), THOUGHT);
        const { promptTokenCount, candidatesTokenCount } = answers.at(-1).usageMetadata;
        same([promptTokenCount, candidatesTokenCount], tokens);
        same(answers.at(-1).candidates[0].finishReason, "STOP");
      }
    }
  });

  check(path, "tools, there and back", async (prompt) => {
    for (const [model] of BOTH) {
      const contents = [{ role: "user", parts: [{ text: prompt }] }];
      const first = partsOf(await ask(asking(model, contents, { tools })));
      const [call, ...others] = first.filter((part) => part.functionCall);
      const { id, name, args } = call.functionCall;
      same([name, args, others], ["weather", { city: "Rome" }, []]);
      const response = { output: TOOL_RESULT };
      contents.push(
        { role: "model", parts: [call] },
        { role: "user", parts: [{ functionResponse: { id, name, response } }] },
      );
      same(textOf(await ask(asking(model, contents, { tools }))), TOOL_ANSWER);
    }
  });

  check(path, "a failure before the answer", async (prompt) => {
    const error = await thrown(ApiError, () => ask(asking("refuses", prompt)));
    same(error.status, 502);
    has(error.message, "on strike");
    assert.ok((await endings(prompt)).every((end) => end === "refused"));
  });
}

check(GENERATE, "structured output", async (prompt) => {
  for (const [model] of BOTH) {
    const form = { responseMimeType: "application/json", responseJsonSchema: SCHEMA };
    same(JSON.parse(textOf(await whole(asking(model, prompt, form)))), WEATHER);
  }
});

check(GENERATE, "a request that is wrong", async (prompt) => {
  const error = await thrown(ApiError, () => whole(asking("talks", prompt, { temperature: 3 })));
  same(error.status, 400);
  has(error.message, "temperature");
  same(await seen(prompt), []);
});

check(STREAM, "a failure during the stream", async (prompt) => {
  const error = await thrown(ApiError, () => piecemeal(asking("cuts", prompt)));
  has(error.message, "cut off");
});

check(STREAM, "a caller who leaves the stream", async (prompt) => {
  const leave = new AbortController();
  const body = asking("hangs", prompt, { abortSignal: leave.signal });
  for await (const one of await client.models.generateContentStream(body)) {
    if (textOf([one])) break;
  }
  leave.abort();
  await hungUpOn(prompt);
});

check(":countTokens", "a count without a model", async (prompt) => {
  const { totalTokens } = await client.models.countTokens({ model: "chorus", contents: prompt });
  assert.ok(totalTokens > 5 && totalTokens < 60, String(totalTokens));
  same(await seen(prompt), []);
});

check("/v1beta/models", "Google's form of the list", async () => {
  const models = await collect(await client.models.list());
  same(models.map((model) => model.name).slice(0, 2), ["models/chorus", "models/talks"]);
});

await run("google-genai-js");
