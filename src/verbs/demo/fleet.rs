//! The demo's fleet: a thread that lives through the scenario and sends its records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use schemas::StreamKind;
use sim::{Scenario, Simulation};

use super::clock::StoryClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::produce::Producer;
use crate::shutdown::Stop;
use crate::view::SharedView;

/// How far all partitions together may run ahead of what was journalled: the broker keeps 5 MiB by
/// partition, and devices spread evenly over four, so this leaves it half empty.
const AHEAD_BYTES_MAX: u64 = 8 << 20;

/// How long to wait for the pipeline when it is that far behind.
const WAIT: Duration = Duration::from_millis(5);

/// How much was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub telemetry: u64,
}

/// The thread that sends, and how far it is.
pub(super) struct Fleet {
    telemetry: Arc<AtomicU64>,
    all: Arc<AtomicBool>,
    sending: JoinHandle<Result<(), Failure>>,
}

impl Fleet {
    /// Starts to send, as fast as the pipeline takes it, until the end or `deadline`.
    pub(super) fn start(
        scenario: Scenario,
        config: &Config,
        clock: &StoryClock,
        view: &SharedView,
        stop: &Stop,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let producer = Producer::connect(config, &config.kafka.brokers)?;
        let (telemetry, all) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let sender = Sender {
            producer,
            clock: clock.clone(),
            view: view.clone(),
            stop: stop.clone(),
            deadline,
            telemetry: Arc::clone(&telemetry),
            bytes: 0,
        };
        let done = Arc::clone(&all);
        let sending = thread::Builder::new().name("fleet".to_owned()).spawn(move || {
            let sent = sender.send(&scenario);
            done.store(true, Ordering::Release);
            sent
        })?;
        Ok(Self { telemetry, all, sending })
    }

    pub(super) fn has_told_all(&self) -> bool {
        self.all.load(Ordering::Acquire)
    }

    pub(super) fn told(&self) -> Told {
        Told { telemetry: self.telemetry.load(Ordering::Acquire) }
    }

    /// Waits for the thread; what was sent.
    pub(super) fn finish(self) -> Result<Told, Failure> {
        let told = Arc::clone(&self.telemetry);
        self.sending.join().map_err(|_| Failure::failed("the fleet broke an invariant"))??;
        Ok(Told { telemetry: told.load(Ordering::Acquire) })
    }
}

struct Sender {
    producer: Producer,
    clock: StoryClock,
    view: SharedView,
    stop: Stop,
    deadline: Instant,
    telemetry: Arc<AtomicU64>,
    bytes: u64,
}

impl Sender {
    fn send(mut self, scenario: &Scenario) -> Result<(), Failure> {
        for record in Simulation::new(scenario) {
            if record.stream.kind == StreamKind::Telemetry {
                let sent = self.telemetry.load(Ordering::Relaxed);
                if sent.is_multiple_of(256) && !self.wait_for_room(sent) {
                    break;
                }
                self.bytes += record.value.len() as u64;
                self.producer.send(&record)?;
                self.clock.tell(record.arrival);
                self.telemetry.store(sent + 1, Ordering::Release);
            } else {
                self.producer.send(&record)?;
            }
        }
        Ok(self.producer.flush()?)
    }

    /// Waits until the broker has room; false if it is time to end.
    fn wait_for_room(&self, sent: u64) -> bool {
        self.producer.poll();
        let record_bytes = self.bytes.checked_div(sent).unwrap_or(0);
        loop {
            if self.stop.is_asked() || Instant::now() >= self.deadline {
                return false;
            }
            let received = self.view.lock().counts.received;
            if sent.saturating_sub(received) * record_bytes < AHEAD_BYTES_MAX {
                return true;
            }
            self.producer.poll();
            thread::sleep(WAIT);
        }
    }
}
