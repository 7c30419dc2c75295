//! The metrics of delivery, each declared once. The label `destination` is a configured name.

use std::time::Duration;

use metrics::{Counter, Gauge, Unit};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const DELIVERIES: &str = "ringwatch_deliveries_total";
const SECONDS: &str = "ringwatch_delivery_seconds";
const QUEUED: &str = "ringwatch_delivery_queued_alerts";
const CATCH_UPS: &str = "ringwatch_delivery_catch_ups_total";
const FAILING: &str = "ringwatch_delivery_failing";
const REPEATS_REFUSED: &str = "ringwatch_delivery_repeats_refused_total";

/// Declares them to the installed recorder.
pub fn describe() {
    describe_counter!(
        DELIVERIES,
        "Requests to a destination by outcome: accepted, retried, gave_up (refused for good)"
    );
    describe_histogram!(SECONDS, Unit::Seconds, "Time of one request to a destination");
    describe_gauge!(QUEUED, "Alerts in memory that wait for a destination");
    describe_counter!(
        CATCH_UPS,
        "Commits that did not fit a destination's queue and are read again from the chain"
    );
    describe_gauge!(FAILING, "1 while a destination has not answered five times in a row");
    describe_counter!(
        REPEATS_REFUSED,
        "Alerts that are told once only because too many stand at a destination at once"
    );
}

pub(crate) fn delivery(destination: &str, outcome: &'static str, took: Duration) {
    let name = destination.to_owned();
    counter!(DELIVERIES, "destination" => name.clone(), "outcome" => outcome).increment(1);
    histogram!(SECONDS, "destination" => name).record(took.as_secs_f64());
}

pub(crate) fn queued(destination: &str) -> Gauge {
    gauge!(QUEUED, "destination" => destination.to_owned())
}

pub(crate) fn catch_ups(destination: &str) -> Counter {
    counter!(CATCH_UPS, "destination" => destination.to_owned())
}

pub(crate) fn failing(destination: &str) -> Gauge {
    gauge!(FAILING, "destination" => destination.to_owned())
}

pub(crate) fn repeats_refused(destination: &str, alerts: u64) {
    counter!(REPEATS_REFUSED, "destination" => destination.to_owned()).increment(alerts);
}
