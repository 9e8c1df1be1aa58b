// Rows on one clock: bars for stages, the critical path drawn through them. For a run in flight and
// for one that is over.

import { h, svg, icon, show } from "./dom.js";
import { duration, statusWord } from "./format.js";
import { t } from "./strings.js";

const percent = (value) => `${value}%`;
const STEPS = [1, 2, 5];

/** A round step of which there are at most `most` in `total`. */
function step(total, most) {
  for (let power = 1; ; power *= 10) {
    for (const one of STEPS) if (total / (one * power) <= most) return one * power;
  }
}

export class Waterfall {
  /** `onselect` gets a row; without it rows are no buttons. */
  constructor({ onselect = null, compact = false } = {}) {
    this.onselect = onselect;
    this.made = new Map();
    this.folded = new Set();
    this.selected = null;
    this.axis = h("div", { class: "wf-axis", "aria-hidden": "true" });
    this.list = h("ol", { class: "wf-rows" });
    this.lines = svg("svg", { class: "wf-path", "aria-hidden": "true" });
    this.firstLine = h("div", { class: "wf-first", "aria-hidden": "true", hidden: true });
    this.overlay = h("div", { class: "wf-overlay" }, this.firstLine, this.lines);
    this.body = h("div", { class: "wf-body" }, this.overlay, this.list);
    this.element = h("div", { class: compact ? "wf compact" : "wf" }, this.axis, this.body);
    this.list.addEventListener("keydown", (event) => this.#move(event));
    new ResizeObserver(() => this.#path()).observe(this.body);
  }

  update(model) {
    this.model = model;
    const { rows, total } = model;
    const x = (ms) => (100 * ms) / total;
    const seen = new Set();
    let before = null;
    for (const row of rows) {
      seen.add(row.id);
      let made = this.made.get(row.id);
      // While a run goes on, nobody says which of its members is a workflow.
      if (made && made.folds !== row.folds) {
        made.item.remove();
        made = null;
      }
      if (!made) this.made.set(row.id, (made = this.#make(row)));
      this.#fill(made, row, x);
      // Rows stay where they are unless one came between.
      const next = before ? before.nextSibling : this.list.firstChild;
      if (next !== made.item) this.list.insertBefore(made.item, next);
      before = made.item;
    }
    for (const [id, made] of this.made) {
      if (!seen.has(id)) {
        made.item.remove();
        this.made.delete(id);
      }
    }
    this.#unaccounted(model, x);
    this.#ticks(total, x);
    this.firstLine.hidden = model.first === null || model.live;
    if (model.first !== null) this.firstLine.style.left = percent(x(model.first));
    this.#fold();
  }

  #make(row) {
    const sign = h("span", { class: "wf-sign" });
    const name = h("span", { class: "wf-name" });
    const kind = h("span", { class: "wf-kind" });
    const inside = [sign, name, kind];
    const fold = row.folds ? h("button", { type: "button", class: "wf-fold", "aria-expanded": "true", onclick: () => this.toggle(row.id) }, icon("fold")) : h("span", { class: "wf-fold" });
    const label = this.onselect
      ? h("button", { type: "button", class: "wf-label", onclick: () => this.select(row.id) }, inside)
      : h("span", { class: "wf-label" }, inside);
    const queued = h("i", { class: "queued" }), retried = h("i", { class: "retried" }), wait = h("i", { class: "wait" }), flow = h("i", { class: "flow" });
    const first = h("b", { class: "first" });
    const bar = h("div", { class: "wf-bar" }, queued, retried, wait, flow, first);
    const end = h("span", { class: "wf-end" });
    const track = h("div", { class: "wf-track", role: "img", onclick: () => this.onselect && this.select(row.id) }, bar, end);
    const time = h("span", { class: "wf-time" });
    const item = h("li", {}, h("div", { class: "wf-head", style: { paddingInlineStart: `${row.depth * 16}px` } }, fold, label), track, time);
    return { item, folds: row.folds, fold, label, sign, name, kind, track, bar, queued, retried, wait, flow, first, end, time, status: null };
  }

  #fill(made, row, x) {
    const length = row.end - row.start;
    const part = (ms) => percent(length > 0 ? (100 * ms) / length : 0);
    const { item, bar } = made;
    made.row = row;
    item.className = `wf-row st-${row.status}${row.critical ? " critical" : ""}${row.folds ? " folds" : ""}${row.id === this.selected ? " selected" : ""}`;
    if (made.status !== row.status) {
      made.status = row.status;
      show(made.sign, icon(row.status), h("span", { class: "sr" }, statusWord(row.status)));
      show(made.end, ["failed", "timeout", "cut", "cancelled"].includes(row.status) ? icon(row.status) : null);
    }
    made.name.textContent = row.name;
    made.kind.textContent = row.model && row.model !== row.name && row.stage === "worker" ? row.model : t(`stage.${row.stage}`);
    bar.style.left = percent(x(row.start));
    bar.style.width = percent(x(length));
    const firstAt = row.first === null ? null : row.first - row.start;
    const waits = Math.max(0, (firstAt ?? (this.model.live || row.folds ? 0 : length)) - row.queued - row.retried);
    made.queued.style.width = part(row.queued);
    made.retried.style.width = part(row.retried);
    made.wait.style.width = part(row.folds ? 0 : waits);
    made.first.hidden = firstAt === null;
    if (firstAt !== null) made.first.style.left = part(firstAt);
    const late = x(row.end) > 92;
    made.end.className = late ? "wf-end late" : "wf-end";
    made.end.style.left = percent(x(row.end));
    made.time.textContent = row.status === "skipped" ? "–" : duration(length);
    const words = [t(`stage.${row.stage}`), row.name, statusWord(row.status), t("wf.from", { start: duration(row.start), length: duration(length) })];
    if (row.queued) words.push(t("wf.queued", { ms: duration(row.queued) }));
    if (row.retried) words.push(t("wf.retried", { ms: duration(row.retried) }));
    if (firstAt !== null) words.push(t("wf.first", { ms: duration(firstAt) }));
    if (row.critical) words.push(t("wf.critical"));
    made.track.setAttribute("aria-label", words.join(", "));
    if (row.folds) made.fold.setAttribute("aria-label", t("wf.fold", { name: row.name }));
  }

  /** The time between the stages that decided it. */
  #unaccounted(model, x) {
    this.gap?.remove();
    this.gap = null;
    if (model.unaccounted === null || this.element.classList.contains("compact")) return;
    const segments = model.gaps.map((gap) => h("i", { class: "gap", style: { left: percent(x(gap.start)), width: percent(Math.max(x(gap.end - gap.start), 0.15)) } }));
    this.gap = h("li", { class: "wf-row wf-gap" },
      h("div", { class: "wf-head" }, h("span", { class: "wf-fold" }), h("span", { class: "wf-label" }, h("span", { class: "wf-name" }, t("wf.unaccounted")))),
      h("div", { class: "wf-track", role: "img", "aria-label": `${t("wf.unaccounted")}: ${duration(model.unaccounted)}` }, segments),
      h("span", { class: "wf-time" }, duration(model.unaccounted)));
    this.list.append(this.gap);
  }

  #ticks(total, x) {
    if (this.element.classList.contains("compact")) return;
    const narrow = this.element.clientWidth > 0 && this.element.clientWidth < 560;
    const size = step(total, narrow ? 4 : 8);
    const ticks = [];
    for (let at = 0; at <= total; at += size) {
      // The last one runs over into the column of times, where there is one.
      if (narrow && x(at) > 85) break;
      ticks.push(h("span", { style: { left: percent(x(at)) } }, at === 0 ? "0" : duration(at)));
    }
    show(this.axis, h("div", {}, ticks));
  }

  toggle(id) {
    if (this.folded.has(id)) this.folded.delete(id);
    else this.folded.add(id);
    this.#fold();
  }

  #hidden(row) {
    for (let parent = row.parent; parent; parent = this.made.get(parent)?.row.parent) if (this.folded.has(parent)) return true;
    return false;
  }

  #fold() {
    for (const { item, row, fold } of this.made.values()) {
      item.hidden = this.#hidden(row);
      if (row.folds) fold.setAttribute("aria-expanded", String(!this.folded.has(row.id)));
    }
    this.#path();
  }

  select(id) {
    this.made.get(this.selected)?.item.classList.remove("selected");
    this.made.get(this.selected)?.label.removeAttribute("aria-current");
    this.selected = id;
    const made = this.made.get(id);
    if (!made) return;
    made.item.classList.add("selected");
    made.label.setAttribute("aria-current", "true");
    this.onselect?.(made.row);
  }

  /** Selects the next row of these statuses, unfolds what hides it, and goes there. */
  next(statuses) {
    const found = this.model.rows.filter((row) => statuses.includes(row.status) && !row.folds);
    if (!found.length) return null;
    const at = found.findIndex((row) => row.id === this.selected);
    const row = found[(at + 1) % found.length];
    for (let parent = row.parent; parent; parent = this.made.get(parent).row.parent) this.folded.delete(parent);
    this.#fold();
    this.select(row.id);
    const { label, item } = this.made.get(row.id);
    label.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
    return row;
  }

  #move(event) {
    const labels = [...this.list.querySelectorAll("li:not([hidden]) button.wf-label")];
    const at = labels.indexOf(document.activeElement);
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (at < 0) return;
    if (move) {
      labels[at + move]?.focus();
      event.preventDefault();
    }
    const made = [...this.made.values()].find((one) => one.label === labels[at]);
    if (!made?.row.folds) return;
    const folded = this.folded.has(made.row.id);
    if ((event.key === "ArrowLeft" && !folded) || (event.key === "ArrowRight" && folded)) {
      this.toggle(made.row.id);
      event.preventDefault();
    }
  }

  /** One line under the bars that decided the time, from each to the next. */
  #path() {
    const { model } = this;
    if (!model || !model.critical.length || !this.body.isConnected) return show(this.lines);
    const x = (ms) => percent((100 * ms) / model.total);
    const visible = (id) => {
      let made = this.made.get(id);
      while (made && made.item.hidden) made = this.made.get(made.row.parent);
      return made;
    };
    const parts = [];
    let last = null;
    for (const id of model.critical) {
      const row = this.made.get(id).row, made = visible(id);
      if (!made) continue;
      const y = made.track.offsetTop + made.track.offsetHeight - 3;
      if (last) parts.push(svg("line", { x1: x(last.end), x2: x(row.start), y1: last.y, y2: y }));
      parts.push(svg("line", { x1: x(row.start), x2: x(row.end), y1: y, y2: y }));
      last = { y, end: row.end };
    }
    show(this.lines, parts);
  }
}

/** What the forms mean. */
export function legend() {
  const entry = (kind, name) =>
    h("li", {}, h("span", { class: `wf-key st-${kind}`, "aria-hidden": "true" }, kind === "path" ? null : h("i", {}), ["failed", "timeout", "cut", "cancelled"].includes(kind) ? icon(kind) : null), name);
  return h("ul", { class: "wf-legend", "aria-label": t("wf.legend") },
    entry("wait", t("wf.key.wait")), entry("ok", t("wf.key.flow")), entry("queued", t("status.queued")), entry("retried", t("wf.key.retried")),
    entry("failed", statusWord("failed")), entry("timeout", statusWord("timeout")), entry("cut", statusWord("cut")), entry("cancelled", statusWord("cancelled")), entry("skipped", statusWord("skipped")),
    entry("path", t("wf.key.path")), entry("gap", t("wf.unaccounted")));
}
