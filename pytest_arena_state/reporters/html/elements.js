// Elements, texts and numbers. Everything that a model said becomes a text node and nothing else: no markup is
// parsed, no address is followed, and the content security policy holds even where this script errs.

const PAGE = 100; // runs of the list that are shown at a time
const FOLD = 6000; // characters of a text before it is folded
const ONE_LINE = 72; // characters of JSON that are not broken into lines
const STEP = 60000; // characters that unfolding adds; laying out a megabyte at once takes seconds
const UNBROKEN = 500; // characters without a space, for which breaking lines takes quadratic time
const NAME = 1000; // characters of a name
const MATRIX_ROWS = 12; // scenarios before the rest is folded
const MACHINE_NOISE = 50; // milliseconds by which a time differs from run to run
const KEPT = 6; // blocks of conversations that stay decoded
const SIGN = { passed: "✓", failed: "✗", error: "!", skipped: "–" };
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"];
// Controls, and what turns the direction of text or cannot be seen: shown by name.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/;
const HIDDEN_ALL = new RegExp(HIDDEN.source, "g");
const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name in element && typeof value !== "string" && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false && each !== ""));
  return element;
}
const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Text as nodes: what is hidden in it is made visible, and long runs without a space may break. */
function visible(text) {
  text = String(text).replaceAll("\r\n", "\n");
  if (!HIDDEN.test(text)) return breakable(text);
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN_ALL)) {
    if (nodes.length > 4000) break; // enough to see that the text is made of these
    if (match.index > from) nodes.push(breakable(text.slice(from, match.index)));
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    nodes.push(h("span", { class: "hidden-char" }, `U+${code}`));
    from = match.index + match[0].length;
  }
  nodes.push(breakable(text.slice(from).replace(HIDDEN_ALL, "\ufffd")));
  return nodes;
}
function breakable(text) {
  if (text.length < UNBROKEN || !/\S{500}/.test(text)) return [text];
  const nodes = [];
  for (let from = 0, to; from < text.length; from = to) nodes.push(text.slice(from, (to = between(text, from + UNBROKEN))), h("wbr"));
  return nodes;
}
/** A place that is not within a letter of two units, such as an emoji, whose halves would be shown as damage. */
const between = (text, at) => (/[\ud800-\udbff]/.test(text[at - 1] ?? "") && /[\udc00-\udfff]/.test(text[at] ?? "") ? at - 1 : at);
const capped = (text) => ((text = String(text)).length > NAME ? `${text.slice(0, between(text, NAME))}…` : text);
/** A name, which must not turn the text around it. */
const name = (text) => h("bdi", {}, visible(capped(text)));
/** An id, which may break after the signs that join its parts. */
const id = (text) => h("bdi", {}, capped(text).split(/(?<=[:/_.\-[])(?=[^:])/).map((piece, i) => [i > 0 && i < 60 ? h("wbr") : "", visible(piece)]));

const whole = (value) => value.toLocaleString("en-US");
const usd = (value) => (!value || Math.abs(value) >= 1 ? `$${(value || 0).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}` : Math.abs(value) >= 0.0001 ? `$${value.toFixed(4)}` : Math.abs(value) < 1e-12 ? `$${value.toPrecision(2)}` : `$${value.toFixed(1 - Math.floor(Math.log10(Math.abs(value)))).replace(/0+$/, "")}`);
function time(ms) {
  if (!ms) return "0 s";
  if (ms < 0) return `-${time(-ms)}`; // a clock was set back
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours} h ${String(minutes).padStart(2, "0")} min` : `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
}
const percent = (share) => (share > 0 && share < 0.01 ? "<1%" : share > 0.99 && share < 1 ? ">99%" : `${Math.round(share * 100)}%`);
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value)}`;
const bytes = (count) => (count < 1024 ? `${count} bytes` : count < 1048576 ? `${Math.round(count / 1024)} KB` : `${(count / 1048576).toFixed(1)} MB`);
const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
function quantile(sorted, share) {
  if (!sorted.length) return 0;
  const place = share * (sorted.length - 1), below = Math.floor(place);
  return sorted[below] + ((sorted[below + 1] ?? sorted[below]) - sorted[below]) * (place - below);
}
const ascending = (a, b) => a - b;
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0);
function wilson(passed, total) {
  const z = 1.959963984540054, rate = passed / total, square = z * z;
  const centre = (rate + square / (2 * total)) / (1 + square / total);
  const reach = (z / (1 + square / total)) * Math.sqrt((rate * (1 - rate)) / total + square / (4 * total * total));
  return [passed ? Math.max(0, centre - reach) : 0, passed === total ? 1 : Math.min(1, centre + reach)];
}
