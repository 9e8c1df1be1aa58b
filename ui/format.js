// Numbers as people read them, in the language of the page.

import { language, t } from "./strings.js";

const number = (value, options) => new Intl.NumberFormat(language(), options).format(value);

/** 0 ms, 412 ms, 1.82 s, 12.4 s, 2 min 5 s; a dash when nobody knows. */
export function duration(ms) {
  if (ms === undefined || ms === null) return "–";
  if (ms < 1) return ms > 0 ? `${number(ms, { maximumFractionDigits: 1 })} ms` : "0 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 100) return `${number(seconds, { minimumFractionDigits: seconds < 10 ? 2 : 1, maximumFractionDigits: seconds < 10 ? 2 : 1 })} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export const count = (value) => (value === undefined || value === null ? "–" : number(value));

/** 12.3k, so that a table stays narrow. */
export const short = (value) =>
  value === undefined || value === null ? "–" : number(value, { notation: "compact", maximumFractionDigits: 1 });

/** Two digits that mean something, however small the price. */
export function cost(usd) {
  if (usd === undefined || usd === null) return "–";
  if (usd === 0) return "$0";
  return `$${number(usd, usd < 1 ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** Today the time, before that the day too. */
export function when(date) {
  const day = new Date(date);
  if (Number.isNaN(day.getTime())) return "–";
  const today = day.toDateString() === new Date().toDateString();
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(language(), today ? options : { month: "short", day: "numeric", ...options }).format(day);
}

/** "in 12 s", "3 min ago". */
export function relative(date) {
  const seconds = (new Date(date).getTime() - Date.now()) / 1000;
  if (Number.isNaN(seconds)) return "–";
  const format = new Intl.RelativeTimeFormat(language(), { numeric: "auto", style: "short" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(Math.round(seconds), "second");
}

/** A status in words. */
export const statusWord = (status) => t(`status.${status}`);
