//! A broker that says, for a moment after an outage, that there are topics and no broker.

#![expect(clippy::expect_used, reason = "a test that cannot set its scene fails")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use ingest::rebootstrap;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer};

const TIMEOUT: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);
const ATTEMPTS_MAX: usize = 10;
const METADATA: i16 = 3;
/// librdkafka makes room for four times the bytes of an answer: too little for a short one.
const TOPIC: &str = "telemetry.of.the.devices.of.a.fleet.that.has.a.long.name.as.fleets.have.it";

/// Answers questions for metadata as Kafka 0.9 did (version 0 has no more than is needed), and
/// hangs up on every other question.
struct Broker {
    address: String,
    /// Whether it tells of topics and no broker, as one that its controller has fenced.
    is_fenced: Arc<AtomicBool>,
}

impl Broker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let is_fenced = Arc::new(AtomicBool::new(false));
        let fenced = Arc::clone(&is_fenced);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let fenced = Arc::clone(&fenced);
                // It ends when the client hangs up.
                spawn(move || serve(stream, port, &fenced).ok());
            }
        });
        Self { address: format!("127.0.0.1:{port}"), is_fenced }
    }
}

fn serve(mut stream: TcpStream, port: u16, is_fenced: &AtomicBool) -> io::Result<()> {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut request = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut request)?;
        if request[..2] != METADATA.to_be_bytes() {
            return Ok(());
        }
        // The correlation id comes back; then brokers, then topics with their partitions.
        let mut answer = request[4..8].to_vec();
        if is_fenced.load(Ordering::SeqCst) {
            answer.extend(0_i32.to_be_bytes());
        } else {
            answer.extend(1_i32.to_be_bytes());
            answer.extend(1_i32.to_be_bytes());
            text(&mut answer, b"127.0.0.1");
            answer.extend(i32::from(port).to_be_bytes());
        }
        answer.extend(1_i32.to_be_bytes());
        answer.extend(0_i16.to_be_bytes());
        text(&mut answer, TOPIC.as_bytes());
        answer.extend(0_i32.to_be_bytes());
        stream.write_all(&(answer.len() as u32).to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}

fn text(answer: &mut Vec<u8>, text: &[u8]) {
    answer.extend((text.len() as u16).to_be_bytes());
    answer.extend(text);
}

/// Brokers that the client hears of; `None` where it has nobody to ask. One that does not answer
/// in time, on a busy machine, is asked again.
fn brokers_known(client: &BaseProducer) -> Option<usize> {
    for _ in 0..ATTEMPTS_MAX {
        match client.client().fetch_metadata(Some(TOPIC), TIMEOUT) {
            Ok(metadata) => return Some(metadata.brokers().len()),
            Err(KafkaError::MetadataFetch(Code::BrokerTransportFailure)) => return None,
            Err(_) => {}
        }
    }
    panic!("no answer, and nobody gone");
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_that_was_told_of_no_broker_finds_back_by_its_bootstrap_brokers() {
    let broker = Broker::start();
    let client: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker.address)
        .set("api.version.request", "false")
        .set("broker.version.fallback", "0.9.0")
        .create()
        .expect("a client");
    wait_for("a broker", || brokers_known(&client) == Some(1));
    broker.is_fenced.store(true, Ordering::SeqCst);
    wait_for("nobody to ask", || brokers_known(&client).is_none());
    broker.is_fenced.store(false, Ordering::SeqCst);
    // Where this fails, librdkafka finds back by itself, and `rebootstrap` can go.
    assert_eq!(brokers_known(&client), None);
    wait_for("the broker again", || {
        rebootstrap(client.client(), &broker.address);
        brokers_known(&client) == Some(1)
    });
}
