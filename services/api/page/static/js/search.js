/** The playground: one query, several ways to answer it side by side, and why each hit is where it is. */

import { post } from "./api.js";
import { h, replace } from "./dom.js";
import { ms, score } from "./format.js";
import { remember } from "./link.js";

export const title = "Search";
export const needsCollection = true;

const LONGEST = 320;
const WAYS = {
  bm25: { label: "BM25", body: { mode: "bm25" } },
  dense: { label: "dense", body: { mode: "dense" } },
  sparse: { label: "sparse", body: { mode: "sparse" } },
  hybrid: { label: "hybrid", body: { mode: "hybrid" } },
  rerank: { label: "hybrid + rerank", body: { mode: "hybrid" } },
};

export async function show(view, { collection, values, about, signal: left }) {
  const models = about.cross_encoders;
  const ways = values.getAll("way").filter((name) => name in WAYS);
  const input = (name, attributes) => h("input", { name, value: values.get(name) ?? "", ...attributes });
  const fields = {
    q: input("q", { type: "search", required: true, maxlength: 2000, placeholder: "When did the 1973 oil crisis begin?" }),
    size: input("size", { type: "number", min: 1, max: 100, placeholder: 10, class: "small" }),
    filter: h("input", { name: "filter", value: values.getAll("filter").join("; "), placeholder: "year>=1990; topic=nature" }),
    fusion: h("select", { name: "fusion" }, h("option", { value: "" }, "as saved"),
      about.fusions.map((name) => h("option", { selected: name === values.get("fusion") }, name))),
    model: h("select", { name: "model" }, models.map((name) => h("option", { selected: name === values.get("model") }, name))),
    window: input("window", { type: "number", min: 1, max: 1000, placeholder: 50, class: "small" }),
    budget: input("budget", { type: "number", min: 1, placeholder: "no limit", class: "small" }),
  };
  const boxes = Object.entries(WAYS).map(([name, way]) => h("label", { class: "check" },
    h("input", { type: "checkbox", name: "way", value: name, disabled: name === "rerank" && !models.length,
      checked: ways.length ? ways.includes(name) : name !== "sparse" && (name !== "rerank" || models.length > 0) }), way.label));
  const results = h("div", { class: "columns", "aria-live": "polite" });
  const snippets = h("div");
  const form = h("form", { class: "query panel", role: "search", onsubmit: (event) => { event.preventDefault(); run(); } },
    h("div", { class: "line" },
      h("label", { class: "field wide" }, "Query", fields.q),
      h("button", { class: "primary" }, "Search")),
    h("div", { class: "line" },
      h("fieldset", {}, h("legend", {}, "Side by side"), boxes),
      h("label", { class: "field" }, "Hits", fields.size),
      h("label", { class: "field wide" }, "Filters", fields.filter),
      h("label", { class: "field" }, "Fusion", fields.fusion),
      models.length > 0 && h("label", { class: "field" }, "Reranker", fields.model),
      models.length > 0 && h("label", { class: "field" }, "Window", fields.window),
      h("label", { class: "field" }, "Budget, ms", fields.budget)));
  replace(view, h("h1", {}, "Search ", collection.name), form, results, snippets);
  let running = null;

  function chosen() {
    const names = boxes.map((box) => box.firstElementChild).filter((box) => box.checked && !box.disabled).map((box) => box.value);
    return names.length ? names : ["hybrid"];
  }

  const filters = () => fields.filter.value.split(";").map((one) => one.trim()).filter(Boolean);

  /** The body of one way's request. */
  function body(name) {
    const found = { query: fields.q.value.trim(), ...WAYS[name].body, size: Number(fields.size.value) || 10, explain: true };
    if (filters().length) found.filters = filters();
    if (fields.fusion.value) found.fusion = fields.fusion.value;
    if (Number(fields.budget.value)) found.budget_ms = Number(fields.budget.value);
    if (name === "rerank") found.rerank = { model: fields.model.value, window: Number(fields.window.value) || 50 };
    return found;
  }

  async function run() {
    running?.abort();
    running = new AbortController();
    const signal = AbortSignal.any([left, running.signal]);
    const names = chosen();
    remember("search", {
      c: collection.name, q: fields.q.value.trim(), way: names, size: fields.size.value, filter: filters(),
      fusion: fields.fusion.value, model: models.length ? fields.model.value : null, window: fields.window.value, budget: fields.budget.value,
    });
    const path = `/v1/collections/${encodeURIComponent(collection.name)}/search`;
    const columns = names.map((name) => h("section", { class: "panel column", "data-way": name, "aria-label": WAYS[name].label },
      h("header", {}, h("h2", {}, WAYS[name].label)), h("p", { class: "quiet" }, "…")));
    replace(results, columns);
    replace(snippets, help(path, body(names.at(-1)), collection));
    await Promise.all(names.map(async (name, n) => {
      try {
        replace(columns[n], answer(WAYS[name].label, await post(path, body(name), { signal })));
      } catch (error) {
        replace(columns[n], h("header", {}, h("h2", {}, WAYS[name].label)), h("p", { class: "error", role: "alert" }, error.message));
      }
    }));
  }

  results.addEventListener("pointerover", (event) => same(results, event.target.closest(".hit")?.dataset.pid));
  results.addEventListener("focusin", (event) => same(results, event.target.closest(".hit")?.dataset.pid));
  if (values.get("q")) await run();
  else fields.q.focus();
}

/** Show where the other columns have the passage. */
function same(results, pid) {
  for (const hit of results.querySelectorAll(".hit")) hit.classList.toggle("same", pid !== undefined && hit.dataset.pid === pid);
}

function answer(label, found) {
  const legs = Object.keys(found.hits[0]?.explain?.legs ?? {});
  const most = Math.max(...found.hits.map((hit) => legs.reduce((sum, name) => sum + part(hit.explain.legs[name]), 0)));
  return [
    h("header", {}, h("h2", {}, label), h("span", { class: "quiet" }, ms(found.took_ms))),
    split(found.timing),
    found.degraded.map((what) => [h("span", { class: "badge warn" }, what), " "]),
    found.reranked !== null && h("span", { class: "badge" }, `${found.reranked} reranked`),
    found.notes.map((what) => h("p", { class: "quiet" }, what)),
    legs.length > 0 && h("ul", { class: "legend" }, legs.map((name) => h("li", {}, swatch(name), name)),
      found.fusion && h("li", {}, `fused by ${found.fusion}`)),
    found.hits.length
      ? h("ol", { class: "hits" }, found.hits.map((hit) => one(hit, legs, most)))
      : h("p", {}, "No passage matches."),
  ];
}

/** A leg has one colour in all columns: BM25 the first, the others in the order in which they are met. */
const colours = new Map([["bm25", 0]]);
function colour(name) {
  if (!colours.has(name)) colours.set(name, colours.size);
  return `var(--leg-${colours.get(name) % 4})`;
}
const swatch = (name) => h("span", { class: "swatch", style: { background: colour(name) } });

/** What a leg adds to the length of a bar. */
const part = (leg) => Math.max(0, leg.normalised * leg.weight);

/** A hit: a bar as long as its fused score, the column's largest fills it; each part is one leg's share. */
function one(hit, legs, most) {
  const parts = legs.map((name) => [name, hit.explain.legs[name]]);
  const said = parts.map(([name, leg]) =>
    `${name}: score ${score(leg.score)}, rank ${leg.rank ?? "–"}, ${score(leg.normalised)} × ${leg.weight.toFixed(2)} = ${score(leg.normalised * leg.weight)}`);
  const ce = hit.explain.ce_score;
  return h("li", { class: "hit", "data-pid": hit.pid },
    h("div", { class: "head" },
      h("span", {}, h("strong", {}, `${hit.rank}. `), h("code", {}, hit.pid)),
      h("span", { class: "number" }, ce === null ? score(hit.score) : `ce ${score(ce)}`)),
    hit.title && h("h3", {}, hit.title),
    h("p", {}, shortened(hit)),
    parts.length > 0 && h("div", { class: "stack", role: "img", "aria-label": said.join("; "), title: said.join("\n") },
      parts.map(([name, leg]) => h("span", { style: { width: `${(100 * part(leg)) / (most || 1)}%`, background: colour(name) } }))),
    parts.length > 0 && h("details", {}, h("summary", { class: "quiet" }, "why here"), h("ul", {}, said.map((line) => h("li", { class: "mono" }, line)),
      ce !== null && h("li", { class: "mono" }, `cross-encoder: ${score(ce)}`))));
}

/** The text without the title that stands above it already. */
function shortened({ title, text }) {
  const rest = title && text.startsWith(title) ? text.slice(title.length).trim() : text;
  return rest.length > LONGEST ? `${rest.slice(0, LONGEST - 1)}…` : rest;
}

/** Where the time went. */
function split(timing) {
  const parts = Object.entries(timing).filter(([, value]) => value > 0);
  const whole = parts.reduce((sum, [, value]) => sum + value, 0);
  if (!whole) return null;
  const said = parts.map(([name, value]) => `${name} ${ms(value)}`).join(", ");
  return [
    h("div", { class: "stack", role: "img", "aria-label": `Time: ${said}`, title: said },
      parts.map(([, value], n) => h("span", { style: { width: `${(100 * value) / whole}%`, background: `var(--leg-${n % 4})` } }))),
    h("p", { class: "quiet" }, said),
  ];
}

/** The same request for a shell, a program, and Kibana's Dev Tools through the gateway. */
function help(path, body, collection) {
  const json = JSON.stringify(body, null, 1);
  const quoted = json.replaceAll("'", "'\\''");
  const { query, size, ...ext } = body;
  const tools = { query: { match: { text: query } }, size, ext: { msmctl: ext } };
  const texts = {
    curl: `curl -s ${location.origin}${path} \\\n  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\\n  -d '${quoted}'`,
    Python: [
      "import json, os, urllib.request", "",
      `body = json.loads(r"""${json}""")`,
      `request = urllib.request.Request("${location.origin}${path}", json.dumps(body).encode(),`,
      `    {"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"})`,
      "for hit in json.load(urllib.request.urlopen(request))[\"hits\"]:",
      "    print(hit[\"rank\"], hit[\"pid\"], hit[\"score\"], hit[\"text\"][:80])",
    ].join("\n"),
    "Dev Tools, through the gateway": `POST ${collection.alias}/_search\n${JSON.stringify(tools, null, 1)}`,
  };
  return h("details", { class: "panel", style: { marginTop: "1rem" } },
    h("summary", {}, "The last column's request for curl, Python, Dev Tools"),
    Object.entries(texts).map(([name, text]) => h("section", {}, h("h3", {}, name), h("pre", { tabindex: 0 }, text))),
    h("p", {}, h("a", { href: location.hash }, "A link to this view")));
}
