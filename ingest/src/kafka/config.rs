//! How the Kafka clients are configured: what ringwatch sets, what the operator may.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use schemas::StreamKind;

use super::rebalance::Context;
use crate::source::SourceError;

/// Wait for more before asking a full local queue again, ms: librdkafka's own 1,000 stalls a
/// consumer that drains its queue in less than that.
const QUEUE_BACKOFF_MS: &str = "5";
/// Longest time between two attempts to reach a broker, ms; the client's own 10 s would be added to
/// every outage.
const RECONNECT_BACKOFF_MS_MAX: &str = "2000";
/// Longest time between two polls, ms: a commit to a slow store may take minutes, and a worker
/// that is thrown out of its group loses its partitions.
const POLL_INTERVAL_MS_MAX: &str = "300000";

/// Properties that an operator may set for the consumer and that mean nothing to a producer.
const CONSUMER_PROPERTIES: [&str; 6] = [
    "group.instance.id",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "queued.max.messages.kbytes",
    "fetch.queue.backoff.ms",
];

/// The names of the topics at the broker.
#[derive(Clone, Debug)]
pub struct Topics {
    pub telemetry: String,
    pub changes: String,
    pub support: String,
    /// Where rejected records go as well, if anywhere.
    pub rejected: Option<String>,
}

impl Topics {
    /// The name of an input topic.
    pub fn name(&self, kind: StreamKind) -> &str {
        match kind {
            StreamKind::Telemetry => &self.telemetry,
            StreamKind::Changes => &self.changes,
            StreamKind::Support => &self.support,
        }
    }

    pub(super) fn kind(&self, name: &[u8]) -> Option<StreamKind> {
        StreamKind::ALL.iter().copied().find(|&kind| self.name(kind).as_bytes() == name)
    }
}

/// Where the records are.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    pub group: String,
    pub topics: Topics,
    /// Handed to librdkafka as they are; security and buffers belong here.
    pub properties: BTreeMap<String, String>,
    /// Most bytes fetched ahead of each worker.
    pub prefetch_bytes_max: usize,
}

/// Why a property may not be set by the operator; `None` if it may (contracts.md 5).
pub fn forbidden_property(name: &str) -> Option<&'static str> {
    match name {
        "bootstrap.servers" | "metadata.broker.list" => Some("set kafka.brokers instead"),
        "group.id" => Some("set kafka.group instead"),
        "auto.offset.reset" => Some("where to begin stands in the journal"),
        "isolation.level" => Some("aborted transactions are never read"),
        "check.crcs" => Some("a damaged batch must be noticed"),
        "partition.assignment.strategy" | "group.protocol" => {
            Some("partitions move cooperatively between workers")
        }
        "enable.auto.commit" | "enable.auto.offset.store" | "enable.partition.eof" => {
            Some("offsets are kept in the journal, entry by entry")
        }
        name if name.starts_with("enable.auto.") => Some("offsets are kept in the journal"),
        _ => None,
    }
}

impl KafkaConfig {
    /// What consumers and producers have in common, the operator's properties included.
    pub(super) fn client(&self) -> Result<ClientConfig, SourceError> {
        let mut client = ClientConfig::new();
        for (name, value) in &self.properties {
            if let Some(why) = forbidden_property(name) {
                return Err(SourceError::ForbiddenProperty { name: name.clone(), why });
            }
            client.set(name, value);
        }
        client.set("bootstrap.servers", &self.brokers).set("client.id", "ringwatch");
        Ok(client)
    }

    /// A producer. Properties that only a consumer has are left out: librdkafka would warn.
    pub(super) fn producer(&self) -> Result<ClientConfig, SourceError> {
        let mut client = self.client()?;
        for name in CONSUMER_PROPERTIES {
            client.remove(name);
        }
        Ok(client)
    }

    /// A consumer that answers the group by [`super::rebalance`]; it asks for nothing yet.
    pub(super) fn member(&self) -> Result<BaseConsumer<Context>, SourceError> {
        let client = self.consumer()?.create_with_context(Context::default());
        client.map_err(SourceError::Configuration)
    }

    /// A consumer, as architecture.md 7 wants it.
    pub(super) fn consumer(&self) -> Result<ClientConfig, SourceError> {
        let prefetch_kbytes = (self.prefetch_bytes_max >> 10).max(1).to_string();
        let mut client = self.client()?;
        for (name, ours) in [
            ("fetch.queue.backoff.ms", QUEUE_BACKOFF_MS),
            ("reconnect.backoff.max.ms", RECONNECT_BACKOFF_MS_MAX),
            ("max.poll.interval.ms", POLL_INTERVAL_MS_MAX),
            ("queued.max.messages.kbytes", prefetch_kbytes.as_str()),
        ] {
            if !self.properties.contains_key(name) {
                client.set(name, ours);
            }
        }
        client
            .set("group.id", &self.group)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true");
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> KafkaConfig {
        KafkaConfig {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "ringwatch".to_owned(),
            topics: Topics {
                telemetry: "t".to_owned(),
                changes: "c".to_owned(),
                support: "s".to_owned(),
                rejected: None,
            },
            properties: properties.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            prefetch_bytes_max: 16 << 20,
        }
    }

    #[test]
    fn what_we_depend_on_cannot_be_overridden() {
        for name in ["bootstrap.servers", "group.id", "enable.auto.commit", "isolation.level"] {
            let error = config(&[(name, "x")]).consumer().expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
        assert_eq!(forbidden_property("security.protocol"), None);
        assert_eq!(forbidden_property("group.instance.id"), None);
    }

    #[test]
    fn buffers_may_be_set_by_the_operator_and_default_to_the_budget() {
        let kbytes = "queued.max.messages.kbytes";
        assert_eq!(config(&[]).consumer().expect("valid").get(kbytes), Some("16384"));
        assert_eq!(config(&[(kbytes, "9")]).consumer().expect("valid").get(kbytes), Some("9"));
    }
}
