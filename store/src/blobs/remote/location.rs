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

/// Where Azure's platforms tell a program to fetch its identity.
const AZURE_IDENTITY: &str = "IDENTITY_ENDPOINT";

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
            self.s3(environment)
        } else {
            self.azure(environment)
        };
        client.map_err(|source| StoreError::Refused {
            action: "open",
            key: self.bucket_url.clone(),
            source: Box::new(source),
        })
    }

    fn s3(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = AmazonS3Builder::new().with_client_options(client_options());
        for (name, value) in environment {
            let name = name.to_ascii_lowercase();
            if let (true, Ok(setting)) = (name.starts_with("aws_"), name.parse()) {
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

    fn azure(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = MicrosoftAzureBuilder::new().with_client_options(client_options());
        for (name, value) in environment {
            if name == AZURE_IDENTITY {
                builder = builder.with_msi_endpoint(value);
                continue;
            }
            let name = name.to_ascii_lowercase();
            if let (true, Ok(setting)) = (name.starts_with("azure_"), name.parse()) {
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
        let azure = Location::parse("az://c").unwrap();
        let error = azure.connect([]).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
}
