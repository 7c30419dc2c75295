//! `ringwatch alerts test`: a made-up alert, sent once, or explained.

use alerts::delivery::{DestinationConfig, Outcome as Sent, Route, UreqClient};
use alerts::no_evidence;
use schemas::alert::{Action, Evidence, EvidenceKind, Links, Notice, When};
use schemas::{Alert, AlertState, SCHEMA_VERSION, Timestamp};
use serde_json::json;

use crate::cli::{Common, TestArgs};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::nonce;
use crate::output::{self, Format, printable};

/// Sends the alert to every destination that would take it, or says which would.
pub(super) fn run(common: &Common, args: &TestArgs) -> Result<Outcome, Failure> {
    let config = Config::load(common.config.as_deref(), std::env::vars())?;
    let now = SystemClock::start().wall().unwrap_or_default();
    let at = args.at.unwrap_or(now);
    let alert = made_up(args, at);
    let chosen = |name: &str| args.destination.as_ref().is_none_or(|wanted| wanted == name);
    let mut outcome = Outcome::Fine;
    let mut rows = Vec::new();
    for destination in config.destinations.iter().filter(|one| chosen(&one.name)) {
        let stays = Route::new(destination).explain(&alert, at).err();
        let said = match stays {
            Some(stay) => format!("stays: {stay}"),
            None if args.explain => goes_there(destination, &alert),
            // What is made up must not be rolled back.
            None if destination.acts => "goes there; not sent, since it acts".to_owned(),
            None => match send(&config, destination, &alert, now)? {
                Sent::Accepted => "sent, and accepted".to_owned(),
                Sent::Busy { reason, .. } | Sent::Refused { reason } => {
                    outcome = Outcome::Failed;
                    format!("not accepted: {reason}")
                }
            },
        };
        if common.format() == Format::Text {
            output::line(&format!("{}  {}", printable(&destination.name), printable(&said)))?;
        }
        rows.push(json!({ "destination": destination.name, "said": said }));
    }
    if config.destinations.is_empty() {
        return Err(Failure::usage("no destination is configured; add a [[destination]]"));
    }
    if rows.is_empty() {
        return Err(Failure::usage(
            "no destination has that name; see `ringwatch deliveries list`",
        ));
    }
    if common.format() == Format::Json {
        output::json(&json!({ "alert": alert, "destinations": rows }))?;
    }
    Ok(outcome)
}

fn send(
    config: &Config,
    destination: &DestinationConfig,
    alert: &Alert,
    now: Timestamp,
) -> Result<Sent, Failure> {
    let destination = destination.open_among(&config.destinations)?;
    Ok(destination.send_once(&UreqClient::new(&destination), alert, now))
}

/// That it goes there, and which filters let it: each that is given has to name it.
fn goes_there(destination: &DestinationConfig, alert: &Alert) -> String {
    let names = |key: &str, value: &str| format!("`{key}` names {value:?}");
    let channels = destination.channels.as_ref().map(|wanted| {
        let notice = alert.action.notice.iter().flat_map(|notice| &notice.channels);
        let both: Vec<_> = notice.filter(|channel| wanted.contains(channel)).collect();
        names("channels", &both.into_iter().map(|both| both.name()).collect::<Vec<_>>().join(", "))
    });
    let change_type = alert.change_type.name();
    let filters = [
        destination.acts.then(|| names("act_change_types", change_type)),
        destination.decisions.as_ref().map(|_| names("decisions", alert.decision.name())),
        destination.severities.as_ref().map(|_| names("severities", alert.severity.name())),
        destination.change_types.as_ref().map(|_| names("change_types", change_type)),
        destination.rings.as_ref().map(|_| names("rings", &alert.ring)),
        destination.owners.as_ref().map(|_| names("owners", alert.action.owner.name())),
        channels,
        destination.hours.map(|_| "`hours` have begun".to_owned()),
    ];
    let filters: Vec<String> = filters.into_iter().flatten().collect();
    // Without a filter every alert does.
    if filters.is_empty() {
        return "goes there".to_owned();
    }
    format!("goes there: {}", filters.join(", "))
}

/// An alert that says what it is.
fn made_up(args: &TestArgs, at: Timestamp) -> Alert {
    let nonce = nonce::fresh();
    let when = Some(When::During);
    let notice = args.channel.map(|channel| Notice { channels: vec![channel], when });
    Alert {
        v: SCHEMA_VERSION,
        id: format!("rw-test{}", &nonce[..16]),
        fingerprint: nonce,
        state: AlertState::Firing,
        decision: args.decision,
        escalation: None,
        severity: args.severity,
        change: "ringwatch-test".to_owned(),
        change_type: args.change_type,
        unregistered: false,
        ring: args.ring.clone(),
        signal: "process.test".to_owned(),
        transition: 1,
        starts_at: at,
        updated_at: at,
        ends_at: None,
        summary: "this is a test of ringwatch; nothing has happened".to_owned(),
        evidence: match args.channel {
            Some(_) => no_evidence(),
            // As if a test had found harm: most filters and all that acts look at that.
            None => Evidence { kind: EvidenceKind::Rate, ..no_evidence() },
        },
        cohort: None,
        action: Action { what: "nothing".to_owned(), owner: args.owner, notice },
        links: Links::default(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{AlertsVerb, Cli, Verb};

    #[track_caller]
    fn check(flags: &str, keys: &str, expected: &str) {
        let words = "ringwatch alerts test".split(' ').chain(flags.split_whitespace());
        let Verb::Alerts(alerts) = Cli::parse_from(words).verb else { panic!("{flags}") };
        let AlertsVerb::Test(args) = alerts.verb else { panic!("{flags}") };
        let alert = made_up(&args, Timestamp(0));
        let json = format!(r#"{{"name":"a","type":"webhook","url":"https://a/"{keys}}}"#);
        let destination: DestinationConfig = serde_json::from_str(&json).expect("keys");
        // It says so of what goes there only.
        assert_eq!(Route::new(&destination).explain(&alert, Timestamp(0)), Ok(()), "{keys}");
        assert_eq!(goes_there(&destination, &alert), expected);
    }

    #[test]
    fn where_an_alert_goes_is_said_with_the_filters_that_let_it() {
        check("", "", "goes there");
        let keys = r#","decisions":["hold","rollback"],"rings":["test"]"#;
        check("", keys, r#"goes there: `decisions` names "rollback", `rings` names "test""#);
        let keys = r#","severities":["info"],"change_types":["security"],"owners":["customer"]"#;
        let expected =
            r#"goes there: `severities` names "info", `change_types` names "security", "#;
        let flags = "--severity info --change-type security --owner customer";
        check(flags, keys, &format!(r#"{expected}`owners` names "customer""#));
        let keys = r#","channels":["email","bulletin"],"hours":"mon-sun 00:00-23:00""#;
        let expected = r#"goes there: `channels` names "bulletin", `hours` have begun"#;
        check("--channel bulletin", keys, expected);
        let expected = r#"goes there: `act_change_types` names "quality""#;
        check("", r#","acts":true"#, expected);
    }
}
