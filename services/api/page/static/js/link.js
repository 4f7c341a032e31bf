/** The view and its settings in the address, so that a link shows the same again. Keys never stand there. */

/** `#/search?q=…` as {view, values}. */
export function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "search", values: new URLSearchParams(query) };
}

/** The address of a view; empty values and null are left out. */
export function address(view, values = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

/** Put it into the address bar without showing the view anew. */
export function remember(view, values) {
  history.replaceState(null, "", address(view, values));
}
