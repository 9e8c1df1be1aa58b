// Code in a few colours: comments, strings, numbers, words of the language. It need not be right, it
// need be quick; text of any language passes through whole.

import { h } from "./dom.js";

const WORDS = new Set(("abstract and as async await bool boolean break case catch char class const continue def default defer del do double "
  + "elif else elseif end enum except export extends extern false final finally float fn for from func function go if impl implements import in "
  + "instanceof int interface is lambda let local long loop match mod mut namespace new nil none None not null nullptr of or package pass private "
  + "protected pub public raise return self Self static string struct super switch then this throw trait true True False try type typeof undefined "
  + "union unless unsafe until use using var void where while with yield SELECT FROM WHERE INSERT INTO UPDATE DELETE CREATE TABLE JOIN ON GROUP BY "
  + "ORDER LIMIT AND OR NOT NULL AS VALUES SET select from where insert into update delete create table join on group by order limit echo export fi done esac").split(" "));

const HASH = /^(py|python|sh|bash|shell|zsh|rb|ruby|toml|yaml|yml|r|perl|make|makefile|dockerfile|elixir|nix|conf|ini)$/i;
const DASH = /^(sql|lua|haskell|hs|ada)$/i;
const MARKUP = /^(html|xml|svg|vue)$/i;
const PLAIN = /^(text|txt|plain|output|console|log|markdown|md|)$/i;
/** Beyond this colours are not worth their elements. */
const MOST = 50_000;

function pattern(name) {
  const comment = HASH.test(name) ? "#[^\\n]*" : DASH.test(name) ? "--[^\\n]*" : MARKUP.test(name) ? "<!--[^]*?-->" : "\\/\\/[^\\n]*|\\/\\*[^]*?\\*\\/";
  const string = "\"(?:[^\"\\\\\\n]|\\\\.)*\"|'(?:[^'\\\\\\n]|\\\\.)*'|`(?:[^`\\\\]|\\\\.)*`";
  return new RegExp(`(?<comment>${comment})|(?<string>${string})|(?<number>\\b\\d[\\w.]*)|(?<word>[A-Za-z_]\\w*)`, "gu");
}

/** The source as strings and coloured spans. */
export function highlight(source, name) {
  if (PLAIN.test(name) || source.length > MOST) return [source];
  const parts = [];
  let at = 0;
  const diff = /^(diff|patch)$/i.test(name);
  if (diff) {
    return source.split(/(?<=\n)/).map((line) =>
      line[0] === "+" ? h("span", { class: "k-string" }, line) : line[0] === "-" ? h("span", { class: "k-word" }, line) : line);
  }
  for (const found of source.matchAll(pattern(name))) {
    const groups = found.groups;
    let kind = groups.comment ? "comment" : groups.string ? "string" : groups.number ? "number" : null;
    if (groups.word && WORDS.has(groups.word)) kind = "word";
    else if (groups.word && source[found.index + groups.word.length] === "(") kind = "call";
    if (!kind) continue;
    parts.push(source.slice(at, found.index), h("span", { class: `k-${kind}` }, found[0]));
    at = found.index + found[0].length;
  }
  parts.push(source.slice(at));
  return parts.filter((part) => part !== "");
}
