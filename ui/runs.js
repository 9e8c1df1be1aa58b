// The runs that the server remembers, and those in flight.

import { follow, json, request } from "./api.js";
import { announce, h, icon, show } from "./dom.js";
import { cost, count, duration, short, when } from "./format.js";
import { badge, errorBox, tile } from "./parts.js";
import { t } from "./strings.js";

const FILTERS = ["status", "model", "client", "slower_than_ms", "since"];
const STATUSES = ["ok", "degraded", "failed", "cancelled"];
/** "The last hour" and the like, in seconds. */
const SINCE = [900, 3600, 86_400, 604_800];

export const linkTo = (run) => `#/runs/${encodeURIComponent(run.workflow_id)}`;

function tiles(totals) {
  const share = totals.runs ? Math.round((100 * (totals.runs - (totals.degraded ?? 0) - (totals.failed ?? 0) - (totals.cancelled ?? 0))) / totals.runs) : null;
  const trouble = ["degraded", "failed", "cancelled"].filter((name) => totals[name]).map((name) => `${count(totals[name])} ${t(`status.${name}`)}`).join(", ");
  return [
    tile(t("runs.runs"), count(totals.runs)),
    tile(t("fact.first"), duration(totals.first_token_ms_p50), t("runs.median")),
    tile(t("fact.total"), duration(totals.total_ms_p50), t("runs.median")),
    tile(t("fact.tokens"), short(totals.total_tokens)),
    tile(t("fact.cost"), cost(totals.cost_usd)),
    tile(t("runs.good"), share === null ? "–" : `${share} %`, trouble || (totals.runs ? t("runs.no.trouble") : "")),
  ];
}

/** A run that goes on: its stages as dots, its time, a way to end it. */
function flying(run, refresh) {
  const since = performance.now() - (run.elapsed_ms ?? 0);
  const time = h("span", { class: "tabular" }, duration(run.elapsed_ms));
  const stop = h("button", {
    type: "button", class: "small danger-quiet", "aria-label": t("runs.cancel.this", { name: run.model }),
    onclick: async () => {
      stop.disabled = true;
      try {
        await request(`chorus/runs/${encodeURIComponent(run.workflow_id)}`, { method: "DELETE" });
        announce(t("runs.cancelled"));
      } catch (error) {
        announce(error.message);
      }
      refresh();
    },
  }, icon("stop"), t("runs.cancel"));
  const item = h("li", { class: "flying" },
    badge("running"),
    h("a", { href: linkTo(run), class: "strong" }, run.model), run.client && h("span", { class: "tag" }, run.client),
    h("ul", { class: "dots", "aria-label": t("ask.stages") }, (run.stages ?? []).map((stage) =>
      h("li", { class: `st-${stage.state}`, title: `${t(`stage.${stage.stage}`)} ${stage.name}: ${t(`status.${stage.state}`)}` },
        icon(stage.state), h("span", {}, stage.name), h("span", { class: "sr" }, t(`status.${stage.state}`))))),
    h("span", { class: "grow" }), time, stop);
  return { item, tick: () => (time.textContent = duration(Math.floor((performance.now() - since) / 100) * 100)) };
}

const HEADS = ["when", "status", "model", "first", "total", "calls", "tokens", "cost", "slowest"];

function line(run, longest) {
  const cell = (name, ...inside) => h("td", { class: `c-${name}`, "data-label": t(`runs.${name}`) }, ...inside);
  const width = `${Math.max(1, (100 * (run.total_ms ?? 0)) / longest)}%`;
  const first = `${(100 * (run.first_token_ms ?? 0)) / Math.max(run.total_ms ?? 1, 1)}%`;
  return h("tr", {},
    cell("when", h("a", { href: linkTo(run) }, when(run.started_at))),
    cell("status", badge(run.status), (run.warnings ?? []).length > 0 && h("small", { class: "muted" }, run.warnings.map((warning) => warning.name).slice(0, 3).join(", ")),
      run.error && h("small", { class: "error-text" }, run.error.code)),
    cell("model", h("span", { class: "strong" }, run.model || run.name), run.client && h("span", { class: "tag" }, run.client), run.task && h("span", { class: "tag" }, run.task)),
    cell("first", duration(run.first_token_ms)),
    cell("total", h("span", {}, duration(run.total_ms)), h("span", { class: "mini", "aria-hidden": "true" }, h("i", { style: { width } }, h("b", { style: { width: first } })))),
    cell("calls", count(run.calls)),
    cell("tokens", count(run.usage?.total_tokens)),
    cell("cost", cost(run.usage?.cost_usd)),
    cell("slowest", run.slowest ? `${run.slowest.name} ${duration(run.slowest.duration_ms)}` : "–"));
}

export function mount(main, { query }) {
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const board = h("dl", { class: "tiles", "aria-label": t("runs.totals") });
  const air = h("section", { class: "air", "aria-label": t("runs.in_flight"), hidden: true });
  const body = h("div", { class: "runs-body" });
  const light = h("span", { class: "live off" }, t("runs.live.off"));
  let ticks = [], timer = null, last = 0, left = false;

  const set = (name, value) => {
    filter[name] = value;
    const text = new URLSearchParams(Object.entries(filter).filter(([, value]) => value)).toString();
    history.replaceState(null, "", `#/runs${text ? `?${text}` : ""}`);
    load();
  };
  const select = (name, options) => h("label", { class: "field" }, h("span", {}, t(`filter.${name}`)),
    h("select", { onchange: (event) => set(name, event.target.value) }, h("option", { value: "" }, t("filter.any")),
      options.map(([value, text]) => h("option", { value, selected: value === filter[name] }, text))));
  const field = (name, type) => h("label", { class: "field" }, h("span", {}, t(`filter.${name}`)),
    h("input", { type, value: filter[name], min: type === "number" ? "0" : undefined, step: type === "number" ? "100" : undefined, onchange: (event) => set(name, event.target.value.trim()) }));
  const filters = h("form", { class: "filters", role: "search", "aria-label": t("runs.filters"), onsubmit: (event) => event.preventDefault() },
    select("status", STATUSES.map((status) => [status, t(`status.${status}`)])), field("model", "text"), field("client", "text"), field("slower_than_ms", "number"),
    select("since", SINCE.map((seconds) => [String(seconds), t(`since.${seconds}`)])));

  const flights = (list) => {
    const shown = list.map((run) => flying(run, load));
    ticks = shown.map((one) => one.tick);
    air.hidden = shown.length === 0;
    const focused = document.activeElement?.closest?.(".flying") ? document.activeElement.getAttribute("aria-label") ?? document.activeElement.getAttribute("href") : null;
    show(air, h("h2", {}, t("runs.in_flight"), " ", h("span", { class: "count" }, count(shown.length))), h("ul", {}, shown.map((one) => one.item)));
    if (focused) [...air.querySelectorAll("a, button")].find((one) => [one.getAttribute("aria-label"), one.getAttribute("href")].includes(focused))?.focus();
  };

  async function load() {
    last = Date.now();
    const asked = { ...filter, since: filter.since && String(Math.floor(Date.now() / 1000) - Number(filter.since)), limit: "100" };
    try {
      const found = await json(`chorus/runs?${new URLSearchParams(Object.entries(asked).filter(([, value]) => value))}`);
      if (left) return;
      show(board, tiles(found.totals ?? { runs: found.runs.length }));
      flights(found.in_flight ?? []);
      const longest = Math.max(1, ...found.runs.map((run) => run.total_ms ?? 0));
      const filtered = Object.values(filter).some(Boolean);
      show(body, found.runs.length
        ? h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": t("nav.runs") }, h("table", { class: "runs" },
          h("thead", {}, h("tr", {}, HEADS.map((name) => h("th", { class: `c-${name}`, scope: "col" }, t(`runs.${name}`))))),
          h("tbody", {}, found.runs.map((run) => line(run, longest)))))
        : h("div", { class: "empty" }, h("p", { class: "lead" }, t(filtered ? "runs.none.match" : "runs.none")),
          !filtered && h("p", {}, h("a", { class: "button primary", href: "#/ask" }, t("runs.ask")))));
    } catch (error) {
      if (left) return;
      show(body, errorBox(error));
    }
  }
  /** Many runs may end at once. */
  const soon = () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = null;
      load();
    }, Math.max(0, 700 - (Date.now() - last)));
  };
  const unfollow = follow((event, data) => {
    if (event === "in_flight") flights(data);
    else if (event === "run") soon();
  }, (now) => {
    light.className = `live ${now}`;
    light.textContent = t(now === "on" ? "runs.live.on" : "runs.live.off");
    // Whatever happened in between.
    if (now === "on") soon();
  });
  const clock = setInterval(() => ticks.forEach((tick) => tick()), 100);

  main.append(h("div", { class: "head" }, h("h1", { tabIndex: -1 }, t("nav.runs")), light), board, air, filters, body);
  load();
  return () => {
    left = true;
    unfollow();
    clearInterval(clock);
    clearTimeout(timer);
  };
}
