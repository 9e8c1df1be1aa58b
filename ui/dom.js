// Builds elements. Text only ever becomes text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name in element && !(element instanceof SVGElement) && !name.includes("-")
      && typeof value !== "object" && name !== "list" && name !== "role") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element: h("a", { href }, "text", child). Properties that begin with "on" listen. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same for SVG. */
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

const ICONS = {
  ok: "M3 8.5l3.2 3.2L13 5",
  failed: "M4 4l8 8M12 4l-8 8",
  timeout: "M8 4.5V8l2.5 2M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12z",
  cut: "M4 12.5a1.6 1.6 0 1 0 0-.1M4 3.6a1.6 1.6 0 1 0 0 .1M5.2 4.6L13 12M5.2 11.4L13 4",
  cancelled: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM4 12L12 4",
  skipped: "M3 4l5 4-5 4zM12.5 4v8",
  running: "M8 2a6 6 0 1 1-6 6",
  queued: "M4.5 2.5h7M4.5 13.5h7M5.5 2.5c0 4 5 4 5 11M10.5 2.5c0 4-5 4-5 11",
  degraded: "M8 2.5l6 11H2zM8 7v3M8 11.6v.4",
  star: "M8 2l1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z",
  copy: "M6 5.5h7.5v8H6zM10.5 5.5v-3H3v8h3",
  send: "M8 13.5v-11M3.5 7L8 2.5 12.5 7",
  stop: "M4 4h8v8H4z",
  key: "M10.5 9.5a3.5 3.5 0 1 0-3.2-2L2.5 12.3v1.2h2.2v-1.6h1.6v-1.6h1.2l.7-.9M11 5v.1",
  fold: "M6 4l4 4-4 4",
  next: "M3 8h9M8.5 4.5L12 8l-3.5 3.5",
  close: "M4 4l8 8M12 4l-8 8",
};

/** A small line drawing that readers of the screen do not hear. */
export const icon = (name, extra = "") =>
  svg("svg", { class: `icon ${extra}`, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: ICONS[name] ?? ICONS.ok }));

/** Replaces all children. */
export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Says something to readers of the screen, and to nobody else. */
export function announce(text) {
  const place = document.getElementById("announcer");
  if (place && place.textContent !== text) place.textContent = text;
}
