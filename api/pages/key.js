// The key that requests are made with. It is kept for this tab alone, and is in no address, which would end up in logs.

import { byId } from "./dom.js";

const NAME = "embed-search-key";

export function headers() {
  const key = sessionStorage.getItem(NAME);
  return key ? { authorization: `Bearer ${key}` } : {};
}

export function askForKey() {
  byId("key-form").hidden = false;
  byId("key-button").setAttribute("aria-expanded", "true");
}

// Connects the form; `changed` is called when there is another key, or none any more.
export function connectKeyForm(changed) {
  const form = byId("key-form");
  const show = (shown) => {
    form.hidden = !shown;
    byId("key-button").setAttribute("aria-expanded", String(shown));
  };
  byId("key-button").addEventListener("click", () => {
    show(form.hidden);
    if (!form.hidden) byId("key").focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = byId("key").value.trim();
    if (!key) return;
    sessionStorage.setItem(NAME, key);
    byId("key").value = "";
    show(false);
    changed();
  });
  byId("key-forget").addEventListener("click", () => {
    sessionStorage.removeItem(NAME);
    byId("key").value = "";
    show(false);
    changed();
  });
}
