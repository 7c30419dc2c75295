//! The configuration of one process of a group: short times, so that much happens in a minute.

use std::fmt::Write as _;
use std::path::Path;

/// What the suites vary; the rest is the same for all.
#[derive(Clone, Debug)]
pub struct Settings {
    pub group: String,
    /// Prefix of the topics' names; empty = the default names.
    pub topics: String,
    /// How long the group waits for a silent member: the least a broker takes by default.
    pub session_ms: u32,
    pub commit_interval: String,
    pub publish_interval: String,
    /// States are written down often, so that recoveries begin with one.
    pub snapshot_interval: String,
    pub checkpoint_interval: String,
    /// An hour: what is compared with the model must not depend on the clock.
    pub idle_after: String,
    pub log_idle_after: String,
    pub prefetch: String,
    /// Further lines of the section `[store]`.
    pub store: String,
    /// Further lines of the section `[kafka.properties]`.
    pub properties: String,
    /// Further sections of the file.
    pub more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            group: "faults".to_owned(),
            topics: String::new(),
            session_ms: 6_000,
            commit_interval: "200ms".to_owned(),
            publish_interval: "1s".to_owned(),
            snapshot_interval: "2s".to_owned(),
            checkpoint_interval: "3s".to_owned(),
            idle_after: "1h".to_owned(),
            log_idle_after: "1s".to_owned(),
            prefetch: "8 MiB".to_owned(),
            store: String::new(),
            properties: String::new(),
            more: String::new(),
        }
    }
}

impl Settings {
    /// The name of a topic: `telemetry`, `changes` or `support`.
    pub fn topic(&self, kind: &str) -> String {
        format!("{}{kind}", self.topics)
    }

    /// The file of the process that is known to the group as `instance`; empty = by no name.
    pub fn toml(&self, bootstrap: &str, data: &Path, instance: &str, port: Option<u16>) -> String {
        let listen = port.map_or(String::new(), |port| format!("127.0.0.1:{port}"));
        let mut text = format!(
            "[kafka]\nbrokers = \"{bootstrap}\"\ngroup = \"{}\"\nprefetch_bytes_max = \"{}\"\n",
            self.group, self.prefetch
        );
        let topics = ["telemetry", "changes", "support"]
            .map(|kind| format!("{kind} = \"{}\"", self.topic(kind)));
        writeln!(text, "topics = {{ {} }}\n[kafka.properties]", topics.join(", ")).ok();
        if !instance.is_empty() {
            writeln!(text, "\"group.instance.id\" = \"{instance}\"").ok();
        }
        text.push_str(&self.properties);
        write!(
            text,
            "\"session.timeout.ms\" = \"{}\"\n\"heartbeat.interval.ms\" = \"500\"\n\
             [store]\ndata = \"{}\"\ncommit_interval = \"{}\"\npublish_interval = \"{}\"\n\
             snapshot_interval = \"{}\"\ncheckpoint_interval = \"{}\"\n{}\n\
             [windows]\nidle_after = \"{}\"\nlog_idle_after = \"{}\"\n\
             [http]\nlisten = \"{listen}\"\n{}\n",
            self.session_ms,
            data.display(),
            self.commit_interval,
            self.publish_interval,
            self.snapshot_interval,
            self.checkpoint_interval,
            self.store,
            self.idle_after,
            self.log_idle_after,
            self.more
        )
        .ok();
        text
    }
}
