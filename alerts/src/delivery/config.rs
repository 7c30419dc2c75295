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
    #[error("`decisions` is empty; name at least one, or leave the key out for all")]
    NoDecisions,
    #[error("`{0}` must be above 0 s and at most 10 min")]
    Timeout(&'static str),
    #[error("destinations of this type have no secret; leave `secret_file`, `secret_env` out")]
    SecretUnused,
    #[error("`secret_file` and `secret_env` are both given; leave one out")]
    SecretTwice,
    #[error("a secret would go over a connection without TLS; leave `allow_http` out")]
    SecretInClear,
    #[error("the environment variable {name} is not usable: {reason}")]
    SecretVariable { name: String, reason: &'static str },
    #[error("`acts` is for destinations of type webhook or command; leave it out")]
    CannotAct,
    #[error("`acts` and `hours` are both given; an action does not wait for office hours")]
    ActsInHours,
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
    /// Lets the name in `url` stand for an address of this machine or of a private network.
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
        if self.decisions.as_ref().is_some_and(Vec::is_empty) {
            return Err(DestinationError::NoDecisions);
        }
        for (key, value) in
            [("connect_timeout", self.connect_timeout), ("request_timeout", self.request_timeout)]
        {
            if value.is_zero() || value > TIMEOUT_MAX {
                return Err(DestinationError::Timeout(key));
            }
        }
        if self.acts && !self.kind.can_act() {
            return Err(DestinationError::CannotAct);
        }
        if self.acts && self.hours.is_some() {
            return Err(DestinationError::ActsInHours);
        }
        if self.acts && self.request_timeout > ACT_REQUEST_MAX {
            return Err(DestinationError::ActsTooLong);
        }
        self.check_secret()
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
            _ => self.checked_url(self.address()).map(drop),
        }
    }

    fn check_secret(&self) -> Result<(), DestinationError> {
        let given = self.secret_file.is_some() || self.secret_env.is_some();
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
        // A proxy would ask for it on our behalf, where no name is resolved here.
        let literal = authority.host().trim_matches(['[', ']']).parse::<IpAddr>().ok();
        if let Some(why) = literal.and_then(|ip| super::address::refusal(ip, Reach::Private)) {
            return Err(DestinationError::Address(why));
        }
        match url.scheme_str() {
            Some("https") => Ok(url),
            Some("http") if self.allow_http || is_loopback(authority.host()) => Ok(url),
            Some("http") => Err(DestinationError::PlainHttp),
            _ => Err(DestinationError::Url),
        }
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

    /// What its name may stand for: what the operator wrote down as an address is as meant.
    pub(super) fn reach_of(&self, host: &str) -> Reach {
        let bare = host.trim_matches(['[', ']']);
        let literal = host == "localhost" || bare.parse::<IpAddr>().is_ok();
        if self.allow_private || literal { Reach::Private } else { Reach::Public }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(keys: &str) -> Result<DestinationConfig, String> {
        let text = format!("{{\"name\":\"on-call\",\"type\":\"webhook\",{keys}}}");
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    fn check(keys: &str, expected: Result<(), &str>) {
        let found = config(keys).expect("parses").validate().map_err(|error| error.to_string());
        match expected {
            Ok(()) => assert_eq!(found, Ok(()), "{keys}"),
            Err(part) => {
                assert!(found.as_ref().is_err_and(|text| text.contains(part)), "{found:?}");
            }
        }
    }

    #[test]
    fn https_is_required_except_to_loopback_or_where_allowed() {
        check("\"url\":\"https://hooks.example.com/x\"", Ok(()));
        check("\"url\":\"http://127.0.0.1:9093\"", Ok(()));
        check("\"url\":\"http://[::1]:9093/\"", Ok(()));
        check("\"url\":\"http://localhost/\"", Ok(()));
        check("\"url\":\"http://alertmanager:9093\"", Err("allow_http"));
        check("\"url\":\"http://localhost.example.com\"", Err("allow_http"));
        check("\"url\":\"http://alertmanager:9093\",\"allow_http\":true", Ok(()));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused() {
        for url in ["", "hooks.example.com", "/path", "ftp://example.com/", "https://"] {
            check(&format!("\"url\":\"{url}\""), Err("write it as"));
        }
        check("\"url\":\"https://169.254.169.254/latest\"", Err("never used"));
        let secret = config("\"url\":\"https://u:secret @host/\"").expect("parses");
        assert!(!secret.validate().expect_err("unusable").to_string().contains("secret @"));
        assert!(!format!("{secret:?}").contains("secret"));
        check("\"url\":\"https://user:word@example.com/\"", Err("secret_file"));
    }

    #[test]
    fn limits_and_filters_that_make_no_sense_are_refused() {
        check("\"url\":\"https://a/\",\"decisions\":[]", Err("decisions"));
        check("\"url\":\"https://a/\",\"request_timeout\":\"0s\"", Err("request_timeout"));
        check("\"url\":\"https://a/\",\"connect_timeout\":\"1h\"", Err("connect_timeout"));
        let silent = config("\"url\":\"http://localhost/\",\"acts\":true").expect("parses");
        let config_of = DestinationConfig { kind: DestinationKind::Alertmanager, ..silent };
        assert!(matches!(config_of.validate(), Err(DestinationError::CannotAct)));
        check("\"url\":\"https://a/\",\"acts\":true,\"request_timeout\":\"1m\"", Err("30 s"));
        let hours = "\"hours\":\"mon-fri 08:00-18:00 +01:00\"";
        check(&format!("\"url\":\"https://a/\",\"acts\":true,{hours}"), Err("office hours"));
        let name = config("\"url\":\"https://a/\"")
            .map(|config| DestinationConfig { name: "../x".to_owned(), ..config });
        assert!(matches!(name.expect("parses").validate(), Err(DestinationError::Name(_))));
    }

    #[test]
    fn every_key_is_listed_and_unknown_ones_are_refused() {
        let error = config("\"url\":\"https://a/\",\"colour\":\"red\"").expect_err("unknown");
        for key in CONFIG_KEYS {
            assert!(error.contains(&format!("`{key}`")), "{key} in {error}");
        }
        assert_eq!(error.matches('`').count() / 2, CONFIG_KEYS.len() + 1, "{error}");
    }

    #[test]
    fn a_secret_file_that_is_not_there_is_named() {
        let config = config("\"url\":\"https://a/\",\"secret_file\":\"/nowhere/secret\"");
        let error = config.expect("parses").open().expect_err("absent").to_string();
        assert_eq!(error, "cannot read the secret file /nowhere/secret");
    }
}
