/** Elements without markup strings: text is always text. */

/**
 * An element (`svg:` in front of the name: of SVG) with attributes, listeners (`onclick`…) and children.
 * @param {string} name
 * @param {Record<string, unknown>} [attributes] false, null and undefined are left out
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 */
export function h(name, attributes = {}, ...children) {
  const svg = name.startsWith("svg:");
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(element.style, value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Show these and nothing else. */
export function replace(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

let clearing = 0;

/** Say something in the corner; errors stay twice as long. */
export function notify(text, bad = false) {
  const place = document.getElementById("notice");
  place.textContent = text;
  place.classList.toggle("bad", bad);
  clearTimeout(clearing);
  clearing = setTimeout(() => (place.textContent = ""), bad ? 12000 : 6000);
}

/** A table; columns are `[title, cell(row), class?]`. */
export function table(columns, rows, { row: attributes = () => ({}), caption = null } = {}) {
  return h("div", { class: "scroll" },
    h("table", {},
      caption && h("caption", { class: "quiet" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))),
      h("tbody", {}, rows.map((row) =>
        h("tr", attributes(row), columns.map(([, cell, kind]) => h("td", { class: kind }, cell(row))))))));
}

/** Ask before something that others will notice. */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": question },
      h("form", { method: "dialog" },
        h("p", {}, question),
        h("div", { class: "actions" },
          h("button", { value: "yes", class: "primary" }, action),
          h("button", { value: "no", autofocus: true }, "Cancel"))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
