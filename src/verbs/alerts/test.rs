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
    for destination in config.destinations.iter().filter(|config| chosen(&config.name)) {
        let stays = Route::new(destination).explain(&alert, at).err();
        let said = match stays {
            Some(stay) => format!("stays: {stay}"),
            None if args.explain => "goes there".to_owned(),
            // What is made up must not be rolled back.
            None if destination.acts => "goes there; not sent, since it acts".to_owned(),
            None => match send(destination, &alert, now)? {
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

fn send(destination: &DestinationConfig, alert: &Alert, now: Timestamp) -> Result<Sent, Failure> {
    let destination = destination.open()?;
    Ok(destination.send_once(&UreqClient::new(&destination), alert, now))
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
