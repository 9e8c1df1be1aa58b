// The frame around the views: navigation, language, theme, and the key.

import * as ask from "./ask.js";
import { key, onKeyWanted, setKey } from "./api.js";
import * as connect from "./connect.js";
import { announce, h, icon, show } from "./dom.js";
import * as models from "./models.js";
import * as run from "./run.js";
import * as runs from "./runs.js";
import { language, setLanguage, t } from "./strings.js";

const VIEWS = { ask, runs, models, connect };
const THEMES = ["auto", "light", "dark"];
const store = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* a browser may refuse */ } },
};

let leave = null;
let at = null;

/** #/runs/ID?status=failed as its parts. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // Shown as it stands.
  }
  return { name: name in VIEWS ? name : "ask", id: name === "runs" ? id : "", query: new URLSearchParams(query ?? "") };
}

function theme(name) {
  const wanted = THEMES.includes(name) ? name : "auto";
  if (wanted === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = wanted;
  return wanted;
}

function keyDialog() {
  const field = h("input", { type: "password", id: "key", autocomplete: "off", spellcheck: false, "aria-describedby": "key-help" });
  const dialog = h("dialog", { id: "key-dialog", "aria-labelledby": "key-title" },
    h("form", {
      onsubmit: (event) => {
        event.preventDefault();
        setKey(field.value.trim());
        dialog.close();
        mount();
      },
    },
    h("h2", { id: "key-title" }, t("key.title")),
    h("p", { id: "key-help", class: "muted" }, t("key.help")),
    h("label", { class: "field", for: "key" }, h("span", {}, t("key.field")), field),
    h("div", { class: "row end" },
      h("button", { type: "button", onclick: () => dialog.close() }, t("cancel")),
      h("button", { type: "submit", class: "primary" }, t("key.use")))));
  dialog.open_ = () => {
    if (dialog.open) return;
    field.value = key();
    dialog.showModal();
    field.focus();
  };
  return dialog;
}

function header(dialog) {
  const links = Object.keys(VIEWS).map((name) => h("li", {}, h("a", { href: `#/${name}`, "data-view": name }, t(`nav.${name}`))));
  const choose = (label, options, value, act) =>
    h("select", { class: "quiet", "aria-label": label, onchange: (event) => act(event.target.value) },
      options.map(([id, name]) => h("option", { value: id, selected: id === value }, name)));
  return h("header", { class: "top" },
    h("a", { class: "brand", href: "#/ask" }, h("img", { src: "ui/icon.svg", alt: "", width: 22, height: 22 }), h("span", {}, "Chorus")),
    h("nav", { "aria-label": t("nav.label") }, h("ul", {}, links)),
    h("div", { class: "tools" },
      h("button", { type: "button", class: "quiet", id: "key-button", "aria-label": t("key.title"), onclick: () => dialog.open_() }, icon("key"), h("span", { class: "wide" }, t(key() ? "key.set" : "key.none"))),
      choose(t("language"), [["en", "English"], ["zh", "中文"]], language(), (value) => {
        setLanguage(value);
        store.set("chorus-language", value);
        frame();
        document.querySelector(".tools select")?.focus();
      }),
      choose(t("theme"), THEMES.map((name) => [name, t(`theme.${name}`)]), theme(store.get("chorus-theme")), (value) => store.set("chorus-theme", theme(value)))));
}

/** Everything around the view, in the language that is chosen. */
function frame() {
  document.documentElement.lang = language();
  const dialog = keyDialog();
  onKeyWanted(() => dialog.open_());
  show(document.body,
    h("a", {
      class: "skip", href: "#main",
      onclick: (event) => {
        event.preventDefault();
        document.getElementById("main").focus();
      },
    }, t("skip")),
    header(dialog),
    h("main", { id: "main", tabIndex: -1 }),
    h("div", { id: "announcer", class: "sr", role: "status", "aria-live": "polite" }),
    dialog);
  mount();
}

function mount() {
  leave?.();
  leave = null;
  const now = place();
  const view = now.id ? run : VIEWS[now.name];
  const title = now.id ? t("run.title") : t(`nav.${now.name}`);
  document.title = `${title} · Chorus`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === now.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const words = document.querySelector("#key-button span");
  if (words) words.textContent = t(key() ? "key.set" : "key.none");
  const main = document.getElementById("main");
  main.className = `view-${now.id ? "run" : now.name}`;
  show(main);
  const moved = at !== null && at !== location.hash.split("?")[0];
  at = location.hash.split("?")[0];
  leave = view.mount(main, now) ?? null;
  if (moved) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus();
    announce(title);
  }
}

setLanguage(store.get("chorus-language") ?? navigator.language);
frame();
addEventListener("hashchange", mount);
