// One alert: evidence, timeline, deliveries, what to do about it, and its arithmetic.

import { badge, count, h, none, number, plain, section, table, time } from "./dom.js";
import { ask, order } from "./live.js";

const to = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;
// The arithmetic reads the tables: once for each alert and state of it is enough.
const explained = new Map();
// Who speaks, for this visit.
let speaker = { author: "", token: "" };

function heading(alert) {
  return `${alert.change || alert.signal} in ${alert.ring || "the fleet"}`;
}

export async function load(id) {
  const path = `/api/v1/alerts/${encodeURIComponent(id)}`;
  const told = await ask(path);
  return { title: heading(told.alert), nodes: [page(told)] };
}

export async function drawn(id) {
  const box = document.getElementById("arithmetic");
  if (!box) return;
  if (!explained.has(id)) {
    explained.set(id, null);
    try {
      const { lines, tables_until } = await ask(`/api/v1/alerts/${encodeURIComponent(id)}/explanation`);
      explained.set(id, tables_until ? null : lines);
      fill(lines.join("\n") + (tables_until ? `\n\nThe tables end at ${tables_until}; the windows after it are published later.` : ""));
    } catch (error) {
      fill(error.message);
    }
    if (explained.get(id) === null) explained.delete(id);
  } else if (explained.get(id)) fill(explained.get(id).join("\n"));
}

function fill(lines) {
  const text = plain(lines);
  const box = document.getElementById("arithmetic");
  if (box && box.textContent !== text) box.textContent = text;
}

function page(told) {
  const { alert } = told;
  const open = alert.state !== "resolved";
  return h("div", { class: "alert", "data-key": `alert-${alert.id}` },
    h("div", { class: "top" },
      h("h1", {}, badge(alert.decision), " ", h("span", {}, heading(alert))),
      h("p", { class: "lead" }, alert.summary),
      h("p", {}, h("strong", {}, "What to do: "), `${alert.action.what} (${alert.action.owner})`),
      h("p", { class: "note" }, [alert.state, alert.severity, alert.escalation ? `escalation ${alert.escalation}` : null, `since ${alert.starts_at}`,
        told.muted_by ? `quiet: ${told.muted_by}` : null].filter(Boolean).join(" · ")),
      alert.change ? h("p", {}, h("a", { href: to("change", alert.change, alert.ring) }, `${alert.change} in ring ${alert.ring}`)) : null,
      alert.links.runbook ? h("p", {}, h("a", { href: alert.links.runbook, rel: "noreferrer" }, `Runbook: ${alert.signal}`)) : null),
    section("Evidence", evidence(alert)),
    section("Timeline", timeline(told.timeline)),
    section("Deliveries", deliveries(told.deliveries)),
    open ? section("Answer it", forms(alert)) : null,
    section("Arithmetic", h("pre", { id: "arithmetic", class: "scroll", tabindex: 0, "data-keep": true, "data-key": "arithmetic", role: "region", "aria-label": "The arithmetic of this alert" }, "Reading the tables…")));
}

function evidence(alert) {
  const found = alert.evidence;
  const hours = (arm) => (arm.device_seconds ? count(arm.device_seconds / 3600) : "–");
  const rows = [["treated", found.treated], ["control", found.control]].map(([name, arm]) => [name, count(arm.affected), count(arm.devices), hours(arm)]);
  const cohort = alert.cohort ? `${Math.round(alert.cohort.share * 100)} % of the harm is where ${alert.cohort.key} is ${alert.cohort.value}.` : "No cohort holds most of the harm.";
  return [
    h("p", {}, `Ratio ${number(found.ratio, 2)}, between ${number(found.ratio_low, 2)} and ${number(found.ratio_high, 2)} at any time; log E ${number(found.log_e, 2)} against its line ${number(found.line, 2)} (alpha ${found.alpha}), over ${count(found.windows)} windows.`),
    table("Both arms", ["Arm", "Devices hit", "Devices", "Device-hours"], rows, [1, 2, 3]),
    h("p", {}, cohort),
  ];
}

function timeline(steps) {
  if (!steps.length) return none("It has not been committed yet.");
  return h("ol", { class: "timeline" }, steps.map((step) => h("li", { "data-key": `${step.commit}-${step.transition ?? step.at}` },
    time(step.at), " ", step.command ? `${step.author} acknowledged it${step.reason ? `: ${step.reason}` : ""}`
      : h("span", {}, h("strong", {}, step.state), step.quiet ? " (nobody was told)" : "", `, log E ${number(step.log_e, 1)}`))));
}

function deliveries(rows) {
  if (!rows.length) return none("No destination is configured.");
  const flat = rows.flatMap((row) => (row.transitions.length ? row.transitions.map((step) => [row.destination, step.state, step.outcome, step.reason ?? row.failing ?? ""])
    : [[row.destination, "–", "nothing to tell", row.failing ?? ""]]));
  return table("Who was told", ["Destination", "Transition", "Outcome", "Reason"], flat);
}

const field = (label, attrs) => h("label", {}, `${label} `, h("input", { required: true, ...attrs }));

function forms(alert) {
  return h("div", { class: "forms", "data-keep": true, "data-key": "forms" },
    h("fieldset", {}, h("legend", {}, "Who you are"),
      field("Name", { name: "author", autocomplete: "username", value: speaker.author, oninput: (event) => { speaker.author = event.target.value; } }),
      field("Token", { name: "token", type: "password", autocomplete: "off", value: speaker.token, oninput: (event) => { speaker.token = event.target.value; } })),
    h("form", { id: "ack", onsubmit: (event) => give(event, `/api/v1/alerts/${encodeURIComponent(alert.id)}/ack`, () => ({})) },
      h("h3", {}, "Acknowledge"), h("p", { class: "note" }, "Somebody takes care of it; it is not repeated."),
      field("Reason", { name: "reason", required: false }), h("button", {}, "Acknowledge")),
    h("form", { id: "silence", onsubmit: (event) => give(event, "/api/v1/silences", (form) => silence(form, alert)) },
      h("h3", {}, "Silence"), h("p", { class: "note" }, "Nobody is told of what matches all that is ticked, for a while."),
      // An alert of the process may be about no change: its signal is all that tells it from others.
      named(alert).map((name) => h("label", { class: "tick" }, h("input", { type: "checkbox", name, checked: name !== "signal" || !alert.change }), ` ${name} ${alert[name]}`)),
      h("label", {}, "For ", h("select", { name: "hours" }, [1, 4, 24, 72].map((hours) => h("option", { value: hours }, `${hours} h`)))),
      field("Reason", { name: "reason" }), h("button", {}, "Silence")),
    h("p", { class: "answer", role: "status", id: "answer" }));
}

function named(alert) {
  return ["change", "ring", "signal"].filter((name) => alert[name]);
}

function silence(form, alert) {
  const ticked = named(alert).filter((name) => form.elements[name].checked);
  return { matcher: Object.fromEntries(ticked.map((name) => [name, alert[name]])), until: new Date(Date.now() + Number(form.elements.hours.value) * 3_600_000).toISOString() };
}

async function give(event, path, rest) {
  event.preventDefault();
  const answer = document.getElementById("answer");
  const form = event.target;
  if (!speaker.author || !speaker.token) {
    answer.textContent = "Say who you are, and give the token of http.token_file.";
    document.querySelector(`[name=${speaker.author ? "token" : "author"}]`).focus();
    return;
  }
  try {
    const command = await order(path, speaker.token, { author: speaker.author, reason: form.elements.reason.value || null, ...rest(form) });
    answer.textContent = `Taken as command ${command.number}; it is obeyed within seconds.`;
  } catch (error) {
    answer.textContent = `Refused: ${error.message}`;
  }
}
