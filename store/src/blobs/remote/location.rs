//! From `s3://bucket/prefix` and the environment to a client.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::wire::Connector;
use crate::error::StoreError;
use crate::key;

/// What the URL of a data folder can begin with.
pub const REMOTE_SCHEMES: [&str; 5] = ["s3://", "az://", "azure://", "abfs://", "abfss://"];

/// 5 s: a connection across an ocean takes a quarter of a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a machine in a cloud asks for its role. Asked only if the environment has no credentials.
const METADATA_HOSTS: [&str; 2] = ["http://169.254.169.254/", "http://169.254.170.2/"];

/// Where Azure's platforms tell a program to fetch its identity.
const AZURE_IDENTITY: &str = "identity_endpoint";

/// Whether a location names an object store, of a kind that can hold a data folder.
pub fn is_remote(location: &str) -> bool {
    REMOTE_SCHEMES.iter().any(|scheme| location.starts_with(scheme))
}

/// Whether a URL could be that of a data folder; the error is a clause that says why not.
pub fn check_remote_url(url: &str) -> Result<(), &'static str> {
    Location::parse(url).map(|_| ())
}

/// A URL taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location {
    bucket_url: String,
    pub(super) prefix: String,
}

impl Location {
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = url.split_once("://").filter(|_| is_remote(url)) else {
            return Err("it begins with none of s3://, az://, azure://, abfs:// and abfss://");
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err("it names no bucket or container");
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && !key::is_sound(prefix) {
            return Err(
                "its prefix holds more than letters, digits, `-`, `_`, `=` and inner `.` and `/`",
            );
        }
        Ok(Self { bucket_url: format!("{scheme}://{bucket}"), prefix: prefix.to_owned() })
    }

    pub(super) fn connect(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let client = if self.bucket_url.starts_with("s3://") {
            self.s3(settings(environment, "aws_")?)
        } else {
            self.azure(settings(environment, "azure_")?)
        };
        client.map_err(|source| StoreError::Refused {
            action: "open",
            key: self.bucket_url.clone(),
            source: Box::new(source),
        })
    }

    fn s3(&self, settings: Vec<(String, String)>) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = AmazonS3Builder::new().with_client_options(client_options());
        for (name, value) in settings {
            if let Ok(setting) = name.parse() {
                builder = builder.with_config(setting, value);
            }
        }
        let store = builder
            .with_url(&self.bucket_url)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(no_retries())
            .with_http_connector(Connector)
            .build()?;
        Ok(Arc::new(store))
    }

    fn azure(&self, settings: Vec<(String, String)>) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = MicrosoftAzureBuilder::new().with_client_options(client_options());
        for (name, value) in settings {
            if name == AZURE_IDENTITY {
                builder = builder.with_msi_endpoint(value);
            } else if let Ok(setting) = name.parse() {
                builder = builder.with_config(setting, value);
            }
        }
        let store = builder
            .with_url(&self.bucket_url)
            .with_retry(no_retries())
            .with_http_connector(Connector)
            .build()?;
        Ok(Arc::new(store))
    }
}

/// The first error of a store, told as what it usually is.
pub(super) fn explained(url: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { source, .. } | StoreError::Refused { source, .. }
            if asks_the_machine(&source.to_string()) =>
        {
            StoreError::NoCredentials { url: url.to_owned(), source }
        }
        error => error,
    }
}

fn asks_the_machine(request: &str) -> bool {
    METADATA_HOSTS.iter().any(|host| request.contains(host))
}

/// The settings of one vendor in an environment: their names in small letters, and their values.
///
/// An endpoint without TLS has to be meant.
fn settings(
    environment: impl IntoIterator<Item = (String, String)>,
    prefix: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
    let found: Vec<(String, String)> = environment
        .into_iter()
        .map(lower)
        .filter(|(name, _)| name.starts_with(prefix) || name == AZURE_IDENTITY)
        .collect();
    let is_allowed = found
        .iter()
        .any(|(name, value)| name.ends_with("_allow_http") && value.eq_ignore_ascii_case("true"));
    let is_plain = |(name, value): &&(String, String)| {
        name.contains("endpoint") && name != AZURE_IDENTITY && value.starts_with("http://")
    };
    match found.iter().find(is_plain) {
        Some((_, endpoint)) if !is_allowed => Err(StoreError::BadUrl {
            url: endpoint.clone(),
            what: "it is an endpoint without TLS; if that is meant, set AWS_ALLOW_HTTP=true or \
                   AZURE_ALLOW_HTTP=true",
        }),
        _ => Ok(found),
    }
}

/// Times are bounded call by call (`attempts.rs`), where the size of an upload is known.
fn client_options() -> ClientOptions {
    ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT_TIMEOUT)
}

/// All attempts are `attempts.rs`'s: a retry in there would hide that an answer was lost.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_bucket_and_a_prefix() {
        for (url, bucket_url, prefix) in [
            ("s3://b", "s3://b", ""),
            ("s3://b/", "s3://b", ""),
            ("s3://b/a/c/", "s3://b", "a/c"),
            ("az://c/ring=1", "az://c", "ring=1"),
            (
                "abfss://c@account.dfs.core.windows.net/x",
                "abfss://c@account.dfs.core.windows.net",
                "x",
            ),
        ] {
            let expected =
                Location { bucket_url: bucket_url.to_owned(), prefix: prefix.to_owned() };
            assert_eq!(Location::parse(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_data_folder_is_refused_by_name() {
        for (url, expected) in [
            ("gs://b/x", "begins with none of"),
            ("./data", "begins with none of"),
            ("s3:///x", "names no bucket"),
            ("s3://b/../x", "its prefix holds more"),
            ("s3://b/a//x", "its prefix holds more"),
            ("s3://b/a x", "its prefix holds more"),
        ] {
            let error = check_remote_url(url).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn credentials_come_from_the_environment_and_their_absence_from_it_is_no_panic() {
        let s3 = Location::parse("s3://b").unwrap();
        let half = [("AWS_ACCESS_KEY_ID".to_owned(), "x".to_owned())];
        let error = s3.connect(half).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        let plain = [("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9000".to_owned())];
        let error = s3.connect(plain.clone()).unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:9000") && error.contains("TLS"), "{error}");
        let meant = ("AWS_ALLOW_HTTP".to_owned(), "true".to_owned());
        s3.connect(plain.into_iter().chain([meant])).unwrap();
        let azure = Location::parse("az://c").unwrap();
        let error = azure.connect([]).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
}
