//! Traces for OpenTelemetry, over OTLP/HTTP, in builds with the feature `otlp`.
//!
//! Off unless an endpoint is named, by the variables that every exporter knows:
//! `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`,
//! `OTEL_TRACES_SAMPLER`. A span is a journal entry, a commit or a delivery, never a record: a few
//! a second, whatever the load.

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Where spans are sent, by preference.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The target of all spans, by which the log leaves them out and the exporter takes nothing else.
pub const TARGET: &str = "spans";

/// A layer of the log; boxed, for it may be none.
type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

/// Spans under way to the collector; what is left goes out when this is dropped.
#[must_use = "spans end with it"]
#[derive(Debug, Default)]
pub struct Traces {
    #[cfg(feature = "otlp")]
    provider: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

/// Whether the environment asks for traces.
fn is_wanted() -> bool {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let disabled =
        std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    !disabled && ENDPOINTS.iter().any(is_set)
}

/// This build has no exporter.
#[cfg(not(feature = "otlp"))]
pub fn start<S>() -> (Option<Boxed<S>>, Traces, Result<(), String>)
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let missing = || "this build sends no traces; build it with `--features otlp`".to_owned();
    let told = if is_wanted() { Err(missing()) } else { Ok(()) };
    (None, Traces::default(), told)
}

#[cfg(feature = "otlp")]
pub use exporter::start;

#[cfg(feature = "otlp")]
mod exporter {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
    use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::filter::filter_fn;
    use ureq::http::Uri;

    use super::{Boxed, Layer, LookupSpan, Subscriber, TARGET, Traces, is_wanted};

    /// The specification's default for one export.
    const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
    const ANSWER_BYTES_MAX: u64 = 64 << 10;

    /// The layer that sends spans, if the environment names where to; else why it cannot.
    pub fn start<S>() -> (Option<Boxed<S>>, Traces, Result<(), String>)
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        if !is_wanted() {
            return (None, Traces::default(), Ok(()));
        }
        let client = Client::default();
        let exporter = match SpanExporter::builder().with_http().with_http_client(client).build() {
            Ok(exporter) => exporter,
            Err(error) => return (None, Traces::default(), Err(error.to_string())),
        };
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("ringwatch");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("ringwatch"))
            .with_location(false)
            .with_threads(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TARGET));
        (Some(layer.boxed()), Traces { provider: Some(provider) }, Ok(()))
    }

    impl Drop for Traces {
        fn drop(&mut self) {
            if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
                tracing::warn!(%error, "the last spans were not sent");
            }
        }
    }

    /// The client that the destinations use, too; the exporter calls it from a thread of its own.
    #[derive(Debug)]
    struct Client {
        agent: ureq::Agent,
        /// Whether the last export failed: told when it begins and when it ends.
        failing: AtomicBool,
    }

    impl Default for Client {
        fn default() -> Self {
            let config = ureq::Agent::config_builder()
                .timeout_global(Some(EXPORT_TIMEOUT))
                .http_status_as_error(false)
                .max_redirects(0)
                .build();
            Self { agent: config.into(), failing: AtomicBool::new(false) }
        }
    }

    impl Client {
        fn tell(&self, endpoint: &Uri, problem: Option<String>) {
            let failing = problem.is_some();
            let before = self.failing.swap(failing, Ordering::Relaxed);
            match problem {
                Some(problem) if !before => {
                    tracing::warn!(%endpoint, problem, "traces are not taken; spans are lost");
                }
                None if before => tracing::info!(%endpoint, "traces are taken again"),
                _ => {}
            }
        }
    }

    #[async_trait::async_trait]
    impl HttpClient for Client {
        async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let (parts, body) = request.into_parts();
            let endpoint = parts.uri.clone();
            let answer = self.agent.run(Request::from_parts(parts, &body[..]));
            self.tell(
                &endpoint,
                match &answer {
                    Ok(answer) if answer.status().is_success() => None,
                    Ok(answer) => Some(format!("status {}", answer.status())),
                    Err(error) => Some(error.to_string()),
                },
            );
            let (parts, mut body) = answer?.into_parts();
            let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
            Ok(Response::from_parts(parts, body.into()))
        }
    }
}
