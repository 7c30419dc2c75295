//! How each change came along in each ring: installs, exposure, and the curves of its tests.
//!
//! ```text
//! WindowTotals, Engine ─► add: funnel, points ─► View ─► HTTP
//! Entry ───────────────► note: places, refused records
//! ```
//! For people only; nothing is decided by it. It is derived like everything of the publisher and
//! stands in its checkpoint (docs/decisions/0050), so a restart shows what was shown before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alerts::{Engine, Mark};
use schemas::{Counts, Entry, Stream, StreamKind, Timestamp, WindowTotals};
use serde::{Deserialize, Serialize};

use crate::metrics;

/// 48 points on a curve are enough to see a bend; at 48 every second one goes, so that a curve
/// always reaches back to the first exposure.
pub const POINTS_MAX: usize = 48;

/// 1,500 changes x rings: 100 changes in 15 rings, some 60 MB if every signal was hit in each.
pub const TRACKS_MAX: usize = 1_500;

/// 50 refused records: enough to see what is wrong; all of them stand in the dataset `rejected`.
pub const REFUSED_MAX: usize = 50;

/// Installs of a change in a ring, since it was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funnel {
    pub installs_started: i64,
    pub installs_succeeded: i64,
    pub installs_failed: i64,
    pub rollbacks: i64,
    /// Devices newly exposed.
    pub devices_exposed: i64,
}

/// The tests of a change in a ring at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// End of the window.
    pub at: Timestamp,
    /// Tests in which a device was hit; the others stand at 0 hits.
    pub marks: Vec<Mark>,
}

/// One change in one ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    pub funnel: Funnel,
    pub exposed_from: Option<Timestamp>,
    /// Windows between two points; doubles when there are too many.
    stride: i64,
    pub points: Arc<Vec<Point>>,
}

/// How far a partition has been merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Every offset below is durable.
    pub end: i64,
    pub watermark: Option<Timestamp>,
    pub counts: Counts,
}

/// A refused record, but for its content: that may name people, and stands in the dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub stream: Stream,
    pub offset: i64,
    pub time: Option<Timestamp>,
    pub stage: String,
    pub field: Option<String>,
    pub error: String,
    /// Bytes of its value.
    pub size: i64,
}

/// Everything that is shown over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    tracks: BTreeMap<(Arc<str>, Arc<str>), Track>,
    pub places: BTreeMap<Stream, Place>,
    /// The newest last.
    pub refused: VecDeque<Refused>,
}

impl Track {
    fn new() -> Self {
        Self { funnel: Funnel::default(), exposed_from: None, stride: 1, points: Arc::default() }
    }

    /// Adds a point if one is due at the end of the window of this number.
    fn step(&mut self, window: i64, point: impl FnOnce() -> Point) {
        if window % self.stride != 0 {
            return;
        }
        let points = Arc::make_mut(&mut self.points);
        points.push(point());
        if points.len() >= POINTS_MAX {
            self.stride *= 2;
            let mut number = 0_usize;
            points.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
        }
    }

    fn newest(&self) -> Option<Timestamp> {
        self.points.last().map(|point| point.at)
    }
}

impl History {
    /// Takes in a window that the engine has just evaluated.
    pub fn add(&mut self, totals: &WindowTotals, engine: &Engine) {
        for ((ring, change), counts) in &totals.changes {
            let Some(track) = self.track(change, ring) else { continue };
            let funnel = &mut track.funnel;
            funnel.installs_started += counts.installs_started;
            funnel.installs_succeeded += counts.installs_succeeded;
            funnel.installs_failed += counts.installs_failed;
            funnel.rollbacks += counts.rollbacks;
            funnel.devices_exposed += counts.devices_exposed;
        }
        let length = totals.end - totals.start;
        let window = if length.0 > 0 { totals.end.0 / length.0 } else { 0 };
        for reached in engine.reached() {
            let (change, ring) = (Arc::from(reached.change), Arc::from(reached.ring));
            let Some(track) = self.track(&change, &ring) else { continue };
            track.exposed_from = Some(reached.exposed_from);
            let marks = || engine.marks(&change, &ring);
            track.step(window, || Point { at: totals.end, marks: marks() });
        }
    }

    /// Takes in a journal entry: how far its partition is, and what it refused.
    pub fn note(&mut self, entry: &Entry) {
        let header = &entry.header;
        let place = self.places.entry(header.stream).or_default();
        place.end = header.end;
        place.watermark = header.watermark.or(place.watermark);
        place.counts.add(&header.counts);
        let skipped = entry.delta.rejected.len().saturating_sub(REFUSED_MAX);
        for row in entry.delta.rejected.iter().skip(skipped) {
            if self.refused.len() == REFUSED_MAX {
                self.refused.pop_front();
            }
            self.refused.push_back(Refused {
                stream: header.stream,
                offset: row.offset,
                time: row.time,
                stage: row.stage.name().to_owned(),
                field: row.field.clone(),
                error: row.error.clone(),
                size: row.size,
            });
        }
    }

    /// The event time that every partition of telemetry has come to; `None` before that.
    pub fn watermark(&self) -> Option<Timestamp> {
        let telemetry =
            self.places.iter().filter(|(stream, _)| stream.kind == StreamKind::Telemetry);
        telemetry.map(|(_, place)| place.watermark).min().flatten()
    }

    /// How a change came along in a ring.
    pub fn of(&self, change: &str, ring: &str) -> Option<&Track> {
        self.tracks.get(&(Arc::from(change), Arc::from(ring)))
    }

    /// All that is known, to be stored.
    pub fn save(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }

    /// What was stored; an empty one where that cannot be read: it is for people only.
    pub fn load(bytes: &[u8]) -> Self {
        postcard::from_bytes(bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "the curves of before cannot be read; they begin afresh");
            Self::default()
        })
    }

    /// The track of a change in a ring, made now if there is room; the one that has ended first
    /// makes room.
    fn track(&mut self, change: &Arc<str>, ring: &Arc<str>) -> Option<&mut Track> {
        let key = (Arc::clone(change), Arc::clone(ring));
        if !self.tracks.contains_key(&key) && self.tracks.len() >= TRACKS_MAX {
            let newest = self.tracks.values().filter_map(Track::newest).max();
            let oldest = self.tracks.iter().min_by_key(|(_, track)| track.newest());
            let (oldest, ended) = oldest.map(|(key, track)| (key.clone(), track.newest()))?;
            if ended == newest {
                metrics::tracks_refused().increment(1);
                return None;
            }
            self.tracks.remove(&oldest);
        }
        Some(self.tracks.entry(key).or_insert_with(Track::new))
    }
}

#[cfg(test)]
mod tests {
    use alerts::DetectionConfig;
    use schemas::Span;
    use schemas::totals::ChangeTotals;

    use super::*;

    /// Windows of a minute in which every change is installed once in ring `test`.
    fn told(windows: i64, changes: usize) -> History {
        let mut engine = Engine::new(DetectionConfig::new(vec!["test".to_owned()]));
        let mut history = History::default();
        for window in 0..windows {
            let start = Timestamp::YEAR_2000 + Span::minutes(window);
            let mut totals =
                WindowTotals { start, end: start + Span::minutes(1), ..<_>::default() };
            let counts = ChangeTotals { attempts_failed: 1, installs_failed: 1, ..<_>::default() };
            for change in 0..changes {
                let key = (Arc::from("test"), Arc::from(format!("kb{change}")));
                totals.changes.insert(key, counts);
            }
            engine.evaluate(&totals);
            history.add(&totals, &engine);
        }
        history
    }

    #[test]
    fn a_curve_keeps_its_beginning_and_its_end_however_long_it_lasts() {
        for windows in [1, 47, 48, 500, 5_000] {
            let history = told(windows, 1);
            let track = history.of("kb0", "test").expect("a track");
            assert_eq!(track.funnel.installs_failed, windows);
            assert!(track.points.len() < POINTS_MAX && !track.points.is_empty(), "{windows}");
            assert!(track.points.is_sorted_by_key(|point| point.at));
            let first = track.points[0].at - Timestamp::YEAR_2000;
            assert!(first <= Span::minutes((windows / 10).max(2)), "{windows}: {first:?}");
            assert!(track.points[0].marks[0].treated.affected > 0);
        }
    }

    #[test]
    fn what_was_stored_comes_back() {
        let history = told(100, 3);
        assert_eq!(History::load(&history.save().expect("bytes")), history);
        assert_eq!(History::load(b"\xff"), History::default());
    }

    #[test]
    fn a_track_too_many_is_refused_while_all_others_go_on() {
        let history = told(1, TRACKS_MAX + 1);
        assert_eq!(history.tracks.len(), TRACKS_MAX);
    }
}
