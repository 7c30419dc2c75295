//! Canonical records at a bounded rate into the broker; what it then holds is the truth.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use benches::canonical::{Canonical, CanonicalConfig, registry};
use schemas::Span;
use xtask::faults::cluster::Cluster;
use xtask::produce::{Producer, Record};

use crate::truth;

/// Between two bursts: short against every interval of the settings.
const BURST_INTERVAL: Duration = Duration::from_millis(20);
/// Never reached: the story ends before.
const MESSAGES_MAX: u64 = 10_000_000;
/// A million canonical records fill an hour.
const SPAN: Span = Span::hours(10);

/// A producer under way.
#[derive(Debug)]
pub(super) struct Load {
    asked_to_stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    bootstrap: String,
    telemetry_partitions: i32,
    input: PathBuf,
}

/// What was produced, as `replay` would read it.
#[derive(Debug)]
pub(super) struct Produced {
    pub records: u64,
    pub input: PathBuf,
}

/// How much comes, and from how many devices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub per_second: u64,
    pub devices: u32,
    pub records_max: u64,
}

impl Rate {
    /// Without an end of its own; from so many devices that few report twice within the jitter:
    /// the model takes their exposure in the order of event times, not of arrival.
    pub(super) const fn steady(per_second: u64) -> Self {
        Self { per_second, devices: 50_000, records_max: MESSAGES_MAX }
    }
}

impl Load {
    /// Starts producing into the topics of the default names.
    pub(super) fn start(cluster: &Cluster, rate: Rate) -> Self {
        let config = CanonicalConfig {
            messages: MESSAGES_MAX,
            devices: rate.devices,
            partitions: cluster.telemetry_partitions(),
            span: SPAN,
            ..CanonicalConfig::default()
        };
        let asked_to_stop = Arc::new(AtomicBool::new(false));
        let input = cluster.beside("input");
        let bootstrap = cluster.broker.bootstrap().to_owned();
        let asked = Arc::clone(&asked_to_stop);
        let (to, telemetry_partitions) = (bootstrap.clone(), config.partitions);
        let thread = std::thread::spawn(move || produce(&to, &config, rate, &asked));
        Self { asked_to_stop, thread, bootstrap, telemetry_partitions, input }
    }

    /// Stops it once the broker has acknowledged everything.
    pub(super) fn stop(self) -> Produced {
        self.asked_to_stop.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits until it has produced all it is to.
    pub(super) fn wait(self) -> Produced {
        self.thread.join().expect("the producer's thread");
        let records = truth::write(&self.bootstrap, self.telemetry_partitions, &self.input);
        Produced { records, input: self.input }
    }
}

fn produce(bootstrap: &str, config: &CanonicalConfig, rate: Rate, asked_to_stop: &AtomicBool) {
    let mut producer = Producer::stubborn(bootstrap).expect("a producer");
    for record in registry(config) {
        send(&mut producer, "changes", 0, record.key.as_bytes(), &record.value, record.arrival);
    }
    let mut canonical = Canonical::new(config.clone());
    let (started, mut made) = (Instant::now(), 0);
    while made < rate.records_max && !asked_to_stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * rate.per_second as f64) as u64;
        while made < due.min(rate.records_max) {
            let message = canonical.next_message().expect("more messages than any story takes");
            let (partition, arrival) = (message.partition, message.arrival);
            send(
                &mut producer,
                "telemetry",
                partition,
                message.key.as_bytes(),
                message.value,
                arrival,
            );
            made += 1;
        }
        sleep(BURST_INTERVAL);
    }
    producer.finish().expect("acknowledged");
}

fn send(
    producer: &mut Producer,
    topic: &str,
    partition: i32,
    key: &[u8],
    value: &[u8],
    arrival: schemas::Timestamp,
) {
    let timestamp_ms = Some(arrival.0 / 1_000);
    let record = Record { key: Some(key), value: Some(value), timestamp_ms, headers: &[] };
    producer.send(topic, partition, record).expect("sent");
}
