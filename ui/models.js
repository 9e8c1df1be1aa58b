// The models and their endpoints: who is in service, how quick, how often asked, how often chosen.

import { json } from "./api.js";
import { h, icon, show } from "./dom.js";
import { cost, count, duration, relative, short } from "./format.js";
import { errorBox } from "./parts.js";
import { t } from "./strings.js";

const FORMS = { closed: "ok", half_open: "running", open: "failed", down: "failed" };

const form = (endpoint) =>
  endpoint.state === "closed" && (endpoint.consecutive_failures || endpoint.resting_until) ? "degraded" : FORMS[endpoint.state] ?? "ok";

/** The state of a breaker, as one would say it. */
function state(endpoint) {
  const why = endpoint.why ? ` (${endpoint.why})` : "";
  const words = {
    closed: endpoint.consecutive_failures ? t("breaker.closed.failing", { n: count(endpoint.consecutive_failures) }) : t("breaker.closed"),
    half_open: t("breaker.half_open"),
    open: t("breaker.open", { since: relative(endpoint.since) }) + why + (endpoint.next_try ? `; ${t("breaker.next", { when: relative(endpoint.next_try) })}` : ""),
    down: t(endpoint.why ? "breaker.down" : "breaker.open", { since: relative(endpoint.since) }) + why,
  }[endpoint.state] ?? endpoint.state;
  return endpoint.resting_until ? `${words}; ${t("breaker.resting", { when: relative(endpoint.resting_until) })}` : words;
}

function card(model) {
  const name = model.model;
  const wins = model.drafts ? Math.round((100 * model.wins) / model.drafts) : null;
  const facts = [
    [t("fact.calls"), count(model.calls)],
    model.drafts > 0 && [t("models.wins"), t("models.wins.of", { n: count(model.wins), of: count(model.drafts), share: `${wins} %` })],
    model.calls > 0 && [t("fact.tokens"), short(model.usage.total_tokens)],
    model.calls > 0 && [t("fact.cost"), cost(model.usage.cost_usd)],
  ].filter(Boolean);
  return h("li", { class: "card model" },
    h("div", { class: "row" }, h("h2", {}, name), model.protocol && h("span", { class: "tag" }, model.protocol),
      model.upstream_model && model.upstream_model !== name && h("span", { class: "muted" }, model.upstream_model),
      h("span", { class: "grow" }), h("a", { class: "small button quiet", href: `#/ask?model=${encodeURIComponent(name)}`, "aria-label": t("models.ask", { name }) }, t("nav.ask"))),
    facts.length > 0 && h("dl", { class: "facts" }, facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))),
    wins !== null && h("span", { class: "meter", role: "img", "aria-label": `${t("models.wins")}: ${wins} %` }, h("i", { style: { width: `${wins}%` } })),
    h("ul", { class: "endpoints" }, (model.endpoints ?? []).map((endpoint) => h("li", {},
      h("span", { class: `state st-${form(endpoint)}` }, icon(form(endpoint)), h("span", {}, state(endpoint))),
      h("code", {}, endpoint.endpoint),
      h("span", { class: "muted" }, endpoint.first_token_ms !== undefined && endpoint.first_token_ms !== null ? t("models.first", { ms: duration(endpoint.first_token_ms) }) : t("models.unasked")),
      endpoint.in_flight > 0 && h("span", { class: "tag" }, t("models.flight", { n: count(endpoint.in_flight) })),
      (model.endpoints.length > 1) && h("span", { class: "muted" }, t("models.rank", { priority: count(endpoint.priority), weight: count(endpoint.weight) }))))));
}

export function mount(main) {
  const note = h("p", { class: "muted" });
  const flows = h("div");
  const list = h("ul", { class: "cards" });
  const trouble = h("div");
  main.append(h("div", { class: "head" }, h("h1", { tabIndex: -1 }, t("nav.models"))), note, trouble, flows, list);
  let timer = null, left = false, last = "";

  async function load() {
    try {
      const status = await json("chorus/status");
      if (left) return;
      show(trouble);
      // What did not change keeps its place, and the focus in it.
      const now = JSON.stringify([status.models, status.workflows]);
      if (now !== last) {
        last = now;
        const focus = document.activeElement?.getAttribute("aria-label");
        show(list, status.models.map(card));
        if (focus && document.activeElement === document.body) [...list.querySelectorAll("a")].find((link) => link.getAttribute("aria-label") === focus)?.focus();
        show(flows, (status.workflows ?? []).length > 0 && h("section", { class: "flows", "aria-label": t("models.workflows") }, h("h2", {}, t("models.workflows")),
          h("ul", {}, status.workflows.map((flow) => h("li", {}, h("a", { href: `#/ask?model=${encodeURIComponent(flow)}`, class: "strong" }, flow))))));
      }
      show(note, t("models.note", { version: status.version, n: count(status.runs) }));
    } catch (error) {
      if (left) return;
      show(trouble, errorBox(error));
    }
    if (!left) timer = setTimeout(load, 3000);
  }
  load();
  return () => {
    left = true;
    clearTimeout(timer);
  };
}
