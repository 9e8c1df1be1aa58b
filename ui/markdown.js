// Markdown as elements. A model's text is hostile: no HTML is parsed, no image is fetched, and only
// links to http, https and mail are links. Every step is linear in the length of the text.

import { h, icon } from "./dom.js";
import { highlight } from "./highlight.js";
import { t } from "./strings.js";

/** A paragraph beyond this is shown as it is: nobody writes such a one with emphasis. */
const PLAIN = 20_000;
const DEEPEST = 8;
const LONG = 1000;

/** The address, when it may be one. */
export function safeLink(address) {
  // Whitespace and control characters hide schemes: java\nscript.
  if (/[\u0000-\u0020\u007f-\u00a0\u200b-\u200f\u2028-\u202f\ufeff]/.test(address)) return null;
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const link = (address, ...inside) =>
  h("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, ...inside);

const INLINE = new RegExp([
  "(?<code>`+)",
  "(?<escape>\\\\[\\\\`*_{}\\[\\]()#+\\-.!~|<>])",
  "(?<image>!\\[(?<alt>[^\\]\\n]{0,500})\\]\\((?<source>[^)\\s]{0,2000})[^)\\n]{0,200}\\))",
  "(?<anchor>\\[(?<label>[^\\]\\n]{1,500})\\]\\((?<target>[^)\\s]{0,2000})(?:\\s+\"[^\"\\n]{0,200}\")?\\))",
  "(?<auto><?(?<url>https?:\\/\\/[^\\s<>\"`]{1,2000})>?)",
  "(?<mark>\\*\\*\\*|\\*\\*|\\*|___|__|_|~~)",
  "(?<br>  \\n|\\\\\\n)",
].join("|"), "gu");

const TAGS = { "**": "strong", "__": "strong", "*": "em", _: "em", "~~": "del" };

/** Emphasis opens before a word and closes behind one; `_` inside a word is none. */
function flanks(text, from, to, mark) {
  const before = text[from - 1] ?? " ", after = text[to] ?? " ";
  const word = /[\p{L}\p{N}]/u;
  const inWord = mark[0] === "_" && word.test(before) && word.test(after);
  return { opens: !/\s/.test(after) && !inWord, closes: !/\s/.test(before) && !inWord };
}

/** The parts of a line: an array of nodes and strings. */
export function inline(text) {
  if (text.length > PLAIN) return [text];
  // A stack of what is open; what never closes becomes its own characters again.
  const stack = [{ mark: null, parts: [] }];
  const add = (...parts) => stack.at(-1).parts.push(...parts);
  const fold = () => {
    const open = stack.pop();
    add(open.mark, ...open.parts);
  };
  let at = 0;
  INLINE.lastIndex = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index < at) continue;
    const groups = found.groups;
    let end = found.index + found[0].length;
    let parts;
    if (groups.code) {
      const close = text.indexOf(groups.code, end);
      if (close < 0 || text[close + groups.code.length] === "`") continue;
      parts = [h("code", {}, text.slice(end, close).replace(/^ (.+) $/s, "$1").replace(/\n/g, " "))];
      end = close + groups.code.length;
    } else if (groups.escape) parts = [groups.escape[1]];
    else if (groups.br) parts = [h("br")];
    else if (groups.image) {
      const address = safeLink(groups.source);
      const name = `${t("md.image")}: ${groups.alt || groups.source}`;
      parts = [address ? link(address, name) : h("span", { class: "muted" }, name)];
    } else if (groups.anchor) {
      const address = safeLink(groups.target);
      parts = address ? [link(address, ...inline(groups.label))] : [groups.anchor];
    } else if (groups.auto) {
      const angled = groups.auto.startsWith("<");
      const bare = angled ? groups.url : groups.url.replace(/[.,;:!?'*_)\]}，。；：！？、）】」]+$/u, "");
      end = found.index + (angled ? groups.auto.length : bare.length);
      const address = safeLink(bare);
      parts = [address ? link(address, bare) : groups.auto];
    } else {
      const { mark } = groups;
      const { opens, closes } = flanks(text, found.index, end, mark);
      const place = stack.findLastIndex((open) => open.mark === mark);
      add(text.slice(at, found.index));
      at = end;
      if (closes && place > 0) {
        while (stack.length - 1 > place) fold();
        const { parts: inside } = stack.pop();
        add(mark.length === 3 ? h("strong", {}, h("em", {}, ...inside)) : h(TAGS[mark], {}, ...inside));
      } else if (opens && stack.length < DEEPEST) stack.push({ mark, parts: [] });
      else add(mark);
      continue;
    }
    add(text.slice(at, found.index), ...parts);
    at = end;
  }
  add(text.slice(at));
  while (stack.length > 1) fold();
  return stack[0].parts.filter((part) => part !== "");
}

/** A button that copies what `text` gives. */
export function copyButton(text, label = t("copy")) {
  const button = h("button", {
    type: "button", class: "quiet small", "aria-label": label,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text());
        button.lastChild.textContent = t("copied");
      } catch {
        button.lastChild.textContent = t("copy.failed");
      }
      setTimeout(() => (button.lastChild.textContent = t("copy")), 1600);
    },
  }, icon("copy"), h("span", {}, t("copy")));
  return button;
}

export function codeBlock(source, name = "") {
  return h("figure", { class: "code" },
    h("figcaption", {}, h("span", {}, name.slice(0, 40)), copyButton(() => source, t("copy.code"))),
    h("pre", { tabIndex: 0, role: "group", "aria-label": name ? `${t("md.code")}: ${name.slice(0, 40)}` : t("md.code") }, h("code", {}, ...highlight(source, name))));
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])\s+(.*)$/;
const CELLS = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** Cuts a text into the sources of its blocks, so that those that stay the same stay on the screen. */
export function blocks(text) {
  const found = [];
  let lines = [], fence = null;
  const end = () => {
    if (lines.length) found.push(lines.join("\n"));
    lines = [];
  };
  for (const line of text.split("\n")) {
    const marker = line.length < LONG ? line.match(FENCE) : null;
    if (fence) {
      lines.push(line);
      if (marker && marker[1].startsWith(fence) && !marker[2]) {
        fence = null;
        end();
      }
    } else if (marker) {
      // A fence inside a list belongs to the item.
      if (!(lines.length && ITEM.test(lines[0]) && /^\s/.test(line))) end();
      fence = marker[1];
      lines.push(line);
    } else if (line.trim() === "") {
      if (lines.length && ITEM.test(lines[0])) lines.push(line);
      else end();
    } else {
      const loose = lines.length && lines.at(-1).trim() === "";
      if (loose && !ITEM.test(line) && !/^\s{2,}/.test(line)) end();
      if (line.length < LONG && (HEADING.test(line) || (RULE.test(line) && !lines.length))) {
        end();
        found.push(line);
      } else lines.push(line);
    }
  }
  end();
  return found;
}

const isRule = (line) => line.length < LONG && CELLS.test(line);

const cells = (line) =>
  line.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));

function table(lines) {
  const sides = cells(lines[1]).map((cell) => (/^:.*:$/.test(cell) ? "center" : /:$/.test(cell) ? "right" : null));
  const row = (line, tag) =>
    h("tr", {}, cells(line).slice(0, 50).map((cell, place) => h(tag, { class: sides[place] && `to-${sides[place]}` }, ...inline(cell))));
  return h("div", { class: "scroll", tabIndex: 0, role: "group", "aria-label": t("md.table") },
    h("table", {}, h("thead", {}, row(lines[0], "th")), h("tbody", {}, lines.slice(2, 500).map((line) => row(line, "td")))));
}

/** A list, from its lines: an item goes on as long as lines are indented deeper than it. */
function list(lines, depth) {
  const first = lines[0].match(ITEM);
  const ordered = /\d/.test(first[2]);
  const items = [];
  let own = first[1].length;
  for (const line of lines) {
    const item = line.match(ITEM);
    if (item && item[1].length <= own + 1) items.push([item[3]]);
    else items.at(-1)?.push(line.slice(Math.min(own + 2, line.search(/\S|$/))));
  }
  return h(ordered ? "ol" : "ul", { start: ordered ? Number.parseInt(first[2], 10) : undefined }, items.map((inner) => {
    const task = inner[0].match(/^\[([ xX])\]\s+(.*)$/);
    if (task) inner[0] = `${task[1] === " " ? "☐" : "☑"} ${task[2]}`;
    const loose = inner.some((line, place) => place > 0 && line.trim() !== "" && (ITEM.test(line) || FENCE.test(line) || inner[place - 1].trim() === ""));
    return h("li", {}, loose && depth < DEEPEST ? tight(blocks(inner.join("\n")), depth + 1) : inline(inner.join("\n").trim()));
  }));
}

/** The first paragraph of an item needs no paragraph. */
const tight = (sources, depth) => {
  const made = sources.map((source) => block(source, depth)).flatMap((one) => (one.tagName === "DIV" && !one.className ? [...one.children] : [one]));
  return made[0]?.tagName === "P" ? [...made[0].childNodes, ...made.slice(1)] : made;
};

/** One block as an element. */
export function block(source, depth = 0) {
  if (source.length > PLAIN && !FENCE.test(source.slice(0, source.indexOf("\n") >>> 0).slice(0, LONG))) {
    return h("p", { class: "as-is" }, source);
  }
  const lines = source.split("\n");
  const fence = lines[0].match(FENCE);
  if (fence) {
    const closed = lines.length > 1 && lines.at(-1).trim().startsWith(fence[1]);
    return codeBlock(lines.slice(1, closed ? -1 : undefined).join("\n"), fence[2]);
  }
  // Patterns that could be slow see no long lines.
  const heading = lines[0].length < LONG && lines[0].match(HEADING);
  // Models skip levels; below the page's own headings theirs are all one, and differ in size only.
  if (heading) return h("h3", { class: `l${heading[1].length}` }, ...inline(heading[2]));
  if (lines.length === 1 && RULE.test(lines[0])) return h("hr");
  if (/^ {0,3}>/.test(lines[0]) && depth < DEEPEST) {
    const inner = lines.map((line) => line.replace(/^ {0,3}> ?/, "")).join("\n");
    return h("blockquote", {}, blocks(inner).map((source) => block(source, depth + 1)));
  }
  if (ITEM.test(lines[0]) && depth < DEEPEST) return list(lines, depth);
  if (lines.length > 1 && lines[0].includes("|") && isRule(lines[1])) return table(lines);
  // A list or a table may follow its introduction without an empty line.
  const later = lines.findIndex((line, place) => place > 0 && (ITEM.test(line) || (line.includes("|") && isRule(lines[place + 1] ?? ""))));
  if (later > 0 && depth < DEEPEST) {
    return h("div", {}, block(lines.slice(0, later).join("\n"), depth + 1), block(lines.slice(later).join("\n"), depth + 1));
  }
  return h("p", {}, ...inline(source));
}

/** Text that grows: only blocks that changed are made again, and not more often than the screen can. */
export class Growing {
  constructor(element) {
    this.element = element;
    this.made = [];
    this.text = "";
    this.due = 0;
  }

  set(text) {
    this.text = text;
    if (this.due) return;
    // A text that is slow to show is shown less often.
    this.due = setTimeout(() => this.paint(), Math.min(Math.max(16, (this.took ?? 0) * 8), 2000));
  }

  /** At once; gives the element. */
  paint() {
    clearTimeout(this.due);
    this.due = 0;
    const begun = performance.now();
    const wanted = blocks(this.text);
    let same = 0;
    while (same < wanted.length && same < this.made.length && this.made[same].source === wanted[same]) same++;
    for (const { node } of this.made.splice(same)) node.remove();
    for (const source of wanted.slice(same)) {
      const node = block(source);
      this.made.push({ source, node });
      this.element.append(node);
    }
    this.took = performance.now() - begun;
    return this.element;
  }
}

/** A whole text at once. */
export const render = (text) => h("div", { class: "prose" }, blocks(text).map((source) => block(source)));
