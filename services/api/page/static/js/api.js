/**
 * The service, asked with the key of this tab. The key is sent in a header and never kept in a cookie, so
 * that no other site can make a browser act with it.
 */

const KEY = "msmctl.key";

/** What the service refused: its message and remedy. */
export class ApiError extends Error {
  constructor(status, problem) {
    super([problem.message ?? problem.detail ?? problem.title ?? `HTTP ${status}`, problem.hint].filter(Boolean).join(" – "));
    this.status = status;
  }
}

export const key = () => sessionStorage.getItem(KEY);
export const forget = () => sessionStorage.removeItem(KEY);
export const keep = (value) => sessionStorage.setItem(KEY, value);

/**
 * JSON of a request; 401 asks for a key by the event `msmctl:login`. Once `signal` is aborted nothing comes of
 * it, no error either: whoever waits for it has been left.
 */
export async function ask(method, path, body, { signal } = {}) {
  const headers = { Accept: "application/json" };
  if (key()) headers.Authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let reply, text;
  try {
    reply = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    text = await reply.text();
  } catch {
    if (signal?.aborted) return new Promise(() => {});
    throw new ApiError(0, { message: "The service does not answer", hint: "`msmctl status` says what runs" });
  }
  if (reply.status === 204) return null;
  let found = {};
  try {
    found = text ? JSON.parse(text) : {};
  } catch {
    found = { message: `The service answered ${reply.status} without JSON` };
  }
  if (reply.ok) return found;
  if (reply.status === 401) document.dispatchEvent(new CustomEvent("msmctl:login"));
  throw new ApiError(reply.status, found);
}

export const get = (path, options) => ask("GET", path, undefined, options);
export const post = (path, body, options) => ask("POST", path, body ?? {}, options);
