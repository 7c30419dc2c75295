//! The only place of this crate that opens a socket: one POST, bounded in time and in bytes.

use std::io::Read;
use std::time::Duration;

use serde::Serialize;

use super::config::Destination;

/// 64 KiB of an answer are read and the rest is dropped: it is only ever shown, never parsed.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Some gateways refuse requests that do not name their sender.
const USER_AGENT: &str = concat!("ringwatch/", env!("CARGO_PKG_VERSION"));

/// One POST of a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub url: String,
    /// Besides `content-type` and `user-agent`.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// What the receiver said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The header `retry-after`, as it stands.
    pub retry_after: Option<String>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// The receiver said nothing: not reached, no handshake, or no answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer from the destination: {reason}")]
pub struct HttpError {
    pub reason: String,
}

/// Something that can POST.
pub trait HttpClient: Send {
    /// Sends `request`; back within `at_most`, a little more on a system without timeouts in DNS.
    fn post(&self, request: &Request, at_most: Duration) -> Result<Response, HttpError>;
}

/// The real client: HTTP/1.1, TLS with the web's public roots, no redirects.
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
        Self { agent: config.new_agent() }
    }

    fn try_post(&self, request: &Request, at_most: Duration) -> Result<Response, ureq::Error> {
        let mut post = self.agent.post(&request.url).header("content-type", "application/json");
        for (name, value) in &request.headers {
            post = post.header(*name, value);
        }
        let answer = post.config().timeout_global(Some(at_most)).build().send(&request.body[..])?;
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        // The status decides; a body that breaks off or does not end changes nothing.
        let mut body = Vec::new();
        let reader = answer.into_body().into_reader();
        if let Err(error) = reader.take(ANSWER_BYTES_MAX).read_to_end(&mut body) {
            tracing::debug!(%error, status, "the answer's body broke off");
        }
        Ok(Response { status, retry_after, body })
    }
}

impl HttpClient for UreqClient {
    fn post(&self, request: &Request, at_most: Duration) -> Result<Response, HttpError> {
        self.try_post(request, at_most).map_err(|error| HttpError { reason: error.to_string() })
    }
}

/// `value` as JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "writes to memory, and every map has string keys")]
    serde_json::to_vec(value).expect("values of the vocabulary are JSON")
}
