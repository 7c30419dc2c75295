//! What the broker holds, as the folder of NDJSON that the model reads.
//!
//! Not what was sent: a producer that repeats what a dying broker did not acknowledge may have
//! written it twice.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use schemas::Timestamp;

/// A local broker answers in milliseconds; one that was just woken takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Writes the records of `telemetry` and `changes` to a folder; how many of telemetry there are.
pub(super) fn write(bootstrap: &str, telemetry_partitions: i32, folder: &Path) -> u64 {
    fs::create_dir_all(folder).expect("a folder for the truth");
    write_partition(bootstrap, ("changes", 0), &folder.join("changes.ndjson"));
    let telemetry = |partition| {
        let path = folder.join(format!("telemetry-{partition:03}.ndjson"));
        write_partition(bootstrap, ("telemetry", partition), &path)
    };
    (0..telemetry_partitions).map(telemetry).sum()
}

fn write_partition(bootstrap: &str, (topic, partition): (&str, i32), path: &Path) -> u64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "truth")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let (start, end) =
        consumer.fetch_watermarks(topic, partition, PATIENCE).expect("the ends of a partition");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(start)).expect("an offset");
    consumer.assign(&assignment).expect("assigned");
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let (mut next, mut count, mut line) = (start, 0, Vec::new());
    while next < end {
        let Some(polled) = consumer.poll(PATIENCE) else { panic!("{topic}: nothing at {next}") };
        let Ok(record) = polled else { continue };
        let arrival = Timestamp(record.timestamp().to_millis().expect("a timestamp") * 1_000);
        line.clear();
        sim::write_ndjson(record.payload().unwrap_or_default(), arrival, &mut line);
        file.write_all(&line).expect("written");
        next = record.offset() + 1;
        count += 1;
    }
    file.flush().expect("written");
    count
}
