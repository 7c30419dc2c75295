// Elements from data, and a page brought up to date in place.
//
// Whatever a device or a registry said ends up as text: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

// Text without what turns the text around it (schemas/src/text.rs); controls show nothing in a page.
export const plain = (text) => text.replace(/[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, " ");

// An element. `attrs`: attributes; `on…`: listeners. Children: elements, strings, arrays, null.
export function h(tag, attrs = {}, ...children) {
  return filled(document.createElement(tag), attrs, children);
}

function svg(tag, attrs, ...children) {
  return filled(document.createElementNS(SVG, tag), attrs, children);
}

function filled(element, attrs, children) {
  for (const [name, value] of Object.entries(attrs)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  const there = children.flat(Infinity).filter((child) => child !== null && child !== undefined);
  element.append(...there.map((child) => (typeof child === "string" ? plain(child) : child)));
  return element;
}

// Makes `live` look like `wanted`, reusing what is there: focus, scrolling and charts survive.
// An element with `data-keep` looks after its own content.
export function morph(live, wanted) {
  for (const { name } of [...live.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "data-drawn") live.removeAttribute(name);
  }
  for (const { name, value } of [...wanted.attributes]) {
    if (live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
  if (live.hasAttribute("data-keep")) return;
  morphChildren(live, [...wanted.childNodes]);
}

const same = (one, other) => one.nodeName === other.nodeName
  && (one.dataset?.key ?? "") === (other.dataset?.key ?? "");

export function morphChildren(live, wanted) {
  const keyed = new Map();
  for (const child of live.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let next = live.firstChild;
  for (const node of wanted) {
    const key = node.dataset?.key;
    const known = key ? keyed.get(key) : next;
    if (known && same(known, node)) {
      if (known === next) next = next.nextSibling;
      else live.insertBefore(known, next);
      if (node.nodeType === Node.TEXT_NODE) {
        if (known.nodeValue !== node.nodeValue) known.nodeValue = node.nodeValue;
      } else morph(known, node);
    } else live.insertBefore(node, next);
  }
  while (next) {
    const rest = next.nextSibling;
    next.remove();
    next = rest;
  }
}

// The words of the contract, the most urgent first, each with a shape of its own.
const STANDINGS = {
  escalate: ["escalate", "M8 1 L15.5 15 H0.5 Z M7.2 6 h1.6 v4.5 h-1.6 Z M7.2 11.8 h1.6 v1.6 h-1.6 Z"],
  rollback: ["rollback", "M5.2 1 H10.8 L15 5.2 V10.8 L10.8 15 H5.2 L1 10.8 V5.2 Z M4 8 L8 4.4 V7 H12 V9 H8 V11.6 Z"],
  hold: ["hold", "M1 1 H15 V15 H1 Z M4.6 4 h2.2 v8 h-2.2 Z M9.2 4 h2.2 v8 h-2.2 Z"],
  watch: ["watch", "M8 0.5 L15.5 8 L8 15.5 L0.5 8 Z M8 5.4 L10.6 8 L8 10.6 L5.4 8 Z"],
  insufficient: ["insufficient", "M8 1 a7 7 0 1 0 0.01 0 Z M8 2.8 a5.2 5.2 0 1 1 -0.01 0 Z M4.2 7.2 h1.7 v1.7 h-1.7 Z M7.15 7.2 h1.7 v1.7 h-1.7 Z M10.1 7.2 h1.7 v1.7 h-1.7 Z"],
  clear: ["clear", "M8 1 a7 7 0 1 0 0.01 0 Z M4 8.2 L5.3 6.9 L7.1 8.7 L10.9 4.9 L12.2 6.2 L7.1 11.3 Z"],
  no_data: ["no data", "M3 7.2 H13 V8.8 H3 Z"],
};

// Shape and word of a standing; the colour only helps.
export function badge(standing, extra = null) {
  const [word, path] = STANDINGS[standing] ?? [String(standing), "M0 0"];
  return h("span", { class: `badge ${standing}` },
    svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
      svg("path", { d: path, "fill-rule": "evenodd" })),
    h("span", { class: "word" }, word), extra);
}

// `rows`: arrays of cells; a cell is what `h` takes as a child. `numbers`: columns set right.
export function table(caption, heads, rows, numbers = []) {
  const kind = (at) => (numbers.includes(at) ? "number" : null);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "sr" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head, at) => h("th", { scope: "col", class: kind(at) }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, at) =>
        at === 0 ? h("th", { scope: "row", class: kind(at) }, cell) : h("td", { class: kind(at) }, cell)))))));
}

export const none = (text) => h("p", { class: "none" }, text);

export const section = (title, ...children) =>
  h("section", { "data-key": title }, h("h2", {}, title), ...children);

// 2026-07-19T10:00:00Z as 07-19 10:00; event time is UTC everywhere.
export function time(at) {
  if (!at) return "–";
  return h("time", { datetime: at, title: at }, `${at.slice(5, 10)} ${at.slice(11, 16)}`);
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
}

export function number(value, digits = 2) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1000 ? count(value) : String(Number(value.toFixed(digits)));
}

// A length of time in seconds, in the unit that fits.
export function length(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const [size, unit] = [[86_400, "d"], [3_600, "h"], [60, "min"]].find(([size]) => seconds >= 2 * size) ?? [1, "s"];
  return `${number(seconds / size, 1)} ${unit}`;
}
