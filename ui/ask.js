// Asks a question, and shows how the answer comes about.

import { events, follow, json, request, Refusal } from "./api.js";
import { announce, h, icon, show } from "./dom.js";
import { Drafts, verdict } from "./drafts.js";
import { cost, count, duration } from "./format.js";
import { copyButton, Growing } from "./markdown.js";
import { badge, errorBox, modelSelect } from "./parts.js";
import { remember } from "./seen.js";
import { t } from "./strings.js";
import { ofLive, ofTrace, slowest } from "./trace.js";
import { Waterfall } from "./waterfall.js";

/** What outlives a change of language or view. */
const state = { turns: [], model: "", draft: "" };
const MARK = /\u2063/g;

/** One question and what became of it. */
class Turn {
  constructor(question, model) {
    Object.assign(this, { question, model, answer: "", progress: "", live: null, trace: null, totals: null, error: null, status: "running" });
    this.requestId = crypto.randomUUID?.() ?? `page-${Date.now()}`;
    this.begun = performance.now();
    this.leave = new AbortController();
    this.changed = () => {};
  }

  get elapsed() {
    return (this.ended ?? performance.now()) - this.begun;
  }

  async ask(history) {
    const unfollow = follow((event, data) => {
      if (event !== "in_flight" || this.trace) return;
      const own = data.find((run) => run.request_id === this.requestId || (this.workflowId && run.workflow_id === this.workflowId));
      if (own) {
        this.live = own;
        this.liveAt = performance.now() - (own.elapsed_ms ?? 0);
        this.changed("stages");
      }
    });
    try {
      const response = await request("v1/chat/completions", {
        method: "POST",
        signal: this.leave.signal,
        headers: { "content-type": "application/json", "x-request-id": this.requestId },
        body: JSON.stringify({ model: this.model, stream: true, include_workflow: true, messages: [...history, { role: "user", content: this.question }] }),
      });
      this.workflowId = response.headers.get("x-chorus-workflow-id");
      await this.#read(response);
      this.status = this.trace?.status ?? "ok";
    } catch (error) {
      this.status = error.name === "AbortError" ? "cancelled" : "failed";
      if (this.status === "failed") this.error = error instanceof Refusal ? error : new Refusal(t("error.broken"), "broken", 0);
      if (error.code === "cancelled") this.status = "cancelled";
    } finally {
      unfollow();
      this.ended = performance.now();
      if (this.trace) remember(this.trace, this.question, this.answer);
      this.changed("end");
    }
  }

  async #read(response) {
    let done = false;
    for await (const { data } of events(response)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.workflow) this.trace = chunk.workflow;
      if (chunk.chorus) this.totals = chunk.chorus;
      if (chunk.error) throw new Refusal(chunk.error.message, chunk.error.code, 0);
      const choice = chunk.choices?.[0];
      const words = choice?.delta?.reasoning_content ?? choice?.delta?.reasoning;
      if (words) {
        this.progress += words;
        this.changed("progress");
      }
      if (choice?.delta?.content) {
        this.firstToken ??= this.elapsed;
        this.answer += choice.delta.content;
        this.changed("answer");
      }
      done ||= Boolean(choice?.finish_reason);
    }
    if (!done) throw new Refusal(t("error.broken"), "broken", 0);
  }
}

/** The last line of progress, in Chorus' own words. */
const lastLine = (text) => text.replace(MARK, "").trim().split("\n").at(-1) ?? "";

/** What a turn cost, in one line; with the words that a newcomer asks for. */
function facts(turn) {
  const { trace, totals } = turn;
  const usage = trace?.usage ?? totals?.total_usage;
  const entry = (name, value, hint) => h("div", {}, h("dt", {}, name), h("dd", { title: hint }, value));
  const slow = trace && slowest(trace);
  return h("dl", { class: "facts" },
    entry(t("fact.total"), duration(trace?.total_ms ?? turn.elapsed)),
    entry(t("fact.first"), duration(trace?.first_token_ms ?? turn.firstToken)),
    slow && trace.mode !== "direct" && entry(t("fact.slowest"), `${slow.name}, ${duration(slow.end - slow.start)}`),
    totals && entry(t("fact.calls"), count(totals.calls)),
    usage && entry(t("fact.tokens"), count(usage.total_tokens)),
    entry(t("fact.cost"), cost(usage?.cost_usd ?? totals?.cost_usd)));
}

/** Builds a turn, and keeps it up to date until its view is left. */
function show1(turn, place, onAgain) {
  const waterfall = new Waterfall({ compact: true });
  const line = h("p", { class: "progress muted" });
  const stages = h("section", { class: "stages", "aria-label": t("ask.stages") }, line, waterfall.element);
  const prose = h("div", { class: "prose" });
  const growing = new Growing(prose);
  const end = h("div", { class: "turn-end" });
  const answer = h("section", { class: "answer", "aria-label": t("ask.answer") }, prose, end);
  const below = h("div", { class: "drafts-place" });
  const columns = h("div", { class: "columns" }, answer, below);
  const status = h("span");
  const item = h("article", { class: "turn", "aria-label": `${t("ask.question")} ${place + 1}` },
    h("h2", { class: "question" }, turn.question), h("div", { class: "turn-meta" }, h("span", { class: "tag" }, turn.model), status),
    stages, columns);
  let timer = null;
  const paintStages = () => {
    const model = turn.trace ? ofTrace(turn.trace) : turn.live ? ofLive(turn.live, performance.now() - turn.liveAt) : null;
    waterfall.element.hidden = !model?.rows.length;
    if (model) waterfall.update(model);
    line.textContent = turn.trace ? "" : turn.answer ? t("ask.writing") : lastLine(turn.progress) || t("ask.sent");
    line.hidden = Boolean(turn.trace) || turn.status !== "running";
    if (turn.status === "running") {
      show(status, h("span", { class: "muted tabular" }, duration(Math.round(turn.elapsed / 100) * 100)));
    }
  };
  const paintEnd = () => {
    clearInterval(timer);
    growing.set(turn.answer);
    growing.paint();
    paintStages();
    show(status, badge(turn.status));
    const id = turn.trace?.workflow_id ?? turn.workflowId;
    show(end,
      turn.error && turn.status === "failed" && errorBox(turn.error),
      turn.status === "cancelled" && h("p", { class: "muted" }, turn.answer ? t("ask.stopped") : t("ask.stopped.early")),
      facts(turn),
      h("div", { class: "row" },
        turn.answer && copyButton(() => turn.answer, t("copy.answer")),
        id && h("a", { class: "button small quiet", href: `#/runs/${encodeURIComponent(id)}` }, icon("next"), t("ask.run")),
        h("button", { type: "button", class: "quiet small", onclick: () => onAgain(turn) }, t("ask.again"))));
    if (turn.trace?.workers?.some((worker) => worker.response || worker.nested)) {
      const drafts = new Drafts(turn.trace, prose);
      show(below, verdict(turn.trace), drafts.element);
      columns.classList.add("split");
      drafts.start();
    } else if (turn.trace) show(below, verdict(turn.trace));
  };
  turn.changed = (what) => {
    if (what === "answer") growing.set(turn.answer);
    else if (what === "end") {
      paintEnd();
      announce(t(`announce.${turn.status === "failed" ? "failed" : turn.status === "cancelled" ? "cancelled" : "answered"}`));
    } else paintStages();
  };
  if (turn.status === "running") {
    growing.set(turn.answer);
    timer = setInterval(paintStages, 100);
    paintStages();
  } else paintEnd();
  return { item, leave: () => clearInterval(timer) };
}

export function mount(main, { query }) {
  const leaves = [];
  const list = h("div", { class: "turns" });
  const running = () => state.turns.find((turn) => turn.status === "running");
  const empty = h("div", { class: "empty" });
  const text = h("textarea", {
    id: "question", rows: 1, placeholder: t("ask.placeholder"), "aria-label": t("ask.label"), value: state.draft,
    oninput: () => {
      state.draft = text.value;
      size();
    },
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        go();
      }
    },
  });
  const size = () => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight + 2, 240)}px`;
  };
  const models = modelSelect({ id: "model", value: query.get("model") ?? state.model, onchange: (value) => (state.model = value) });
  const send = h("button", { type: "submit", class: "primary round", "aria-label": t("ask.send") }, icon("send"));
  const stop = h("button", { type: "button", class: "danger round", hidden: true, "aria-label": t("ask.stop"), onclick: () => running()?.leave.abort() }, icon("stop"));
  const fresh = h("button", {
    type: "button", class: "quiet small", hidden: true,
    onclick: () => {
      running()?.leave.abort();
      state.turns = [];
      show(list);
      paint();
      text.focus();
    },
  }, t("ask.new"));
  const form = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); go(); } },
    h("div", { class: "box" }, text, h("div", { class: "row" }, models.element, fresh, h("span", { class: "grow" }), h("span", { class: "muted hint" }, t("ask.hint")), stop, send)));

  const paint = () => {
    const busy = Boolean(running());
    send.hidden = busy;
    stop.hidden = !busy;
    fresh.hidden = state.turns.length === 0;
    empty.hidden = state.turns.length > 0;
    title.className = state.turns.length > 0 ? "sr" : "";
    main.classList.toggle("fresh", state.turns.length === 0);
  };
  const again = (turn) => {
    text.value = turn.question;
    state.draft = text.value;
    size();
    text.focus();
  };
  const add = (turn, place) => {
    const shown = show1(turn, place, again);
    leaves.push(shown.leave);
    list.append(shown.item);
    const changed = turn.changed;
    turn.changed = (what) => {
      changed(what);
      if (what === "end") paint();
    };
    return shown.item;
  };
  function go(question = text.value) {
    if (!question.trim() || running()) return;
    const history = state.turns.filter((turn) => turn.answer && turn.status !== "failed")
      .flatMap((turn) => [{ role: "user", content: turn.question }, { role: "assistant", content: turn.answer }]);
    const turn = new Turn(question.trim(), models.value());
    state.model = turn.model;
    state.turns.push(turn);
    state.draft = text.value = "";
    size();
    const item = add(turn, state.turns.length - 1);
    paint();
    item.scrollIntoView({ block: "start" });
    announce(t("announce.asked"));
    turn.ask(history);
  }

  show(empty, h("p", { class: "lead" }, t("ask.lead")),
    h("ul", { class: "examples", "aria-label": t("ask.examples") }, [1, 2, 3].map((place) =>
      h("li", {}, h("button", { type: "button", onclick: () => go(t(`ask.example.${place}`)) }, t(`ask.example.${place}`))))));
  const title = h("h1", { tabIndex: -1 }, t("ask.title"));
  main.append(title, empty, list, form);
  state.turns.forEach(add);
  paint();
  size();
  models.load(() => json("v1/models"));
  if (matchMedia("(pointer: fine)").matches) text.focus({ preventScroll: true });
  return () => {
    for (const leave of leaves) leave();
    for (const turn of state.turns) turn.changed = () => {};
  };
}
