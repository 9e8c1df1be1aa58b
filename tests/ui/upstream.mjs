// An OpenAI-compatible server whose models do what their names say, for the page's tests.
// Prints its address. No network beyond loopback, no state beyond the counts of calls.

import { createServer } from "node:http";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const ANSWER = `Sunlight holds all colours, and air scatters the **short waves** most.

## Why blue wins

1. Violet is scattered even more, but there is less of it in sunlight.
2. Our eyes see blue far better than violet.

\`\`\`python
def scattered(wavelength_nm):
    # Rayleigh: the fourth power of the inverse
    return (400 / wavelength_nm) ** 4
\`\`\`

| colour | nm | scattered |
| --- | ---: | ---: |
| blue | 450 | 0.62 |
| red | 700 | 0.11 |

At sunset the light goes through more air, and what is left is red.`;

const DRAFTS = {
  quick: "Air scatters short waves most, so the sky is blue. At sunset the way through the air is longer, and red is left.",
  steady: ANSWER.replace("Our eyes see", "The human eye sees").replace("and what is left is red", "so that mostly red remains"),
  "panel-a": "Sunlight is scattered by molecules of the air (Rayleigh). Short waves are scattered most, and the sky looks blue.",
  "panel-b": "Rayleigh scattering: molecules are much smaller than the wavelength, so that blue is scattered about six times as much as red.",
};

/** What a model may say to do harm; none of it may do anything. */
const HOSTILE = [
  "<script>window.harmed = 'script'</script>",
  "<img src=x onerror=\"window.harmed = 'image'\">",
  "[click me](javascript:window.harmed='link') and [me](data:text/html,<script>window.harmed='data'</script>)",
  "[\u0001java\tscript](java\tscript:window.harmed='tab') <javascript:window.harmed='auto'>",
  "![pixel](https://elsewhere.invalid/pixel.png?secret=1) ![x](javascript:alert(1))",
  "<svg onload=\"window.harmed = 'svg'\"><animate onbegin=\"window.harmed='svg2'\"/></svg>",
  "<iframe srcdoc=\"<script>parent.harmed='frame'</script>\"></iframe><base href=\"https://elsewhere.invalid/\">",
  "<style>body{display:none}</style><form action=https://elsewhere.invalid><button>go</button></form>",
  "```html\n<script>window.harmed = 'code'</script>\n```",
  "| <img src=x onerror=\"window.harmed='cell'\"> | b |\n| --- | --- |\n| [x](vbscript:a) | \u202e\u0000 |",
  "[a good link](https://example.org/?a=1&b=2)",
].join("\n\n");

const calls = new Map();

/** [milliseconds before the first piece, milliseconds between pieces, text] or a status. */
function script(model, body) {
  const count = (calls.get(model) ?? 0) + 1;
  calls.set(model, count);
  const asked = JSON.stringify(body.messages);
  if (model === "judge") return [150, 1, verdict(body, asked)];
  if (model === "analyst") return [60, 1, '{"task_type":"facts","temperature":0.4,"language":"en"}'];
  if (model === "fails") return 500;
  if (model === "retried" && count % 2 === 1) return 503;
  if (model === "retried") return [120, 4, DRAFTS.quick];
  if (model === "slow") return [600, 400, "word ".repeat(400)];
  if (model === "hostile") return [20, 1, HOSTILE];
  if (model === "long-line") return [20, 0, "a".repeat(500_000) + " <b>" + "*".repeat(500_000)];
  if (model === "writer") return [140, 8, ANSWER];
  return [{ quick: 90, steady: 260, "panel-a": 180, "panel-b": 320 }[model] ?? 100, 6, DRAFTS[model] ?? ANSWER];
}

/** Chorus asks for labels; whatever form its schema wants them in. */
function verdict(body, asked) {
  const schema = body.response_format?.json_schema?.schema;
  const labels = [...asked.matchAll(/candidate[^>]{0,80}?label=\\*"([^"\\]+)/g)].map((found) => found[1]);
  const shown = [...new Set(labels)];
  const best = schema?.properties?.best;
  const last = shown.at(-1) ?? "1";
  const scores = Object.fromEntries(shown.map((label, place) => [label, 5 + (place * 4.5) / shown.length]));
  const typed = best?.enum?.at(-1) ?? (best?.type === "integer" ? Number(last) : last);
  return JSON.stringify({ reason: "It names the cause, gives numbers and says what changes at sunset.", scores, best: typed });
}

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  if (request.method === "GET") {
    response.setHeader("content-type", "application/json");
    return response.end('{"object":"list","data":[]}');
  }
  const body = JSON.parse(Buffer.concat(parts).toString() || "{}");
  const what = script(body.model, body);
  if (typeof what === "number") {
    await pause(80);
    response.writeHead(what, { "content-type": "application/json" });
    return response.end('{"error":{"message":"the model is not well"}}');
  }
  const [before, between, text] = what;
  await pause(before);
  response.writeHead(200, { "content-type": "text/event-stream" });
  const say = (delta, reason) =>
    response.write(`data: ${JSON.stringify({ id: "x", object: "chat.completion.chunk", created: 0, model: body.model,
      choices: [{ index: 0, delta, finish_reason: reason ?? null }] })}\n\n`);
  const pieces = between === 0 ? text.match(/[^]{1,65536}/g) : text.match(/\S*\s*/g).filter(Boolean);
  for (const piece of pieces) {
    if (response.destroyed) return;
    say({ content: piece });
    if (between) await pause(between);
  }
  say({}, "stop");
  response.end("data: [DONE]\n\n");
});

server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
