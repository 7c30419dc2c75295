// The fleet at a glance: changes as rows, rings in rollout order as columns.

import { badge, count, h, none, number, plain, time } from "./dom.js";
import { ask } from "./live.js";

let filter = "";
let known = null;

const to = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

export async function load() {
  const fleet = await ask("/api/v1/fleet");
  announce(fleet.alerts);
  return { title: "Fleet", until: fleet.evaluated_until, nodes: [page(fleet)] };
}

// What is new is also said, for those who do not see it.
function announce(alerts) {
  const fresh = known ? alerts.filter((alert) => !known.has(alert.id)) : [];
  known = new Set(alerts.map((alert) => alert.id));
  if (fresh.length) document.getElementById("said").textContent = plain(fresh.map((alert) => alert.summary).join(" "));
}

function page(fleet) {
  return h("div", { class: "fleet", "data-key": "fleet" },
    h("section", { class: "grid", "data-key": "grid" },
      h("div", { class: "head" }, h("h1", {}, "Fleet"),
        h("label", {}, "Filter ", h("input", { type: "search", value: filter, "data-keep": true, "data-key": "filter", id: "filter", oninput: filtered }))),
      notice(fleet),
      fleet.changes.length ? grid(fleet) : unknown(fleet) ?? none("No change has been seen yet.")),
    h("section", { class: "open", "data-key": "open", "aria-labelledby": "open-title" },
      h("h2", { id: "open-title" }, `Open alerts (${fleet.alerts.length})`),
      fleet.alerts.length ? h("ul", { class: "cards" }, fleet.alerts.map(card)) : unknown(fleet) ?? none("Nothing asks for attention."),
      h("p", { class: "note" }, `${count(fleet.resolved)} resolved. ${count(fleet.counts.received)} records received, ${count(fleet.counts.rejected)} rejected.`)));
}

// An empty list is no all-clear where another process, or nobody yet, knows.
function unknown(fleet) {
  return ["standby", "recovering"].includes(fleet.publisher) ? none("Not known here.") : null;
}

function notice(fleet) {
  const words = [];
  if (fleet.publisher === "standby") words.push("Another process publishes: it shows the changes and alerts, this one does not know them.");
  if (fleet.publisher === "recovering") words.push("Recovering: changes and alerts follow.");
  if (fleet.down) words.push(`The broker is out of reach: ${fleet.down}.`);
  if (fleet.paused) words.push(`Paused by ${fleet.paused.author}: nothing is rolled back or run until it is resumed.`);
  return h("p", { class: "notice", "data-key": "notice", hidden: !words.length }, words.join(" "));
}

function grid(fleet) {
  return h("div", { class: "scroll fixed", tabindex: 0, role: "region", "aria-label": "Changes by ring", onkeydown: arrows },
    h("table", { class: "rings" },
      h("caption", { class: "sr" }, "Changes as rows, the most urgent first; rings in rollout order as columns"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "change" }, "Change"), fleet.rings.map((ring) => h("th", { scope: "col" }, ring)))),
      h("tbody", { id: "rows" }, fleet.changes.map((change) => row(change, fleet.rings)))));
}

function row(change, rings) {
  const words = `${change.change} ${change.title ?? ""}`.toLowerCase();
  const said = [change.change_type, change.status, change.watched ? null : "not watched"].filter(Boolean).join(", ");
  return h("tr", { "data-key": change.change, "data-words": words, hidden: !words.includes(filter) },
    h("th", { scope: "row", class: "change" },
      h("a", { href: to("change", change.change) }, change.change),
      h("span", { class: "title", title: change.title ?? "" }, change.title ?? said), change.title ? h("span", { class: "title" }, said) : null),
    change.cells.map((cell, at) => h("td", {}, cellLink(change.change, rings[at], cell))));
}

// A cell of each standing, to be copied: there may be thousands.
const molds = new Map();
function mold(standing) {
  if (!molds.has(standing)) {
    molds.set(standing, h("a", { class: `cell ${standing}` }, badge(standing), h("span", { class: "why" }), h("span", { class: "sr" })));
  }
  return molds.get(standing);
}

function cellLink(change, ring, cell) {
  const numbers = cell.line === null ? "" : `log E ${number(cell.log_e, 1)} of ${number(cell.line, 1)}`;
  const link = mold(cell.standing).cloneNode(true);
  const [, why, said] = link.children;
  link.setAttribute("href", to("change", change, ring));
  link.setAttribute("title", `${cell.why}\n${numbers}`);
  why.textContent = plain(cell.why);
  said.textContent = plain(` ${change} in ${ring}. ${numbers}`);
  return link;
}

function card(alert) {
  return h("li", { "data-key": alert.id, class: `card ${alert.decision}` },
    h("div", { class: "line" }, badge(alert.decision), h("span", {}, alert.state), time(alert.starts_at)),
    h("p", {}, h("a", { href: to("alert", alert.id) }, alert.summary)),
    h("p", { class: "note" }, alert.action));
}

function filtered(event) {
  filter = event.target.value.trim().toLowerCase();
  for (const row of document.querySelectorAll("#rows tr")) row.hidden = !row.dataset.words.includes(filter);
}

// Arrow keys go from cell to cell, beside Tab.
function arrows(event) {
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  const at = event.target.closest("td, th");
  if (!step || !at) return;
  const rows = [...document.querySelectorAll("#rows tr:not([hidden])")];
  const row = rows[rows.indexOf(at.parentElement) + step[0]];
  const link = row?.children[at.cellIndex + step[1]]?.querySelector("a");
  if (link) {
    event.preventDefault();
    link.focus();
  }
}
