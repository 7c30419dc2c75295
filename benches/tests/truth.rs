//! The canonical workload through decode, fold and merge gives the sums of its generator.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::BTreeMap;

use aggregate::merge::{CHANGES_MAX, Merge, MergeConfig, SKETCHES_MAX, TableRows, WINDOWS_MAX};
use aggregate::{Arrived, FoldConfig, FoldLimits, Partition};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use benches::canonical::{Canonical, CanonicalConfig, Cell, RINGS, Truth};
use ingest::{Arrival, DecodeConfig, Decoder, Headers, unframe};
use schemas::entry::EntryHeader;
use schemas::event::UpdateState;
use schemas::reject::RejectedRow;
use schemas::{Dataset, Entry, Input, Rejection, Span, Stream, StreamKind};

const MESSAGES: u64 = 60_000;
/// Records between two entries of a partition, so that windows are cut in the middle.
const ENTRY_RECORDS: i64 = 700;
const COLUMNS: [&str; 8] = [
    "heartbeats",
    "boots",
    "installs_started",
    "installs_succeeded",
    "installs_failed",
    "rollbacks",
    "records",
    "duplicates",
];

/// Sums of [`COLUMNS`] by window start in microseconds and ring.
type Sums = BTreeMap<(i64, String), [i64; COLUMNS.len()]>;

struct Worker {
    stream: Stream,
    partition: Partition,
    decoder: Decoder,
    start: i64,
    end: i64,
    number: u64,
}

impl Worker {
    fn new(partition: i32) -> Self {
        let rings = RINGS.map(|(ring, _)| ring.to_owned()).to_vec();
        let cohorts = vec!["driver".to_owned()];
        let config = FoldConfig {
            window_length: Span::minutes(1),
            lateness: Span::seconds(10),
            quiet_period: Span::days(7),
            silence_quiet_period: Span::hours(12),
            rings,
            cohorts: cohorts.clone(),
            hash_seed: [1, 2],
            pseudonym_key: Vec::new(),
            limits: FoldLimits::default(),
        };
        Self {
            stream: Stream { kind: StreamKind::Telemetry, partition },
            partition: Partition::new(&config),
            decoder: Decoder::new(DecodeConfig { cohorts, ..DecodeConfig::default() }),
            start: 0,
            end: 0,
            number: 0,
        }
    }

    fn fold(&mut self, value: &[u8], arrival: Arrival) -> Result<(), Rejection> {
        let value = unframe(Some(value), &Headers::None)?;
        let decoded = self.decoder.telemetry(&value, arrival)?;
        let arrived = Arrived { at: decoded.arrival, key: None };
        self.partition.apply(&decoded.event, arrived);
        Ok(())
    }

    fn read(&mut self, value: &[u8], arrival: Arrival) {
        if let Err(Rejection { stage, field, error }) = self.fold(value, arrival) {
            let field = field.map(str::to_owned);
            let (offset, value, size) = (self.end, Vec::new(), value.len() as i64);
            let row = RejectedRow { offset, time: None, stage, error, field, value, size };
            self.partition.reject(row, None);
        }
        self.end += 1;
    }

    fn entry(&mut self) -> Entry {
        let (delta, counts) = self.partition.take();
        let header = EntryHeader {
            stream: self.stream,
            number: self.number,
            writer: String::new(),
            start: self.start,
            end: self.end,
            counts,
            inputs: Vec::new(),
            watermark: self.partition.watermark(),
            closed_until: self.partition.closed_until(),
            ended: self.partition.ended(),
            partition_count: None,
            digest: None,
            snapshot: None,
        };
        (self.start, self.number) = (self.end, self.number + 1);
        Entry { header, delta }
    }
}

/// Reads all messages, merges entry by entry and cuts now and then.
fn run(canonical: &mut Canonical) -> Vec<TableRows> {
    let mut workers: Vec<Worker> = (0..4).map(Worker::new).collect();
    let streams: Vec<Stream> = workers.iter().map(|worker| worker.stream).collect();
    let config = MergeConfig {
        window_length: Span::minutes(1),
        rings: RINGS.map(|(ring, _)| ring.to_owned()).to_vec(),
        topics: BTreeMap::new(),
        windows_max: WINDOWS_MAX,
        changes_max: CHANGES_MAX,
        sketches_max: SKETCHES_MAX,
    };
    let (mut merge, mut rows) = (Merge::new(config, &streams), Vec::new());
    while let Some(message) = canonical.next_message() {
        let worker = &mut workers[message.partition as usize];
        worker.read(message.value, Arrival::At(message.arrival));
        if worker.end - worker.start == ENTRY_RECORDS {
            merge.add(&worker.entry());
            if worker.number.is_multiple_of(9) {
                rows.extend(merge.cut());
            }
        }
    }
    for worker in &mut workers {
        worker.partition.input(&Input::End);
        merge.add(&worker.entry());
    }
    while merge.next_window().is_some() {}
    rows.extend(merge.cut());
    rows
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name).unwrap();
    let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
    let column = column.as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn whole_rings(rows: &[TableRows]) -> Sums {
    let mut sums = Sums::new();
    for TableRows { batch, .. } in rows.iter().filter(|rows| rows.dataset == Dataset::RingHealth) {
        let starts = batch.column_by_name("window_start").unwrap();
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        let whole = (0..batch.num_rows()).filter(|row| text(batch, "change", *row).is_none());
        for row in whole {
            let key = (starts.value(row), text(batch, "ring", row).unwrap());
            let cell = sums.entry(key).or_default();
            for (sum, name) in cell.iter_mut().zip(COLUMNS) {
                let column = batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
                *sum += column.value(row);
            }
        }
    }
    sums.retain(|_, cell| cell.iter().any(|sum| *sum != 0));
    sums
}

fn of_truth(truth: &Truth) -> Sums {
    let columns = |cell: &Cell| {
        let state = |state: UpdateState| cell.updates[state as usize];
        [
            cell.heartbeats,
            cell.boots,
            state(UpdateState::Installing),
            state(UpdateState::Installed),
            state(UpdateState::Failed),
            state(UpdateState::RolledBack),
            cell.records,
            cell.duplicates,
        ]
    };
    let cells =
        truth.cells().map(|(start, ring, cell)| ((start.0, ring.to_owned()), columns(cell)));
    cells.filter(|(_, cell)| cell.iter().any(|sum| *sum != 0)).collect()
}

#[test]
fn canonical_messages_give_the_sums_of_their_generator() {
    let config =
        CanonicalConfig { messages: MESSAGES, devices: 6_000, ..CanonicalConfig::default() };
    let mut canonical = Canonical::new(config);
    let rows = run(&mut canonical);
    assert_eq!(whole_rings(&rows), of_truth(canonical.truth()));

    let mut rejects = BTreeMap::new();
    for TableRows { batch, .. } in rows.iter().filter(|rows| rows.dataset == Dataset::Rejected) {
        for row in 0..batch.num_rows() {
            let key = (text(batch, "stage", row).unwrap(), text(batch, "field", row));
            *rejects.entry(key).or_insert(0) += 1;
        }
    }
    let expected = canonical.truth().rejects().iter().map(|((stage, field), count)| {
        ((stage.name().to_owned(), field.map(str::to_owned)), *count)
    });
    assert_eq!(rejects, expected.collect::<BTreeMap<_, i64>>());
}
