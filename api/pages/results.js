// How an answer looks.

import { element, snippetNodes, webAddress } from "./dom.js";

const number = new Intl.NumberFormat("en");
const figure = (value) => (Number.isInteger(value) ? number.format(value) : Number(value).toPrecision(5));

const GOOD = { ok: "good", timeout: "warn", open: "warn", error: "bad", skipped: "quiet" };
const WORDS = { ok: "answered", timeout: "timed out", open: "not asked: its breaker is open", error: "failed", skipped: "skipped" };

export function methodItem(method, backend) {
  if (!backend) return element("li", { class: "quiet" }, element("strong", {}, method), " …");
  const found = backend.status === "ok" ? `, ${number.format(backend.total)} found` : "";
  const detail = backend.error ?? backend.detail;
  return element(
    "li",
    { title: detail },
    element("strong", {}, method),
    " ",
    element("span", { class: GOOD[backend.status] }, WORDS[backend.status] ?? backend.status),
    `${found}, ${backend.took_ms.toFixed(1)} ms`,
  );
}

export function summaryText(answer, query) {
  const what = query ? "found" : "newest documents";
  const most = answer.total_relation === "gte" ? "At least " : "";
  const count = `${most}${number.format(answer.total)} ${answer.total === 1 && !most ? "document" : "documents"}`;
  return `${query ? `${count} ${what}` : `${count}, the newest first`} in ${answer.duration_ms.toFixed(1)} ms.`;
}

export function partialText(answer) {
  const missing = Object.entries(answer.backends).filter(([, backend]) => backend.status !== "ok");
  const reasons = missing.map(([method, backend]) => `${method} ${WORDS[backend.status] ?? backend.status}${backend.error ? ` (${backend.error})` : ""}`);
  const counts = answer.facet_report?.error ? [`filters could not be counted (${answer.facet_report.error})`] : [];
  const all = [...reasons, ...counts];
  return `This answer is not complete: ${all.length ? all.join("; ") : "some documents could not be fetched"}.`;
}

export function resultItem(result, rank, onFilter) {
  const address = webAddress(result.url);
  const title = result.title || result.id;
  const heading = address ? element("a", { href: address, rel: "noopener noreferrer" }, title) : title;
  const filter = (field, value) => !isLinkable(value) ? element("span", {}, value) : element("button", { type: "button", class: "plain small", onclick: () => onFilter(field, value), "aria-label": `Only ${field} ${value}` }, value);
  return element(
    "li",
    { class: "result", tabindex: "-1", "aria-label": `${rank}. ${title}` },
    element("h3", {}, heading),
    result.error ? element("p", { class: "warn" }, `No text: ${result.error}`) : element("p", {}, ...snippetNodes(result.snippet)),
    element(
      "div",
      { class: "about" },
      title === result.id ? null : element("span", {}, result.id),
      result.source ? filter("source", result.source) : null,
      ...result.tags.slice(0, 8).map((tag) => filter("tags", tag)),
      ...Object.entries(result.methods).map(([method, place]) => element("span", { title: `score ${figure(place.score)}, contributes ${figure(place.contribution)}` }, `${method} #${place.rank}`)),
    ),
    result.explanation ? why(result.explanation) : null,
  );
}

function why(explanation) {
  const parts = [explanation.fusion, ...Object.entries(explanation.methods).map(([method, each]) => ({ ...each, description: `${method}: ${each.description}` }))];
  const failed = Object.entries(explanation.errors ?? {}).map(([method, reason]) => element("li", { class: "warn" }, `${method}: ${reason}`));
  return element("details", { class: "why" }, element("summary", {}, "Why is it here?"), element("ul", { class: "tree" }, ...parts.map(branch), ...failed));
}

function branch(part) {
  const value = part.value === null || part.value === undefined ? null : element("b", {}, figure(part.value));
  return element("li", {}, value, part.description, part.details?.length ? element("ul", {}, ...part.details.map(branch)) : null);
}

const isLinkable = (value) => !String(value).includes(",") && String(value).trim() === value;

export function facetSection(field, values, report, chosen, onToggle) {
  const names = values.map((each) => String(each.value));
  const gone = chosen.filter((value) => !names.includes(value)).map((value) => ({ value, count: null }));
  const items = [...gone, ...values].map(({ value, count }) =>
    element(
      "li",
      {},
      element(
        "button",
        {
          type: "button",
          "aria-pressed": String(chosen.includes(String(value))),
          disabled: !isLinkable(value),
          title: isLinkable(value) ? null : "A link separates values by commas: use POST /search to filter by this one",
          onclick: () => onToggle(field, String(value)),
        },
        element("span", {}, String(value)),
        count === null ? null : element("span", { class: "count" }, `${report.relation === "gte" ? "≥ " : ""}${number.format(count)}`),
      ),
    ),
  );
  const others = report.others?.[field] ? element("p", { class: "quiet small" }, `and ${number.format(report.others[field])} more`) : null;
  const heading = element("h2", { id: `facet-${field}` }, field[0].toUpperCase() + field.slice(1));
  return element("section", { "aria-labelledby": `facet-${field}`, class: "facets" }, heading, items.length ? element("ul", {}, ...items) : element("p", { class: "quiet small" }, report.error ? "not counted" : "none"), others);
}
