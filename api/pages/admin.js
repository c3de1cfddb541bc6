// The administration page: each part reads its own address, and says what it was told where it was not told anything.

import { byId, element } from "./dom.js";
import { problemOf } from "./events.js";
import { askForKey, connectKeyForm, headers } from "./key.js";
import { rowsOf, table } from "./table.js";

const EVERY_MS = 5_000;
const INDEX_COLUMNS = ["generation", "documents", "size_bytes", "watermark", "lag", "lag_seconds", "breaker"];

async function read(address) {
  const response = await fetch(address, { headers: headers(), cache: "no-store" });
  const isHealth = address === "health" && response.status === 503;
  if (!response.ok && !isHealth) throw await problemOf(response);
  return response.json();
}

const refusal = (error) => error.problem?.status;

function whyNot(error, address) {
  if (refusal(error) === 404) return `This system does not serve /${address}.`;
  if ([401, 403].includes(refusal(error))) return `${error.problem.title}: ${error.message}.`;
  return error.problem ? `${error.problem.title}: ${error.message}` : `The API does not answer (${error.message}).`;
}

async function part(place, address, show) {
  try {
    const answer = await read(address);
    byId(place).replaceChildren(...show(answer));
  } catch (error) {
    if ([401, 403].includes(refusal(error))) askForKey();
    byId(place).replaceChildren(element("p", { class: "quiet" }, whyNot(error, address)));
  }
}

function showHealth(answer) {
  const rows = Object.entries(answer.components).map(([name, each]) => ({ component: name, status: each.status, message: each.message }));
  return [element("p", {}, "The system is ", element("strong", { class: { healthy: "good", degraded: "warn" }[answer.status] ?? "bad" }, answer.status), "."), table("Components", rows)];
}

// An answer lists its rows under one name, beside what is said of all of them.
function listed(answer) {
  if (Array.isArray(answer)) return answer;
  const lists = Object.values(answer).filter((each) => typeof each === "object" && each !== null);
  return lists.find(Array.isArray) ?? lists[0] ?? {};
}

async function showIndexes() {
  try {
    byId("indexes").replaceChildren(table("Indexes", rowsOf(listed(await read("admin/indexes")))));
  } catch (error) {
    if (refusal(error) !== 404) {
      byId("indexes").replaceChildren(element("p", { class: "quiet" }, whyNot(error, "admin/indexes")));
      return;
    }
    await part("indexes", "health", (answer) => {
      const indexes = Object.entries(answer.components).filter(([, each]) => each.details?.watermark ?? each.details?.breaker);
      const rows = indexes.map(([index, each]) => ({ index, ...Object.fromEntries(INDEX_COLUMNS.map((name) => [name, each.details[name]])) }));
      return [element("p", { class: "quiet small" }, "As /health has it: this system does not serve /admin/indexes."), table("Indexes", rows)];
    });
  }
}

function showBreakers(answer) {
  const order = (method, word) => async () => {
    if (word === "open" && !confirm(`Keep ${method} from being asked, by all workers, until it is reset?`)) return;
    const response = await fetch(`admin/breakers/${encodeURIComponent(method)}/${word}`, { method: "POST", headers: headers() });
    say(response.ok ? `${method}: ${word === "open" ? "opened" : "reset"}.` : whyNot(await problemOf(response), `admin/breakers/${method}/${word}`));
    await refresh();
  };
  const action = ({ name }) => [element("button", { type: "button", onclick: order(name, "open"), "aria-label": `Open the breaker of ${name}` }, "Open"), " ", element("button", { type: "button", onclick: order(name, "reset"), "aria-label": `Reset the breaker of ${name}` }, "Reset")];
  return [element("p", { class: "quiet small" }, `As worker ${answer.worker} sees them; each judges by its own calls.`), table("Circuit breakers", rowsOf(answer.breakers), { action })];
}

const showList = (caption) => (answer) => [table(caption, rowsOf(listed(answer)), { hidden: ["value", "headers"] })];

function say(text) {
  byId("said").hidden = false;
  byId("said").textContent = text;
}

async function refresh() {
  await Promise.all([
    part("health", "health", showHealth),
    showIndexes(),
    part("breakers", "admin/breakers", showBreakers),
    part("rebuilds", "admin/rebuilds", showList("Rebuilds")),
    part("letters", "admin/dead-letters", showList("Dead letters")),
  ]);
  byId("when").textContent = `read at ${new Date().toLocaleTimeString()}`;
}

// A button that is about to be pressed must not go away from under the keyboard.
const mayReplace = () => !document.querySelector("main")?.contains(document.activeElement);

async function keepFresh() {
  if (byId("often").checked && !document.hidden && mayReplace()) await refresh();
  setTimeout(keepFresh, EVERY_MS);
}

byId("refresh").addEventListener("click", refresh);
connectKeyForm(refresh);
refresh().finally(() => setTimeout(keepFresh, EVERY_MS));
