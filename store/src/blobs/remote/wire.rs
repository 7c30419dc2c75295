//! Requests on their way out: counted, and answers that only ask for patience made into errors.
//!
//! The client above knows statuses, its callers see only that something failed. So a status that
//! says "not now" becomes an error of the wire here, and every other one is an answer.

use async_trait::async_trait;
use metrics::counter;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use crate::metrics as names;

/// Makes clients whose requests are counted.
#[derive(Debug)]
pub(super) struct Connector;

#[derive(Debug)]
struct Wire(HttpClient);

/// The store is there and cannot answer now.
#[derive(Debug, thiserror::Error)]
#[error("it answers with status {0}")]
struct Busy(u16);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Wire(client)))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        counter!(names::REQUESTS, "method" => method(&request)).increment(1);
        let response = self.0.execute(request).await?;
        let status = response.status().as_u16();
        if !is_busy(status) {
            return Ok(response);
        }
        Err(HttpError::new(HttpErrorKind::Unknown, Busy(status)))
    }
}

/// Time-out, throttled, or a failure of the other side other than "I cannot do that".
const fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=599)
}

fn method(request: &HttpRequest) -> &'static str {
    match request.method().as_str() {
        "GET" => "get",
        "PUT" => "put",
        "POST" => "post",
        "DELETE" => "delete",
        "HEAD" => "head",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::is_busy;

    #[test]
    fn a_store_that_asks_for_patience_is_told_from_one_that_refuses() {
        for status in [408, 429, 500, 502, 503, 504, 507] {
            assert!(is_busy(status), "{status}");
        }
        for status in [200, 206, 301, 304, 400, 401, 403, 404, 409, 412, 416, 501] {
            assert!(!is_busy(status), "{status}");
        }
    }
}
