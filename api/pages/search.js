// The search page: what is asked is in the address, and what comes back is shown as it comes.

import { byId, element } from "./dom.js";
import { events, Problem } from "./events.js";
import { askForKey, connectKeyForm, headers } from "./key.js";
import { facetSection, methodItem, partialText, resultItem, summaryText } from "./results.js";
import { FACETS, LIMIT, readState, toParameters } from "./state.js";

const LAST_OFFSET = 10_000 - LIMIT;

let state = readState();
let running = new AbortController();

function showForm() {
  byId("q").value = state.q;
  for (const box of document.querySelectorAll("input[name=methods]")) box.checked = state.methods.includes(box.value);
  byId("explain").checked = state.explain;
  byId("from").value = state.from;
  byId("until").value = state.until;
  const chips = FACETS.flatMap((field) => state.filters[field].map((value) => ({ text: `${field}: ${value}`, undo: () => toggle(field, value) })));
  if (state.from) chips.push({ text: `from ${state.from}`, undo: () => go({ from: "" }) });
  if (state.until) chips.push({ text: `until ${state.until}`, undo: () => go({ until: "" }) });
  byId("chips").replaceChildren(...chips.map(({ text, undo }) => element("li", {}, element("button", { type: "button", onclick: undo, "aria-label": `Remove the filter ${text}` }, text, " ×"))));
}

function go(change, { push = true } = {}) {
  state = { ...state, offset: 0, ...change };
  const fields = toParameters(state);
  if (push) history.pushState(null, "", fields.size ? `?${fields}` : location.pathname);
  ask();
}

function toggle(field, value) {
  const chosen = state.filters[field];
  const next = chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value];
  go({ filters: { ...state.filters, [field]: next } });
}

async function ask() {
  running.abort(); // the server stops what nobody waits for
  const mine = (running = new AbortController());
  showForm();
  document.title = state.q.trim() ? `${state.q.trim()} - embed-search` : "embed-search";
  const answered = new Map();
  const showMethods = () => byId("methods").replaceChildren(...(state.q.trim() ? state.methods : [...answered.keys()]).map((method) => methodItem(method, answered.get(method))));
  showMethods();
  byId("results").classList.add("busy");
  byId("results").setAttribute("aria-busy", "true");
  byId("summary").textContent = "Searching …";
  for (const id of ["problem", "partial"]) byId(id).hidden = true;
  const fields = toParameters(state);
  fields.set("limit", String(LIMIT));
  fields.set("facets", FACETS.join(","));
  try {
    for await (const { name, data } of events(`search/stream?${fields}`, { headers: headers(), signal: mine.signal, cache: "no-store" })) {
      if (mine !== running) return;
      if (name === "backend") answered.set(data.method, data);
      if (name === "problem") throw new Problem(data);
      showMethods();
      if (name === "result") return showAnswer(data);
    }
    throw new Error("the answer was cut off");
  } catch (error) {
    if (mine === running) showFailure(error);
  }
}

function showAnswer(answer) {
  settle();
  const asked = Object.keys(answer.backends);
  byId("methods").replaceChildren(...asked.map((method) => methodItem(method, answer.backends[method])));
  byId("summary").textContent = summaryText(answer, state.q.trim());
  byId("partial").hidden = !answer.partial;
  byId("partial").textContent = answer.partial ? partialText(answer) : "";
  byId("results").replaceChildren(...answer.results.map((result, place) => resultItem(result, state.offset + place + 1, (field, value) => state.filters[field].includes(value) || toggle(field, value))));
  const report = answer.facet_report ?? { relation: "eq" };
  byId("facets").replaceChildren(...FACETS.map((field) => facetSection(field, answer.facets[field] ?? [], report, state.filters[field], toggle)));
  const last = state.offset + answer.results.length;
  const more = answer.results.length > 0 && (last < answer.total || answer.total_relation === "gte") && state.offset < LAST_OFFSET;
  byId("pages").hidden = !more && state.offset === 0;
  byId("previous").disabled = state.offset === 0;
  byId("next").disabled = !more;
  byId("place").textContent = answer.results.length ? `${state.offset + 1} to ${last}` : "";
}

function showFailure(error) {
  settle();
  byId("methods").replaceChildren();
  byId("results").replaceChildren();
  byId("summary").textContent = "";
  byId("pages").hidden = true;
  const problem = error.problem;
  const lines = [problem ? `${problem.title}: ${problem.detail ?? ""}` : `The API does not answer (${error.message}).`];
  for (const [method, reason] of Object.entries(problem?.backends ?? {})) lines.push(`${method}: ${reason}`);
  if (problem?.trace_id) lines.push(`Trace ${problem.trace_id}`);
  byId("problem").replaceChildren(...lines.map((line) => element("p", {}, line)));
  byId("problem").hidden = false;
  if ([401, 403].includes(problem?.status)) askForKey();
}

function settle() {
  byId("results").classList.remove("busy");
  byId("results").removeAttribute("aria-busy");
}

function moveAmongResults(step) {
  const items = [...document.querySelectorAll(".result")];
  const place = items.indexOf(document.activeElement?.closest(".result"));
  const target = place + step < 0 ? byId("q") : items[Math.min(place + step, items.length - 1)];
  target?.focus();
}

function pressed(event) {
  const typing = event.target.matches("input, textarea, select");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    byId("q").select();
  } else if (["ArrowDown", "ArrowUp"].includes(event.key) && (!typing || event.target === byId("q"))) {
    event.preventDefault();
    moveAmongResults(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter" && event.target.matches(".result")) {
    event.target.querySelector("h3 a")?.click();
  }
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const methods = [...document.querySelectorAll("input[name=methods]:checked")].map((box) => box.value);
  go({ q: byId("q").value, methods: methods.length ? methods : readState("").methods, explain: byId("explain").checked });
});
for (const box of document.querySelectorAll(".choices input")) box.addEventListener("change", () => byId("search").requestSubmit());
for (const id of ["from", "until"]) byId(id).addEventListener("change", () => go({ [id]: byId(id).value }));
byId("dates").addEventListener("submit", (event) => event.preventDefault());
byId("previous").addEventListener("click", () => go({ offset: Math.max(0, state.offset - LIMIT) }));
byId("next").addEventListener("click", () => go({ offset: state.offset + LIMIT }));
for (const id of ["previous", "next"]) byId(id).addEventListener("click", () => byId("results").focus());
addEventListener("popstate", () => {
  state = readState();
  ask();
});
addEventListener("keydown", pressed);
connectKeyForm(ask);
const narrow = matchMedia("(max-width: 52rem)");
const fold = () => (byId("facets-frame").open = !narrow.matches); // beside the results they cannot be folded
narrow.addEventListener("change", fold);
fold();
if (!state.q) byId("q").focus();
ask();
