//! One story through the whole pipeline in memory, and what came of it.
//!
//! ```text
//! Scenario, seed ─► Simulation ─► StorySource ─► pipeline ─► Summary ─► Told
//!                                 no file, no broker    MemoryStore   alarms against `expect`
//! ```
//! The records are the bytes that `simulate` writes, in the order that `replay` reads them: the
//! same alerts come of both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ingest::{
    Headers, Lane, Membership, Next, Record, Run, Source, SourceError, SourceEvent, Start,
};
use schemas::alert::EvidenceKind;
use schemas::{Alert, Decision, Stream, StreamKind, Timestamp};
use serde::Serialize;
use sim::{Scenario, SimRecord, Simulation};
use store::{Growth, MemoryStore, TopicNames, World, WorldInput, world::LAYOUT};

use crate::clock::NoClock;
use crate::config::Config;
use crate::datafolder;
use crate::deliveries::Deliveries;
use crate::failure::Failure;
use crate::pipeline::{Gaps, Parts, Until, run};
use crate::shutdown::Stop;
use crate::summary::Summary;
use crate::view::SharedView;

/// What came of one story.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub seed: u64,
    pub records: u64,
    pub windows: u64,
    /// Alerts that ask for something to be done.
    pub alarms: usize,
    /// Those of them that name the guilty change.
    pub right: usize,
    /// Whether an alarm is what the scenario expects, in every point; where it expects none,
    /// whether there is none.
    pub met: bool,
    /// The first alarm that is as expected, else the first one.
    pub first: Option<Alarm>,
    /// All alerts, as `replay` prints them.
    pub alerts: Vec<Alert>,
}

/// What one alarm says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alarm {
    pub change: String,
    pub ring: String,
    pub signal: String,
    pub decision: Decision,
    /// `dimension=value`.
    pub cohort: Option<String>,
    /// From the start of the change in that ring.
    pub delay_h: f64,
    /// Treated devices hit before it.
    pub devices_hit: i64,
    pub log_e: f64,
}

/// Tells the story of a scenario to a pipeline of its own and waits for its end.
pub fn tell(scenario: &Scenario, config: &mut Config) -> Result<Summary, Failure> {
    let store = Arc::new(MemoryStore::new());
    let world = World {
        layout: LAYOUT,
        input: WorldInput::Replay { files: "simulated".to_owned() },
        topics: TopicNames::default(),
        partition_count: scenario.partitions,
        partition_counts_other: None,
        window_length: config.fold.window_length,
        hash_seed: [0, 0],
    };
    let world = datafolder::claim(&*store, world, Growth::Refused, config)?;
    let source = StorySource::new(scenario);
    Ok(run(Parts {
        streams: source.streams.clone(),
        source,
        store,
        clock: Arc::new(NoClock),
        config,
        world,
        until: Until::InputEnds,
        gaps: Gaps::Refused,
        view: SharedView::default(),
        stop: Stop::default(),
        rejected: None,
        deliveries: Deliveries::default(),
    })?)
}

/// Holds the alerts of a story against what its scenario expects.
pub fn judge(scenario: &Scenario, summary: &Summary) -> Told {
    // Stories roll out faster than any process allows; what is judged is the detector.
    let asks = |alert: &&Alert| {
        let shown = matches!(alert.decision, Decision::Watch | Decision::Clear);
        !shown && alert.evidence.kind != EvidenceKind::Process
    };
    let alarms: Vec<Alarm> =
        summary.alerts.iter().filter(asks).map(|alert| alarm(scenario, alert)).collect();
    let expect = &scenario.expect;
    let is_right = |alarm: &&Alarm| expect.change.as_ref() == Some(&alarm.change);
    let is_met = |alarm: &&Alarm| {
        let same = |wanted: &Option<String>, said: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == said)
        };
        is_right(alarm)
            && same(&expect.ring, &alarm.ring)
            && same(&expect.decision, alarm.decision.name())
            && (expect.signals.is_empty() || expect.signals.contains(&alarm.signal))
            && (expect.cohort.is_none() || expect.cohort == alarm.cohort)
    };
    let as_expected = alarms.iter().find(is_met);
    Told {
        seed: scenario.seed,
        records: summary.records,
        windows: summary.windows,
        alarms: alarms.len(),
        right: alarms.iter().filter(is_right).count(),
        met: if expect.change.is_some() { as_expected.is_some() } else { alarms.is_empty() },
        first: as_expected.or(alarms.first()).cloned(),
        alerts: summary.alerts.clone(),
    }
}

fn alarm(scenario: &Scenario, alert: &Alert) -> Alarm {
    let plan = scenario.changes.iter().find(|plan| plan.id == alert.change);
    let ring = plan.and_then(|plan| plan.rings.iter().find(|ring| ring.ring == alert.ring));
    let began = ring.map_or(scenario.start, |ring| scenario.at(ring.starts_h));
    let cohort = alert.cohort.as_ref();
    Alarm {
        change: alert.change.clone(),
        ring: alert.ring.clone(),
        signal: alert.signal.clone(),
        decision: alert.decision,
        cohort: cohort.map(|cohort| format!("{}={}", cohort.key, cohort.value)),
        delay_h: (alert.starts_at - began).as_secs_f64() / 3_600.0,
        devices_hit: alert.evidence.treated.affected,
        log_e: alert.evidence.log_e,
    }
}

/// The records of a simulation as a source with one lane: the small topics first and whole, as in
/// `replay`.
struct StorySource {
    streams: Vec<Stream>,
    is_assigned: bool,
    lane: Option<StoryLane>,
}

struct StoryLane {
    small: std::vec::IntoIter<SimRecord>,
    telemetry: Simulation,
    /// Offset of the next record of each stream.
    next: BTreeMap<Stream, i64>,
    /// Streams of which the end has not been said.
    unended: Vec<Stream>,
    /// The next record that is not dealt with.
    record: Option<SimRecord>,
}

impl StorySource {
    fn new(scenario: &Scenario) -> Self {
        let telemetry = (0..scenario.partitions)
            .map(|partition| Stream { kind: StreamKind::Telemetry, partition });
        let small =
            [StreamKind::Changes, StreamKind::Support].map(|kind| Stream { kind, partition: 0 });
        let streams: Vec<Stream> = small.into_iter().chain(telemetry).collect();
        let lane = StoryLane {
            unended: streams.clone(),
            next: streams.iter().map(|stream| (*stream, 0)).collect(),
            small: sim::small_topics(scenario).into_iter(),
            telemetry: Simulation::new(scenario),
            record: None,
        };
        Self { streams, is_assigned: false, lane: Some(lane) }
    }
}

impl StoryLane {
    fn next_record(&mut self) -> Option<SimRecord> {
        let mut telemetry = self.telemetry.by_ref().filter(is_telemetry);
        self.small.next().or_else(|| telemetry.next())
    }
}

fn is_telemetry(record: &SimRecord) -> bool {
    record.stream.kind == StreamKind::Telemetry
}

impl Lane for StoryLane {
    fn next(&mut self, _timeout: Duration) -> Result<Next, SourceError> {
        // The small topics end first: nothing waits for them then.
        let small_over = self.small.len() == 0 && self.record.is_none();
        let small = self.unended.first().filter(|stream| stream.kind != StreamKind::Telemetry);
        if let Some(&stream) = small.filter(|_| small_over) {
            self.unended.remove(0);
            return Ok(Next::EndOfPartition { stream, offset: self.next[&stream] });
        }
        if self.record.is_none() {
            self.record = self.next_record();
        }
        Ok(match &self.record {
            Some(record) => Next::Run(record.stream),
            None => self.unended.pop().map_or(Next::Quiet, |stream| Next::EndOfPartition {
                stream,
                offset: self.next[&stream],
            }),
        })
    }

    fn run(&self) -> Run<'_> {
        let mut run = Run::new();
        if let Some(record) = &self.record {
            run.push(Record {
                stream: record.stream,
                offset: self.next[&record.stream],
                // To the millisecond, as a line of a file has it.
                timestamp: Some(Timestamp(record.arrival.as_millis() * 1_000)),
                key: Some(record.key.as_bytes()),
                value: Some(&record.value),
                size: record.value.len(),
                headers: Headers::None,
            });
        }
        run
    }

    fn done(&mut self, count: usize) {
        if let Some(record) = self.record.take_if(|_| count > 0) {
            *self.next.entry(record.stream).or_default() += 1;
        }
    }

    fn begin(&mut self, _stream: Stream, _start: Start) -> Result<(), SourceError> {
        Ok(())
    }

    fn stop(&mut self, _streams: &[Stream]) {}
}

impl Source for StorySource {
    type Lane = StoryLane;

    /// One, whatever is asked: a story is told by one.
    fn lanes(&mut self, _count: usize) -> Result<Vec<StoryLane>, SourceError> {
        Ok(self.lane.take().into_iter().collect())
    }

    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        let is_assigned = std::mem::replace(&mut self.is_assigned, true);
        Ok((!is_assigned).then(|| SourceEvent::Assigned(self.streams.clone())))
    }

    /// Not known before it has been told.
    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError> {
        Ok(BTreeMap::new())
    }

    fn identity(&self) -> String {
        "simulated".to_owned()
    }

    fn start(&mut self, _starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        Ok(())
    }

    fn release(&mut self, _streams: &[Stream]) -> Result<(), SourceError> {
        Ok(())
    }

    fn restart(&mut self, _starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        Ok(())
    }

    fn confirm(&mut self, _stream: Stream, _offset: i64) -> Membership {
        Membership::Confirmed
    }

    fn commit(&mut self, _offsets: &[(Stream, i64)]) {}

    fn pause(&mut self, _streams: &[Stream]) -> Result<(), SourceError> {
        Ok(())
    }
}
