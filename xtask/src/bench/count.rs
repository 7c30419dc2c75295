//! The cheapest client there is: takes messages in batches, counts them, forgets them.
//!
//! librdkafka's batch call has no safe wrapper; the unsafe code of the task stays in this file.

#![expect(unsafe_code, reason = "the batch call of librdkafka has no safe wrapper")]

use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Failure;

/// As many as one call is to hand over (benchmark: 4,096 at a time).
const BATCH_MESSAGES: usize = 4_096;
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const BATCH_TIMEOUT_MS: i32 = 200;
/// Beyond this many empty answers (60 s) the messages do not come.
const EMPTY_ANSWERS_MAX: u32 = 300;

/// Consumes all there is in a topic and prints how many messages came.
#[expect(clippy::print_stdout, reason = "the count is what it is run for")]
pub fn count(bootstrap: &str, topic: &str) -> Result<(), Failure> {
    let doing = || format!("consume {topic} at {bootstrap}");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "count")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "10")
        .set("max.partition.fetch.bytes", "4194304")
        .create()
        .map_err(Failure::kafka(doing()))?;
    let metadata =
        consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).map_err(Failure::kafka(doing()))?;
    let partitions =
        metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
    let mut assigned = TopicPartitionList::new();
    let mut expected = 0;
    for partition in partitions {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), METADATA_TIMEOUT)
            .map_err(Failure::kafka(doing()))?;
        expected += high - low;
        assigned
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .map_err(Failure::kafka(doing()))?;
    }
    consumer.assign(&assigned).map_err(Failure::kafka(doing()))?;
    let counted = drain(&consumer, expected);
    println!("{counted} messages counted");
    if counted == expected {
        return Ok(());
    }
    Err(Failure::Unmet(format!("{expected} messages stand in {topic}, {counted} came")))
}

/// Takes batches from the consumer's queue until `expected` messages have come.
fn drain(consumer: &BaseConsumer, expected: i64) -> i64 {
    let mut batch = vec![ptr::null_mut(); BATCH_MESSAGES];
    let mut counted = 0;
    let mut empty = 0;
    // SAFETY: the client outlives the queue handle, which is destroyed before this returns.
    let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    while counted < expected && empty < EMPTY_ANSWERS_MAX {
        // SAFETY: `batch` has room for the length handed over; the call fills a prefix of it.
        let answer = unsafe {
            sys::rd_kafka_consume_batch_queue(
                queue,
                BATCH_TIMEOUT_MS,
                batch.as_mut_ptr(),
                batch.len(),
            )
        };
        let taken = usize::try_from(answer).unwrap_or(0);
        empty = if taken == 0 { empty + 1 } else { 0 };
        for &message in &batch[..taken] {
            // SAFETY: the call handed out `taken` messages, each ours to read and destroy once.
            unsafe {
                let good = (*message).err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
                counted += i64::from(good);
                sys::rd_kafka_message_destroy(message);
            }
        }
    }
    // SAFETY: the handle from above, destroyed once.
    unsafe { sys::rd_kafka_queue_destroy(queue) };
    counted
}
