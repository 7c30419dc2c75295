// The curves of one ring: treated against control, the ratio with its interval, log E and its line.

import { count, h, none, number } from "./dom.js";

const HEIGHT = 150;
const FACTORS = [0.01, 0.1, 1, 10, 100, 1000];
const COUNTED = { install_failure: "Failed, of 1,000 attempts", no_return: "Not back in time, of 1,000 trials" };
// What each chart was drawn from, by its key.
const drawn = new Map();

export function figures(curves) {
  const signals = [...curves.signals].sort((one, other) => last(other.curve.log_e) - last(one.curve.log_e));
  if (!signals.length) return none("No device was hit by anything here, in either arm.");
  return signals.map((signal) => figure(signal, curves.at));
}

const last = (values) => values[values.length - 1] ?? -Infinity;

function figure({ signal, line, curve }, at) {
  const ratio = number(last(curve.ratio) === -Infinity ? null : last(curve.ratio), 1);
  const interval = `${number(last(curve.ratio_low), 1)} to ${number(last(curve.ratio_high), 1)}`;
  const words = `${count(last(curve.treated))} treated and ${count(last(curve.control))} control devices hit; `
    + `ratio ${ratio} (${interval}); log E ${number(last(curve.log_e), 1)} of ${number(line, 1)}`;
  const chart = (kind, title) => h("div", { class: "chart" },
    h("h4", {}, title),
    h("div", { class: "plot", role: "img", "aria-label": `${signal}: ${title}. ${words}`, "data-keep": true, "data-key": `${signal}-${kind}`, "data-plot": JSON.stringify({ kind, at, line, ...pick(kind, curve) }) }));
  return h("figure", { "data-key": signal },
    h("figcaption", {}, h("h3", {}, signal), h("p", {}, words)),
    h("div", { class: "charts" },
      chart("rate", COUNTED[signal] ?? "Devices hit, of 1,000 in a day"),
      chart("ratio", "Ratio, with its interval"),
      chart("evidence", "log E, and its line")));
}

function pick(kind, curve) {
  if (kind === "rate") return { values: [curve.treated_rate, curve.control_rate] };
  if (kind === "ratio") return { values: [curve.ratio, curve.ratio_low, curve.ratio_high] };
  return { values: [curve.log_e] };
}

// Draws what is new since the last time; a chart that is gone is forgotten.
export function draw() {
  const plots = [...document.querySelectorAll("[data-plot]")];
  for (const [element, { chart }] of drawn) {
    if (!plots.includes(element)) {
      chart.destroy();
      drawn.delete(element);
    }
  }
  for (const element of plots) {
    const wanted = element.dataset.plot;
    const known = drawn.get(element);
    if (known?.wanted === wanted && known.width === element.clientWidth) continue;
    known?.chart.destroy();
    element.replaceChildren();
    drawn.set(element, { wanted, width: element.clientWidth, chart: plot(element, JSON.parse(wanted)) });
  }
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function plot(element, { kind, at, line, values }) {
  const [ink, grid] = [color("--faint"), color("--rule")];
  const [treated, control] = [color("--treated"), color("--control")];
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "11px system-ui" };
  const flat = at.map(() => (kind === "ratio" ? 1 : line));
  const series = {
    rate: [{ label: "treated", stroke: treated, width: 2 }, { label: "control", stroke: control, width: 2, dash: [6, 3] }],
    ratio: [{ label: "ratio", stroke: treated, width: 2 }, { label: "low", stroke: control, width: 1 }, { label: "high", stroke: control, width: 1 }, { label: "no harm", stroke: ink, width: 1, dash: [3, 3] }],
    evidence: [{ label: "log E", stroke: treated, width: 2 }, { label: "its line", stroke: color("--line"), width: 2, dash: [6, 3] }],
    flow: [{ label: "records/s", stroke: treated, width: 2 }],
  }[kind];
  const rows = { rate: values, ratio: [...values, flat], evidence: [...values, flat], flow: values }[kind];
  // One point is a dot: a line needs two.
  for (const one of series) one.points = { show: at.length < 3, size: 5 };
  const ends = rows.flat().filter((value) => Number.isFinite(value));
  // Ratios by factors: 10 times as often is as far from 1 as a tenth. An interval may be open.
  const spread = ends.filter((value) => value > 0).map((value) => Math.min(1000, Math.max(0.01, value)));
  const range = kind === "ratio" ? [Math.min(0.5, ...spread) / 1.3, Math.max(2, ...spread) * 1.3]
    : [Math.min(0, ...ends), Math.max(1, ...ends) * 1.08];
  const shown = kind === "ratio" ? rows.map((row) => row.map((value) => (value > 0 ? value : null))) : rows;
  return new uPlot({
    width: Math.max(160, element.clientWidth), height: HEIGHT, series: [{}, ...series], tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "UTC"),
    bands: kind === "ratio" ? [{ series: [3, 2], fill: color("--band") }] : [],
    scales: { x: { time: kind !== "flow" }, y: { range, distr: kind === "ratio" ? 3 : 1 } },
    axes: [{ ...axis, size: 28, ...(kind === "flow" ? {} : { values: clock }) }, { ...axis, size: 58, ...(kind === "ratio" ? { splits: () => FACTORS.filter((one) => one >= range[0] && one <= range[1]), filter: (_, ticks) => ticks } : {}), values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick, 2))) }],
    legend: { show: false }, cursor: { show: false },
  }, [at, ...shown], element);
}

// Hours of the day; at midnight the date.
const clock = (_, ticks) => ticks.map((tick) => {
  const text = new Date(tick * 1000).toISOString();
  return text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
});

export function legend() {
  return h("p", { class: "legend" },
    h("span", { class: "key treated" }, "treated, ratio, log E"), h("span", { class: "key control" }, "control, interval"), h("span", { class: "key goal" }, "the line that log E must cross"));
}

function redraw() {
  for (const known of drawn.values()) known.wanted = null;
  draw();
}
addEventListener("resize", draw);
addEventListener("theme", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
