//! Runs of the merge over a world, and what they hand out, read back from the batches.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use schemas::DurationSignal;
use schemas::tables::Adds;

use super::world::{LENGTH, STREAMS, World, config, stream};
use super::*;

/// Decides, draw by draw, where entries end, which stream comes next, and when to cut and ask.
#[derive(Debug, Clone)]
pub(super) struct Scheme(pub Vec<u8>);

/// Window, change, ring, arm.
pub(super) type Key = (Timestamp, Option<String>, String, Option<String>);
/// The same, signal, cohort key and value.
pub(super) type SignalKey = (Key, String, Option<String>, Option<String>);

/// Hour, change, ring, arm; key and value of a cohort.
pub(super) type HourKey = (Key, Option<(String, String)>);
/// The same, kind, upper bound of a bucket.
pub(super) type DurationKey = (Key, DurationSignal, i64);

/// What came out: sums over all cuts without rows of zeros, and all windows.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Run {
    pub health: BTreeMap<Key, [i64; health::CELLS]>,
    pub durations: BTreeMap<DurationKey, i64>,
    pub signals: BTreeMap<SignalKey, [i64; 2]>,
    pub hours: BTreeMap<HourKey, (i64, BTreeSet<u32>)>,
    pub row_counts: BTreeMap<Key, i64>,
    pub revisions: BTreeMap<(Dataset, Timestamp), Vec<i64>>,
    pub windows: Vec<Evaluable>,
}

pub(super) fn collect(world: &World, scheme: &Scheme, windows_max: usize) -> Run {
    collect_through(world, scheme, windows_max, |merge| merge)
}

/// The same, each time going on with what `through` makes of the merge.
pub(super) fn collect_through(
    world: &World,
    scheme: &Scheme,
    windows_max: usize,
    mut through: impl FnMut(Merge) -> Merge,
) -> Run {
    let mut draws = scheme.0.iter().copied().cycle();
    let mut draw = || draws.next().unwrap_or(0);
    let streams: Vec<Stream> = (0..STREAMS).map(stream).collect();
    let mut merge = Merge::new(config(windows_max), &streams);
    let mut entries = world.entries(&mut draw);
    for stream in &mut entries {
        stream.reverse();
    }
    let mut run = Run::default();
    while !entries.is_empty() {
        let index = usize::from(draw()) % entries.len();
        entries[index].pop().iter().for_each(|entry| merge.add(entry));
        entries.retain(|stream| !stream.is_empty());
        if draw().is_multiple_of(3) {
            run.windows.extend(std::iter::from_fn(|| merge.next_window()));
        }
        if draw().is_multiple_of(4) {
            run.take(merge.cut());
        }
        merge = through(merge);
    }
    run.windows.extend(std::iter::from_fn(|| merge.next_window()));
    run.take(merge.cut());
    assert!(merge.cut().is_empty(), "nothing is left after a cut");
    run.health.retain(|_, cells| cells.iter().any(|cell| *cell != 0));
    run.signals.retain(|_, cells| cells.iter().any(|cell| *cell != 0));
    run
}

impl Run {
    fn take(&mut self, tables: Vec<TableRows>) {
        for TableRows { dataset, date, batch } in tables {
            let mut last = None;
            for row in 0..batch.num_rows() {
                if dataset == Dataset::RingDevices {
                    self.take_hour(&date, &batch, row);
                    continue;
                }
                let key = self.take_row(dataset, &date, &batch, row);
                assert!(last.as_ref() < Some(&key), "{key:?} after {last:?}");
                last = Some(key);
            }
        }
    }

    fn take_hour(&mut self, date: &str, batch: &RecordBatch, row: usize) {
        let hour = Timestamp(value(batch, "hour_start", row));
        assert_eq!((hour.date().as_str(), hour.0 % Span::hours(1).0), (date, 0));
        let text = |name| text(batch, name, row);
        let key = (hour, text("change"), text("ring").unwrap_or_default(), text("arm"));
        let cohort = text("cohort_key").zip(text("cohort_value"));
        let whole = cohort.is_none();
        let (devices, coupons) = self.hours.entry((key, cohort)).or_default();
        *devices += value(batch, "devices_active", row);
        let sketches = batch.column_by_name("devices_hll").unwrap().as_binary::<i32>();
        if sketches.is_valid(row) {
            assert!(whole, "cohorts have no sketch");
            let bytes = sketches.value(row);
            let from = if bytes[0] == 2 { 8 } else { 12 };
            let (words, rest) = bytes[from..].as_chunks::<4>();
            assert!(rest.is_empty() && bytes[0] < 10, "few devices are a list or a set");
            coupons.extend(words.iter().map(|word| u32::from_le_bytes(*word)));
        }
    }

    fn take_row(&mut self, set: Dataset, date: &str, batch: &RecordBatch, row: usize) -> SignalKey {
        let window = Timestamp(value(batch, "window_start", row));
        assert_eq!(
            (window.date().as_str(), value(batch, "window_end", row)),
            (date, (window + LENGTH).0)
        );
        let text = |name| text(batch, name, row);
        let key = (window, text("change"), text("ring").unwrap_or_default(), text("arm"));
        let revision = value(batch, "revision", row);
        let revisions = self.revisions.entry((set, window)).or_default();
        if revisions.last() != Some(&revision) {
            revisions.push(revision);
        }
        let columns = set.columns().iter().filter(|column| column.adds != Adds::No);
        let cells: Vec<i64> = columns.map(|column| value(batch, column.name, row)).collect();
        assert!(cells.iter().all(|cell| *cell >= 0), "{key:?}: {cells:?}");
        if set == Dataset::RingHealth {
            *self.row_counts.entry(key.clone()).or_default() += 1;
            add(self.health.entry(key.clone()).or_insert([0; health::CELLS]), &cells);
            for &signal in DurationSignal::ALL {
                let [le, n] = ["le", "n"].map(|list| list_at(batch, signal, list, row));
                for (le, n) in le.into_iter().zip(n) {
                    *self.durations.entry((key.clone(), signal, le)).or_default() += n;
                }
            }
            return (key, String::new(), None, None);
        }
        let key =
            (key, text("signal").unwrap_or_default(), text("cohort_key"), text("cohort_value"));
        add(self.signals.entry(key.clone()).or_insert([0; 2]), &cells);
        key
    }
}

/// One list of a histogram; NULL is empty.
fn list_at(batch: &RecordBatch, signal: DurationSignal, list: &str, row: usize) -> Vec<i64> {
    let column = batch.column_by_name(&format!("{}_{list}", signal.name())).unwrap();
    if column.is_null(row) {
        return Vec::new();
    }
    column.as_list::<i32>().value(row).as_primitive::<Int64Type>().values().to_vec()
}

fn add(sum: &mut [i64], cells: &[i64]) {
    assert_eq!(sum.len(), cells.len());
    sum.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += cell);
}

pub(super) fn value(batch: &RecordBatch, name: &str, row: usize) -> i64 {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive_opt::<Int64Type>().map_or_else(
        || column.as_primitive::<TimestampMicrosecondType>().value(row),
        |column| column.value(row),
    )
}

pub(super) fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name).unwrap();
    if column.is_null(row) {
        return None;
    }
    let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() else {
        return Some(column.as_string::<i32>().value(row).to_owned());
    };
    let key = dictionary.keys().value(row);
    Some(dictionary.values().as_string::<i32>().value(key as usize).to_owned())
}
