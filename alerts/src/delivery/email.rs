//! E-mail: one message about the alerts of a change in a ring, plain and HTML, over SMTP with TLS.
//!
//! ```text
//! smtp://host:587   STARTTLS               smtps://host:465   TLS from the first byte
//! ```
//! `allow_http` turns STARTTLS off, and then there is no login. The name is resolved here and its
//! addresses are looked at before anything connects; the certificate is held against the name. A
//! message keeps its id when it is tried again, a reminder has its own; one episode is one thread.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};
use schemas::Timestamp;
use ureq::http::Uri;

use super::address::{self, Reach};
use super::config::{DestinationConfig, DestinationError};
use super::limited;
use super::message::{loudest_first, title};
use super::repeat::Item;
use super::retry::Outcome;
use super::secret::Token;

mod body;

/// RFC 5322 allows 998 in a line; beyond 200 no list of mails shows it.
const SUBJECT_BYTES_MAX: usize = 200;
const REASON_BYTES_MAX: usize = 300;
/// A relay reads each recipient; more is what a mailing list is for.
const RECIPIENTS_MAX: usize = 50;

/// How a connection comes to be encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encryption {
    StartTls,
    FromTheStart,
    /// Only to this machine, or where allowed.
    None,
}

/// See the module.
pub(crate) struct Email {
    host: String,
    port: u16,
    encryption: Encryption,
    credentials: Option<Credentials>,
    authority: Option<Certificate>,
    from: Mailbox,
    to: Vec<Mailbox>,
    connect_timeout: Duration,
}

impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Email({}:{})", self.host, self.port)
    }
}

/// What needs no file.
pub(super) fn check(config: &DestinationConfig) -> Result<(), DestinationError> {
    let (_, _, encryption) = server(config)?;
    mailboxes(config)?;
    if config.has_secret() && encryption == Encryption::None {
        return Err(DestinationError::SecretInClear);
    }
    Ok(())
}

fn server(config: &DestinationConfig) -> Result<(String, u16, Encryption), DestinationError> {
    let wrong = || DestinationError::MailUrl;
    let url: Uri = config.url.parse().map_err(|_| wrong())?;
    let authority = url.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') {
        return Err(DestinationError::Credentials);
    }
    let (encryption, usual) = match url.scheme_str() {
        Some("smtp") if config.allow_http => (Encryption::None, 25),
        Some("smtp") => (Encryption::StartTls, 587),
        Some("smtps") => (Encryption::FromTheStart, 465),
        _ => return Err(wrong()),
    };
    config.check_literal(authority.host())?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(usual);
    if host.is_empty() { Err(wrong()) } else { Ok((host, port, encryption)) }
}

fn mailboxes(config: &DestinationConfig) -> Result<(Mailbox, Vec<Mailbox>), DestinationError> {
    let parsed = |key, text: &String| {
        let what = "no mail address; write it as \"name@example.com\"";
        let unusable = |_| DestinationError::Unusable { key, value: text.clone(), what };
        text.parse::<Mailbox>().map_err(unusable)
    };
    if config.to.len() > RECIPIENTS_MAX {
        let (value, what) = (format!("{} addresses", config.to.len()), "too many; use a list");
        return Err(DestinationError::Unusable { key: "to", value, what });
    }
    let from = parsed("from", config.from.as_ref().unwrap_or(&String::new()))?;
    let to = config.to.iter().map(|text| parsed("to", text)).collect::<Result<Vec<_>, _>>()?;
    Ok((from, to))
}

impl Email {
    pub(super) fn open(
        config: &DestinationConfig,
        token: Option<&Token>,
    ) -> Result<Self, DestinationError> {
        let (host, port, encryption) = server(config)?;
        let (from, to) = mailboxes(config)?;
        let pair = token.map(|token| token.expose().split_once(':'));
        let credentials = match pair {
            None => None,
            Some(None) => return Err(config.secret_wrong("write it as user:password")),
            Some(Some((user, word))) => Some(Credentials::new(user.to_owned(), word.to_owned())),
        };
        let authority = config.ca_file.as_ref().map(|path| {
            let wrong = |source| DestinationError::SecretFile { path: path.clone(), source };
            let pem = std::fs::read(path).map_err(wrong)?;
            let reason = "it holds no certificate, PEM";
            let unusable = |_| DestinationError::Secret { path: path.clone(), reason };
            Certificate::from_pem(&pem).map_err(unusable)
        });
        let authority = authority.transpose()?;
        let connect_timeout = config.connect_timeout;
        Ok(Self { host, port, encryption, credentials, authority, from, to, connect_timeout })
    }

    /// Hands one message to the server; each of the few steps has `at_most` for itself.
    pub(super) fn send(
        &self,
        items: &[Item],
        wall: Timestamp,
        at_most: Duration,
        reach: Reach,
    ) -> Outcome {
        let busy = |reason: String| Outcome::Busy { reason, retry_after: None };
        let message = match self.message(items, wall) {
            Ok(message) => message,
            Err(error) => return Outcome::Refused { reason: error.to_string() },
        };
        let transport = match self.transport(at_most, reach) {
            Ok(transport) => transport,
            Err(reason) => return busy(reason),
        };
        let sent = transport.send(&message);
        transport.shutdown();
        match sent {
            Ok(_) => Outcome::Accepted,
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                let reason = format!("{error} {}", source.unwrap_or_default());
                let reason = limited(reason.trim(), REASON_BYTES_MAX);
                if error.is_permanent() { Outcome::Refused { reason } } else { busy(reason) }
            }
        }
    }

    fn transport(&self, at_most: Duration, reach: Reach) -> Result<SmtpTransport, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found = found.map_err(|error| format!("{} has no address: {error}", self.host))?;
        let address =
            answering(&address::allowed(found, reach)?, self.connect_timeout.min(at_most))?;
        let mut parameters = TlsParameters::builder(self.host.clone());
        if let Some(authority) = &self.authority {
            parameters = parameters.add_root_certificate(authority.clone());
        }
        let tls = || parameters.build_rustls().map_err(|error| error.to_string());
        let tls = match self.encryption {
            Encryption::StartTls => Tls::Required(tls()?),
            Encryption::FromTheStart => Tls::Wrapper(tls()?),
            Encryption::None => Tls::None,
        };
        let server = SmtpTransport::builder_dangerous(address.ip().to_string());
        let server = server.port(self.port).tls(tls).timeout(Some(at_most));
        let server = match &self.credentials {
            Some(credentials) => server.credentials(credentials.clone()),
            None => server,
        };
        Ok(server.build())
    }

    fn message(&self, items: &[Item], wall: Timestamp) -> Result<Message, lettre::error::Error> {
        let first = &items[0];
        let items = &loudest_first(items);
        let domain = self.from.email.domain();
        let plain = |one: &char| one.is_ascii_alphanumeric() || *one == '-';
        let id: String = first.alert.id.chars().filter(plain).collect();
        // Tried again it may have more to say: a group begins with the same alert and only grows.
        let grown = match items.len() {
            1 => String::new(),
            count => format!(".{count}"),
        };
        let seconds = u64::try_from(wall.as_millis() / 1_000).unwrap_or_default();
        let sent = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(title(items, SUBJECT_BYTES_MAX))
            .date(sent)
            .message_id(Some(format!("<{id}.{}{grown}@{domain}>", first.version())))
            .references(format!("<{id}@{domain}>"))
            .header(AutoSubmitted);
        for to in &self.to {
            message = message.to(to.clone());
        }
        message.multipart(MultiPart::alternative_plain_html(body::text(items), body::html(items)))
    }
}

/// The first of `addresses` that takes a connection, within `at_most` all told: of the networks
/// that a name leads to, this machine may reach one only. A single one is simply used.
fn answering(addresses: &[SocketAddr], at_most: Duration) -> Result<SocketAddr, String> {
    if let [only] = addresses {
        return Ok(*only);
    }
    let each = at_most / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut last = "its name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(address, each) {
            Ok(_) => return Ok(*address),
            Err(error) => last = format!("{address} cannot be reached: {error}"),
        }
    }
    Err(last)
}

/// RFC 3834: no holiday reply comes back to a machine.
#[derive(Clone, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use schemas::Alert;

    use super::*;
    use crate::delivery::examples::{firing, resolved};
    use crate::delivery::hostile::hostile;

    fn config(keys: &str) -> DestinationConfig {
        let fixed = r#""name":"mail","type":"email","from":"Ringwatch <rw@example.com>""#;
        serde_json::from_str(&format!("{{{fixed},{keys}}}")).expect("parses")
    }

    const URL: &str = r#""url":"smtp://mail.example.com""#;
    const TO: &str = r#""to":["ops@example.com"]"#;

    fn mail(items: &[Item]) -> String {
        let email = Email::open(&config(&format!("{URL},{TO}")), None).expect("usable");
        let message = email.message(items, Timestamp(1_784_434_152_000_000)).expect("a mail");
        String::from_utf8(message.formatted()).expect("seven bits")
    }

    #[test]
    fn a_mail_is_one_thread_per_episode_and_repeats_keep_their_id() {
        let item = Item::new(Arc::new(firing("kb1")));
        let mail = mail(&[item]);
        for line in [
            "From: Ringwatch <rw@example.com>",
            "To: ops@example.com",
            "Subject: [CRITICAL] rollback: kb1 in ring first",
            "Message-ID: <rw-kb1.1@example.com>",
            "References: <rw-kb1@example.com>",
            "Auto-Submitted: auto-generated",
            "Date: Sun, 19 Jul 2026 04:09:12 +0000",
        ] {
            assert!(mail.contains(&format!("{line}\r\n")), "{line} in {mail}");
        }
    }

    #[test]
    fn a_reminder_is_no_duplicate_and_every_alert_of_a_message_is_named() {
        let mut items: Vec<Item> = (0..20)
            .map(|number| {
                Item::new(Arc::new(Alert { id: format!("rw-{number}-"), ..firing("kb1") }))
            })
            .collect();
        let seconds = |seconds: i64| Some(Timestamp(seconds * 1_000_000));
        items[0] = Item { repeated_at: seconds(7), ..Item::new(Arc::new(resolved("kb1"))) };
        let mail = mail(&items);
        assert!(mail.contains("Message-ID: <rw-kb1.2.7.20@example.com>\r\n"), "{mail}");
        assert!(mail.contains("Subject: [CRITICAL] rollback: kb1 in ring first (and 19 more)"));
        assert!((1..20).all(|number| mail.contains(&format!("rw-{number}- (1)"))), "{mail}");
    }

    #[test]
    fn of_several_addresses_the_first_that_answers_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let there = listener.local_addr().expect("bound");
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let within = Duration::from_secs(5);
        assert_eq!(answering(&[nobody, there], within), Ok(there));
        assert_eq!(answering(&[nobody], within), Ok(nobody), "the mail finds out");
        let said = answering(&[nobody, nobody], within).expect_err("nobody listens");
        assert!(said.starts_with(&format!("{nobody} cannot be reached")), "{said}");
    }

    #[test]
    fn no_text_becomes_a_header_of_its_own() {
        let items = [Item::new(Arc::new(hostile()))];
        let mail = mail(&items);
        let head = mail.split("\r\n\r\n").next().expect("a head");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(mail.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn what_cannot_be_sent_with_is_refused_by_name() {
        let check = |keys: &str, expected: &str| {
            let found = config(keys).validate().map_err(|error| error.to_string());
            let said = found.err().unwrap_or_default();
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{said}");
        };
        check(&format!("{URL},{TO}"), "");
        check(&format!(r#""url":"https://mail.example.com",{TO}"#), "smtps://host");
        check(&format!(r#""url":"smtp://u:p@mail.example.com",{TO}"#), "secret_file");
        check(&format!(r#"{URL},"to":["nobody"]"#), "no mail address");
        check(URL, "name who reads it");
        let clear = format!(r#"{URL},{TO},"allow_http":true,"secret_env":"X""#);
        check(&clear, "without TLS");
    }
}
