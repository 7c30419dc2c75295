// The pipeline itself: is it keeping up, what does it refuse, who is told.

import { count, h, length, none, number, section, table, time } from "./dom.js";
import { draw } from "./curves.js";
import { ask } from "./live.js";

export async function load() {
  const flow = await ask("/api/v1/pipeline");
  return { title: "Pipeline", until: flow.evaluated_until, nodes: [page(flow)] };
}

export const drawn = draw;

function page(flow) {
  const rates = ratesOf(flow.throughput);
  const tile = (name, value, note = "") => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "note" }, note));
  const { counts } = flow;
  return h("div", { class: "pipeline", "data-key": "pipeline" },
    h("div", { class: "top" }, h("h1", {}, "Pipeline"),
      h("p", { class: "lead" }, flow.down ? `The broker is out of reach: ${flow.down}` : flow.is_live ? `Live: every journal of this process is folded.${flow.publisher === "standby" ? " Another process publishes: it knows the totals, windows and files." : ""}` : "Recovering.")),
    h("dl", { class: "tiles" },
      tile("Lag", `${count(flow.lag_records)} records`, flow.ends_unknown ?? "between the broker's ends and what is durable"),
      tile("Lag in time", length(flow.lag_seconds), "since the watermark of all partitions"),
      tile("Watermark", time(flow.watermark), "event time that every partition has come to"),
      tile("Throughput", `${count(rates.at(-1) ?? null)} /s`, "mean of the last 5 s"),
      tile("Received", count(counts.received), `${count(counts.applied)} applied, ${count(counts.duplicates)} duplicates, ${count(counts.rejected)} rejected`),
      tile("Late", count(counts.late), `${count(counts.stale)} of them too late to be told apart`),
      tile("Windows", count(flow.windows), "evaluated"),
      tile("Files", count(flow.files_published), `${count(flow.rows_published)} rows published`)),
    section("Throughput", h("div", { class: "chart" }, h("div", { class: "plot", role: "img", "aria-label": `Records received in a second over the last ten minutes, now ${number(rates.at(-1) ?? null, 0)}`, "data-keep": true, "data-key": "flow",
      "data-plot": JSON.stringify({ kind: "flow", at: rates.map((_, at) => (at - rates.length + 1) * flow.throughput.sample_seconds), values: [rates] }) }),
      h("p", { class: "note" }, "Records received in a second, over the last ten minutes; seconds before now."))),
    section("Partitions", table("Partitions", ["Partition", "Durable to", "Broker's end", "Lag", "Watermark", "Received", "Applied", "Duplicate", "Rejected"],
      flow.partitions.map((row) => [row.stream, count(row.end), count(row.log_end), count(row.lag_records), time(row.watermark), count(row.counts.received), count(row.counts.applied), count(row.counts.duplicates), count(row.counts.rejected)]), [1, 2, 3, 5, 6, 7, 8])),
    section("Rejected records", flow.refused.length ? [table("The newest rejected records", ["Where", "Time", "Stage", "Field", "Why", "Bytes"],
      flow.refused.map((row) => [`${row.stream} @ ${row.offset}`, time(row.time), row.stage, row.field ?? "–", row.error, count(row.size)]), [5]),
    h("p", { class: "note" }, "Their content may name people: it stands in the dataset rejected and in its topic only.")] : none("None.")),
    section("Destinations", flow.destinations.length ? table("Destinations", ["Destination", "State", "Commits behind", "Refused", "Reason"],
      flow.destinations.map((row) => [row.destination, row.standing, count(row.commits_behind), count(row.refused), row.reason ?? ""]), [2, 3]) : none("No destination is configured.")));
}

function ratesOf({ sample_seconds, received }) {
  return received.slice(1).map((now, at) => Math.max(0, now - received[at]) / sample_seconds);
}
