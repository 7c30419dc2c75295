//! The broker dies, or hangs, for a minute.

use std::time::Duration;

use xtask::faults::cluster::Cluster;
use xtask::faults::settings::Settings;

use crate::effort::Effort;
use crate::load::{Load, Rate};
use crate::outage::endure;
use crate::ringwatch;

const PATIENCE: Duration = Duration::from_mins(1);

/// One member at work under load, until `fault`; `undo` ends it.
fn survive(what: &str, fault: impl FnOnce(&mut Cluster), undo: impl FnOnce(&mut Cluster)) {
    let effort = Effort::of(what);
    let mut cluster = Cluster::new(ringwatch(), 4, 1, Settings::default());
    cluster.start_all();
    let load = Load::start(&cluster, Rate::steady(500));
    cluster.wait_for_entries(20, PATIENCE);
    fault(&mut cluster);
    endure(&mut cluster, what, effort, undo);
    let produced = load.stop();
    cluster.end(&produced.input);
}

#[test]
fn a_broker_that_dies_and_comes_back_costs_nothing() {
    survive(
        "broker dead",
        |cluster| cluster.broker.kill(),
        |cluster| {
            let ready = cluster.members[0].page("/readyz").expect("an answer");
            assert!(ready.contains("broker out of reach"), "{ready}");
            cluster.broker.resume().expect("the broker again");
        },
    );
}

#[test]
fn a_broker_that_hangs_and_goes_on_costs_nothing() {
    survive("broker hung", |cluster| cluster.broker.freeze(), |cluster| cluster.broker.thaw());
}
