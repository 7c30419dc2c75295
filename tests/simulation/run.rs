//! One run from one seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringwatch::config::Config;
use ringwatch::pipeline::Until;
use schemas::Span;
use store::collect::{CollectRule, collect};
use store::{
    Blobs, Chain, Extent, Growth, MemoryStore, TopicNames, World, WorldInput, verify_with,
};

use super::clock::Time;
use super::cluster::Cluster;
use super::faults::{Rates, Shared};
use super::model::{self, Sums};
use super::process::{Process, Step};
use super::rng::Rng;
use super::world::{PARTITIONS, Repeats};

/// Short intervals, so that much happens in little time.
const CONFIG: &str = r#"
[store]
commit_interval = "2s"
publish_interval = "20s"
snapshot_interval = "10s"
snapshot_records_min = 12
checkpoint_interval = "20s"
[windows]
idle_after = "10s"
straggler_after = "20s"
[http]
listen = ""
[[ring]]
name = "test"
[[ring]]
name = "first"
"#;

/// Processes at once.
const PROCESSES_MAX: usize = 3;

/// Steps before everything is healed.
const STEPS: usize = 700;

/// Steps within which a healed process must have come to the end.
const STEPS_TO_END_MAX: usize = 20_000;

/// Longest sleep of a process, and the age before which nothing is collected: no sleeper may
/// meet a number that was collected.
const SLEEP_MAX: Duration = Duration::from_secs(30);
const COLLECT_AFTER: Duration = Duration::from_secs(100);

/// One seed, from the first record to the proof.
pub(crate) fn run(seed: u64) {
    let mut config = Config::parse(CONFIG, std::iter::empty()).expect("a valid configuration");
    // Housekeeping has a thread of its own; here the run itself has it collect.
    config.housekeeping = None;
    config.fold.hash_seed = [seed, 1];
    let mut simulation = Simulation::new(seed, &config);
    for _ in 0..STEPS {
        simulation.step();
    }
    simulation.finish();
}

struct Simulation<'a> {
    rng: Rng,
    config: &'a Config,
    time: Time,
    shared: Arc<Shared>,
    cluster: Rc<RefCell<Cluster>>,
    processes: Vec<Process<'a>>,
    started: usize,
    /// Table files seen so far with their bytes, and what they sum up to.
    seen: BTreeMap<String, Vec<u8>>,
    sums: Sums,
    /// How long the chain was when.
    lengths: Vec<(Duration, u64)>,
    world: World,
    steps: usize,
}

impl<'a> Simulation<'a> {
    fn new(seed: u64, config: &'a Config) -> Self {
        let mut rng = Rng::new(seed);
        let time = Time::default();
        // Some runs are calm, so that what goes wrong without faults is seen too.
        let wild = rng.below(3);
        let rates =
            Rates { refused: 15 * wild, unanswered: 15 * wild, crashed: 2 * wild, slow: 5 * wild };
        let shared = Arc::new(Shared::new(time.clone(), Rng::new(rng.word()), rates));
        // In some runs telemetry grows, once or twice.
        let partitions = if rng.below(4) == 0 { 1 } else { PARTITIONS };
        let repeats = if partitions == PARTITIONS { Repeats::Some } else { Repeats::None };
        let world = World {
            layout: store::world::LAYOUT,
            input: WorldInput::Kafka { cluster: "c".to_owned(), group: "g".to_owned() },
            topics: TopicNames::default(),
            partition_count: partitions,
            partition_counts_other: Some([1, 1]),
            window_length: Span::seconds(60),
            hash_seed: [seed, 1],
        };
        let world = World::claim(&shared.blobs, world, Growth::Refused).expect("an empty store");
        let cluster = Rc::new(RefCell::new(Cluster::new(partitions, repeats)));
        Self {
            rng,
            config,
            time,
            shared,
            cluster,
            processes: Vec::new(),
            started: 0,
            seen: BTreeMap::new(),
            sums: Sums::new(),
            lengths: Vec::new(),
            world,
            steps: 0,
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        let rng = &mut self.rng;
        match rng.below(100) {
            0..30 => {
                for _ in 0..=rng.below(6) {
                    // In the second half some partitions fall silent, and grow old.
                    let mut cluster = self.cluster.borrow_mut();
                    let all = cluster.partitions;
                    let partitions = if self.steps < STEPS / 2 { all } else { 1 };
                    cluster.fleet.send(rng, self.time.wall(), partitions);
                }
            }
            30..45 => self.time.pass(Duration::from_millis(rng.below(4_000) as u64)),
            45..48 if self.processes.len() < PROCESSES_MAX => self.start(Until::Stopped),
            48..49 => self.kill(),
            49..50 => self.stop_one(),
            50..51 => self.sleep_one(),
            51..52 => {
                let seconds = rng.below(30) as u64;
                self.shared.go_away(Duration::from_secs(seconds));
            }
            52..53 => self.step_clock(),
            53..55 => self.cluster.borrow_mut().rebalance(rng),
            55..57 => self.collect(),
            57..60 => self.look(),
            60..61 => self.grow(),
            _ => {}
        }
        for _ in 0..self.rng.below(12) {
            self.step_process();
        }
    }

    fn start(&mut self, until: Until) {
        let (number, begun) = (self.started, self.world.partition_count);
        self.started += 1;
        // As with `--accept-growth`.
        let partitions = self.cluster.borrow().partitions;
        self.world.grow(&self.shared.blobs, partitions).expect("in memory");
        let process = Process::start(
            number,
            self.config,
            &self.cluster,
            &self.shared,
            &mut self.rng,
            until,
            begun,
        );
        self.processes.push(process);
        self.cluster.borrow_mut().join(number, &mut self.rng);
    }

    /// Telemetry gets one more partition, if it has not all yet.
    fn grow(&mut self) {
        let partitions = self.cluster.borrow().partitions + 1;
        if partitions <= PARTITIONS {
            self.cluster.borrow_mut().grow(partitions, &mut self.rng);
        }
    }

    fn step_process(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let at = self.rng.below(self.processes.len());
        let process = &mut self.processes[at];
        if let Some(until) = process.asleep_until {
            if self.time.now() < until {
                return;
            }
            process.asleep_until = None;
            self.cluster.borrow_mut().wake(process.number, &mut self.rng);
        }
        match process.step(&mut self.rng) {
            Step::Goes | Step::Done => {}
            Step::Died | Step::GaveUp => self.bury(at),
        }
    }

    fn bury(&mut self, at: usize) {
        let process = self.processes.swap_remove(at);
        self.cluster.borrow_mut().leave(process.number, &mut self.rng);
    }

    fn kill(&mut self) {
        if !self.processes.is_empty() {
            let at = self.rng.below(self.processes.len());
            self.bury(at);
        }
    }

    /// Ends a process in good order; what it owned then goes to others.
    fn stop_one(&mut self) {
        if !self.processes.is_empty() {
            let at = self.rng.below(self.processes.len());
            let process = self.processes.swap_remove(at);
            let number = process.number;
            process.finish();
            self.cluster.borrow_mut().leave(number, &mut self.rng);
        }
    }

    fn sleep_one(&mut self) {
        let now = self.time.now();
        if let Some(process) = self.processes.first_mut().filter(|it| it.asleep_until.is_none()) {
            let length = self.rng.below(SLEEP_MAX.as_secs() as usize) as u64;
            process.asleep_until = Some(now + Duration::from_secs(length));
            if self.rng.in_thousand(600) {
                self.cluster.borrow_mut().expire(process.number, &mut self.rng);
            }
            self.processes.rotate_left(1);
        }
    }

    /// Steps a process's wall clock by up to an hour, forwards or back.
    fn step_clock(&mut self) {
        if !self.processes.is_empty() {
            let at = self.rng.below(self.processes.len());
            let off_us = (self.rng.below(7_200) as i64 - 3_600) * 1_000_000;
            self.processes[at].clock.off_us.store(off_us, Ordering::Relaxed);
        }
    }

    /// Has a process that publishes collect what is old enough.
    fn collect(&mut self) {
        let now = self.time.now();
        let length = self.shared.blobs.list("system/chain").expect("in memory").len() as u64;
        self.lengths.push((now, length));
        let old = |(at, _): &&(Duration, u64)| now.saturating_sub(*at) >= COLLECT_AFTER;
        let old = self.lengths.iter().rev().find(old);
        let old_until = old.and_then(|(_, length)| length.checked_sub(1));
        let leading =
            |process: &&Process<'_>| process.asleep_until.is_none() && process.is_leading();
        let Some(process) = self.processes.iter().find(leading) else { return };
        let rule = CollectRule { journal_keep: 1, ..CollectRule::default() };
        let done = Chain::open(Arc::clone(&process.blobs)).and_then(|chain| {
            // Only behind a commit of its own are all files known to be published.
            match chain.last()? {
                Some(last) if last.publisher == process.writer => {
                    collect(&process.blobs, &chain, old_until, rule).map(drop)
                }
                _ => Ok(()),
            }
        });
        // A store that fails here is asked again later.
        drop(done);
    }

    /// A reader of the tables comes by: nothing is gone, changed or above the truth.
    fn look(&mut self) {
        let blobs = &self.shared.blobs;
        let files = blobs.list("tables").expect("in memory");
        for (file, bytes) in &self.seen {
            let standing = blobs.get(file).expect("in memory");
            assert_eq!(standing.as_ref(), Some(bytes), "{file} is gone or changed");
        }
        let more = MemoryStore::new();
        for file in files {
            if self.seen.contains_key(&file) {
                continue;
            }
            let bytes = blobs.get(&file).expect("in memory").expect("listed");
            more.put_if_absent(&file, &bytes).expect("in memory");
            self.seen.insert(file, bytes);
        }
        model::add(&mut self.sums, model::ring_health(&more).expect("readable tables"));
        let (truth, _) = model::truth(self.cluster.borrow().fleet.sent());
        for (key, counts) in &self.sums {
            let true_counts = truth.get(key).copied().unwrap_or_default();
            assert!(counts.is_within(&true_counts), "{key:?}: {counts:?}, but {true_counts:?}");
        }
    }

    /// Everything works again; what is left is read to its end by one process.
    fn finish(mut self) {
        self.shared.heal();
        while !self.processes.is_empty() {
            self.bury(0);
        }
        self.look();
        self.start(Until::End);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < STEPS_TO_END_MAX, "the end was not reached: it hangs");
            let process = &mut self.processes[0];
            let step = process.read();
            assert!(process.publish() == Step::Goes, "the last publisher must go on");
            match step {
                Step::Goes => {}
                Step::Done => break,
                other => panic!("the last process {other:?}"),
            }
        }
        let last = self.processes.remove(0);
        assert_eq!(last.finish(), Step::Done);
        self.look();
        let (truth, rejected) = model::truth(self.cluster.borrow().fleet.sent());
        assert_eq!(self.sums, truth, "the tables and the model");
        let blobs = &self.shared.blobs;
        assert_eq!(model::rejected(blobs).expect("readable"), rejected, "rejected rows");
        let report = verify_with(blobs, Extent::Complete, &mut |_| {}).expect("readable");
        assert!(report.is_clean(), "{:#?}", report.problems);
    }
}
