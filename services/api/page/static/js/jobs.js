/** Jobs as they run: progress, rates, failures, dead rows; cancel and retry. */

import { get, post } from "./api.js";
import { confirmed, h, notify, replace, table } from "./dom.js";
import { count, duration, percent, time } from "./format.js";
import { remember } from "./link.js";

export const title = "Jobs";
const EVERY = 2000;
const OPEN = ["pending", "running", "paused"];
const TONE = { succeeded: "good", failed: "bad", cancelled: "warn", dead_rows: "warn" };

export async function show(view, { values, signal }) {
  let chosen = values.get("job"), before = new Map();
  const list = h("div"), details = h("div");
  replace(view, h("h1", {}, "Jobs"), h("div", { class: "panel" }, list), details);

  /** Chunks per second since the last look, of jobs that run. */
  function rates(jobs) {
    const now = performance.now();
    const seen = new Map(jobs.map((job) => [job.job, { rows: job.rows, at: now }]));
    const found = new Map(jobs.map((job) => {
      const last = before.get(job.job);
      return [job.job, last && now > last.at ? (1000 * (job.rows - last.rows)) / (now - last.at) : null];
    }));
    before = seen;
    return found;
  }

  async function load() {
    const { jobs } = await get("/v1/jobs?limit=100", { signal });
    const speed = rates(jobs);
    const focused = document.activeElement?.dataset?.job;
    replace(list, jobs.length ? table([
      ["job", (job) => h("button", { "data-job": job.job, onclick: () => { chosen = job.job; load().catch(fail); } }, h("code", {}, job.job))],
      ["what", (job) => job.title],
      ["state", (job) => h("span", { class: `badge ${TONE[job.state] ?? ""}` }, job.state.replaceAll("_", " "))],
      ["chunks", (job) => [h("progress", { max: Math.max(1, job.chunks ?? 1), value: job.done, "aria-label": `${job.job} done` }), job.chunks === null ? " not planned yet" : ` ${count(job.done)}/${count(job.chunks)} ${percent(job.done, job.chunks)}`]],
      ["rows", (job) => count(job.rows), "number"],
      ["rows/s", (job) => (job.state === "running" && speed.get(job.job) !== null ? count(Math.round(speed.get(job.job))) : ""), "number"],
      ["dead rows", (job) => (job.dead ? h("span", { class: "badge bad" }, count(job.dead)) : ""), "number"],
      ["time", (job) => duration(job.seconds), "number"],
      ["left", (job) => left(job), "number"],
      ["", (job) => actions(job)],
    ], jobs) : h("p", {}, "No job has been submitted yet: ", h("code", {}, "msmctl mine --system bm25")));
    if (focused) list.querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus();
    if (chosen) await detail();
  }

  const actions = (job) => h("div", { class: "actions" },
    OPEN.includes(job.state)
      ? h("button", { onclick: () => act(job, "cancel") }, "Cancel")
      : job.state !== "succeeded" && h("button", { onclick: () => act(job, "retry") }, "Retry"));

  async function act(job, verb) {
    if (verb === "cancel" && !(await confirmed(`Cancel ${job.job}? Chunks that are done stay done.`, "Cancel the job"))) return;
    try {
      await post(`/v1/jobs/${encodeURIComponent(job.job)}/${verb}`);
      notify(`${job.job}: ${verb === "cancel" ? "cancelled" : "opened again"}`);
      await load();
    } catch (error) {
      fail(error);
    }
  }

  async function detail() {
    const job = await get(`/v1/jobs/${encodeURIComponent(chosen)}`, { signal });
    remember("jobs", { job: chosen });
    replace(details, h("section", { class: "panel", style: { marginTop: "1rem" }, "aria-label": "Job" },
      h("h2", {}, job.title, " ", h("code", {}, job.job)),
      h("p", { class: "quiet" }, [job.phase, job.note, job.started && `since ${time(job.started)}`, job.ended && `until ${time(job.ended)}`].filter(Boolean).join(" · ")),
      job.error && h("p", { class: "error" }, `${job.error.message}${job.error.hint ? ` – ${job.error.hint}` : ""}`),
      h("p", {}, Object.entries(job.chunk_states).filter(([, n]) => n).map(([state, n]) => `${count(n)} ${state}`).join(", ")),
      job.trouble.length > 0 && table([["chunk", (one) => one.chunk], ["state", (one) => one.state], ["attempt", (one) => one.attempt, "number"],
        ["error", (one) => `${one.message}${one.hint ? ` – ${one.hint}` : ""}`]], job.trouble, { caption: "Chunks in trouble" }),
      job.dead_rows.length > 0 && table([["chunk", (one) => one.chunk], ["row", (one) => h("code", {}, one.row)], ["reason", (one) => one.reason]],
        job.dead_rows, { caption: `Dead rows (${count(job.dead)})` }),
      h("details", {}, h("summary", {}, "Specification and result"),
        h("pre", { tabindex: 0 }, JSON.stringify({ spec: job.spec, result: job.result }, null, 1)))));
  }

  const fail = (error) => notify(error.message, true);
  await load();
  (async () => {
    while (!signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, EVERY));
      if (!document.hidden) await load().catch(fail);
    }
  })();
}

/** Time left if it goes on as before. */
function left(job) {
  if (job.state !== "running" || !job.done || !job.chunks || !job.seconds) return "";
  return duration((job.seconds / job.done) * (job.chunks - job.done));
}
