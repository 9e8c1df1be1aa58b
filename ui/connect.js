// How other programs are pointed at this server.

import { base, json, key } from "./api.js";
import { h, show } from "./dom.js";
import { codeBlock } from "./markdown.js";
import { modelSelect } from "./parts.js";
import { t } from "./strings.js";

const root = () => base.href.replace(/\/$/, "");
const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const quoted = (text) => JSON.stringify(text);

/** Each client: its name, and what to copy as [name of the language, text] in order; `note` is a string of the page. */
export const CLIENTS = {
  curl: { name: "curl", of: ({ url, model, secret }) => [["sh", `curl -N ${url}/v1/chat/completions \\
  -H ${shell(`Authorization: Bearer ${secret}`)} \\
  -d ${shell(JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Why is the sky blue?" }] }))}`]] },
  python: { name: "openai (Python)", of: ({ url, model, secret }) => [["sh", "pip install openai"], ["python", `from openai import OpenAI

client = OpenAI(base_url=${quoted(`${url}/v1`)}, api_key=${quoted(secret)})
stream = client.chat.completions.create(
    model=${quoted(model)},
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)`]] },
  node: { name: "openai (JavaScript)", of: ({ url, model, secret }) => [["sh", "npm install openai"], ["js", `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${quoted(`${url}/v1`)}, apiKey: ${quoted(secret)} });
const stream = await client.chat.completions.create({
  model: ${quoted(model)},
  messages: [{ role: "user", content: "Why is the sky blue?" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");`]] },
  ollama: { name: "ollama (Python)", of: ({ url, model, secret }) => [["sh", "pip install ollama"], ["python", `from ollama import Client

client = Client(host=${quoted(url)}, headers={"Authorization": ${quoted(`Bearer ${secret}`)}})
question = [{"role": "user", "content": "Why is the sky blue?"}]
for part in client.chat(model=${quoted(model)}, messages=question, stream=True):
    print(part.message.content or "", end="", flush=True)`]] },
  webui: { name: "Open WebUI", note: "connect.webui", of: ({ url, secret }) => [["text", `URL      ${url}/v1\nAPI key  ${secret}`]] },
  claude: { name: "Claude Code", of: ({ url, model, secret }) => [["sh", `export ANTHROPIC_BASE_URL=${shell(url)}
export ANTHROPIC_AUTH_TOKEN=${shell(secret)}
export ANTHROPIC_MODEL=${shell(model)}
unset ANTHROPIC_API_KEY
claude`]] },
  codex: { name: "Codex", note: "connect.codex", of: ({ url, model, secret }) => [["toml", `model = ${quoted(model)}
model_provider = "chorus"

[model_providers.chorus]
name = "Chorus"
base_url = ${quoted(`${url}/v1`)}
env_key = "CHORUS_KEY"
wire_api = "responses"`], ["sh", `export CHORUS_KEY=${shell(secret)}\ncodex`]] },
  gemini: { name: "gemini-cli", of: ({ url, model, secret }) => [["sh", `export GOOGLE_GEMINI_BASE_URL=${shell(url)}
export GEMINI_API_KEY=${shell(secret)}
gemini --model ${shell(model)}`]] },
  opencode: { name: "opencode", note: "connect.opencode", of: ({ url, model, secret }) => [["json", JSON.stringify({
    $schema: "https://opencode.ai/config.json",
    model: `chorus/${model}`,
    provider: { chorus: { npm: "@ai-sdk/openai-compatible", name: "Chorus", options: { baseURL: `${url}/v1`, apiKey: secret }, models: { [model]: { name: model, tool_call: true } } } },
  }, null, 2)]] },
  langchain: { name: "LangChain", of: ({ url, model, secret }) => [["sh", "pip install langchain-openai"], ["python", `from langchain_openai import ChatOpenAI

model = ChatOpenAI(base_url=${quoted(`${url}/v1`)}, api_key=${quoted(secret)}, model=${quoted(model)})
for part in model.stream("Why is the sky blue?"):
    print(part.text, end="", flush=True)`]] },
  env: { name: "OPENAI_BASE_URL", note: "connect.env", of: ({ url, secret }) => [["sh", `export OPENAI_BASE_URL=${shell(`${url}/v1`)}\nexport OPENAI_API_KEY=${shell(secret)}`]] },
};

const state = { client: "curl", model: "", secret: "" };

export function mount(main, { query }) {
  if (Object.hasOwn(CLIENTS, query.get("client"))) state.client = query.get("client");
  const result = h("div", { class: "snippets", "aria-live": "polite" });
  const paint = () => {
    const client = CLIENTS[state.client];
    const snippets = client.of({ url: root(), model: models.value() || "chorus", secret: state.secret || t("connect.any") });
    show(result, h("h2", {}, client.name), client.note && h("p", {}, t(client.note)), snippets.map(([name, text]) => codeBlock(text, name)));
  };
  const models = modelSelect({
    id: "connect-model", value: state.model,
    onchange: (value) => {
      state.model = value;
      paint();
    },
  });
  const choice = h("fieldset", { class: "choice" }, h("legend", {}, t("connect.client")), Object.entries(CLIENTS).map(([id, client]) =>
    h("label", {}, h("input", {
      type: "radio", name: "client", value: id, checked: id === state.client,
      onchange: () => {
        state.client = id;
        history.replaceState(null, "", `#/connect?client=${id}`);
        paint();
      },
    }), h("span", {}, client.name))));
  main.append(h("div", { class: "head" }, h("h1", { tabIndex: -1 }, t("nav.connect"))),
    h("p", { class: "lead" }, t("connect.lead")),
    h("dl", { class: "facts bases" }, [["OpenAI", `${root()}/v1`], ["Ollama", root()], ["Anthropic", root()], ["Gemini", root()]].map(([name, url]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, url))))),
    h("div", { class: "columns connect" }, h("form", { class: "card", onsubmit: (event) => event.preventDefault() }, choice,
      h("label", { class: "field", for: "connect-model" }, h("span", {}, t("model")), models.element),
      h("label", { class: "field" }, h("span", {}, t("connect.key")), h("input", {
        type: "text", autocomplete: "off", spellcheck: false, placeholder: t("connect.any"), value: state.secret,
        oninput: (event) => {
          state.secret = event.target.value.trim();
          paint();
        },
      })), h("p", { class: "muted" }, t(key() ? "connect.key.set" : "connect.key.none"))),
    h("section", { class: "card", "aria-label": t("connect.copy") }, result)));
  paint();
  models.load(() => json("v1/models")).then(paint);
}
