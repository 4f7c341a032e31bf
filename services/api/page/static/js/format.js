/** Numbers and times as people read them. */

export const count = (value) => (value === null || value === undefined ? "" : value.toLocaleString("en"));
export const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
export const ms = (value) => (value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`);
export const percent = (part, whole) => (whole ? `${Math.floor((100 * part) / whole)}%` : "");

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) return parts[1] ? `${parts[1]}:${String(parts[2]).padStart(2, "0")}` : `${parts[2]} s`;
  return parts.map((part, n) => (n ? String(part).padStart(2, "0") : part)).join(":");
}

export function bytes(value) {
  if (value === null || value === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let n = 0;
  for (; value >= 1000 && n < units.length - 1; n += 1) value /= 1000;
  return `${value >= 100 || !n ? Math.round(value) : value.toFixed(1)} ${units[n]}`;
}

export const time = (text) => (text ? new Date(text).toLocaleString("en-GB", { dateStyle: "short", timeStyle: "medium" }) : "");
