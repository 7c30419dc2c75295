//! The webhook: the alert as JSON, with id, time and signature after Standard Webhooks 1.0.

use schemas::Timestamp;

use super::http::Request;
use super::repeat::Item;
use super::secret::Secrets;

#[derive(Debug)]
pub(crate) struct Webhook {
    url: String,
    secrets: Secrets,
}

impl Webhook {
    pub(crate) fn new(url: &str, secrets: Secrets) -> Self {
        Self { url: url.to_owned(), secrets }
    }

    /// The id names the transition, so that a receiver knows a repeated delivery; and which
    /// reminder it is, which is to be heard.
    pub(crate) fn request(&self, item: &Item, wall: Timestamp) -> Request {
        let body = super::http::json(&*item.alert);
        let id = item.id();
        let timestamp_s = wall.as_millis().div_euclid(1_000);
        let signature = self.secrets.sign(&id, timestamp_s, &body);
        let mut headers = vec![("webhook-id", id), ("webhook-timestamp", timestamp_s.to_string())];
        headers.extend(signature.map(|signature| ("webhook-signature", signature)));
        Request { url: self.url.clone(), headers, body }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::Alert;

    use super::*;
    use crate::delivery::examples::firing;

    #[test]
    fn the_body_is_the_alert_and_the_id_its_transition() {
        let alert = Alert { transition: 3, ..firing("kb1") };
        let webhook = Webhook::new("https://a/b", Secrets::default());
        let request =
            webhook.request(&Item::new(Arc::new(alert.clone())), Timestamp(1_700_000_000_999_999));
        assert_eq!(serde_json::from_slice::<Alert>(&request.body).expect("an alert"), alert);
        assert_eq!(
            request.headers,
            [
                ("webhook-id", format!("{}.3", alert.id)),
                ("webhook-timestamp", "1700000000".to_owned())
            ]
        );
        assert_eq!(request.url, "https://a/b");
    }

    #[test]
    fn with_a_secret_it_is_signed() {
        let secrets = Secrets::parse("correct-horse-battery-staple").expect("valid");
        let request = Webhook::new("https://a/", secrets)
            .request(&Item::new(Arc::new(firing("kb1"))), Timestamp(0));
        assert_eq!(request.headers[2].0, "webhook-signature");
        assert!(request.headers[2].1.starts_with("v1,"));
    }
}
