//! The reference of the metrics: what each crate declares, as Markdown.
//!
//! A recorder that keeps declarations only; what is counted meanwhile it forgets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

/// What is declared of a metric.
struct Declared {
    kind: &'static str,
    unit: Option<Unit>,
    meaning: String,
}

#[derive(Default)]
struct Declarations(Mutex<BTreeMap<String, Declared>>);

impl Declarations {
    fn add(&self, name: &KeyName, kind: &'static str, unit: Option<Unit>, meaning: &SharedString) {
        let declared = Declared { kind, unit, meaning: meaning.to_string() };
        if let Ok(mut all) = self.0.lock() {
            all.insert(name.as_str().to_owned(), declared);
        }
    }
}

impl Recorder for Declarations {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add(&name, "counter", unit, &meaning);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add(&name, "gauge", unit, &meaning);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add(&name, "histogram", unit, &meaning);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Every metric of `/metrics`: name, type, unit, meaning.
pub fn markdown() -> String {
    let declarations = Declarations::default();
    with_local_recorder(&declarations, super::metrics::describe);
    let mut page = "# Metrics\n\n\
        What `/metrics` shows, for Prometheus. Times are in seconds, in buckets of 1 ms to 60 s.\n\
        Printed by `ringwatch schema metrics`.\n\n\
        | metric | type | meaning |\n| --- | --- | --- |\n"
        .to_owned();
    for (name, Declared { kind, unit, meaning }) in
        &*declarations.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        let unit = match unit {
            Some(unit) if *unit != Unit::Count => format!(", {}", unit.as_str()),
            _ => String::new(),
        };
        writeln!(page, "| `{name}` | {kind}{unit} | {meaning} |").unwrap_or_default();
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_every_crate_are_in_the_reference() {
        let page = markdown();
        for line in [
            "| `ringwatch_ingest_bytes_total` | counter, bytes | ",
            "| `ringwatch_delivery_seconds` | histogram, seconds | ",
            "| `ringwatch_publisher` | gauge | ",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        for part in ["fold", "journal", "detector", "pause"] {
            assert!(page.contains(&format!("`ringwatch_{part}_")), "{part}");
        }
    }
}
