/** The frame: views by address, collection, key, theme. */

import { ApiError, forget, get, keep, key } from "./api.js";
import { h, notify, replace } from "./dom.js";
import { address, read } from "./link.js";
import * as indices from "./indices.js";
import * as jobs from "./jobs.js";
import * as negatives from "./negatives.js";
import * as search from "./search.js";

const VIEWS = { search, negatives, jobs, indices };
const view = document.getElementById("view");
const chooser = document.getElementById("collection");
const login = document.getElementById("login");
let collections = [];
let about = {};
let shown = new AbortController(); // aborted when its view is left

/** Show what the address says. */
async function show() {
  const { view: name, values } = read();
  const module = VIEWS[name] ?? search;
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === (VIEWS[name] ? name : "search")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${module.title} · msmctl`;
  if (!key()) return ask();
  const wanted = values.get("c");
  if (wanted && collections.some((one) => one.name === wanted)) chooser.value = wanted;
  const collection = collections.find((one) => one.name === chooser.value) ?? null;
  if (!collection && module.needsCollection) {
    replace(view, h("p", {}, "There is no collection yet: ", h("code", {}, "msmctl collection import NAME …")));
    return undefined;
  }
  try {
    await module.show(view, { collection, values, about, signal });
  } catch (error) {
    report(error);
  }
  return undefined;
}

/** An error that reached nobody else. */
export function report(error) {
  if (error instanceof ApiError && error.status === 401) return;
  notify(error.message, true);
}

function ask() {
  replace(view, h("p", { class: "quiet" }, "Log in to go on."));
  if (!login.open) login.showModal();
}

async function enter() {
  if (!key()) return ask();
  try {
    const found = await get("/v1/overview");
    about = { cross_encoders: found.cross_encoders, fusions: found.fusions, scopes: found.scopes };
    collections = found.collections;
  } catch (error) {
    if (error.status !== 401) report(error);
    return undefined;
  }
  const before = chooser.value;
  replace(chooser, collections.map((one) => h("option", { value: one.name }, one.name)));
  if (collections.some((one) => one.name === before)) chooser.value = before;
  document.getElementById("logout").hidden = false;
  return show();
}

document.addEventListener("msmctl:login", () => {
  forget();
  document.getElementById("login-error").textContent = "This key is not accepted.";
  ask();
});
login.addEventListener("close", () => {
  const field = document.getElementById("key");
  if (field.value.trim()) {
    keep(field.value.trim());
    field.value = "";
    document.getElementById("login-error").textContent = "";
    enter();
  } else if (!key()) {
    ask();
  }
});
document.getElementById("logout").addEventListener("click", () => {
  forget();
  document.getElementById("logout").hidden = true;
  show();
});
chooser.addEventListener("change", () => {
  const { view: name, values } = read();
  const kept = name === "search" ? { q: values.get("q") } : {};
  location.hash = address(name, { ...kept, c: chooser.value });
});
window.addEventListener("hashchange", show);

const theme = document.getElementById("theme");
function paint(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  theme.textContent = dark() ? "☀" : "☾";
}
function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
theme.addEventListener("click", () => {
  const chosen = dark() ? "light" : "dark";
  localStorage.setItem("msmctl.theme", chosen);
  paint(chosen);
});
paint(localStorage.getItem("msmctl.theme"));
enter();
