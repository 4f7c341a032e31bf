/** Plots as SVG, drawn by hand: few points, no library. */

import { h } from "./dom.js";

const WIDTH = 420, HEIGHT = 300, LEFT = 58, BOTTOM = 34, TOP = 10, RIGHT = 10;

/** Round steps (1, 2 or 5 times a power of ten) that cut a range into about `parts`. */
export function ticks(low, high, parts = 5) {
  const rough = (high - low || 1) / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(12)));
  return found;
}

/**
 * Points over two axes; level lines across.
 * @param {{x: number, y: number, colour: string, shape: number, label: string, chosen: boolean, choose: () => void}[]} points
 * @param {{x: string, y: string, label: string, levels: {y: number, label: string}[]}} about
 */
export function scatter(points, { x: xTitle, y: yTitle, label, levels = [] }) {
  const xs = points.map((one) => one.x), ys = [...points.map((one) => one.y), ...levels.map((one) => one.y)];
  const [x0, x1] = [Math.min(1, ...xs), Math.max(2, ...xs)];
  const [low, high] = ys.length ? [Math.min(...ys), Math.max(...ys)] : [0, 1];
  const pad = (high - low || 1) * 0.05, y0 = low - pad, y1 = high + pad;
  const px = (x) => LEFT + ((x - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const py = (y) => HEIGHT - BOTTOM - ((y - y0) / (y1 - y0)) * (HEIGHT - BOTTOM - TOP);
  const line = (kind, xa, ya, xb, yb) => h("svg:line", { class: kind, x1: xa, y1: ya, x2: xb, y2: yb });
  return h("svg:svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    line("axis", LEFT, TOP, LEFT, HEIGHT - BOTTOM),
    line("axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM),
    ticks(x0, x1).map((x) => h("svg:text", { x: px(x), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, x)),
    ticks(y0, y1).map((y) => [
      line("axis", LEFT - 4, py(y), LEFT, py(y)),
      h("svg:text", { x: LEFT - 7, y: py(y) + 4, "text-anchor": "end" }, y)]),
    h("svg:text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xTitle),
    h("svg:text", { transform: `translate(11 ${(HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle),
    levels.map((one) => [
      line("mark", LEFT, py(one.y), WIDTH - RIGHT, py(one.y)),
      h("svg:text", { x: WIDTH - RIGHT, y: py(one.y) - 4, "text-anchor": "end" }, one.label)]),
    points.map((one) => h("svg:path", {
      d: shape(one.shape, px(one.x), py(one.y)), class: one.chosen ? "point chosen" : "point",
      style: { fill: one.colour }, onclick: one.choose,
    }, h("svg:title", {}, one.label))));
}

/** One of six outlines, so that what a point is does not hang on its colour alone. */
function shape(kind, x, y) {
  const r = 5.5;
  return [
    `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
    `M${x} ${y - r - 1}l${r + 1} ${2 * r}h${-2 * r - 2}z`,
    `M${x} ${y + r + 1}l${r + 1} ${-2 * r}h${-2 * r - 2}z`,
    `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    `M${x} ${y - r - 2}l${r + 2} ${r + 2}l${-r - 2} ${r + 2}l${-r - 2} ${-r - 2}z`,
    `M${x - r} ${y - r}l${r} ${r - 1.6}l${r} ${1.6 - r}l${1.6 - r} ${r}l${r - 1.6} ${r}l${-r} ${1.6 - r}l${-r} ${r - 1.6}l${r - 1.6} ${-r}z`,
  ][kind];
}
