//! One `[[destination]]` of the configuration, and the checked [`Destination`] it becomes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemas::alert::{Channel, Owner};
use schemas::{ChangeType, Decision, Severity};
use serde::{Deserialize, Deserializer};
use ureq::http::Uri;

use super::address::Reach;
use super::hours::OfficeHours;
use super::kafka::RecordFormat;
use super::secret::Token;

/// The keys of a `[[destination]]`.
pub const CONFIG_KEYS: &[&str] = &[
    "name",
    "type",
    "url",
    "secret_file",
    "decisions",
    "severities",
    "change_types",
    "rings",
    "owners",
    "channels",
    "hours",
    "repeat_interval",
    "heartbeat_interval",
    "acts",
    "act_timeout",
    "act_change_types",
    "connect_timeout",
    "request_timeout",
    "allow_http",
    "allow_private",
    "secret_env",
    "command",
    "from",
    "to",
    "ca_file",
    "brokers",
    "topic",
    "format",
    "properties",
];

/// A destination's name becomes a metric label and part of an object's key.
const NAME_BYTES_MAX: usize = 64;

/// 10 minutes: longer would keep the alerts behind it waiting for one dead request.
const TIMEOUT_MAX: Duration = Duration::from_mins(10);

/// 10 s: a shorter interval floods its reader, and alone keeps a receiver busy.
const INTERVAL_MIN: Duration = Duration::from_secs(10);

/// 31 days: after that nobody remembers what it reminds of.
const INTERVAL_MAX: Duration = Duration::from_hours(31 * 24);

/// 30 s: who publishes sends for 30 s after its last commit, and a successor begins after 60 s.
const ACT_REQUEST_MAX: Duration = Duration::from_secs(30);

/// What is wrong with a destination.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    #[error("`name` is {0:?}; use 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, `.`, `_`, `-`")]
    Name(String),
    // Never with the value: what is wrong with it may be a password.
    #[error("`url` cannot be used; write it as \"https://host/path\"")]
    Url,
    #[error("`url` cannot be used; write it as \"smtp://host:587\" (STARTTLS) or \"smtps://host\"")]
    MailUrl,
    #[error("`url` is not for destinations of this type; {0}")]
    UrlUnused(&'static str),
    #[error("`{key}` is missing; {what}")]
    Missing { key: &'static str, what: &'static str },
    #[error("`{key}` holds {value:?}, which is {what}")]
    Unusable { key: &'static str, value: String, what: &'static str },
    #[error("`url` holds a user name or password; put a secret into `secret_file`")]
    Credentials,
    #[error("`url` is not https; use https, or set `allow_http = true` for this destination")]
    PlainHttp,
    #[error("`{0}` is empty, so no alert would pass; name at least one, or leave the key out")]
    EmptyFilter(&'static str),
    #[error("`{0}` must be above 0 s and at most 10 min")]
    Timeout(&'static str),
    #[error("`{0}` must be at least 10 s and at most 31 days")]
    Interval(&'static str),
    #[error("`act_timeout` must be above 0 s, or every action would come too late")]
    NoTimeToAct,
    #[error("destinations of this type have no secret; leave `secret_file`, `secret_env` out")]
    SecretUnused,
    #[error("`secret_file` and `secret_env` are both given; leave one out")]
    SecretTwice,
    #[error(
        "a secret would go over a connection without TLS; use https, STARTTLS, SASL_SSL or SCRAM, \
             and leave `allow_http` out"
    )]
    SecretInClear,
    #[error("the environment variable {name} is not usable: {reason}")]
    SecretVariable { name: String, reason: &'static str },
    #[error("`acts` is for destinations of type webhook or command; leave it out")]
    CannotAct,
    #[error("`acts` and `hours` are both given; an action does not wait for office hours")]
    ActsInHours,
    #[error(
        "`hours` is not for Alertmanager, where an alert ends of which it hears nothing for 4 min; \
         give its routes time intervals"
    )]
    HoursOfAlertmanager,
    #[error("`acts` and `{0}` are both given; what acts gets each action once and nothing else")]
    ActsAgain(&'static str),
    #[error("`request_timeout` is above 30 s with `acts`; by then another process may act, too")]
    ActsTooLong,
    #[error("`url` names {0}")]
    Address(&'static str),
    #[error("cannot read the secret file {path}")]
    SecretFile { path: PathBuf, source: std::io::Error },
    #[error("the secret file {path} is not usable: {reason}")]
    Secret { path: PathBuf, reason: &'static str },
    #[error("cannot reach {0}")]
    Unreachable(String, #[source] std::io::Error),
}

/// How a destination wants its alerts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DestinationKind {
    /// The alert as JSON, signed after Standard Webhooks 1.0.
    Webhook,
    /// Alertmanager API v2, which forgets an alert that is not repeated.
    Alertmanager,
    /// Events API v2; the secret is the routing key.
    PagerDuty,
    /// An incoming webhook; the secret is its address.
    Slack,
    /// A workflow that posts cards; the secret is its address.
    Teams,
    /// The inbound event API; the secret is `user:password` or a token.
    ServiceNow,
    /// Alerts of Jira Service Management; the secret is the key of an API integration.
    Jira,
    /// SMTP with STARTTLS or TLS; the secret, if there is one, is `user:password`.
    Email,
    /// A program of this machine, with the alert on its standard input.
    Command,
    /// A topic; the secret, if there is one, is the password of SASL.
    Kafka,
}

impl DestinationKind {
    /// Whether it can roll back and hold: something of the operator's own that takes a request.
    const fn can_act(self) -> bool {
        matches!(self, Self::Webhook | Self::Command)
    }

    /// Whether a request shows the secret to whoever reads along: a webhook is only signed with it.
    const fn shows_secret(self) -> bool {
        matches!(self, Self::PagerDuty | Self::Slack | Self::Teams | Self::ServiceNow | Self::Jira)
    }
}

/// A destination as configured.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationConfig {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: DestinationKind,
    /// Where it is; empty where the type has an address of its own.
    #[serde(default)]
    pub url: String,
    /// One secret a line; several while a receiver changes from one to the next.
    pub secret_file: Option<PathBuf>,
    /// Only alerts of these decisions; all without it.
    pub decisions: Option<Vec<Decision>>,
    /// Only alerts of these severities, and so on: every filter that is given must let it pass.
    pub severities: Option<Vec<Severity>>,
    pub change_types: Option<Vec<ChangeType>>,
    pub rings: Option<Vec<String>>,
    pub owners: Option<Vec<Owner>>,
    /// Only notices of the change process that are to go out by one of these.
    pub channels: Option<Vec<Channel>>,
    /// Alerts wait until these hours begin; always without it.
    pub hours: Option<OfficeHours>,
    /// An alert that nobody has acknowledged is told again after this; never without it.
    #[serde(default, deserialize_with = "some_duration")]
    pub repeat_interval: Option<Duration>,
    /// A sign of life as often as this, for a watchman that misses it; never without it.
    #[serde(default, deserialize_with = "some_duration")]
    pub heartbeat_interval: Option<Duration>,
    /// The receiver rolls back and holds: it gets nothing but these, while they are fresh.
    #[serde(default)]
    pub acts: bool,
    /// 10 min: an action later than this would surprise; people are told instead.
    #[serde(default = "act_timeout", deserialize_with = "duration")]
    pub act_timeout: Duration,
    /// Which types of changes it may act on; security and emergency only where named, and what
    /// is not registered could be either.
    #[serde(default = "act_change_types")]
    pub act_change_types: Vec<ChangeType>,
    /// 5 s: a TCP and TLS handshake around the world takes less than one.
    #[serde(default = "connect_timeout", deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// 15 s for the whole exchange: what Standard Webhooks tells receivers to stay below.
    #[serde(default = "request_timeout", deserialize_with = "duration")]
    pub request_timeout: Duration,
    /// Lets `url` be plain http to another host.
    #[serde(default)]
    pub allow_http: bool,
    /// Lets `url` lead to a private network, or its name stand for this machine.
    #[serde(default)]
    pub allow_private: bool,
    /// The environment variable that holds the secret, instead of `secret_file`.
    pub secret_env: Option<String>,
    /// `command`: the program, by its whole path, and its arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// `email`: who it is from and to.
    pub from: Option<String>,
    #[serde(default)]
    pub to: Vec<String>,
    /// `email`: certificates, PEM, to trust besides those of the web.
    pub ca_file: Option<PathBuf>,
    /// `kafka`: where it is, and the topic.
    pub brokers: Option<String>,
    pub topic: Option<String>,
    /// `kafka`: how a record is written.
    #[serde(default)]
    pub format: RecordFormat,
    /// `kafka`: properties of librdkafka, e.g. for TLS and SASL.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

fn request_timeout() -> Duration {
    Duration::from_secs(15)
}

fn act_timeout() -> Duration {
    Duration::from_mins(10)
}

fn act_change_types() -> Vec<ChangeType> {
    vec![ChangeType::Feature, ChangeType::Quality]
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |_| format!("`{text}` is no duration; write it as \"5s\"");
    humantime::parse_duration(&text).map_err(wrong).map_err(serde::de::Error::custom)
}

impl fmt::Debug for DestinationConfig {
    /// Addresses and properties may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DestinationConfig({} {:?})", self.name, self.kind)
    }
}

impl DestinationConfig {
    /// Checks everything that needs no file and no network.
    pub fn validate(&self) -> Result<(), DestinationError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=NAME_BYTES_MAX).contains(&self.name.len());
        if !fits || !self.name.bytes().all(plain) || self.name.starts_with('.') {
            return Err(DestinationError::Name(self.name.clone()));
        }
        self.check_kind()?;
        self.check_filters()?;
        self.check_times()?;
        if self.acts {
            self.check_acting()?;
        }
        self.check_secret()
    }

    /// A filter that names nothing would keep every alert away, and nobody would notice.
    fn check_filters(&self) -> Result<(), DestinationError> {
        fn is_empty<T>(filter: Option<&Vec<T>>) -> bool {
            filter.is_some_and(Vec::is_empty)
        }
        let filters = [
            ("decisions", is_empty(self.decisions.as_ref())),
            ("severities", is_empty(self.severities.as_ref())),
            ("change_types", is_empty(self.change_types.as_ref())),
            ("rings", is_empty(self.rings.as_ref())),
            ("owners", is_empty(self.owners.as_ref())),
            ("channels", is_empty(self.channels.as_ref())),
            ("act_change_types", self.act_change_types.is_empty()),
        ];
        match filters.into_iter().find(|&(_, is_empty)| is_empty) {
            Some((key, _)) => Err(DestinationError::EmptyFilter(key)),
            None => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), DestinationError> {
        for (key, value) in
            [("connect_timeout", self.connect_timeout), ("request_timeout", self.request_timeout)]
        {
            if value.is_zero() || value > TIMEOUT_MAX {
                return Err(DestinationError::Timeout(key));
            }
        }
        for (key, value) in self.intervals() {
            if value.is_some_and(|value| !(INTERVAL_MIN..=INTERVAL_MAX).contains(&value)) {
                return Err(DestinationError::Interval(key));
            }
        }
        if self.act_timeout.is_zero() { Err(DestinationError::NoTimeToAct) } else { Ok(()) }
    }

    const fn intervals(&self) -> [(&'static str, Option<Duration>); 2] {
        [("repeat_interval", self.repeat_interval), ("heartbeat_interval", self.heartbeat_interval)]
    }

    fn check_acting(&self) -> Result<(), DestinationError> {
        if !self.kind.can_act() {
            return Err(DestinationError::CannotAct);
        }
        if self.hours.is_some() {
            return Err(DestinationError::ActsInHours);
        }
        if let Some((key, _)) = self.intervals().into_iter().find(|(_, value)| value.is_some()) {
            return Err(DestinationError::ActsAgain(key));
        }
        if self.request_timeout > ACT_REQUEST_MAX {
            return Err(DestinationError::ActsTooLong);
        }
        Ok(())
    }

    /// What the type needs, and what it has no use for.
    fn check_kind(&self) -> Result<(), DestinationError> {
        let missing = |key, what| Err(DestinationError::Missing { key, what });
        match self.kind {
            DestinationKind::Slack | DestinationKind::Teams if !self.url.is_empty() => {
                Err(DestinationError::UrlUnused("the whole address is the secret"))
            }
            DestinationKind::Command if !self.url.is_empty() => {
                Err(DestinationError::UrlUnused("name the program in `command`"))
            }
            DestinationKind::Kafka if !self.url.is_empty() => {
                Err(DestinationError::UrlUnused("name the brokers in `brokers`"))
            }
            DestinationKind::Kafka => super::kafka::check(self),
            DestinationKind::Slack | DestinationKind::Teams => Ok(()),
            DestinationKind::Command => match self.command.first() {
                Some(program) if program.starts_with('/') => Ok(()),
                _ => missing("command", "name a program by its whole path"),
            },
            DestinationKind::Email if self.from.is_none() => missing("from", "name the sender"),
            DestinationKind::Email if self.to.is_empty() => missing("to", "name who reads it"),
            DestinationKind::Email => super::email::check(self),
            DestinationKind::Alertmanager if self.hours.is_some() => {
                Err(DestinationError::HoursOfAlertmanager)
            }
            _ => self.checked_url(self.address()).map(drop),
        }
    }

    fn check_secret(&self) -> Result<(), DestinationError> {
        let given = self.has_secret();
        let what = "this type of destination has a secret; put it into a file";
        match self.kind {
            _ if self.secret_file.is_some() && self.secret_env.is_some() => {
                Err(DestinationError::SecretTwice)
            }
            DestinationKind::Alertmanager | DestinationKind::Command if given => {
                Err(DestinationError::SecretUnused)
            }
            DestinationKind::PagerDuty
            | DestinationKind::Slack
            | DestinationKind::Teams
            | DestinationKind::ServiceNow
            | DestinationKind::Jira
                if !given =>
            {
                Err(DestinationError::Missing { key: "secret_file", what })
            }
            _ => Ok(()),
        }
    }

    /// `url`, or where the vendor's own service is.
    pub(super) fn address(&self) -> &str {
        match self.kind {
            DestinationKind::PagerDuty if self.url.is_empty() => super::pagerduty::URL,
            DestinationKind::Jira if self.url.is_empty() => super::jira::URL,
            _ => &self.url,
        }
    }

    pub(super) fn checked_url(&self, text: &str) -> Result<Uri, DestinationError> {
        if text.contains('@') && text.split('/').nth(2).is_some_and(|host| host.contains('@')) {
            return Err(DestinationError::Credentials);
        }
        let url: Uri = text.parse().map_err(|_| DestinationError::Url)?;
        let authority = url.authority().ok_or(DestinationError::Url)?;
        self.check_literal(authority.host())?;
        match url.scheme_str() {
            Some("https") => Ok(url),
            Some("http") if is_loopback(authority.host()) => Ok(url),
            Some("http") if self.kind.shows_secret() => Err(DestinationError::SecretInClear),
            Some("http") if self.allow_http => Ok(url),
            Some("http") => Err(DestinationError::PlainHttp),
            _ => Err(DestinationError::Url),
        }
    }

    /// A host that is an address; a proxy would ask for it on our behalf, where no name is
    /// resolved here.
    pub(super) fn check_literal(&self, host: &str) -> Result<(), DestinationError> {
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let refusal = |ip| super::address::refusal(ip, self.reach_of(host));
        literal.and_then(refusal).map_or(Ok(()), |why| Err(DestinationError::Address(why)))
    }

    /// The secret; `None` where none is configured.
    pub(super) fn secret(&self) -> Result<Option<Token>, DestinationError> {
        let text = match (&self.secret_file, &self.secret_env) {
            (Some(path), _) => {
                let wrong = |source| DestinationError::SecretFile { path: path.clone(), source };
                std::fs::read_to_string(path).map_err(wrong)?
            }
            (None, Some(name)) => std::env::var(name).map_err(|_| {
                let reason = "it is not set, or no text";
                DestinationError::SecretVariable { name: name.clone(), reason }
            })?,
            (None, None) => return Ok(None),
        };
        Token::new(&text).map(Some).map_err(|reason| self.secret_wrong(reason))
    }

    /// A secret that cannot be used, by where it comes from.
    pub(super) fn secret_wrong(&self, reason: &'static str) -> DestinationError {
        match (&self.secret_file, &self.secret_env) {
            (Some(path), _) => DestinationError::Secret { path: path.clone(), reason },
            (None, name) => {
                let name = name.clone().unwrap_or_default();
                DestinationError::SecretVariable { name, reason }
            }
        }
    }

    /// What its name may stand for: who writes down this machine means it.
    pub(super) fn reach_of(&self, host: &str) -> Reach {
        if self.allow_private || is_loopback(host) { Reach::Private } else { Reach::Public }
    }

    /// Whether it has a secret, without reading it.
    pub(super) const fn has_secret(&self) -> bool {
        self.secret_file.is_some() || self.secret_env.is_some()
    }
}

/// Whether `host` is this machine: by its usual name, or by an address.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests;
