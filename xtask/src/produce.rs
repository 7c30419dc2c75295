//! Records into a broker: a folder of NDJSON, as `replay` reads it, or one record at a time.
//!
//! `telemetry*.ndjson` become the partitions of the topic `telemetry` in name order, line by line;
//! `changes.ndjson` and `support.ndjson` their topics. A line's trailing `_ts` is taken off and
//! becomes the Kafka timestamp; the key is the device, change or ticket.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::Failure;

/// A local broker answers in milliseconds; a busy machine may take seconds.
const FLUSH_TIMEOUT: Duration = Duration::from_mins(2);
/// Without an acknowledgement for so long, the client may have lost every broker.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// Counts what the broker acknowledged and what it refused.
#[derive(Debug, Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    refused: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.acknowledged } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One record to send; what is `None` is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Unix milliseconds; `None` = now.
    pub timestamp_ms: Option<i64>,
    pub headers: &'a [(&'a str, &'a str)],
}

/// Sends records in order: lz4, batches of 256 KiB, acknowledged by the broker.
#[expect(missing_debug_implementations, reason = "librdkafka's producer has none")]
pub struct Producer {
    inner: BaseProducer<Deliveries>,
    bootstrap: String,
    sent: u64,
    /// Acknowledged at the last look, and when that last went up.
    progress: (u64, Instant),
}

impl Producer {
    /// Connects to a broker; each record arrives once, in order.
    pub fn connect(bootstrap: &str) -> Result<Self, Failure> {
        Self::with(bootstrap, &[("enable.idempotence", "true")])
    }

    /// The same for a broker that dies or hangs: it never gives a record up, and may send one
    /// twice. (A broker forgets a producer whose records are months old, so it could not tell.)
    pub fn stubborn(bootstrap: &str) -> Result<Self, Failure> {
        let settings = [
            ("message.timeout.ms", "0"),
            ("socket.timeout.ms", "10000"),
            ("max.in.flight.requests.per.connection", "1"),
        ];
        Self::with(bootstrap, &settings)
    }

    fn with(bootstrap: &str, settings: &[(&str, &str)]) -> Result<Self, Failure> {
        let mut config = ClientConfig::new();
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let inner = config
            .set("bootstrap.servers", bootstrap)
            .set("compression.codec", "lz4")
            .set("batch.size", "262144")
            .set("batch.num.messages", "100000")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "500000")
            .create_with_context(Deliveries::default())
            .map_err(Failure::kafka("make a producer"))?;
        let bootstrap = bootstrap.to_owned();
        Ok(Self { inner, bootstrap, sent: 0, progress: (0, Instant::now()) })
    }

    /// Hands a record over; waits where the queue is full.
    pub fn send(&mut self, topic: &str, partition: i32, record: Record<'_>) -> Result<(), Failure> {
        let mut next = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        next.key = record.key;
        next.payload = record.value;
        next.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            next.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), |all, header| {
                all.insert(Header { key: header.0, value: Some(header.1) })
            }));
        }
        loop {
            match self.inner.send(next) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    next = unsent;
                    self.inner.poll(Duration::from_millis(10));
                    self.look();
                }
                Err((source, _)) => {
                    return Err(Failure::kafka(format!("produce to {topic}/{partition}"))(source));
                }
            }
        }
        self.sent += 1;
        if self.sent.is_multiple_of(1_000) {
            self.inner.poll(Duration::ZERO);
            self.look();
        }
        Ok(())
    }

    /// Tells a client that gets nothing acknowledged of its brokers again.
    fn look(&mut self) {
        let acknowledged = self.inner.context().acknowledged.load(Ordering::Relaxed);
        if acknowledged != self.progress.0 || acknowledged == self.sent {
            self.progress = (acknowledged, Instant::now());
        } else if self.progress.1.elapsed() >= STALLED_AFTER {
            ingest::rebootstrap(self.inner.client(), &self.bootstrap);
            self.progress.1 = Instant::now();
        }
    }

    /// Waits until every record is acknowledged; how many they are.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        while let Err(late) = self.inner.flush(STALLED_AFTER) {
            if Instant::now() >= deadline {
                return Err(Failure::kafka("flush the producer")(late));
            }
            self.look();
        }
        let deliveries = self.inner.context();
        let acknowledged = deliveries.acknowledged.load(Ordering::Relaxed);
        if acknowledged == self.sent {
            return Ok(acknowledged);
        }
        let refused = deliveries.refused.load(Ordering::Relaxed);
        let sent = self.sent;
        Err(Failure::Unmet(format!("of {sent} records {acknowledged} arrived, {refused} did not")))
    }
}

/// Produces every record of a folder of NDJSON into the topics of the default names.
pub fn ndjson_folder(bootstrap: &str, folder: &Path) -> Result<u64, Failure> {
    let mut producer = Producer::connect(bootstrap)?;
    for (topic, key_field) in [("changes", "change"), ("support", "ticket")] {
        let path = folder.join(topic).with_extension("ndjson");
        if path.is_file() {
            file(&mut producer, &path, topic, 0, key_field)?;
        }
    }
    for (path, partition) in telemetry_files(folder)?.iter().zip(0..) {
        file(&mut producer, path, "telemetry", partition, "device")?;
    }
    producer.finish()
}

/// `telemetry*.ndjson` of a folder in name order: the order of their partitions.
fn telemetry_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let doing = || format!("read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io(doing()))? {
        let path = entry.map_err(Failure::io(doing()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("telemetry") && name.ends_with(".ndjson") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn file(
    producer: &mut Producer,
    path: &Path,
    topic: &str,
    partition: i32,
    key_field: &str,
) -> Result<(), Failure> {
    let doing = || format!("read {}", path.display());
    let mut reader = BufReader::new(fs::File::open(path).map_err(Failure::io(doing()))?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(Failure::io(doing()))? > 0 {
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        let timestamp_ms = take_timestamp(&mut line);
        let key = key(&line, key_field);
        let value = (!is_tombstone(&line)).then_some(line.as_slice());
        let key = key.as_deref();
        producer.send(topic, partition, Record { key, value, timestamp_ms, headers: &[] })?;
        line.clear();
    }
    Ok(())
}

/// Takes a trailing `,"_ts":N` off the object in `line`; N.
fn take_timestamp(line: &mut Vec<u8>) -> Option<i64> {
    const FIELD: &[u8] = br#","_ts":"#;
    let at = line.windows(FIELD.len()).rposition(|part| part == FIELD)?;
    let digits = line[at + FIELD.len()..].strip_suffix(b"}")?;
    let timestamp_ms = std::str::from_utf8(digits).ok()?.trim().parse().ok()?;
    line.truncate(at);
    line.push(b'}');
    Some(timestamp_ms)
}

/// The text of the first field of that name; `None` where the line has none or is no JSON.
fn key(line: &[u8], field: &str) -> Option<Vec<u8>> {
    let name = format!("\"{field}\":\"");
    let start = line.windows(name.len()).position(|part| part == name.as_bytes())? + name.len();
    let length = line[start..].iter().position(|byte| *byte == b'"')?;
    let text = &line[start..start + length];
    if !text.contains(&b'\\') {
        return Some(text.to_owned());
    }
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    record.get(field)?.as_str().map(|text| text.as_bytes().to_owned())
}

/// How a tombstone stands in NDJSON (contracts.md 2.2): `{"change":"…","deleted":true}`.
fn is_tombstone(line: &[u8]) -> bool {
    line.ends_with(br#""deleted":true}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected_line: &str, timestamp_ms: Option<i64>, device: Option<&str>) {
        let mut bytes = line.as_bytes().to_owned();
        assert_eq!(take_timestamp(&mut bytes), timestamp_ms);
        assert_eq!(String::from_utf8_lossy(&bytes), expected_line);
        assert_eq!(key(&bytes, "device"), device.map(|text| text.as_bytes().to_owned()));
    }

    #[test]
    fn the_arrival_is_taken_off_and_the_device_is_the_key() {
        check(r#"{"device":"d-1","_ts":17}"#, r#"{"device":"d-1"}"#, Some(17), Some("d-1"));
        check(r#"{"device":"d-1"}"#, r#"{"device":"d-1"}"#, None, Some("d-1"));
        check(r#"{"device":"a\"b","_ts":1}"#, r#"{"device":"a\"b"}"#, Some(1), Some("a\"b"));
        check(r#"{"ring":"x","_ts":-5}"#, r#"{"ring":"x"}"#, Some(-5), None);
        check("not json", "not json", None, None);
        check("", "", None, None);
    }

    #[test]
    fn a_timestamp_that_does_not_end_the_record_stays() {
        check(r#"{"_ts":5,"device":"d"}"#, r#"{"_ts":5,"device":"d"}"#, None, Some("d"));
        check(r#"{"a":{"b":1,"_ts":5}}"#, r#"{"a":{"b":1,"_ts":5}}"#, None, None);
    }
}
