//! A Kafka topic: each transition as a record, the alert as JSON, by the fingerprint as its key.
//!
//! Source: the Kafka protocol binding of CloudEvents 1.0, binary content mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>):
//! attributes are headers `ce_…`, and the value is the same alert as without.
//!
//! One record is under way at a time, and all of an alert go to one partition: their order holds.
//! Names are resolved by the client library, also those that brokers name: what an address must
//! not be is not checked here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use serde::Deserialize;

use super::config::{DestinationConfig, DestinationError, is_loopback};
use super::limited;
use super::repeat::Item;
use super::retry::Outcome;
use super::secret::Token;

/// Where acknowledgements are looked for; a stop waits no longer for this.
const POLL: Duration = Duration::from_millis(50);

/// Enough of an error to see why.
const REASON_BYTES_MAX: usize = 300;

/// What is ours, or a secret.
const FORBIDDEN: [(&str, &str); 10] = [
    ("bootstrap.servers", "set by `brokers`"),
    ("metadata.broker.list", "set by `brokers`"),
    ("sasl.password", "a secret; put it into `secret_file`"),
    ("ssl.key.password", "a secret; keep the key in a file that only this service can read"),
    ("ssl.keystore.password", "a secret; keep the key in a file that only this service can read"),
    ("ssl.key.pem", "a secret; name a file in ssl.key.location"),
    ("sasl.oauthbearer.client.secret", "a secret; this type logs in with SASL passwords"),
    ("enable.idempotence", "always on, or a record could come twice or out of order"),
    ("acks", "always all: a record is delivered once every replica has it"),
    ("message.timeout.ms", "set by `request_timeout`"),
];

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// The alert, with its id in the header `ringwatch-id`.
    #[default]
    Json,
    /// The same with the attributes of CloudEvents 1.0 as headers.
    CloudEvents,
}

/// What the type `kafka` needs, without looking at the network.
pub(super) fn check(config: &DestinationConfig) -> Result<(), DestinationError> {
    let missing = |key, what| Err(DestinationError::Missing { key, what });
    if config.brokers.as_ref().is_none_or(String::is_empty) {
        return missing("brokers", "name them as \"host:9092,other:9092\"");
    }
    if config.topic.as_ref().is_none_or(String::is_empty) {
        return missing("topic", "name the topic that alerts go to");
    }
    let given = |&&(name, _): &&(&str, &str)| config.properties.contains_key(name);
    if let Some(&(name, what)) = FORBIDDEN.iter().find(given) {
        let value = name.to_owned();
        return Err(DestinationError::Unusable { key: "properties", value, what });
    }
    if config.has_secret() && !is_encrypted(config) && !is_proof(config) && !is_local(config) {
        return Err(DestinationError::SecretInClear);
    }
    Ok(())
}

/// What the client library does without the property is `plaintext`.
fn is_encrypted(config: &DestinationConfig) -> bool {
    let protocol = config.properties.get("security.protocol").map(|text| text.to_lowercase());
    protocol.is_some_and(|protocol| matches!(&*protocol, "ssl" | "sasl_ssl"))
}

/// SCRAM proves that it knows the password and does not send it (RFC 5802).
fn is_proof(config: &DestinationConfig) -> bool {
    let mechanism =
        ["sasl.mechanism", "sasl.mechanisms"].iter().find_map(|name| config.properties.get(*name));
    mechanism.is_some_and(|mechanism| mechanism.to_uppercase().starts_with("SCRAM-"))
}

fn is_local(config: &DestinationConfig) -> bool {
    let brokers = config.brokers.as_deref().unwrap_or_default();
    brokers.split(',').all(|one| is_loopback(&broker(one).0))
}

/// The first broker: host and port.
pub(super) fn first_broker(brokers: &str) -> (String, u16) {
    broker(brokers.split(',').next().unwrap_or_default())
}

fn broker(text: &str) -> (String, u16) {
    let text = text.trim();
    let bare = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    match bare.rsplit_once(':') {
        Some((host, port)) => {
            (host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or(9092))
        }
        None => (bare.to_owned(), 9092),
    }
}

/// What became of one record; the client reports it once, maybe after nobody asks any more.
type Report = Arc<OnceLock<Result<(), Code>>>;

/// Passes reports on.
struct Reports(String);

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(destination = self.0, %error, reason, "kafka client of a destination");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Report;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Report) {
        let code = |(error, _): &(KafkaError, _)| error.rdkafka_error_code().unwrap_or(Code::Fail);
        // A record has one report: it cannot be set already.
        report.set(result.as_ref().map(drop).map_err(code)).ok();
    }
}

/// A topic, and the producer once something was to be sent.
pub(super) struct Kafka {
    name: String,
    topic: String,
    format: RecordFormat,
    client: ClientConfig,
    producer: RefCell<Option<BaseProducer<Reports>>>,
    /// Whether the last record found no broker: a client may need longer than that to connect.
    was_lost: Cell<bool>,
}

impl fmt::Debug for Kafka {
    /// Properties may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Kafka({})", self.topic)
    }
}

impl Kafka {
    /// A checked destination; `secret` is the password of SASL.
    pub(super) fn new(config: &DestinationConfig, secret: Option<&Token>) -> Self {
        let properties: &BTreeMap<String, String> = &config.properties;
        let mut client = ClientConfig::new();
        for (name, value) in properties {
            client.set(name, value);
        }
        if let Some(secret) = secret {
            client.set("sasl.password", secret.expose());
        }
        client
            .set("bootstrap.servers", config.brokers.clone().unwrap_or_default())
            .set("client.id", "ringwatch-alerts")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", config.request_timeout.as_millis().to_string())
            .set("socket.connection.setup.timeout.ms", setup_timeout(config).to_string())
            .set("linger.ms", "0");
        Self {
            name: config.name.clone(),
            topic: config.topic.clone().unwrap_or_default(),
            format: config.format,
            client,
            producer: RefCell::default(),
            was_lost: Cell::new(false),
        }
    }

    /// Sends one alert and waits until every replica has it, for `at_most`.
    pub(super) fn send(&self, item: &Item, at_most: Duration) -> Outcome {
        let mut kept = self.producer.borrow_mut();
        let producer = match kept.take().map_or_else(|| self.connect(), Ok) {
            Ok(producer) => producer,
            Err(error) => return busy(&format!("no producer: {error}")),
        };
        let outcome = self.send_by(&producer, item, at_most);
        let is_lost = matches!(outcome, Outcome::Busy { .. }) && self.has_lost_all(&producer);
        let is_lost_again = self.was_lost.replace(is_lost) && is_lost;
        *kept = (!is_lost_again).then_some(producer);
        outcome
    }

    fn send_by(&self, producer: &BaseProducer<Reports>, item: &Item, at_most: Duration) -> Outcome {
        let (alert, began) = (&item.alert, Instant::now());
        let report = Report::default();
        let body = super::http::json(&**alert);
        let record = BaseRecord::with_opaque_to(&self.topic, Arc::clone(&report))
            .key(alert.fingerprint.as_bytes())
            .payload(&body)
            .headers(headers(item, self.format))
            .timestamp(alert.updated_at.as_millis());
        if let Err((error, _)) = producer.send(record) {
            return outcome(error.rdkafka_error_code().unwrap_or(Code::Fail));
        }
        loop {
            producer.poll(POLL.min(at_most));
            match report.get() {
                Some(Ok(())) => return Outcome::Accepted,
                Some(Err(code)) => return outcome(*code),
                None if began.elapsed() >= at_most => {
                    return busy("the brokers have not acknowledged it in time");
                }
                None => {}
            }
        }
    }

    fn connect(&self) -> Result<BaseProducer<Reports>, KafkaError> {
        self.client.create_with_context(Reports(self.name.clone()))
    }

    /// Whether the client has no broker that it could ask: it may have been told that there is none
    /// (<https://github.com/confluentinc/librdkafka/issues/5301>) and would never look again. One
    /// that does not answer is not lost: what it has been sent is still to come.
    fn has_lost_all(&self, producer: &BaseProducer<Reports>) -> bool {
        let asked = producer.client().fetch_metadata(Some(&self.topic), POLL);
        let code = asked.err().and_then(|error| error.rdkafka_error_code());
        matches!(code, Some(Code::BrokerTransportFailure | Code::AllBrokersDown))
    }
}

/// In milliseconds, within what the client takes.
fn setup_timeout(config: &DestinationConfig) -> u128 {
    config.connect_timeout.as_millis().clamp(1_000, 600_000)
}

fn headers(item: &Item, format: RecordFormat) -> OwnedHeaders {
    let (alert, id) = (&item.alert, item.id());
    let one = |headers: OwnedHeaders, key, value: &str| {
        headers.insert(Header { key, value: Some(value.as_bytes()) })
    };
    let headers = one(OwnedHeaders::new(), "content-type", "application/json");
    if format == RecordFormat::Json {
        return one(headers, "ringwatch-id", &id);
    }
    let (kind, time) = (format!("ringwatch.alert.{}", alert.state.name()), alert.updated_at);
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", "/ringwatch"),
        ("ce_type", &kind),
        ("ce_time", &time.to_string()),
    ];
    let headers =
        attributes.iter().fold(headers, |headers, &(key, value)| one(headers, key, value));
    // A subject is not empty.
    if alert.change.is_empty() { headers } else { one(headers, "ce_subject", &alert.change) }
}

fn busy(reason: &str) -> Outcome {
    Outcome::Busy { reason: limited(reason, REASON_BYTES_MAX), retry_after: None }
}

/// Refused is what the same record would meet again; all else passes.
fn outcome(code: Code) -> Outcome {
    let reason = limited(&KafkaError::MessageProduction(code).to_string(), REASON_BYTES_MAX);
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::PolicyViolation => Outcome::Refused { reason },
        _ => Outcome::Busy { reason, retry_after: None },
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers as _;

    use super::*;
    use crate::delivery::examples::firing;

    fn check_headers(format: RecordFormat, expected: &[(&str, &str)]) {
        let headers = headers(&Item::new(Arc::new(firing("kb1"))), format);
        let text =
            |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or(b"")).into_owned();
        let found: Vec<_> =
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect();
        let expected: Vec<_> =
            expected.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_record_names_its_transition_and_a_cloud_event_what_its_binding_wants() {
        let json = ("content-type", "application/json");
        check_headers(RecordFormat::Json, &[json, ("ringwatch-id", "rw-kb1.1")]);
        let attributes = [
            json,
            ("ce_specversion", "1.0"),
            ("ce_id", "rw-kb1.1"),
            ("ce_source", "/ringwatch"),
            ("ce_type", "ringwatch.alert.firing"),
            ("ce_time", "2026-07-19T04:00:00Z"),
            ("ce_subject", "kb1"),
        ];
        check_headers(RecordFormat::CloudEvents, &attributes);
    }

    #[test]
    fn what_would_fail_again_is_refused() {
        assert!(matches!(outcome(Code::MessageSizeTooLarge), Outcome::Refused { .. }));
        assert!(matches!(outcome(Code::TopicAuthorizationFailed), Outcome::Refused { .. }));
        assert!(matches!(outcome(Code::MessageTimedOut), Outcome::Busy { .. }));
        assert!(matches!(outcome(Code::NotEnoughReplicas), Outcome::Busy { .. }));
    }

    #[test]
    fn the_first_broker_is_the_one_that_is_tried() {
        let check = |brokers, host: &str, port| {
            assert_eq!(first_broker(brokers), (host.to_owned(), port), "{brokers}");
        };
        check("a:9093,b:9092", "a", 9093);
        check("SSL://a:9093", "a", 9093);
        check("a", "a", 9092);
        check("[::1]:9092", "::1", 9092);
    }
}
