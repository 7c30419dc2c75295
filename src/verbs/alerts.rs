//! `ringwatch alerts`: what the chain says of alerts.

use std::collections::BTreeMap;

use schemas::{Alert, AlertState};
use store::Chain;

use super::operate;
use crate::cli::{AlertsArgs, AlertsListArgs, AlertsVerb, Common};
use crate::config::Config;
use crate::datafolder;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, printable};
use crate::summary::{last_states, muted};

mod test;

/// Runs one of the verbs below `alerts`.
pub fn run(common: &Common, args: &AlertsArgs) -> Result<Outcome, Failure> {
    match &args.verb {
        AlertsVerb::List(args) => list(common, args),
        AlertsVerb::Show(args) => operate::show(common, args),
        AlertsVerb::Ack(args) => operate::acknowledge(common, args),
        AlertsVerb::Silence(args) => operate::silence(common, args),
        AlertsVerb::Test(args) => test::run(common, args),
    }
}

fn list(common: &Common, args: &AlertsListArgs) -> Result<Outcome, Failure> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => Config::load(common.config.as_deref(), std::env::vars())?.data,
    };
    let store = datafolder::open_read_only(&data)?;
    let commits = Chain::open(store)?.read_said()?;
    let is_open = |alert: &Alert| alert.state != AlertState::Resolved;
    let mut alerts = last_states(commits.iter().flat_map(|commit| &commit.alerts));
    let firing = alerts
        .iter()
        .any(|alert| matches!(alert.state, AlertState::Firing | AlertState::Acknowledged));
    if !args.all {
        alerts.retain(is_open);
    }
    match common.format() {
        Format::Json => output::json(&alerts)?,
        Format::Text => print(&alerts, &muted(&commits), args)?,
    }
    Ok(if firing { Outcome::Alerting } else { Outcome::Fine })
}

fn print(
    alerts: &[Alert],
    muted: &BTreeMap<String, String>,
    args: &AlertsListArgs,
) -> Result<(), Failure> {
    if alerts.is_empty() {
        let which =
            if args.all { "no alerts" } else { "no open alerts; --all shows resolved ones" };
        return Ok(output::line(which)?);
    }
    for alert in alerts {
        let muted = muted.get(&alert.id).map(|by| format!("  (muted by {by})"));
        output::line(&format!(
            "{}  {:<8} {:<9} {:<8} since {}  {}{}",
            alert.id,
            alert.state.name(),
            alert.decision.name(),
            alert.severity.name(),
            alert.starts_at,
            printable(&alert.summary),
            muted.unwrap_or_default(),
        ))?;
    }
    Ok(())
}
