//! [`KafkaSource`] against librdkafka's mock cluster: assignment, ends, headers, errors by name.

#![expect(clippy::expect_used, reason = "a test that cannot set its scene fails")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ingest::{
    Headers, KafkaConfig, KafkaLane, KafkaSource, Lane, Next, Record, RejectedTopic, Source,
    SourceError, SourceEvent, Start, Topics, sample, unframe,
};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use schemas::{Rejection, Stage, Stream, StreamKind, Timestamp};

const TIMEOUT: Duration = Duration::from_secs(20);

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A mock cluster with the three topics, `telemetry` with two partitions, and a rejected topic.
fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).expect("a mock cluster starts");
    for (topic, partitions) in [("telemetry", 2), ("changes", 1), ("support", 1), ("rejected", 1)] {
        cluster.create_topic(topic, partitions, 1).expect("a mock topic is created");
    }
    cluster
}

fn config(cluster: &Cluster) -> KafkaConfig {
    KafkaConfig {
        brokers: cluster.bootstrap_servers(),
        group: "ringwatch".to_owned(),
        topics: Topics {
            telemetry: "telemetry".to_owned(),
            changes: "changes".to_owned(),
            support: "support".to_owned(),
            rejected: Some("rejected".to_owned()),
        },
        properties: BTreeMap::new(),
        prefetch_bytes_max: 16 << 20,
    }
}

fn produce(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    values: &[&str],
    headers: &OwnedHeaders,
) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer for the mock cluster");
    for value in values {
        let record = BaseRecord::to(topic)
            .partition(partition)
            .key("k")
            .payload(*value)
            .timestamp(1_784_437_200_000)
            .headers(headers.clone());
        producer.send(record).expect("the queue has room");
    }
    producer.flush(TIMEOUT).expect("the mock cluster takes records");
}

const fn stream(kind: StreamKind, partition: i32) -> Stream {
    Stream { kind, partition }
}

/// Stream, offset and value of each record, in that order.
type Records = Vec<(Stream, i64, String)>;

/// A source and its two lanes, between which partitions are dealt out by number.
struct Member {
    source: KafkaSource,
    lanes: Vec<KafkaLane>,
}

impl Member {
    fn join(cluster: &Cluster) -> Self {
        let mut source = KafkaSource::connect(config(cluster), TIMEOUT).expect("connected");
        let lanes = source.lanes(2).expect("queues");
        Self { source, lanes }
    }

    fn lane(&mut self, stream: Stream) -> &mut KafkaLane {
        &mut self.lanes[stream.partition as usize % 2]
    }

    /// One look at the group and at each lane: records go to `see`, the ends are returned.
    fn turn(
        &mut self,
        from: impl Fn(Stream) -> Start,
        see: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Vec<(Stream, i64)>, SourceError> {
        if let Some(SourceEvent::Assigned(streams)) = self.source.next()? {
            let starts: Vec<_> = streams.iter().map(|it| (*it, from(*it))).collect();
            for (stream, start) in &starts {
                self.lane(*stream).begin(*stream, *start)?;
            }
            self.source.start(&starts)?;
        }
        let mut ends = Vec::new();
        for lane in &mut self.lanes {
            match lane.next(Duration::from_millis(50))? {
                Next::Run(stream) => {
                    let run = lane.run();
                    let count = run.records().len();
                    assert!(run.records().iter().all(|record| record.stream == stream));
                    run.records().iter().for_each(&mut *see);
                    lane.done(count);
                }
                Next::EndOfPartition { stream, offset } => ends.push((stream, offset)),
                Next::Down(_) | Next::Quiet => {}
            }
        }
        Ok(ends)
    }
}

/// Reads until the end of every partition has been said: the values, and where the ends are.
fn read_all(
    member: &mut Member,
    from: impl Fn(Stream) -> Start,
) -> Result<(Records, BTreeMap<Stream, i64>), SourceError> {
    let (mut records, mut ends) = (Vec::new(), BTreeMap::new());
    let count = member.source.streams().len();
    let deadline = Instant::now() + TIMEOUT;
    while ends.len() < count && Instant::now() < deadline {
        let more = member.turn(&from, &mut |record| {
            let value = String::from_utf8_lossy(record.value.unwrap_or_default());
            assert_eq!(record.timestamp, Some(Timestamp(1_784_437_200_000_000)));
            assert_eq!((record.key, record.size), (Some(&b"k"[..]), value.len()));
            records.push((record.stream, record.offset, value.into_owned()));
        })?;
        ends.extend(more);
    }
    records.sort();
    Ok((records, ends))
}

#[test]
fn every_partition_is_read_from_where_it_is_resumed_to_its_end() {
    let cluster = cluster();
    let none = OwnedHeaders::new();
    produce(&cluster, "telemetry", 0, &["a", "b", "c"], &none);
    produce(&cluster, "telemetry", 1, &["d"], &none);
    produce(&cluster, "changes", 0, &["e"], &none);
    let from = |it: Stream| match (it.kind, it.partition) {
        (StreamKind::Telemetry, 0) => Start::At(2),
        _ => Start::Earliest,
    };
    let mut member = Member::join(&cluster);
    let source = &member.source;
    assert_eq!(source.partition_count(StreamKind::Telemetry), 2);
    assert!(source.identity().ends_with("topics telemetry,changes,support"));
    let (records, ends) = read_all(&mut member, from).expect("readable");
    let (telemetry, changes) = (StreamKind::Telemetry, StreamKind::Changes);
    let expected = [
        (stream(telemetry, 0), 2, "c".to_owned()),
        (stream(telemetry, 1), 0, "d".to_owned()),
        (stream(changes, 0), 0, "e".to_owned()),
    ];
    assert_eq!(records, expected);
    let expected_ends = BTreeMap::from([
        (stream(telemetry, 0), 3),
        (stream(telemetry, 1), 1),
        (stream(changes, 0), 1),
        (stream(StreamKind::Support, 0), 0),
    ]);
    assert_eq!(ends, expected_ends);
    assert_eq!(member.source.end_offsets().expect("answered"), expected_ends);
    member.source.commit(&[(stream(telemetry, 0), 3)]);
}

#[test]
fn a_paused_partition_gives_nothing_and_goes_on_where_it_is_restarted() {
    let cluster = cluster();
    let mut member = Member::join(&cluster);
    read_all(&mut member, |_| Start::Earliest).expect("readable");
    // Its end was read: by itself the client would go on behind the next record.
    let paused = stream(StreamKind::Telemetry, 0);
    member.lane(paused).stop(&[paused]);
    member.source.pause(&[paused]).expect("assigned");
    produce(&cluster, "telemetry", 0, &["a", "b"], &OwnedHeaders::new());
    let mut offsets = |wait, until: usize| {
        let mut seen = Vec::new();
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline && seen.len() < until {
            let see = &mut |record: &Record<'_>| seen.push(record.offset);
            member.turn(|_| Start::Earliest, see).expect("up");
        }
        if until == usize::MAX {
            let start = Start::At(0);
            member.lane(paused).begin(paused, start).expect("assigned");
            member.source.restart(&[(paused, start)]).expect("assigned");
        }
        seen
    };
    assert_eq!(offsets(Duration::from_millis(1_500), usize::MAX), Vec::<i64>::new());
    assert_eq!(offsets(TIMEOUT, 2), [0, 1]);
}

#[test]
fn records_are_taken_as_far_as_they_are_done_with_and_dropped_where_they_begin_again() {
    let cluster = cluster();
    let values: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    produce(&cluster, "telemetry", 0, &values, &OwnedHeaders::new());
    let mut member = Member::join(&cluster);
    let of = stream(StreamKind::Telemetry, 0);
    // Three at a time; from the hundredth on once more from the fiftieth.
    let (mut seen, mut again) = (Vec::new(), true);
    let deadline = Instant::now() + TIMEOUT;
    while seen.len() < 250 && Instant::now() < deadline {
        if seen.len() >= 99 && std::mem::take(&mut again) {
            member.lane(of).begin(of, Start::At(50)).expect("assigned");
            member.source.restart(&[(of, Start::At(50))]).expect("assigned");
        }
        if let Some(SourceEvent::Assigned(streams)) = member.source.next().expect("up") {
            let starts: Vec<_> = streams.iter().map(|it| (*it, Start::Earliest)).collect();
            for (stream, start) in &starts {
                member.lane(*stream).begin(*stream, *start).expect("assigned");
            }
            member.source.start(&starts).expect("assigned");
        }
        let lane = member.lane(of);
        if matches!(lane.next(Duration::from_millis(50)).expect("up"), Next::Run(_)) {
            let run = lane.run();
            let taken = run.records().len().min(3);
            seen.extend(run.records()[..taken].iter().map(|record| record.offset));
            lane.done(taken);
        }
    }
    let first = seen.iter().position(|&offset| offset == 99).unwrap_or(0);
    let restarted = seen.iter().rposition(|&offset| offset == 50).expect("twice");
    assert!(restarted > first, "{seen:?}");
    assert!(seen[..restarted].iter().copied().eq(0..restarted as i64), "{seen:?}");
    assert!(seen[restarted..].iter().copied().eq(50..200), "{seen:?}");
}

#[test]
fn offsets_that_are_gone_are_an_error_that_names_them() {
    let cluster = cluster();
    produce(&cluster, "telemetry", 1, &["a"], &OwnedHeaders::new());
    let from = |it: Stream| {
        if it == stream(StreamKind::Telemetry, 1) { Start::At(7) } else { Start::Earliest }
    };
    let error = read_all(&mut Member::join(&cluster), from).expect_err("beyond the end");
    let SourceError::OffsetGone { stream: gone, wanted, earliest, end, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((*gone, *wanted), (stream(StreamKind::Telemetry, 1), 7));
    assert_eq!((*earliest, *end), (0, 1));
    assert!(error.to_string().starts_with("offset 7 of telemetry/1"), "{error}");
}

#[test]
fn headers_are_read_and_an_envelope_is_unwrapped() {
    let cluster = cluster();
    let json = Header { key: "content-type", value: Some("application/cloudevents+json") };
    let headers = OwnedHeaders::new().insert(json).insert(Header { key: "x", value: Some("1") });
    produce(&cluster, "telemetry", 0, &[r#"{"id":"1","data":{"a":1}}"#], &headers);
    let mut member = Member::join(&cluster);
    let deadline = Instant::now() + TIMEOUT;
    let mut seen = 0;
    while Instant::now() < deadline && seen == 0 {
        let mut look = |record: &Record<'_>| {
            assert_eq!(record.headers.last(c"x"), Some(&b"1"[..]));
            assert_eq!(record.headers.last(c"y"), None);
            let value = unframe(record.value, &record.headers).expect("an envelope");
            assert_eq!(value.as_ref(), br#"{"a":1}"#);
            seen += 1;
        };
        member.turn(|_| Start::Earliest, &mut look).expect("up");
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_rejected_record_arrives_as_it_came_and_says_why() {
    let cluster = cluster();
    let mut settings = config(&cluster);
    let topic = RejectedTopic::open(&settings).expect("valid").expect("configured");
    let record = Record {
        stream: stream(StreamKind::Telemetry, 1),
        offset: 41,
        timestamp: None,
        key: Some(b"k"),
        value: Some(b"{}"),
        size: 2,
        headers: Headers::Listed(&[("own", b"1")]),
    };
    let error = "`ring` is missing".to_owned();
    let rejection = Rejection { stage: Stage::Validate, field: Some("ring"), error };
    topic.send(&record, &rejection, TIMEOUT).expect("room");
    topic.flush(TIMEOUT).expect("taken");
    settings.topics.telemetry = "rejected".to_owned();
    let mut seen = Vec::new();
    let count = sample(&settings, StreamKind::Telemetry, 10, TIMEOUT, &mut |record| {
        assert_eq!((record.key, record.value), (Some(&b"k"[..]), Some(&b"{}"[..])));
        record.headers.each(&mut |name, value| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push(format!("{}={}", text(name), text(value.unwrap_or_default())));
        });
    });
    assert_eq!(count.expect("readable"), 1);
    let expected = "own=1 ringwatch.topic=telemetry ringwatch.partition=1 ringwatch.offset=41 \
        ringwatch.stage=VALIDATE ringwatch.error=`ring` is missing ringwatch.field=ring";
    assert_eq!(seen.join(" "), expected);
}

#[test]
fn a_sample_is_the_newest_of_each_partition() {
    let cluster = cluster();
    let none = OwnedHeaders::new();
    produce(&cluster, "telemetry", 0, &["a", "b", "c", "d", "e"], &none);
    produce(&cluster, "telemetry", 1, &["x"], &none);
    let newest = |count| {
        let mut seen = Vec::new();
        let found = sample(&config(&cluster), StreamKind::Telemetry, count, TIMEOUT, &mut |it| {
            seen.push(String::from_utf8_lossy(it.value.unwrap_or_default()).into_owned());
        });
        assert_eq!(found.expect("readable"), seen.len());
        seen.sort();
        seen.concat()
    };
    assert_eq!(newest(2), "ex");
    assert_eq!(newest(100), "abcdex");
    assert_eq!(newest(0), "");
}

#[test]
fn a_missing_topic_and_an_absent_broker_are_named() {
    let cluster = cluster();
    let mut settings = config(&cluster);
    settings.topics.support = "nowhere".to_owned();
    let error = KafkaSource::connect(settings, TIMEOUT).expect_err("missing").to_string();
    assert!(error.starts_with("topic nowhere does not exist at "), "{error}");
    let mut settings = config(&cluster);
    settings.topics.rejected = Some("nowhere-either".to_owned());
    let error = KafkaSource::connect(settings, TIMEOUT).expect_err("missing").to_string();
    assert!(error.starts_with("topic nowhere-either does not exist at "), "{error}");
    let mut settings = config(&cluster);
    settings.brokers = "127.0.0.1:1".to_owned();
    let error = KafkaSource::connect(settings, Duration::from_secs(2));
    let error = error.expect_err("nobody listens").to_string();
    let expected = "cannot reach a broker at 127.0.0.1:1 within 2 s; check kafka.brokers";
    assert_eq!(error, expected);
}
