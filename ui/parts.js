// Small things that several views show.

import { h, icon } from "./dom.js";
import { statusWord } from "./format.js";
import { t } from "./strings.js";

/** A status: its own form, colour and word. */
export const badge = (status) => h("span", { class: `badge st-${status}` }, icon(status), statusWord(status));

export function errorBox(error) {
  return h("div", { class: "box-error", role: "alert" }, icon("failed"),
    h("div", {}, h("strong", {}, error.code ? `${t("error.title")}: ${error.code}` : t("error.title")), h("p", {}, error.message)));
}

/** A number with its name. */
export const tile = (name, value, note) =>
  h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value, note && h("small", {}, note)));

/** A choice among the models and workflows of the server. */
export function modelSelect({ id, value, onchange = () => {} }) {
  const select = h("select", { id, "aria-label": t("model"), onchange: () => onchange(select.value) });
  const put = (names) => select.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === value }, name)));
  put([value || "chorus"]);
  return {
    element: select,
    value: () => select.value,
    async load(ask) {
      try {
        const names = (await ask()).data.map((model) => model.id);
        value = select.value || value;
        put(value && !names.includes(value) ? [value, ...names] : names);
      } catch {
        // The name that is there already can be asked.
      }
    },
  };
}
