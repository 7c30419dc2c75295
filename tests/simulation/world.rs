//! What devices sent in one run: few devices, several partitions, minutes of event time.

use schemas::{Stream, StreamKind, Timestamp};
use serde_json::json;

use super::rng::Rng;

/// Partitions of `telemetry`, at the end of a run in which it grows.
pub(super) const PARTITIONS: i32 = 3;

/// Devices; each always on the same partition.
const DEVICES: usize = 12;

/// Where the time of every run begins, in microseconds.
pub(super) const START: Timestamp = Timestamp(1_784_437_200_000_000);

/// One record as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) stream: Stream,
    pub(super) offset: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Event time, which is also the Kafka timestamp.
    pub(super) time: Timestamp,
    pub(super) kind: Kind,
}

/// What the model has to know of a record.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Valid { ring: String, device: String, seq: u64, update: Option<&'static str> },
    Malformed,
}

/// The fleet as it goes on sending.
#[derive(Debug)]
pub(super) struct Fleet {
    seqs: [u64; DEVICES],
    ends: [i64; PARTITIONS as usize],
    sent: Vec<Sent>,
    repeats: Repeats,
}

/// Whether records are sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    Some,
    /// Where what is known of a device may be forgotten, which the model does not.
    None,
}

impl Fleet {
    pub(super) const fn new(repeats: Repeats) -> Self {
        let (seqs, ends) = ([0; DEVICES], [0; PARTITIONS as usize]);
        Self { seqs, ends, sent: Vec::new(), repeats }
    }

    pub(super) fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Sends one record to one of the first `partitions`, sometimes a repeated or a malformed one,
    /// sometimes after a hole.
    pub(super) fn send(&mut self, rng: &mut Rng, now: Timestamp, partitions: i32) {
        if rng.in_thousand(60)
            && partitions == PARTITIONS
            && self.repeats == Repeats::Some
            && let Some(at) = (!self.sent.is_empty()).then(|| rng.below(self.sent.len()))
        {
            let again = self.sent[at].clone();
            return self.append(again);
        }
        let devices = DEVICES / PARTITIONS as usize;
        let number = rng.below(devices) * PARTITIONS as usize + rng.below(partitions as usize);
        let device = format!("d-{number}");
        let stream = Stream {
            kind: StreamKind::Telemetry,
            partition: (number % PARTITIONS as usize) as i32,
        };
        let (time, key) = (now, device.clone().into_bytes());
        if rng.in_thousand(30) {
            let value = b"{\"not\": \"ours".to_vec();
            return self.append(Sent {
                stream,
                offset: 0,
                key,
                value,
                time,
                kind: Kind::Malformed,
            });
        }
        let ring_name = ["test", "first"][number % 2];
        self.seqs[number] += 1;
        let seq = self.seqs[number];
        let update = match rng.below(8) {
            0 => Some("installing"),
            1 => Some("installed"),
            _ => None,
        };
        let mut record = json!({
            "v": 1, "device": device, "ring": ring_name, "seq": seq, "time": time.to_string(),
        });
        match update {
            None => {
                record["type"] = json!("heartbeat");
                record["uptime_s"] = json!(seq);
                record["interval_s"] = json!(60);
            }
            Some(state) => {
                record["type"] = json!("update");
                record["state"] = json!(state);
                record["change"] = json!("kb1");
            }
        }
        let value = record.to_string().into_bytes();
        let kind = Kind::Valid { ring: ring_name.to_owned(), device, seq, update };
        self.append(Sent { stream, offset: 0, key, value, time, kind });
        if rng.in_thousand(50) {
            // A hole, as a transaction marker or a compacted record leaves it.
            self.ends[stream.partition as usize] += 1 + rng.below(2) as i64;
        }
    }

    fn append(&mut self, mut record: Sent) {
        let end = &mut self.ends[record.stream.partition as usize];
        record.offset = *end;
        *end += 1;
        self.sent.push(record);
    }

    /// The offset behind the newest record, or behind what follows it.
    pub(super) fn end(&self, stream: Stream) -> i64 {
        match stream.kind {
            StreamKind::Telemetry => self.ends[stream.partition as usize],
            StreamKind::Changes | StreamKind::Support => 0,
        }
    }

    /// The first record of a partition at or after an offset.
    pub(super) fn at(&self, stream: Stream, offset: i64) -> Option<&Sent> {
        self.sent.iter().find(|sent| sent.stream == stream && sent.offset >= offset)
    }
}

/// Every partition of the three topics while telemetry has so many.
pub(super) fn streams(partitions: i32) -> Vec<Stream> {
    let telemetry =
        (0..partitions).map(|partition| Stream { kind: StreamKind::Telemetry, partition });
    let others = [StreamKind::Changes, StreamKind::Support];
    telemetry.chain(others.map(|kind| Stream { kind, partition: 0 })).collect()
}
