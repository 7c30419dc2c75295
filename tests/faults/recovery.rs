//! How long a restart takes: kill -9, start again, until every partition has a new entry.
//!
//! A heartbeat of every device, some times over, then a trickle that never stops. The short form
//! has 20,000 devices; `cargo xtask soak recovery` 200,000, then 10 million.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use schemas::{Span, Timestamp};
use sim::device::Traits;
use sim::{Line, partition_of};
use xtask::faults::cluster::Cluster;
use xtask::faults::settings::Settings;
use xtask::faults::wait_until;
use xtask::produce::{Producer, Record};
use xtask::record;

use crate::effort::{Effort, say};
use crate::ringwatch;

const PATIENCE: Duration = Duration::from_mins(20);
const PARTITIONS: i32 = 12;
const SEED: u64 = 7;
/// Records a second after the first flood: every partition has some in each interval.
const TRICKLE_PER_S: u64 = 2_000;
const BURST_INTERVAL: Duration = Duration::from_millis(20);
/// 2026-07-19T04:00:00Z, as in the canonical workload.
const START: Timestamp = Timestamp(1_784_433_600_000_000);
const INTERVAL: Span = Span::hours(1);
/// Longest pause of the hot path, whatever is snapshotted beside it.
const PAUSE_MAX_S: f64 = 0.1;
const PAUSE: &str = "ringwatch_pause_seconds";

/// A fleet, and what a restart with it may take.
#[derive(Clone, Copy)]
struct Fleet {
    devices: u32,
    heartbeats_each: u32,
    /// Seconds at work before the kill: an entry of each partition in every one of them.
    steady_s: u64,
    limit: Duration,
}

#[test]
fn a_restart_is_at_work_again_in_seconds() {
    let effort = Effort::of("recovery");
    recover(Fleet {
        devices: effort.pick(20_000, 200_000),
        heartbeats_each: 5,
        steady_s: effort.pick(10, 60),
        limit: Duration::from_secs(10),
    });
    if effort.pick(false, true) {
        let limit = Duration::from_secs(90);
        recover(Fleet { devices: 10_000_000, heartbeats_each: 1, steady_s: 60, limit });
    }
}

fn recover(fleet: Fleet) {
    let settings = Settings {
        commit_interval: "1s".to_owned(),
        publish_interval: "30s".to_owned(),
        // Several in the time of steady work.
        snapshot_interval: format!("{}s", fleet.steady_s / 3),
        ..Settings::default()
    };
    let mut cluster = Cluster::new(ringwatch(), PARTITIONS, 1, settings);
    let heartbeats = Heartbeats::start(&cluster, fleet);
    cluster.start_all();
    wait_until("the fleet is known", PATIENCE, || {
        cluster.assert_alive();
        let read = cluster.members[0].metric("ringwatch_ingest_records_total").unwrap_or(0.0);
        heartbeats.is_flood_over() && read >= heartbeats.sent() as f64 - TRICKLE_PER_S as f64
    });
    // Steady work, with a snapshot or two.
    cluster.wait_for_entries(fleet.steady_s * PARTITIONS as u64, PATIENCE);
    let remembered = |cluster: &Cluster| cluster.members[0].metric("ringwatch_devices");
    assert_eq!(remembered(&cluster), Some(f64::from(fleet.devices)));
    assert!(
        cluster.members[0].metric("ringwatch_state_bytes") > Some(112.0 * f64::from(fleet.devices))
    );
    let pause_s = cluster.members[0].bound_of(PAUSE);
    let memory_mib = cluster.members[0].usage().memory_bytes >> 20;
    cluster.members[0].kill();
    let before = cluster.newest_entries();
    let started = Instant::now();
    cluster.start_all();
    wait_until("every partition has a new entry", PATIENCE, || {
        cluster.assert_alive();
        has_grown(&before, &cluster.newest_entries())
    });
    let took = started.elapsed();
    assert_eq!(remembered(&cluster), Some(f64::from(fleet.devices)), "as before the kill");
    heartbeats.stop();
    cluster.members[0].terminate();
    cluster.verify();
    let (devices, took_s) = (fleet.devices, took.as_secs_f64());
    let longest = pause_s.map_or("?".to_owned(), |pause| format!("{:.0}", pause * 1_000.0));
    say(&format!(
        "{devices} devices: at work again after {took_s:.1} s; no pause over {longest} ms; \
         {memory_mib} MiB"
    ));
    if std::env::var("FAULTS_RECORD").is_ok() {
        let cells = [
            devices.to_string(),
            fleet.heartbeats_each.to_string(),
            format!("{took_s:.1}"),
            longest,
            memory_mib.to_string(),
        ];
        record::row("## Recovery", &cells).expect("recorded");
    }
    assert!(took < fleet.limit, "{took:?} with {devices} devices; {:?} may be", fleet.limit);
    let pause_s = pause_s.expect("the longest pause of the hot path");
    assert!(pause_s <= PAUSE_MAX_S, "the hot path paused for {pause_s} s");
}

fn has_grown(before: &BTreeMap<i32, u64>, now: &BTreeMap<i32, u64>) -> bool {
    before.len() == PARTITIONS as usize
        && before.iter().all(|(partition, newest)| now.get(partition) > Some(newest))
}

/// A producer of heartbeats under way.
struct Heartbeats {
    asked_to_stop: Arc<AtomicBool>,
    is_flood_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Heartbeats {
    fn start(cluster: &Cluster, fleet: Fleet) -> Self {
        let asked_to_stop = Arc::new(AtomicBool::new(false));
        let is_flood_over = Arc::new(AtomicBool::new(false));
        let sent = Arc::default();
        let bootstrap = cluster.broker.bootstrap().to_owned();
        let mut beat = Beat {
            producer: Producer::connect(&bootstrap).expect("a producer"),
            line: Line::default(),
            fleet,
            sent: Arc::clone(&sent),
        };
        let (asked, is_over) = (Arc::clone(&asked_to_stop), Arc::clone(&is_flood_over));
        let thread = std::thread::spawn(move || {
            let flood = u64::from(fleet.devices) * u64::from(fleet.heartbeats_each);
            (0..flood).for_each(|number| beat.send(number));
            is_over.store(true, Ordering::Relaxed);
            let (started, mut trickled) = (Instant::now(), 0);
            while !asked.load(Ordering::Relaxed) {
                let due = started.elapsed().as_millis() as u64 * TRICKLE_PER_S / 1_000;
                (flood + trickled..flood + due).for_each(|number| beat.send(number));
                trickled = due;
                sleep(BURST_INTERVAL);
            }
            beat.producer.finish().expect("acknowledged");
        });
        Self { asked_to_stop, is_flood_over, sent, thread }
    }

    fn is_flood_over(&self) -> bool {
        self.is_flood_over.load(Ordering::Relaxed)
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.asked_to_stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer's thread");
    }
}

/// What makes the heartbeats: one device after the other, over and over.
struct Beat {
    producer: Producer,
    line: Line,
    fleet: Fleet,
    sent: Arc<AtomicU64>,
}

impl Beat {
    fn send(&mut self, number: u64) {
        let devices = u64::from(self.fleet.devices);
        let (round, device) = (number / devices, (number % devices) as u32);
        let into_round = INTERVAL.0 * i64::from(device) / i64::from(self.fleet.devices);
        let time = START + Span(INTERVAL.0 * round as i64 + into_round);
        let name = sim::device::name(device);
        let traits = Traits::of(SEED, device);
        self.line
            .begin("heartbeat", &name, "broad", time)
            .number("seq", round + 1)
            .text("build", traits.build)
            .text("model", traits.model)
            .number("interval_s", 3_600)
            .number("uptime_s", 3_600 * (round + 1))
            .attrs(&[("driver", traits.driver), ("region", traits.region)])
            .end();
        let record = Record {
            key: Some(name.as_bytes()),
            value: Some(self.line.bytes()),
            timestamp_ms: Some(time.0 / 1_000),
            headers: &[],
        };
        let partition = partition_of(&name, PARTITIONS);
        self.producer.send("telemetry", partition, record).expect("sent");
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}
