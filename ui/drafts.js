// The drafts beside the answer, what differs marked, and what the judge said.

import { clear, mark } from "./differ.js";
import { h, icon, show } from "./dom.js";
import { cost, count, duration } from "./format.js";
import { copyButton, render } from "./markdown.js";
import { badge } from "./parts.js";
import { t } from "./strings.js";

/** Every draft of a record, those of nested workflows too. */
export function drafts(level, path = "") {
  return (level.workers ?? []).flatMap((worker) => {
    const name = path ? `${path}/${worker.name}` : worker.name;
    const own = { name, worker, wins: level.selector?.selected_worker === worker.name, score: level.selector?.scores?.[worker.name] ?? level.reranker?.scores?.[worker.name] };
    return [own, ...(worker.nested ? drafts(worker.nested, name) : [])];
  });
}

/** Who won, why, and how the others were marked. */
export function verdict(trace) {
  const selector = trace.selector ?? {};
  const scores = Object.entries(selector.scores ?? trace.reranker?.scores ?? {}).sort((a, b) => b[1] - a[1]);
  if (!selector.selected_worker && !selector.reason && !scores.length) {
    return trace.note ? h("section", { class: "verdict", "aria-label": t("judge") }, h("p", {}, trace.note)) : null;
  }
  const most = Math.max(10, ...scores.map(([, score]) => score));
  const winner = selector.selected_worker;
  return h("section", { class: "verdict", "aria-label": t("judge") },
    h("p", {}, winner && h("strong", { class: "winner" }, icon("star"), winner), " ",
      winner && (selector.status === "skipped" ? t("judge.only") : selector.fallback ? t("judge.fallback") : t("judge.won", { judge: selector.model ?? t("stage.selector") })),
      " ", selector.fallback ? null : selector.reason && h("q", {}, selector.reason)),
    scores.length > 0 && h("dl", { class: "scores" }, scores.map(([name, score]) =>
      h("div", { class: name === winner ? "wins" : null }, h("dt", {}, name), h("dd", {},
        h("span", { class: "meter", "aria-hidden": "true" }, h("i", { style: { width: `${(100 * Math.max(score, 0)) / most}%` } })),
        h("span", { class: "tabular" }, count(Math.round(score * 10) / 10)))))));
}

let instances = 0;

/** Tabs over the drafts, beside an answer that is on the screen already; null when there is none. */
export class Drafts {
  constructor(trace, answer) {
    this.answer = answer;
    this.list = drafts(trace).filter((draft) => draft.worker.response || draft.worker.error || draft.worker.status !== "ok");
    for (const draft of this.list) draft.wins &&= !draft.name.includes("/");
    this.list.sort((a, b) => Number(b.wins) - Number(a.wins));
    const base = `drafts-${instances++}`;
    this.panel = h("div", { class: "draft", role: "tabpanel", id: `${base}-panel`, tabIndex: 0 });
    this.tabs = this.list.map((draft, place) => h("button", {
      type: "button", role: "tab", id: `${base}-${place}`, "aria-controls": `${base}-panel`, "aria-selected": "false", tabIndex: -1,
      class: draft.worker.status === "ok" ? null : `st-${draft.worker.status}`,
      onclick: () => this.choose(place),
    }, draft.wins ? icon("star") : draft.worker.status === "ok" ? null : icon(draft.worker.status), draft.name, draft.score !== undefined && h("span", { class: "tabular muted" }, count(Math.round(draft.score * 10) / 10))));
    const bar = h("div", { class: "tabs", role: "tablist", "aria-label": t("drafts"), onkeydown: (event) => this.#move(event) }, this.tabs);
    this.box = h("input", { type: "checkbox", checked: true, onchange: () => this.#mark() });
    this.alike = h("span", { class: "muted" });
    const toggle = answer && h("div", { class: "row differ" }, h("label", { class: "check" }, this.box, t("drafts.mark")), this.alike,
      h("span", { class: "key-marks", "aria-hidden": "true" }, h("mark", { class: "only-answer" }, t("drafts.only.answer")), h("mark", { class: "only-draft" }, t("drafts.only.draft"))));
    this.element = h("section", { class: "drafts", "aria-label": t("drafts") }, h("h3", {}, t("drafts")), bar, toggle, this.panel);
  }

  start() {
    if (this.list.length) this.choose(0);
    else this.element.hidden = true;
  }

  choose(place) {
    this.tabs.forEach((tab, other) => {
      tab.setAttribute("aria-selected", String(other === place));
      tab.tabIndex = other === place ? 0 : -1;
    });
    const { worker } = this.list[place];
    this.panel.setAttribute("aria-labelledby", this.tabs[place].id);
    this.text = worker.response ? render(worker.response) : null;
    show(this.panel,
      h("p", { class: "draft-facts" }, worker.status !== "ok" && badge(worker.status), worker.model && h("span", { class: "tag" }, worker.model),
        h("span", {}, duration(worker.duration_ms)), worker.usage?.total_tokens > 0 && h("span", {}, t("tokens", { n: count(worker.usage.total_tokens) })),
        worker.usage?.cost_usd !== undefined && h("span", {}, cost(worker.usage.cost_usd)),
        worker.temperature !== undefined && h("span", {}, t("draft.temperature", { n: count(worker.temperature), source: t(`source.${worker.temperature_source ?? "default"}`) })),
        h("span", { class: "grow" }), worker.response && copyButton(() => worker.response, t("copy.draft"))),
      worker.error && h("p", { class: "error-text" }, `${worker.error.code}: ${worker.error.message}`),
      this.text ?? (!worker.error && h("p", { class: "muted" }, t("drafts.none"))));
    this.#mark();
  }

  #mark() {
    if (!this.answer) return;
    clear(this.answer);
    if (this.text) clear(this.text);
    this.alike.textContent = "";
    if (!this.box.checked || !this.text) return;
    const alike = mark(this.answer, this.text);
    this.alike.textContent = t("drafts.alike", { n: `${Math.round(100 * alike)} %` });
  }

  #move(event) {
    const at = this.tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const place = (to + this.tabs.length) % this.tabs.length;
    this.choose(place);
    this.tabs[place].focus();
  }
}
