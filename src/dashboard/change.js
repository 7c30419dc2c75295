// One change: its rings, and for the one that is chosen its curves, tests and what it can see.

import { badge, count, h, length, none, number, section, table, time } from "./dom.js";
import { draw, figures, legend } from "./curves.js";
import { ask } from "./live.js";

const to = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

export async function load(name, chosen) {
  const path = `/api/v1/changes/${encodeURIComponent(name)}`;
  const [change, plan] = await Promise.all([ask(path), ask("/api/v1/plan")]);
  change.sights = plan.sights;
  const ring = change.rings.find(({ ring }) => ring === chosen) ?? telling(change.rings);
  const reached = ring?.funnel;
  const curves = reached ? await ask(`${path}/rings/${encodeURIComponent(ring.ring)}/curves`) : null;
  return { title: change.change, until: change.evaluated_until, nodes: [page(change, ring, curves)] };
}

export const drawn = draw;

// Without a choice the ring that asks most for attention.
const ORDER = ["escalate", "rollback", "hold", "watch", "insufficient", "clear", "no_data"];
function telling(rings) {
  const rank = ({ cell }) => ORDER.indexOf(cell.standing);
  return [...rings].sort((one, other) => rank(one) - rank(other))[0];
}

function page(change, ring, curves) {
  return h("div", { class: "change", "data-key": `change-${change.change}` },
    head(change),
    section("Rings", rings(change, ring)),
    section("Alerts", change.alerts.length ? alerts(change.alerts) : none("None was raised.")),
    ring ? h("div", { "data-key": `ring-${ring.ring}` },
      h("h2", { class: "ring" }, "Ring ", h("strong", {}, ring.ring), " ", badge(ring.cell.standing)),
      h("p", {}, why(change, ring)),
      section("Treated against control", legend(), h("p", { class: "note" }, "The control is that of the comparison that speaks more strongly: devices of this ring without the change, or those of the later rings. Where it changes, the curves step."), curves ? figures(curves) : none("The change has not reached this ring.")),
      section("Tests", tests(ring)),
      durations(change, ring),
      section("What this ring can see, and by when", sights(change, ring))) : null);
}

function head(change) {
  const record = change.record;
  const facts = [change.change_type, change.status ?? "not announced", change.watched ? null : "taken back: not watched any more",
    record && !record.reversible ? "cannot be taken back" : null].filter(Boolean);
  return h("div", { class: "top" },
    h("h1", {}, change.change), change.title ? h("p", { class: "lead" }, change.title) : null,
    h("p", { class: "note" }, facts.join(" · ")));
}

function rings(change, chosen) {
  const plan = new Map((change.record?.rings ?? []).map(({ ring, starts }) => [ring, starts]));
  const heads = ["Ring", "State", "Planned", "Exposed since", "Devices", "Installs", "Succeeded", "Failed", "Rolled back"];
  const rows = change.rings.map(({ ring, cell, exposed_from, funnel }) => [
    h("a", { href: to("change", change.change, ring), "aria-current": ring === chosen?.ring ? "true" : null }, ring),
    badge(cell.standing), time(plan.get(ring)), time(exposed_from), count(cell.devices),
    h("span", { class: "funnel" }, count(funnel?.installs_started ?? 0), bar(funnel)),
    count(funnel?.installs_succeeded ?? 0), count(funnel?.installs_failed ?? 0), count(funnel?.rollbacks ?? 0),
  ]);
  return table("Rings of this change, in rollout order", heads, rows, [4, 5, 6, 7, 8]);
}

// Of the installs that were begun: succeeded, failed; the rest is open.
function bar(funnel) {
  const begun = Math.max(1, funnel?.installs_started ?? 0, (funnel?.installs_succeeded ?? 0) + (funnel?.installs_failed ?? 0));
  return h("meter", { min: 0, max: begun, value: funnel?.installs_succeeded ?? 0, "aria-label": "succeeded of those begun" });
}

function alerts(alerts) {
  return h("ul", { class: "cards" }, alerts.map((alert) => h("li", { class: `card ${alert.decision}`, "data-key": alert.id },
    h("div", { class: "line" }, badge(alert.decision), h("span", {}, alert.state), time(alert.updated_at)),
    h("p", {}, h("a", { href: to("alert", alert.id) }, alert.summary)))));
}

function why(change, ring) {
  const clearance = change.clearances.find((row) => row.ring === ring.ring);
  if (!clearance) return ring.cell.why;
  const unseen = clearance.unseen.length ? ` Too rare here to be seen: ${clearance.unseen.join(", ")}.` : "";
  const words = {
    blocked: "Not safe to promote: something regressed here.",
    soaking: `Soaks until ${clearance.soaks_until.slice(0, 16).replace("T", " ")}.`,
    waiting: `Waits for ${clearance.waits_for.join(", ")}.`,
    clear: `Safe to promote since ${clearance.since?.slice(0, 16).replace("T", " ")}, as far as can be seen.`,
  };
  return words[clearance.clearing] + unseen;
}

function tests(ring) {
  if (!ring.verdicts.length) return none("It is not tested any more.");
  const arm = ({ affected, devices }) => `${count(affected)} / ${count(devices)}`;
  const rows = ring.verdicts.map((row) => [
    row.signal, row.verdict.replace("_", " ") + (row.watch ? ", watch" : ""), number(row.log_e, 1), number(row.line, 1),
    arm(row.treated), arm(row.control), number(row.ratio, 1), row.missing ?? "",
  ]);
  return table("Every signal in this ring", ["Signal", "Verdict", "log E", "Line", "Treated hit / devices", "Control hit / devices", "Ratio", "What is missing"], rows, [2, 3, 4, 5, 6]);
}

function durations(change, ring) {
  const seconds = (ms) => (ms === null ? "–" : number(ms / 1000, 1));
  const band = ({ estimate_ms, low_ms, high_ms }) => `${seconds(estimate_ms)} (${seconds(low_ms)} to ${seconds(high_ms)})`;
  const of = change.durations.filter((row) => row.ring === ring.ring);
  const rows = of.flatMap((row) => row.quantiles.map((found) =>
    [row.signal.replace(/_ms$/, ""), `p${found.quantile * 100}`, band(found.treated), band(found.control), found.watch ? "longer: watch" : ""]));
  if (!rows.length) return null;
  return section("Durations, watched only", table("Durations of both arms", ["Duration", "Quantile", "Treated, seconds", "Control, seconds", ""], rows, [2, 3]));
}

function sights(change, ring) {
  const rows = change.sights.filter((sight) => sight.ring === ring.ring).map((sight) => [
    sight.signal, `${sight.ratio} times as often`, sight.hours === null ? "never" : length(sight.hours * 3600),
    sight.devices_hit === null ? "–" : count(Math.ceil(sight.devices_hit)), sight.devices_needed === null ? "none" : count(sight.devices_needed)]);
  if (!rows.length) return none("Nothing is known yet of how things usually are.");
  return [table("From ring sizes and usual rates", ["Signal", "Harm", "Seen after", "Devices hit by then", "Ring size to see it while it soaks"], rows, [2, 3, 4]),
    h("p", { class: "note" }, "With power 0.8, once the whole ring has the change; usual rates are those of all devices in the last days.")];
}
