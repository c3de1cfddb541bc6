// Tables of whatever the API lists.

import { element } from "./dom.js";

const number = new Intl.NumberFormat("en");

function bytes(size) {
  const step = Math.min(4, Math.floor(Math.log2(Math.max(size, 1)) / 10));
  return `${(size / 1024 ** step).toFixed(step ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

// The numbers of one topic, however deep they lie; by partition where there are several.
function offsets(value) {
  const inner = Object.values(value).every((each) => typeof each === "object" && each !== null) ? Object.assign({}, ...Object.values(value)) : value;
  const numbers = Object.entries(inner);
  return numbers.length === 1 ? number.format(numbers[0][1]) : numbers.map(([partition, offset]) => `${partition}: ${number.format(offset)}`).join(", ");
}

export function shown(name, value) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") {
    if (name.endsWith("bytes")) return bytes(value);
    if (name.endsWith("created_at") || name.endsWith("_timestamp")) return new Date(value * 1000).toLocaleString();
    return Number.isInteger(value) ? number.format(value) : value.toFixed(2);
  }
  if (Array.isArray(value)) return value.map((each) => shown(name, each)).join(", ");
  if (typeof value === "object") {
    const plain = (each) => typeof each === "number" || (typeof each === "object" && each !== null && Object.values(each).every((inner) => typeof inner === "number"));
    return Object.values(value).every(plain) ? offsets(value) : Object.entries(value).map(([key, each]) => `${key}: ${shown(key, each)}`).join(", ");
  }
  return String(value);
}

// Rows of a list, or of an object by name, as objects with the same columns.
export function rowsOf(listed) {
  if (Array.isArray(listed)) return listed.map((row) => (typeof row === "object" && row !== null ? row : { value: row }));
  return Object.entries(listed ?? {}).map(([name, row]) => ({ name, ...(typeof row === "object" && row !== null ? row : { value: row }) }));
}

export function table(caption, rows, { hidden = [], action = null } = {}) {
  if (!rows.length) return element("p", { class: "quiet" }, "none");
  const columns = [...new Set(rows.flatMap(Object.keys))].filter((name) => !hidden.includes(name));
  const isNumber = (name) => rows.every((row) => row[name] === null || row[name] === undefined || typeof row[name] === "number");
  const kind = (name) => (isNumber(name) ? "number" : ["message", "error", "reason", "detail"].includes(name) ? "text" : null);
  const head = columns.map((name) => element("th", { scope: "col", class: kind(name) }, name.replaceAll("_", " ")));
  const body = rows.map((row) =>
    element(
      "tr",
      {},
      ...columns.map((name, place) => element(place ? "td" : "th", place ? { class: kind(name) } : { scope: "row" }, marked(name, row[name]))),
      action ? element("td", {}, ...action(row)) : null,
    ),
  );
  const heads = action ? [...head, element("th", { scope: "col" }, "action")] : head;
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, element("table", {}, element("caption", { class: "hidden-label" }, caption), element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body)));
}

const STATES = { healthy: "good", closed: "good", degraded: "warn", "half-open": "warn", unhealthy: "bad", open: "bad" };

function marked(name, value) {
  const text = shown(name, value);
  return ["status", "state", "breaker"].includes(name) && STATES[text] ? element("span", { class: STATES[text] }, text) : text;
}
