//! Which destinations are accepted, and what is said of the others.

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
fn a_private_address_is_used_only_where_allowed_and_one_of_this_machine_as_written() {
    check("\"url\":\"https://10.0.0.7/\"", Err("allow_private"));
    check("\"url\":\"https://[fd12::1]/\"", Err("allow_private"));
    check("\"url\":\"https://10.0.0.7/\",\"allow_private\":true", Ok(()));
    check("\"url\":\"https://127.0.0.1/\"", Ok(()));
    check("\"url\":\"https://169.254.169.254/\",\"allow_private\":true", Err("never used"));
}

/// A destination of this type, with these keys: what is said of it.
fn said_of(kind: &str, keys: &str) -> String {
    let text = format!("{{\"name\":\"a\",\"type\":\"{kind}\",\"secret_env\":\"X\",{keys}}}");
    let config: DestinationConfig = serde_json::from_str(&text).expect("parses");
    config.validate().map_err(|error| error.to_string()).err().unwrap_or_default()
}

#[test]
fn a_password_goes_without_tls_only_where_it_is_proved_and_not_sent() {
    let bus = |mechanism: &str| {
        let properties = format!(
            "{{\"security.protocol\":\"sasl_plaintext\",\"sasl.mechanism\":\"{mechanism}\"}}"
        );
        let keys = format!("\"brokers\":\"k:1\",\"topic\":\"t\",\"properties\":{properties}");
        said_of("kafka", &keys)
    };
    assert!(bus("PLAIN").contains("without TLS"));
    assert_eq!(bus("SCRAM-SHA-512"), "");
}

#[test]
fn no_secret_goes_to_another_machine_in_the_clear() {
    for kind in ["servicenow", "jira", "pagerduty"] {
        let clear = said_of(kind, "\"url\":\"http://desk/\",\"allow_http\":true");
        assert!(clear.contains("without TLS"), "{kind}: {clear}");
        assert!(said_of(kind, "\"url\":\"http://desk/\"").contains("without TLS"), "{kind}");
        assert_eq!(said_of(kind, "\"url\":\"http://127.0.0.1:8000/\""), "", "{kind}");
        assert_eq!(said_of(kind, "\"url\":\"https://desk/\""), "", "{kind}");
    }
    let signed = "\"url\":\"http://desk/\",\"allow_http\":true";
    assert_eq!(said_of("webhook", signed), "", "a signature is no secret");
}

#[test]
fn a_password_goes_to_brokers_over_tls_or_to_this_machine() {
    let check = |brokers: &str, protocol: &str, expected: &str| {
        let properties = format!("{{\"security.protocol\":\"{protocol}\"}}");
        let keys = format!("\"brokers\":\"{brokers}\",\"topic\":\"t\",\"properties\":{properties}");
        let said = said_of("kafka", &keys);
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{said}");
    };
    check("kafka:9092", "SASL_PLAINTEXT", "without TLS");
    check("kafka:9092", "plaintext", "without TLS");
    check("localhost:9092,kafka:9092", "sasl_plaintext", "without TLS");
    check("localhost:9092,127.0.0.1:9093,[::1]:9094", "sasl_plaintext", "");
    check("kafka:9092", "SASL_SSL", "");
    check("kafka:9092", "ssl", "");
    let bare = said_of("kafka", "\"brokers\":\"kafka\",\"topic\":\"t\"");
    assert!(bare.contains("without TLS"), "{bare}");
}

#[test]
fn a_url_that_cannot_be_used_is_refused() {
    for url in ["", "hooks.example.com", "/path", "ftp://example.com/", "https://"] {
        check(&format!("\"url\":\"{url}\""), Err("write it as"));
    }
    check("\"url\":\"https://169.254.169.254/latest\"", Err("never used"));
    let secret = config("\"url\":\"https://u:secret @host/\"").expect("parses");
    assert!(!secret.validate().expect_err("unusable").to_string().contains("secret @"));
    assert!(!format!("{secret:?}").contains("secret"));
    check("\"url\":\"https://user:word@example.com/\"", Err("secret_file"));
}

#[test]
fn limits_and_filters_that_make_no_sense_are_refused() {
    let filters = ["decisions", "severities", "change_types", "rings", "owners", "channels"];
    for key in filters.into_iter().chain(["act_change_types"]) {
        let said = format!("`{key}` is empty");
        check(&format!("\"url\":\"https://a/\",\"{key}\":[]"), Err(&said));
    }
    check("\"url\":\"https://a/\",\"request_timeout\":\"0s\"", Err("request_timeout"));
    check("\"url\":\"https://a/\",\"connect_timeout\":\"1h\"", Err("connect_timeout"));
    let silent = config("\"url\":\"http://localhost/\",\"acts\":true").expect("parses");
    let config_of = DestinationConfig { kind: DestinationKind::Alertmanager, ..silent };
    assert!(matches!(config_of.validate(), Err(DestinationError::CannotAct)));
    check("\"url\":\"https://a/\",\"acts\":true,\"request_timeout\":\"1m\"", Err("30 s"));
    check("\"url\":\"https://a/\",\"acts\":true,\"act_timeout\":\"0s\"", Err("too late"));
    for key in ["repeat_interval", "heartbeat_interval"] {
        for (value, expected) in [
            ("0s", Err("at least 10 s")),
            ("9s", Err("at least 10 s")),
            ("32d", Err("at most 31 days")),
            ("10s", Ok(())),
            ("31d", Ok(())),
        ] {
            check(&format!("\"url\":\"https://a/\",\"{key}\":\"{value}\""), expected);
        }
        let again = format!("\"url\":\"https://a/\",\"acts\":true,\"{key}\":\"1h\"");
        check(&again, Err(&format!("`acts` and `{key}`")));
    }
    let hours = "\"hours\":\"mon-fri 08:00-18:00 +01:00\"";
    check(&format!("\"url\":\"https://a/\",\"acts\":true,{hours}"), Err("office hours"));
    let waits = config(&format!("\"url\":\"https://a/\",{hours}")).expect("parses");
    let forgets = DestinationConfig { kind: DestinationKind::Alertmanager, ..waits };
    assert!(matches!(forgets.validate(), Err(DestinationError::HoursOfAlertmanager)));
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
