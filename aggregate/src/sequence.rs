//! Duplicates by `seq` (contracts 2.1): what a device sent before is recognised.
//!
//! ```text
//!   forgotten      older missing ranges        the last 64, one bit each   greatest
//! ─────────────┬──[==]────[=]─────[===]──────┬─────────────────────────────┬──────►
//!  restart or  │ in a range: new             │ bit unset: new              │ new
//!  stale       │ between: duplicate          │ bit set: duplicate          │
//! ```

use crate::device::Device;
use crate::hash::{Map, NumberHash};
use crate::state::{Reader, StateError, Writer};

/// What a `seq` says of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    /// New, and the first of a new sequence.
    Restarted,
    Duplicate,
    /// Older than all that is remembered, and not newer in time.
    Stale,
}

/// First and last `seq` of a stretch that never came.
type Range = (u64, u64);

/// The older missing ranges, of the few devices that have some.
#[derive(Clone, Debug)]
pub(crate) struct Sequences {
    /// Ascending, apart from each other, never empty.
    missing: Map<u32, Vec<Range>>,
    ranges_max: usize,
    evicted: u64,
}

impl Sequences {
    pub(crate) fn new(hash: NumberHash, ranges_max: usize) -> Self {
        Self { missing: Map::with_hasher(hash), ranges_max, evicted: 0 }
    }

    /// Stores the missing ranges by device.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&self.evicted);
        let mut missing: Vec<_> = self.missing.iter().collect();
        missing.sort_unstable();
        out.put_all(missing.into_iter());
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.evicted = from.take()?;
        let missing: Vec<(u32, Vec<Range>)> = from.take_all(Reader::take)?;
        self.missing.extend(missing);
        Ok(())
    }

    /// Looks `seq` up and remembers it. `at_ms`: the record's event time.
    pub(crate) fn offer(&mut self, device: &mut Device, at: u32, seq: u64, at_ms: i64) -> Seen {
        if device.seq_bits == 0 {
            self.start(device, at, seq);
            return Seen::New;
        }
        if seq > device.seq {
            self.advance(device, at, seq);
            return Seen::New;
        }
        let back = device.seq - seq;
        if back >= 64 {
            return self.older(device, at, seq, at_ms);
        }
        if device.seq_bits >> back & 1 == 1 {
            return Seen::Duplicate;
        }
        device.seq_bits |= 1 << back;
        Seen::New
    }

    /// Starts a sequence at `seq`; the 63 below it count as not seen, and are not remembered.
    pub(crate) fn start(&mut self, device: &mut Device, at: u32, seq: u64) {
        self.forget(device, at);
        device.seq = seq;
        device.seq_bits = 1;
        device.seq_unborn = 63;
    }

    /// Forgets the sequence: the next record starts one.
    pub(crate) fn forget(&mut self, device: &mut Device, at: u32) {
        self.missing.remove(&at);
        device.seq_bits = 0;
    }

    fn advance(&mut self, device: &mut Device, at: u32, seq: u64) {
        let step = seq - device.seq;
        let leaving = if step < 64 { !(u64::MAX >> step) } else { u64::MAX };
        let mut lost = !device.seq_bits & leaving & u64::MAX >> device.seq_unborn;
        while lost != 0 {
            let back = lost.ilog2();
            self.push(at, (device.seq - u64::from(back), device.seq - u64::from(back)));
            lost &= !(1 << back);
        }
        if step > 64 {
            self.push(at, (device.seq + 1, seq - 64));
        }
        device.seq_bits = if step < 64 { device.seq_bits << step | 1 } else { 1 };
        device.seq_unborn = device.seq_unborn.saturating_sub(step.min(63) as u8);
        device.seq = seq;
    }

    /// Adds a range above all others.
    fn push(&mut self, at: u32, range: Range) {
        let ranges = self.missing.entry(at).or_default();
        match ranges.last_mut() {
            Some(last) if last.1 + 1 == range.0 => last.1 = range.1,
            _ => ranges.push(range),
        }
        self.evicted += keep_newest(ranges, self.ranges_max);
    }

    fn older(&mut self, device: &mut Device, at: u32, seq: u64, at_ms: i64) -> Seen {
        let ranges = self.missing.get_mut(&at);
        let Some(ranges) = ranges.filter(|ranges| seq >= ranges[0].0) else {
            if at_ms <= device.newest_ms {
                return Seen::Stale;
            }
            self.start(device, at, seq);
            return Seen::Restarted;
        };
        let position = ranges.partition_point(|range| range.1 < seq);
        let Some(&(first, last)) = ranges.get(position).filter(|range| range.0 <= seq) else {
            return Seen::Duplicate;
        };
        let below = (first < seq).then(|| (first, seq - 1));
        let above = (seq < last).then(|| (seq + 1, last));
        ranges.splice(position..=position, below.into_iter().chain(above));
        self.evicted += keep_newest(ranges, self.ranges_max);
        if ranges.is_empty() {
            self.missing.remove(&at);
        }
        Seen::New
    }

    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.missing.capacity() * 33 + self.missing.len() * 64
    }
}

/// Drops the oldest ranges beyond the bound: how many.
fn keep_newest(ranges: &mut Vec<Range>, ranges_max: usize) -> u64 {
    let excess = ranges.len().saturating_sub(ranges_max);
    ranges.drain(..excess);
    excess as u64
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
