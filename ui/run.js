// One run: its waterfall, and everything about the row that is chosen.

import { follow, json, request } from "./api.js";
import { announce, h, icon, show } from "./dom.js";
import { Drafts, verdict } from "./drafts.js";
import { cost, count, duration, statusWord, when } from "./format.js";
import { copyButton, render } from "./markdown.js";
import { badge, errorBox, tile } from "./parts.js";
import { recall } from "./seen.js";
import { t } from "./strings.js";
import { calls, FAILURES, ofLive, ofTrace, slowest } from "./trace.js";
import { legend, Waterfall } from "./waterfall.js";

const pair = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));

/** Everything that is known of a row. */
function details(row) {
  const { record } = row;
  const usage = record.usage;
  const list = h("dl", { class: "pairs" },
    row.model && pair(t("model"), row.model),
    row.level && pair(t("detail.level"), row.level),
    pair(t("detail.started"), duration(row.start)),
    pair(t("detail.took"), duration(row.end - row.start)),
    row.queued > 0 && pair(t("status.queued"), duration(row.queued)),
    record.first_token_ms !== undefined && pair(t("fact.first"), duration(record.first_token_ms)),
    record.temperature !== undefined && pair(t("detail.temperature"), count(record.temperature), record.temperature_source && h("span", { class: "muted" }, ` ${t(`source.${record.temperature_source}`)}`)),
    usage && usage.total_tokens > 0 && pair(t("fact.tokens"), t("detail.tokens", { all: count(usage.total_tokens), in: count(usage.prompt_tokens), out: count(usage.completion_tokens) }), usage.estimated && h("span", { class: "muted" }, ` ${t("detail.estimated")}`)),
    usage?.cost_usd !== undefined && pair(t("fact.cost"), cost(usage.cost_usd)),
    record.finish_reason && pair(t("detail.finish"), record.finish_reason),
    record.task_type && pair(t("detail.task"), record.task_type),
    record.language && pair(t("language"), record.language),
    record.hedged && pair(t("detail.hedged"), t("word.yes")));
  const attempts = record.calls ?? [];
  return [
    h("div", { class: "row" }, h("h2", {}, row.name), badge(row.status), row.critical && h("span", { class: "tag path" }, t("wf.critical"))),
    h("p", { class: "muted" }, t(`about.${row.folds ? "nested" : row.stage}`)),
    record.error && h("div", { class: "box-error" }, icon("failed"), h("div", {}, h("strong", {}, record.error.code), h("p", {}, record.error.message))),
    list,
    attempts.length > 0 && h("div", {}, h("h3", {}, t("detail.attempts")), h("table", { class: "attempts" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("detail.endpoint")), h("th", { scope: "col" }, t("detail.outcome")), h("th", { scope: "col", class: "to-right" }, t("detail.took")))),
      h("tbody", {}, attempts.map((call) => h("tr", {}, h("td", {}, call.endpoint), h("td", { class: call.outcome === "ok" ? null : "error-text" }, call.outcome), h("td", { class: "to-right" }, duration(call.ms))))))),
    record.reason && h("div", {}, h("h3", {}, t("detail.reason")), h("p", {}, record.reason)),
    record.fallback_reason && h("p", {}, record.fallback_reason),
    record.response && h("div", {}, h("div", { class: "row" }, h("h3", {}, t("draft")), h("span", { class: "grow" }), copyButton(() => record.response, t("copy.draft"))), render(record.response)),
  ];
}

/** What a newcomer wants to know, in whole sentences. */
function story(trace) {
  const slow = slowest(trace);
  const parts = [];
  if (trace.mode === "direct") parts.push(t("story.direct", { name: trace.synthesizer?.model ?? trace.name }));
  else if (slow) parts.push(t("story.slowest", { name: slow.name, stage: t(`stage.${slow.stage}`), time: duration(slow.end - slow.start) }));
  const { unaccounted } = ofTrace(trace);
  if (trace.overhead_ms !== undefined) parts.push(t("story.overhead", { ms: duration(trace.overhead_ms) }));
  if (unaccounted !== null) parts.push(t("story.unaccounted", { ms: duration(unaccounted) }));
  return h("p", { class: "story" }, parts.join(" "));
}

function finished(main, run, texts) {
  const { trace } = run;
  const inspector = h("section", { class: "inspector card", "aria-label": t("run.details"), "aria-live": "polite" });
  const waterfall = new Waterfall({ onselect: (row) => show(inspector, details(row)) });
  const model = ofTrace(trace);
  const failures = model.rows.filter((row) => FAILURES.includes(row.status) && !row.folds);
  const bar = h("div", { class: "row" }, h("h2", {}, t("run.waterfall")), h("span", { class: "grow" }),
    failures.length > 0 && h("button", {
      type: "button", class: "small", id: "next-failure",
      onclick: () => {
        const row = waterfall.next(FAILURES);
        if (row) announce(`${row.name}: ${statusWord(row.status)}`);
      },
    }, icon("next"), t("run.next", { n: count(failures.length) })),
    copyButton(() => JSON.stringify(trace, null, 2), t("copy.json")));
  const usage = run.usage ?? trace.usage;
  const answer = texts.answer && h("div", { class: "prose" });
  if (answer) answer.append(...render(texts.answer).childNodes);
  const drafts = new Drafts(trace, answer || null);
  const hasDrafts = trace.workers?.some((worker) => worker.response);
  const parts = [
    h("dl", { class: "tiles", "aria-label": t("runs.totals") },
      tile(t("fact.total"), duration(trace.total_ms)), tile(t("fact.first"), duration(trace.first_token_ms)),
      tile(t("fact.calls"), count(run.calls ?? calls(trace))), tile(t("fact.tokens"), count(usage?.total_tokens)),
      tile(t("fact.cost"), cost(usage?.cost_usd)), tile(t("fact.overhead"), duration(trace.overhead_ms), t("fact.overhead.note"))),
    run.error && errorBox(run.error),
    (trace.warnings ?? []).length > 0 && h("ul", { class: "warnings" }, trace.warnings.map((warning) =>
      h("li", {}, icon("degraded"), h("strong", {}, warning.name), ` ${t(`stage.${warning.stage}`)}: ${warning.code}`))),
    story(trace), verdict(trace),
    h("div", { class: "columns split wide-left" },
      h("section", { class: "card", "aria-label": t("run.waterfall") }, bar, waterfall.element, legend()), inspector),
    texts.question && h("section", { class: "card", "aria-label": t("ask.question") }, h("h2", {}, t("ask.question")), h("p", { class: "as-is" }, texts.question)),
    (answer || hasDrafts) && h("div", { class: answer ? "columns split" : "columns" }, answer && h("section", { class: "answer", "aria-label": t("ask.answer") }, h("h2", {}, t("ask.answer")), answer), hasDrafts && drafts.element),
    !hasDrafts && !answer && h("p", { class: "muted" }, t("run.no.texts")),
  ];
  main.append(...parts.filter(Boolean));
  waterfall.update(model);
  if (hasDrafts) drafts.start();
  const first = failures[0] ?? model.rows.find((row) => row.id === model.critical.at(-1)) ?? model.rows[0];
  if (first) waterfall.select(first.id);
}

export function mount(main, { id }) {
  // The heading has the focus from the start, and keeps it.
  const name = h("h1", { tabIndex: -1 }, t("run.title")), about = h("div", { class: "contents" });
  const head = h("div", { class: "head" }, name, about);
  const body = h("div", { class: "run-body" });
  main.append(h("p", { class: "crumbs" }, h("a", { href: "#/runs" }, icon("fold", "back"), t("nav.runs"))), head, body);
  const title = (run, status, more) => show(about, badge(status), run.client && h("span", { class: "tag" }, run.client),
    h("span", { class: "muted" }, run.started_at ? when(run.started_at) : ""), h("code", { class: "muted id", title: t("run.id") }, run.workflow_id), h("span", { class: "grow" }), more);
  const naming = (run) => (name.textContent = run.model || run.name || t("run.title"));
  let unfollow = null, clock = null, left = false;

  async function load(again = 0) {
    clearInterval(clock);
    unfollow?.();
    unfollow = null;
    const here = recall(id);
    let run;
    try {
      run = await json(`chorus/runs/${encodeURIComponent(id)}`);
    } catch (error) {
      if (left) return;
      if (error.status === 404 && again > 0) return setTimeout(load, 300, again - 1);
      if (!here) {
        show(body, errorBox(error));
        return;
      }
      run = { ...here.trace, trace: here.trace };
    }
    if (left) return;
    show(body);
    naming(run);
    if (run.trace) {
      // Texts that the server did not keep may still be in this tab.
      if (here) run.trace = here.trace;
      title(run, run.status);
      finished(body, run, { question: run.question ?? here?.question, answer: run.answer ?? here?.answer });
    } else flight(run);
  }

  function flight(run) {
    const stop = h("button", {
      type: "button", class: "small danger-quiet",
      onclick: async () => {
        stop.disabled = true;
        await request(`chorus/runs/${encodeURIComponent(run.workflow_id)}`, { method: "DELETE" }).catch(() => {});
      },
    }, icon("stop"), t("runs.cancel"));
    title(run, "running", stop);
    const waterfall = new Waterfall();
    body.append(h("section", { class: "card", "aria-label": t("run.waterfall") }, h("h2", {}, t("run.waterfall")), waterfall.element, legend()));
    let at = performance.now() - (run.elapsed_ms ?? 0);
    const paint = () => waterfall.update(ofLive(run, performance.now() - at));
    clock = setInterval(paint, 100);
    paint();
    unfollow = follow((event, data) => {
      if (event !== "in_flight") return;
      const now = data.find((one) => one.workflow_id === run.workflow_id);
      if (now) {
        run = now;
        at = performance.now() - (now.elapsed_ms ?? 0);
      } else load(5);
    });
  }

  load();
  return () => {
    left = true;
    unfollow?.();
    clearInterval(clock);
  };
}
