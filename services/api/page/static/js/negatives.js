/** The negatives inspector: a query, its candidates, what each judge says, and a person's verdict. */

import { ask, get } from "./api.js";
import { h, notify, replace, table } from "./dom.js";
import { score } from "./format.js";
import { address, remember } from "./link.js";
import { scatter } from "./plots.js";

export const title = "Negatives";
export const needsCollection = true;

const VERDICTS = ["keep", "positive", "likely_positive", "too_easy", "near_duplicate", "excluded"];
const KEYS = { k: "keep", p: "positive", x: "excluded" };
const MEANING = { keep: "a negative", positive: "answers the query", excluded: "neither" };

export async function show(view, { collection, values, signal }) {
  const { splits } = collection;
  const state = { collection: collection.name, found: null, chosen: 0, verdict: null, reason: "", tried: null, split: values.get("split") ?? splits[0] ?? "" };
  const filters = h("input", { name: "filter", value: values.getAll("filter").join(" "), placeholder: "ce-margin=3 max-per-system=5" });
  const qid = h("input", { name: "qid", value: values.get("qid") ?? "", list: "qids", autocomplete: "off" });
  const options = h("datalist", { id: "qids" });
  const split = h("select", { name: "split", onchange: () => { state.split = split.value; qid.value = ""; browse(); } },
    splits.map((name) => h("option", { selected: name === state.split }, name)));
  const body = h("div");
  const form = h("form", { class: "query panel", onsubmit: (event) => { event.preventDefault(); load(); } },
    h("div", { class: "line" },
      h("label", { class: "field" }, "Split", split),
      h("label", { class: "field wide" }, "Query: id, or words of it", qid),
      h("label", { class: "field wide" }, "Filters", filters),
      h("button", { class: "primary" }, "Show"),
      h("button", { type: "button", onclick: () => step(-1) }, "Previous"),
      h("button", { type: "button", onclick: () => step(1) }, "Next")), options);
  replace(view, h("h1", {}, "Negatives inspector"), form, body);

  const path = (what, query) => `/v1/collections/${encodeURIComponent(state.collection)}/${what}?${new URLSearchParams(query)}`;

  /** Queries of the split that hold the words; the first one that was mined is shown. */
  async function browse(words = "") {
    const { queries } = await get(path("queries", { split: state.split, words, limit: 50 }), { signal });
    replace(options, queries.map((one) => h("option", { value: one.qid }, one.text)));
    if (!queries.length) return replace(body, h("p", {}, "No query of this split holds these words."));
    qid.value = queries[0].qid;
    return load();
  }

  async function load() {
    if (!qid.value.trim()) return browse();
    const asked = filters.value.trim().split(/\s+/).filter(Boolean);
    const words = qid.value.trim();
    try {
      state.found = await get(path("negatives", [["split", state.split], ["qid", words], ...asked.map((one) => ["filter", one])]), { signal });
    } catch (error) {
      if (error.status === 404 && state.tried !== words) {
        state.tried = words;
        return browse(words);
      }
      replace(body, h("p", { class: "error", role: "alert" }, error.message));
      return undefined;
    }
    state.chosen = Math.min(state.chosen, Math.max(0, state.found.candidates.length - 1));
    remember("negatives", { c: state.collection, split: state.split, qid: state.found.qid, filter: asked });
    return draw();
  }

  async function step(by) {
    const { queries } = await get(path("queries", { split: state.split, beside: qid.value.trim(), by }), { signal });
    if (!queries.length) return notify("There is no further query in this split.");
    qid.value = queries[0].qid;
    state.chosen = 0;
    return load();
  }

  function draw() {
    const { found } = state;
    const rows = found.candidates;
    const systems = [...new Set(rows.flatMap((one) => Object.keys(one.systems)))];
    const choose = (n) => { state.chosen = n; draw(); };
    replace(body, h("div", { class: "inspector" },
      h("section", { class: "panel", "aria-label": "Candidates" },
        h("h2", {}, found.query),
        found.positives.map((one) => h("p", {},
          h("span", { class: "badge good" }, one.labelled ? "positive" : "relabelled"), " ",
          h("code", {}, one.pid), one.ce_score === null ? "" : ` ${score(one.ce_score)}`, " ", one.text)),
        rows.length ? table([
          ["pid", (one) => h("button", { onclick: () => choose(rows.indexOf(one)), "aria-label": `Choose ${one.pid}` }, h("code", {}, one.pid))],
          ...systems.map((name) => [name, (one) => one.systems[name]?.rank ?? "", "number"]),
          ["ce_score", (one) => score(one.ce_score), "number"],
          ["margin", (one) => score(one.margin), "number"],
          ["verdict", (one) => [badge(one.verdict), h("div", { class: "quiet" }, one.reason)], "verdict"],
          ["negative", (one) => (one.negative ? "yes" : "no")],
          ["text", (one) => h("div", { class: "clamp" }, one.text), "text"],
        ], rows, { row: (one) => ({ "aria-selected": String(rows[state.chosen] === one), "data-pid": one.pid }),
          caption: "Ranks by system; margin: lowest positive's ce_score minus the candidate's." })
          : h("p", {}, "No system has returned a candidate for this query yet: ", h("code", {}, "msmctl mine --system bm25"))),
      h("div", { class: "side" },
        rows.length > 0 && verdict(rows[state.chosen]),
        h("section", { class: "panel" }, plot(found, choose)))));
    body.querySelector(`tr[aria-selected="true"]`)?.scrollIntoView({ block: "nearest" });
  }

  function plot({ candidates, positives, ce }, choose) {
    const points = candidates.map((one, n) => ({
      x: Math.min(...Object.values(one.systems).map((by) => by.rank)), y: one.ce_score, n, one,
    })).filter((point) => point.y !== null);
    if (!points.length) return h("p", { class: "quiet" }, "No candidate has a ce_score: ", h("code", {}, "msmctl score --ce MODEL"));
    const known = positives.map((one) => one.ce_score).filter((value) => value !== null);
    const levels = known.length ? [{ y: Math.min(...known), label: "lowest positive" }] : [];
    return [
      h("h2", {}, `ce_score by best rank (${ce})`),
      scatter(points.map(({ x, y, n, one }) => ({
        x, y, colour: `var(--${one.verdict})`, shape: VERDICTS.indexOf(one.verdict), chosen: n === state.chosen,
        label: `${one.pid}: rank ${x}, ce_score ${score(y)}, ${one.verdict}`, choose: () => choose(n),
      })), { x: "best rank of any system", y: "ce_score", levels, label: `ce_score of ${points.length} candidates against their best rank` }),
      h("ul", { class: "legend" }, VERDICTS.filter((name) => points.some(({ one }) => one.verdict === name)).map((name) => h("li", {}, badge(name)))),
    ];
  }

  /** A verdict needs its reason: choosing one asks for it, Enter keeps both. */
  function verdict(one) {
    const reason = h("input", { name: "reason", maxlength: 500, required: true, value: state.reason });
    const keepMark = (event) => {
      event.preventDefault();
      state.reason = reason.value.trim();
      act("PUT", one, { verdict: state.verdict, reason: state.reason });
    };
    const button = ([letter, name]) => h("button", {
      type: "button", title: MEANING[name], "aria-pressed": String(state.verdict === name), class: state.verdict === name && "primary",
      onclick: () => pick(name),
    }, name, " ", h("kbd", {}, letter));
    return h("section", { class: "panel", "aria-label": "Verdict" },
      h("h2", {}, "Your verdict on ", h("code", {}, one.pid)),
      h("div", { class: "actions" }, Object.entries(KEYS).map(button),
        h("button", { type: "button", onclick: () => act("DELETE", one) }, "unmark ", h("kbd", {}, "u"))),
      state.verdict && h("form", { class: "line", style: { marginTop: ".6rem" }, onsubmit: keepMark },
        h("label", { class: "field" }, `${state.verdict}, because`, reason),
        h("button", { class: "primary", style: { marginTop: ".4rem" } }, "Keep this verdict")),
      h("p", { class: "quiet" }, h("kbd", {}, "↓"), " ", h("kbd", {}, "↑"), " candidate, ", h("kbd", {}, "n"), " next query, ",
        h("kbd", {}, "Enter"), " keeps a verdict with its reason, ", h("kbd", {}, "Esc"), " leaves it"));
  }

  function pick(name) {
    state.verdict = name;
    draw();
    if (name) body.querySelector("[name=reason]").focus();
  }

  async function act(method, one, mark) {
    try {
      const pair = { qid: state.found.qid, pid: one.pid };
      await ask(method, path("marks", mark ? {} : pair), mark && { ...pair, ...mark });
    } catch (error) {
      return notify(error.message, true);
    }
    notify(mark ? `${one.pid} marked ${mark.verdict}` : `${one.pid} unmarked`);
    state.verdict = null;
    return load();
  }

  function keys(event) {
    if (event.key === "Escape" && state.verdict) return pick(null);
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return undefined;
    const rows = state.found?.candidates ?? [];
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && rows.length) {
      event.preventDefault();
      state.chosen = Math.max(0, Math.min(rows.length - 1, state.chosen + move));
      return draw();
    }
    if (event.key === "n") return step(1);
    if (!rows.length) return undefined;
    if (event.key === "u") return act("DELETE", rows[state.chosen]);
    if (!(event.key in KEYS)) return undefined;
    event.preventDefault();
    return pick(KEYS[event.key]);
  }

  document.addEventListener("keydown", keys, { signal });
  await load();
}

function badge(name) {
  return h("span", { class: "badge", style: { color: `var(--${name})` } }, name.replace("_", " "));
}

/** The address of a query in this view. */
export const link = (collection, qid) => address("negatives", { c: collection, qid });
