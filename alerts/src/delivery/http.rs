//! The only place of this crate that speaks HTTP: one request, bounded in time and in bytes.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use serde::Serialize;

use super::address::Guard;
use super::destination::Destination;

/// 64 KiB of an answer are read and the rest is dropped: most are only shown.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Some gateways refuse requests that do not name their sender.
const USER_AGENT: &str = concat!("ringwatch/", env!("CARGO_PKG_VERSION"));

/// Where to and what: a JSON body, empty where the method has none.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub url: String,
    /// Besides `content-type` and `user-agent`.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl fmt::Debug for Request {
    /// Addresses and headers may be secrets: only how much there is.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request({} headers, {} bytes)", self.headers.len(), self.body.len())
    }
}

/// What the receiver said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The header `retry-after`, as it stands.
    pub retry_after: Option<String>,
    /// The header `date`: the receiver's own clock.
    pub date: Option<String>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// The receiver said nothing: not reached, no handshake, or no answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer from the destination: {reason}")]
pub struct HttpError {
    pub reason: String,
}

/// What is to be done at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// Something that speaks HTTP.
pub trait HttpClient: Send {
    /// Sends `request`; back within `at_most`, a little more on a system without timeouts in DNS.
    fn send(
        &self,
        method: Method,
        request: &Request,
        at_most: Duration,
    ) -> Result<Response, HttpError>;

    /// As most destinations want it.
    fn post(&self, request: &Request, at_most: Duration) -> Result<Response, HttpError> {
        self.send(Method::Post, request, at_most)
    }
}

/// The real client: HTTP/1.1, TLS with the web's public roots, no redirects, and no address that
/// the destination must not have.
///
/// A proxy is used if the usual environment variables name one.
#[derive(Debug)]
pub struct UreqClient {
    agent: ureq::Agent,
}

impl UreqClient {
    /// A client with the timeouts of `destination`.
    pub fn new(destination: &Destination) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(destination.config().connect_timeout))
            .user_agent(USER_AGENT)
            .build();
        let reach = destination.allowed_reach();
        let connector = ureq::unversioned::transport::DefaultConnector::default();
        Self { agent: ureq::Agent::with_parts(config, connector, Guard { reach }) }
    }

    fn try_send(
        &self,
        method: Method,
        request: &Request,
        at_most: Duration,
    ) -> Result<Response, ureq::Error> {
        let answer = match method {
            Method::Post => {
                let post = self.agent.post(&request.url);
                let mut post = post.header("content-type", "application/json");
                for (name, value) in &request.headers {
                    post = post.header(*name, value);
                }
                let post = post.config().timeout_global(Some(at_most)).build();
                post.send(&request.body[..])?
            }
            Method::Get | Method::Delete => {
                let mut call = if method == Method::Get {
                    self.agent.get(&request.url)
                } else {
                    self.agent.delete(&request.url)
                };
                for (name, value) in &request.headers {
                    call = call.header(*name, value);
                }
                call.config().timeout_global(Some(at_most)).build().call()?
            }
        };
        let header = |name| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let (retry_after, date) = (header("retry-after"), header("date"));
        let status = answer.status().as_u16();
        // The status decides; a body that breaks off or does not end changes nothing.
        let mut body = Vec::new();
        let reader = answer.into_body().into_reader();
        if let Err(error) = reader.take(ANSWER_BYTES_MAX).read_to_end(&mut body) {
            tracing::debug!(%error, status, "the answer's body broke off");
        }
        Ok(Response { status, retry_after, date, body })
    }
}

impl HttpClient for UreqClient {
    fn send(
        &self,
        method: Method,
        request: &Request,
        at_most: Duration,
    ) -> Result<Response, HttpError> {
        let sent = self.try_send(method, request, at_most);
        sent.map_err(|error| HttpError { reason: error.to_string() })
    }
}

/// `value` as JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "writes to memory, and every map has string keys")]
    serde_json::to_vec(value).expect("values of the vocabulary are JSON")
}
