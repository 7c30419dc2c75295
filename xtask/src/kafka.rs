//! An Apache Kafka broker of its own: fetched once, formatted, started on free ports, stopped.
//!
//! ```text
//! jars (Maven, cached) ─► server.properties ─► StorageTool format ─► kafka.Kafka ─► Broker
//! ```
//! One node, broker and controller in one; everything lies in a temporary folder that goes with
//! the [`Broker`]. Retention is off and event times are unbounded: tests replay days long past.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::{Failure, stop_on_signals};

mod jars;
mod secured;

use secured::Security;
pub use secured::{PASSWORD, Secured, USER};

/// A local broker answers in milliseconds.
const GROUPS_TIMEOUT: Duration = Duration::from_secs(10);
/// A start takes 3 s on an idle machine; a busy one with two cores has been seen to need 20 s.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// A clean stop flushes every log; beyond this the broker hangs and is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Another process may take a free port before the broker binds it.
const START_ATTEMPTS_MAX: usize = 3;
/// Between two looks at a process or a broker: short against a start, long against the look.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How a broker is started.
#[derive(Clone, Copy, Debug, Default)]
struct Setup<'a> {
    core: Option<usize>,
    cluster_id: Option<&'a str>,
    security: Option<&'a Security>,
}

/// A running broker; dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    folder: TempDir,
    core: Option<usize>,
    process: Option<Child>,
}

impl Broker {
    /// Starts a broker and waits until it answers.
    pub fn start() -> Result<Self, Failure> {
        Self::start_on(Setup::default())
    }

    /// The same in a cluster of this id: 22 characters of base64url, the last one an `A`. What was
    /// made beside another broker of that id, with the same records, can be gone on with.
    pub fn start_as(cluster_id: &str) -> Result<Self, Failure> {
        Self::start_on(Setup { cluster_id: Some(cluster_id), ..Setup::default() })
    }

    /// The same on one processor core, so that what is measured has the others for itself.
    pub fn start_pinned(core: usize) -> Result<Self, Failure> {
        Self::start_on(Setup { core: Some(core), ..Setup::default() })
    }

    fn start_on(setup: Setup<'_>) -> Result<Self, Failure> {
        let mut result = Self::attempt(setup);
        for _ in 1..START_ATTEMPTS_MAX {
            if result.is_ok() {
                break;
            }
            result = Self::attempt(setup);
        }
        result
    }

    fn attempt(Setup { core, cluster_id, security }: Setup<'_>) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix(FOLDER_PREFIX)
            .rand_bytes(CLUSTER_ID_RANDOM)
            .tempdir()
            .map_err(Failure::io("make a folder for the broker"))?;
        let [port, controller_port] = free_ports()?;
        let settings = settings(port, controller_port, folder.path(), security);
        let settings_path = folder.path().join("server.properties");
        fs::write(&settings_path, settings).map_err(Failure::io("write server.properties"))?;
        let cluster_id = cluster_id.map_or_else(|| random_id(folder.path()), str::to_owned);
        format_storage(&cluster_id, &settings_path, security)?;
        let bootstrap = format!("127.0.0.1:{port}");
        let mut broker = Self { bootstrap, folder, core, process: None };
        broker.resume()?;
        Ok(broker)
    }

    /// `host:port`, for `kafka.brokers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Starts it again, after [`Broker::stop`] or [`Broker::kill`]: same address, same records.
    pub fn resume(&mut self) -> Result<(), Failure> {
        self.kill();
        let log = File::create(self.folder.path().join("broker.log"))
            .map_err(Failure::io("write the broker's log"))?;
        let errors = log.try_clone().map_err(Failure::io("write the broker's log"))?;
        let child = java(self.core)?
            .arg("kafka.Kafka")
            .arg(self.folder.path().join("server.properties"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(Failure::io("start java; ./dev test installs it"))?;
        self.process = Some(child);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        let admin = self.admin()?;
        while Instant::now() < deadline {
            let exited = self
                .process
                .as_mut()
                .is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            if exited {
                return Err(Failure::Unmet(format!("the broker stopped:\n{}", self.log_end())));
            }
            let metadata = admin.inner().fetch_metadata(None, Duration::from_millis(500));
            if metadata.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
        let limit_s = START_TIMEOUT.as_secs();
        Err(Failure::Unmet(format!("no broker within {limit_s} s:\n{}", self.log_end())))
    }

    fn log_end(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Stops it as an operator would: SIGTERM, then waits.
    pub fn stop(&mut self) {
        if let Some(child) = &mut self.process
            && kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).is_ok()
        {
            let deadline = Instant::now() + STOP_TIMEOUT;
            while Instant::now() < deadline && child.try_wait().is_ok_and(|exit| exit.is_none()) {
                sleep(POLL_INTERVAL);
            }
        }
        self.kill();
    }

    /// Stops it as a power cut would: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Stops it where it stands, as a machine that hangs would: SIGSTOP.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Broker::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.process {
            kill(Pid::from_raw(child.id() as i32), signal).ok();
        }
    }

    /// Creates a topic with settings of its own, as in `[("cleanup.policy", "compact")]`.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let doing = format!("create the topic {name}");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let admin = self.admin()?;
        first_refusal(&doing, |options| async move {
            let results = admin.create_topics(&[topic], options).await?;
            Ok(results.into_iter().find_map(|result| result.err().map(|(_, code)| code)))
        })
    }

    /// The three input topics under their default names; `changes` and `support` compact.
    pub fn create_topics(&self, telemetry_partitions: i32) -> Result<(), Failure> {
        self.create_topic("telemetry", telemetry_partitions, &[])?;
        self.create_topic("changes", 1, &[("cleanup.policy", "compact")])?;
        self.create_topic("support", 1, &[("cleanup.policy", "compact")])
    }

    /// Deletes the records of a partition before an offset, as retention would.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), Failure> {
        let doing = || format!("delete records of {topic}/{partition}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before))
            .map_err(Failure::kafka(doing()))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().map_err(Failure::io(doing()))?;
        runtime
            .block_on(self.admin()?.delete_records(&list, &AdminOptions::new()))
            .map_err(Failure::kafka(doing()))?;
        Ok(())
    }

    /// The consumer groups that the broker knows of.
    pub fn groups(&self) -> Result<Vec<String>, Failure> {
        let doing = "list the consumer groups";
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()
            .map_err(Failure::kafka("make a Kafka client"))?;
        let groups =
            consumer.fetch_group_list(None, GROUPS_TIMEOUT).map_err(Failure::kafka(doing))?;
        Ok(groups.groups().iter().map(|group| group.name().to_owned()).collect())
    }

    /// Deletes a topic with its records, and waits until its name is free again.
    pub fn delete_topic(&self, name: &str) -> Result<(), Failure> {
        let admin = self.admin()?;
        first_refusal(&format!("delete the topic {name}"), |options| async move {
            let results = admin.delete_topics(&[name], options).await?;
            Ok(results.into_iter().find_map(|result| result.err().map(|(_, code)| code)))
        })?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            let admin = self.admin()?;
            let metadata = admin
                .inner()
                .fetch_metadata(None, GROUPS_TIMEOUT)
                .map_err(Failure::kafka("list the topics"))?;
            if metadata.topics().iter().all(|topic| topic.name() != name) {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
        Err(Failure::Unmet(format!("the topic {name} is still there")))
    }

    /// Gives a topic more partitions.
    pub fn grow_topic(&self, name: &str, partitions: usize) -> Result<(), Failure> {
        let admin = self.admin()?;
        first_refusal(&format!("grow the topic {name}"), |options| async move {
            let more = [NewPartitions::new(name, partitions)];
            let results = admin.create_partitions(&more, options).await?;
            Ok(results.into_iter().find_map(|result| result.err().map(|(_, code)| code)))
        })
    }

    /// Drops the records of a partition below an offset, as retention would.
    pub fn drop_records(&self, name: &str, partition: i32, below: i64) -> Result<(), Failure> {
        let doing = format!("drop records of {name}/{partition}");
        let admin = self.admin()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(below))
            .map_err(Failure::kafka(doing.clone()))?;
        first_refusal(&doing, |options| async move {
            admin.delete_records(&list, options).await.map(|_| None)
        })
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Failure> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()
            .map_err(Failure::kafka("make a Kafka client"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks the broker for a change and waits for the answer; a refusal is a failure.
fn first_refusal<F>(
    doing: &str,
    ask: impl FnOnce(&'static AdminOptions) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = KafkaResult<Option<RDKafkaErrorCode>>>,
{
    static OPTIONS: LazyLock<AdminOptions> = LazyLock::new(AdminOptions::new);
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().map_err(Failure::io(doing))?;
    match runtime.block_on(ask(&OPTIONS)).map_err(Failure::kafka(doing))? {
        Some(code) => Err(Failure::Unmet(format!("cannot {doing}: {code}"))),
        None => Ok(()),
    }
}

/// Runs a broker with the three topics until Ctrl-C.
pub fn foreground(telemetry_partitions: i32, cluster_id: Option<&str>) -> Result<(), Failure> {
    let asked = stop_on_signals()?;
    let mut broker = Broker::start_on(Setup { cluster_id, ..Setup::default() })?;
    broker.create_topics(telemetry_partitions)?;
    announce(broker.bootstrap());
    while !asked.load(Ordering::Relaxed) {
        sleep(POLL_INTERVAL);
    }
    broker.stop();
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the address is what the task is run for")]
fn announce(bootstrap: &str) {
    println!("{bootstrap}");
}

const FOLDER_PREFIX: &str = "ringwatch-broker-";
/// A cluster id is 16 bytes in base64url, 22 characters; the last holds two bits only.
const CLUSTER_ID_RANDOM: usize = 21;

/// A cluster id that nobody else has: from the random part of the folder's name.
fn random_id(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let random = name.as_deref().and_then(|name| name.strip_prefix(FOLDER_PREFIX));
    format!("{}A", random.unwrap_or_default())
}

fn format_storage(
    cluster_id: &str,
    settings_path: &Path,
    security: Option<&Security>,
) -> Result<(), Failure> {
    let output = java(None)?
        .args(["kafka.tools.StorageTool", "format", "--cluster-id"])
        .arg(cluster_id)
        .arg("--config")
        .arg(settings_path)
        .args(security.map(|_| Security::format_options()).into_iter().flatten())
        .output()
        .map_err(Failure::io("start java; ./dev test installs it"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Unmet(format!("cannot format the broker's storage (Java 17 or later?): {said}")))
}

fn java(core: Option<usize>) -> Result<Command, Failure> {
    let mut command = match core {
        Some(core) => {
            let mut pinned = Command::new("taskset");
            pinned.args(["--cpu-list", &core.to_string(), "java"]);
            pinned
        }
        None => Command::new("java"),
    };
    // 512 MB holds a test's topics; the serial collector needs no thread per core.
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-cp"]).arg(jars::folder()?.join("*"));
    Ok(command)
}

/// Two ports that were free a moment ago.
fn free_ports() -> Result<[u16; 2], Failure> {
    let bind = || TcpListener::bind("127.0.0.1:0").map_err(Failure::io("find a free port"));
    let port = |listener: &TcpListener| {
        listener.local_addr().map(|at| at.port()).map_err(Failure::io("find a free port"))
    };
    let held = [bind()?, bind()?];
    Ok([port(&held[0])?, port(&held[1])?])
}

fn settings(port: u16, controller_port: u16, folder: &Path, security: Option<&Security>) -> String {
    let unbounded = i64::MAX.to_string();
    let (more_listeners, more) = security.map(Security::settings).unwrap_or_default();
    let listeners = format!(
        "PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{more_listeners}"
    );
    let all = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller_port}")),
        ("listeners", listeners),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("log.dirs", folder.join("logs").display().to_string()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "1".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // Tests let members die and wait for the group to notice.
        ("group.min.session.timeout.ms", "1000".to_owned()),
        ("log.retention.ms", "-1".to_owned()),
        ("log.message.timestamp.before.max.ms", unbounded.clone()),
        ("log.message.timestamp.after.max.ms", unbounded),
    ];
    let all = all.map(|(key, value)| format!("{key}={value}")).join("\n");
    format!("{all}\n{more}")
}
