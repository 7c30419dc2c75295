//! A destination that has been checked and has its secrets: one kind, one file, one request.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use schemas::{Alert, Timestamp};
use ureq::http::Uri;

use super::address::{self, Reach};
use super::alertmanager::Alertmanager;
use super::command::Command;
use super::config::{DestinationConfig, DestinationError, DestinationKind};
use super::email::Email;
use super::http::HttpClient;
use super::jira::Jira;
use super::kafka::{self, Kafka};
use super::pagerduty::PagerDuty;
use super::repeat::Item;
use super::retry::Outcome;
use super::secret::{Secrets, Token};
use super::servicenow::ServiceNow;
use super::slack::Slack;
use super::state::span;
use super::teams::Teams;
use super::webhook::Webhook;

#[derive(Debug)]
enum Kind {
    Webhook(Webhook),
    Alertmanager(Alertmanager),
    PagerDuty(PagerDuty),
    Slack(Slack),
    Teams(Teams),
    ServiceNow(ServiceNow),
    Jira(Jira),
    Email(Box<Email>),
    Command(Command),
    Kafka(Box<Kafka>),
}

/// A destination that has been checked and has its secrets.
#[derive(Debug)]
pub struct Destination {
    kind: Kind,
    config: DestinationConfig,
    /// Host and port; `None` for a program.
    host: Option<(String, u16)>,
}

/// What a receiver does with an alert that it has been told of once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Memory {
    Keeps,
    /// It ends alerts that are not repeated.
    Forgets,
}

/// Which alerts one message may tell of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Together {
    /// Each by itself: the receiver knows an alert by the message's key.
    One,
    /// Those of one change in one ring: people read one message instead of five.
    ChangeAndRing,
}

/// What makes an action safe to repeat: its key, and when nobody may begin it any more.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) key: String,
    pub(super) before: Timestamp,
}

impl DestinationConfig {
    /// Reads the secret: the destination that can be delivered to, as the only one.
    pub fn open(&self) -> Result<Destination, DestinationError> {
        self.open_among(std::slice::from_ref(self))
    }

    /// The same as one of several: a program must see the secrets of none of them.
    pub fn open_among(&self, all: &[Self]) -> Result<Destination, DestinationError> {
        self.validate()?;
        let token = self.secret()?;
        let url = self.address().to_owned();
        // Where the address is the secret it is checked here, and never printed.
        let hidden = || {
            let secret = token.as_ref().map_or("", Token::expose);
            let checked = self.checked_url(secret);
            let wrong = "it must be one https address, and nothing else";
            checked.map(|_| secret.to_owned()).map_err(|_| self.secret_wrong(wrong))
        };
        let needed = || token.clone().unwrap_or_default();
        let kind = match self.kind {
            DestinationKind::Webhook => {
                let text = token.as_ref().map(Token::expose);
                let secrets = text.map(Secrets::parse).transpose();
                let secrets = secrets.map_err(|reason| self.secret_wrong(reason))?;
                Kind::Webhook(Webhook::new(&url, secrets.unwrap_or_default()))
            }
            DestinationKind::Alertmanager => {
                Kind::Alertmanager(Alertmanager::new(&url, self.heartbeat_interval))
            }
            DestinationKind::PagerDuty => Kind::PagerDuty(PagerDuty::new(url, needed())),
            DestinationKind::Slack => Kind::Slack(Slack::new(hidden()?)),
            DestinationKind::Teams => Kind::Teams(Teams::new(hidden()?)),
            DestinationKind::ServiceNow => Kind::ServiceNow(ServiceNow::new(&url, &needed())),
            DestinationKind::Jira => Kind::Jira(Jira::new(&url, &needed())),
            DestinationKind::Email => Kind::Email(Box::new(Email::open(self, token.as_ref())?)),
            DestinationKind::Command => {
                let secrets = all.iter().filter_map(|one| one.secret_env.clone());
                Kind::Command(Command::new(&self.command, secrets.collect()))
            }
            DestinationKind::Kafka => Kind::Kafka(Box::new(Kafka::new(self, token.as_ref()))),
        };
        let host = match &kind {
            Kind::Command(_) => None,
            Kind::Kafka(_) => self.brokers.as_deref().map(kafka::first_broker),
            Kind::Slack(_) | Kind::Teams(_) => Some(host_of(&hidden()?)),
            _ => Some(host_of(self.address())),
        };
        Ok(Destination { kind, config: self.clone(), host })
    }
}

/// Host and port of an address that has been checked.
fn host_of(url: &str) -> (String, u16) {
    let url: Uri = url.parse().unwrap_or_default();
    let usual = match url.scheme_str() {
        Some("http") => 80,
        Some("smtp") => 587,
        Some("smtps") => 465,
        _ => 443,
    };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    (host.to_owned(), url.port_u16().unwrap_or(usual))
}

impl Destination {
    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn config(&self) -> &DestinationConfig {
        &self.config
    }

    /// What its name may stand for.
    pub(crate) fn allowed_reach(&self) -> Reach {
        let host = self.host.as_ref().map_or("", |(host, _)| host);
        self.config.reach_of(host)
    }

    /// Connects and hangs up: whether the name resolves and somebody listens there.
    pub fn reach(&self) -> Result<(), DestinationError> {
        let Some((host, port)) = &self.host else { return Ok(()) };
        let unreachable = |source| DestinationError::Unreachable(format!("{host}:{port}"), source);
        let found = (host.as_str(), *port).to_socket_addrs().map_err(unreachable)?;
        // The client library resolves the names of brokers by itself.
        let reach = match self.kind {
            Kind::Kafka(_) => Reach::Private,
            _ => self.allowed_reach(),
        };
        let found = address::allowed(found, reach);
        let found = found.map_err(|reason| unreachable(std::io::Error::other(reason)))?;
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in found {
            match TcpStream::connect_timeout(&address, self.config.connect_timeout) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// Sends one alert once, without queue or retry: for `alerts test`.
    pub fn send_once(&self, http: &dyn HttpClient, alert: &Alert, wall: Timestamp) -> Outcome {
        let item = Item::new(std::sync::Arc::new(alert.clone()));
        self.send(http, &[item], wall, self.config.request_timeout)
    }

    /// Sends one message about `items`: never none, and more than one only as `together` allows
    /// or where the receiver forgets.
    pub(crate) fn send(
        &self,
        http: &dyn HttpClient,
        items: &[Item],
        wall: Timestamp,
        at_most: Duration,
    ) -> Outcome {
        let alert = &items[0].alert;
        let _span = tracing::debug_span!(
            target: "spans",
            "delivery",
            destination = self.name(),
            id = alert.id,
            transition = alert.transition,
            alerts = items.len(),
        )
        .entered();
        let terms = self.config.acts.then(|| self.terms_of_action(alert));
        let mut request = match &self.kind {
            Kind::Webhook(webhook) => webhook.request(&items[0], wall),
            Kind::Alertmanager(alertmanager) => {
                return alertmanager.send(http, items, wall, at_most);
            }
            Kind::PagerDuty(pagerduty) => pagerduty.request(alert),
            Kind::Slack(slack) => slack.request(items),
            Kind::Teams(card) => card.request(items),
            Kind::ServiceNow(servicenow) => servicenow.request(alert),
            Kind::Jira(jira) => jira.request(alert),
            Kind::Email(email) => return email.send(items, wall, at_most, self.allowed_reach()),
            Kind::Command(command) => return command.run(alert, terms.as_ref(), at_most),
            Kind::Kafka(kafka) => return kafka.send(&items[0], at_most),
        };
        if let Some(Terms { key, before }) = terms {
            let before = before.to_string();
            request.headers.extend([("idempotency-key", key), ("ringwatch-act-before", before)]);
        }
        Outcome::of(http.post(&request, at_most), wall)
    }

    /// Only who publishes sends, for 30 s after a commit of its own (docs/decisions/0010): so no
    /// two act at once, and whoever is asked twice in an episode knows it by the key.
    fn terms_of_action(&self, alert: &Alert) -> Terms {
        let before = alert.updated_at.saturating_add(span(self.config.act_timeout));
        Terms { key: alert.id.clone(), before }
    }

    pub(crate) fn together(&self) -> Together {
        match self.kind {
            Kind::Slack(_) | Kind::Teams(_) | Kind::Email(_) => Together::ChangeAndRing,
            _ => Together::One,
        }
    }

    pub(crate) fn memory(&self) -> Memory {
        match self.kind {
            Kind::Alertmanager(_) => Memory::Forgets,
            _ => Memory::Keeps,
        }
    }
}
