// What is searched for, as the address has it: the names are those of GET /search, so that a link is both.

const METHODS = ["bm25", "tantivy", "native", "semantic"];
export const FACETS = ["source", "tags", "language"];
export const LIMIT = 10;

export function readState(search = location.search) {
  const fields = new URLSearchParams(search);
  const list = (name) => (fields.get(name) ?? "").split(",").filter(Boolean);
  return {
    q: fields.get("q") ?? "",
    methods: fields.has("methods") ? list("methods") : METHODS,
    filters: Object.fromEntries(FACETS.map((name) => [name, list(name)])),
    from: (fields.get("published_at.gte") ?? "").slice(0, 10),
    until: dayBefore(fields.get("published_at.lt")),
    offset: Math.max(0, Number.parseInt(fields.get("offset") ?? "0", 10) || 0),
    explain: fields.get("explain") === "true",
  };
}

export function toParameters(state) {
  const fields = new URLSearchParams();
  if (state.q.trim()) fields.set("q", state.q);
  if (state.methods.length && METHODS.some((method) => !state.methods.includes(method))) fields.set("methods", state.methods.join(","));
  for (const name of FACETS) if (state.filters[name].length) fields.set(name, state.filters[name].join(","));
  if (state.from) fields.set("published_at.gte", `${state.from}T00:00:00Z`);
  if (state.until) fields.set("published_at.lt", `${dayAfter(state.until)}T00:00:00Z`);
  if (state.offset) fields.set("offset", String(state.offset));
  if (state.explain) fields.set("explain", "true");
  return fields;
}

const DAY = 24 * 3600 * 1000;
const day = (time) => new Date(time).toISOString().slice(0, 10);
const dayAfter = (text) => day(Date.parse(text) + DAY);
const dayBefore = (text) => (text && !Number.isNaN(Date.parse(text)) ? day(Date.parse(text) - DAY) : "");
