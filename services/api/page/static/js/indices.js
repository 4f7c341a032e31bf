/** Systems and index versions: what is served, what could be, swap and rollback. */

import { get, post } from "./api.js";
import { confirmed, h, notify, replace, table } from "./dom.js";
import { bytes, count, time } from "./format.js";

export const title = "Indices";
export const needsCollection = true;

export async function show(view, { collection, signal }) {
  const name = collection.name;
  const place = h("div");
  replace(view, h("h1", {}, `Indices of ${name}`), place);

  async function load() {
    const base = `/v1/collections/${encodeURIComponent(name)}`;
    const [{ versions }, { systems }] = await Promise.all([get(`${base}/versions`, { signal }), get(`${base}/systems`, { signal })]);
    const served = versions.find((one) => one.served);
    replace(place,
      h("section", { class: "panel" },
        h("h2", {}, "Versions"),
        versions.length ? table([
          ["version", (one) => [h("strong", {}, one.version), " ", one.served && h("span", { class: "badge good" }, "served")]],
          ["state", (one) => one.state],
          ["passages", (one) => count(one.passages), "number"],
          ["queries", (one) => count(one.queries), "number"],
          ["systems", (one) => one.systems.join(", ") || "bm25 alone"],
          ["vectors", (one) => one.vector_index],
          ["size", (one) => bytes(one.bytes), "number"],
          ["created", (one) => time(one.created)],
          ["", (one) => !one.served && one.state === "complete" && h("button", { onclick: () => act(`Serve version ${one.version} of ${name}?`, "Serve it", `${base}/versions/${one.version}/swap`) }, "Serve")],
        ], versions.toReversed()) : h("p", {}, "There is no version yet: ", h("code", {}, `msmctl index build --collection ${name} --system SYSTEM`)),
        served && versions.length > 1 && h("p", {},
          h("button", { onclick: () => act(`Go back to the version of ${name} that was served before?`, "Roll back", `${base}/rollback`) }, "Roll back"))),
      h("section", { class: "panel", style: { marginTop: "1rem" } },
        h("h2", {}, "Systems"),
        table([
          ["system", (one) => one.name],
          ["kind", (one) => one.kind],
          ["similarity", (one) => (one.kind === "dense" ? one.similarity : "")],
          ["dimensions", (one) => count(one.dims), "number"],
          ["model", (one) => ({ true: "installed", false: "not installed" })[one.installed] ?? ""],
          ["served", (one) => (one.served ? h("span", { class: "badge good" }, "served") : "")],
          ["mined splits", (one) => one.mined.join(", ")],
        ], systems)));
  }

  async function act(question, verb, path) {
    if (!(await confirmed(question, verb))) return;
    try {
      const done = await post(path);
      notify(`version ${done.served} of ${name} is served`);
    } catch (error) {
      notify(error.message, true);
    }
    await load();
  }

  await load();
}
