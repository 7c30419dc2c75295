//! One `[[destination]]` of the configuration, and the checked [`Destination`] it becomes.

use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use schemas::{Alert, Decision, Timestamp};
use serde::{Deserialize, Deserializer};
use ureq::http::Uri;

use super::alertmanager::Alertmanager;
use super::http::{HttpClient, Request};
use super::repeat::Item;
use super::retry::Outcome;
use super::secret::Secrets;
use super::webhook::Webhook;

/// The keys of a `[[destination]]`.
pub const CONFIG_KEYS: &[&str] = &[
    "name",
    "type",
    "url",
    "secret_file",
    "decisions",
    "connect_timeout",
    "request_timeout",
    "allow_http",
];

/// A destination's name becomes a metric label and part of an object's key.
const NAME_BYTES_MAX: usize = 64;

/// 10 minutes: longer would keep the alerts behind it waiting for one dead request.
const TIMEOUT_MAX: Duration = Duration::from_mins(10);

/// What is wrong with a destination.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    #[error("`name` is {0:?}; use 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, `.`, `_`, `-`")]
    Name(String),
    #[error("`url` is {0:?}; write it as \"https://host/path\"")]
    Url(String),
    #[error("`url` holds a user name or password; put a secret into `secret_file`")]
    Credentials,
    #[error("`url` is not https; use https, or set `allow_http = true` for this destination")]
    PlainHttp,
    #[error("`decisions` is empty; name at least one, or leave the key out for all")]
    NoDecisions,
    #[error("`{0}` must be above 0 s and at most 10 min")]
    Timeout(&'static str),
    #[error("`secret_file` is for destinations of type webhook; leave it out")]
    SecretUnused,
    #[error("cannot read the secret file {path}")]
    SecretFile { path: PathBuf, source: std::io::Error },
    #[error("the secret file {path} is not usable: {reason}")]
    Secret { path: PathBuf, reason: &'static str },
    #[error("cannot reach {0}")]
    Unreachable(String, #[source] std::io::Error),
}

/// How a destination wants its alerts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationKind {
    /// The alert as JSON, signed after Standard Webhooks 1.0.
    Webhook,
    /// Alertmanager API v2, which forgets an alert that is not repeated.
    Alertmanager,
}

/// A destination as configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationConfig {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: DestinationKind,
    pub url: String,
    /// One secret a line; several while a receiver changes from one to the next.
    pub secret_file: Option<PathBuf>,
    /// Only alerts of these decisions; all without it.
    pub decisions: Option<Vec<Decision>>,
    /// 5 s: a TCP and TLS handshake around the world takes less than one.
    #[serde(default = "connect_timeout", deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// 15 s for the whole exchange: what Standard Webhooks tells receivers to stay below.
    #[serde(default = "request_timeout", deserialize_with = "duration")]
    pub request_timeout: Duration,
    /// Lets `url` be plain http to another host.
    #[serde(default)]
    pub allow_http: bool,
}

fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

fn request_timeout() -> Duration {
    Duration::from_secs(15)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |_| format!("`{text}` is no duration; write it as \"5s\"");
    humantime::parse_duration(&text).map_err(wrong).map_err(serde::de::Error::custom)
}

impl DestinationConfig {
    /// Checks everything that needs no file and no network.
    pub fn validate(&self) -> Result<(), DestinationError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=NAME_BYTES_MAX).contains(&self.name.len());
        if !fits || !self.name.bytes().all(plain) || self.name.starts_with('.') {
            return Err(DestinationError::Name(self.name.clone()));
        }
        self.checked_url()?;
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
        if self.kind != DestinationKind::Webhook && self.secret_file.is_some() {
            return Err(DestinationError::SecretUnused);
        }
        Ok(())
    }

    fn checked_url(&self) -> Result<Uri, DestinationError> {
        let wrong = || DestinationError::Url(self.url.clone());
        let url: Uri = self.url.parse().map_err(|_| wrong())?;
        let authority = url.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err(DestinationError::Credentials);
        }
        match url.scheme_str() {
            Some("https") => Ok(url),
            Some("http") if self.allow_http || is_loopback(authority.host()) => Ok(url),
            Some("http") => Err(DestinationError::PlainHttp),
            _ => Err(wrong()),
        }
    }

    /// Reads the secret file: the destination that can be delivered to.
    pub fn open(&self) -> Result<Destination, DestinationError> {
        self.validate()?;
        let kind = match self.kind {
            DestinationKind::Webhook => Kind::Webhook(Webhook::new(&self.url, self.secrets()?)),
            DestinationKind::Alertmanager => Kind::Alertmanager(Alertmanager::new(&self.url)),
        };
        Ok(Destination { kind, config: self.clone() })
    }

    fn secrets(&self) -> Result<Secrets, DestinationError> {
        let Some(path) = &self.secret_file else { return Ok(Secrets::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| DestinationError::SecretFile { path: path.clone(), source })?;
        Secrets::parse(&text)
            .map_err(|reason| DestinationError::Secret { path: path.clone(), reason })
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[derive(Debug)]
enum Kind {
    Webhook(Webhook),
    Alertmanager(Alertmanager),
}

/// A destination that has been checked and has its secrets.
#[derive(Debug)]
pub struct Destination {
    kind: Kind,
    config: DestinationConfig,
}

/// What a receiver does with an alert that it has been told of once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Memory {
    Keeps,
    /// It ends alerts that are not repeated.
    Forgets,
}

impl Destination {
    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn config(&self) -> &DestinationConfig {
        &self.config
    }

    /// Connects and hangs up: whether the name resolves and somebody listens there.
    pub fn reach(&self) -> Result<(), DestinationError> {
        let url = self.config.checked_url()?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let port =
            url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
        let unreachable = |source| DestinationError::Unreachable(format!("{host}:{port}"), source);
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in (host, port).to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&address, self.config.connect_timeout) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// Sends one alert once, without queue or retry: for `alerts test`.
    pub fn send_once(&self, http: &dyn HttpClient, alert: &Alert, wall: Timestamp) -> Outcome {
        let item = Item { alert: std::sync::Arc::new(alert.clone()), resolved_at: None };
        Outcome::of(http.post(&self.request(&[item], wall), self.config.request_timeout))
    }

    pub(crate) fn memory(&self) -> Memory {
        match self.kind {
            Kind::Webhook(_) => Memory::Keeps,
            Kind::Alertmanager(_) => Memory::Forgets,
        }
    }

    /// The request that tells of `items`; more than one only where the receiver forgets.
    pub(crate) fn request(&self, items: &[Item], wall: Timestamp) -> Request {
        match &self.kind {
            Kind::Webhook(webhook) => webhook.request(&items[0].alert, wall),
            Kind::Alertmanager(alertmanager) => alertmanager.request(items, wall),
        }
    }
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
        check("\"url\":\"https://user:word@example.com/\"", Err("secret_file"));
    }

    #[test]
    fn limits_and_filters_that_make_no_sense_are_refused() {
        check("\"url\":\"https://a/\",\"decisions\":[]", Err("decisions"));
        check("\"url\":\"https://a/\",\"request_timeout\":\"0s\"", Err("request_timeout"));
        check("\"url\":\"https://a/\",\"connect_timeout\":\"1h\"", Err("connect_timeout"));
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
