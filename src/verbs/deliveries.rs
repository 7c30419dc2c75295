//! `ringwatch deliveries`: how destinations are served.

use alerts::LinkRule;
use alerts::delivery::{Committed, DestinationConfig, Route};
use schemas::{Commit, Order};
use serde_json::json;
use store::{Chain, cursor, served};

use super::operate;
use crate::cli::{Common, DeliveriesArgs, DeliveriesListArgs, DeliveriesVerb};
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, printable};

/// Runs one of the verbs below `deliveries`.
pub fn run(common: &Common, args: &DeliveriesArgs) -> Result<Outcome, Failure> {
    match &args.verb {
        DeliveriesVerb::List(args) => list(common, args),
        DeliveriesVerb::Retry(args) => {
            let config = Config::load(common.config.as_deref(), std::env::vars())?;
            let named = |name: &str| name == args.destination;
            if !config.destinations.iter().any(|destination| named(&destination.name)) {
                let name = printable(&args.destination);
                return Err(Failure::usage(format!("no destination `{name}` is configured")));
            }
            let destination = args.destination.clone();
            operate::give(common, &args.by, Order::Retry { destination })
        }
    }
}

fn list(common: &Common, args: &DeliveriesListArgs) -> Result<Outcome, Failure> {
    let config = Config::load(common.config.as_deref(), std::env::vars())?;
    let store = operate::reading(common, args.data.as_ref().or(Some(&config.data)))?;
    let chain = Chain::open(std::sync::Arc::clone(&store))?;
    let mut rows = Vec::new();
    for destination in &config.destinations {
        let name = &destination.name;
        let cursor = cursor::read(&*store, name)?;
        let served = served::read(&*store, name)?;
        let from = cursor.unwrap_or(chain.next_sequence());
        let waiting = waiting(destination, chain.read_from(from)?);
        if common.format() == Format::Text {
            let state = match (&served.failing, served.given_up) {
                (Some(_), _) => "failing",
                (None, true) => "given up",
                (None, false) => "fine",
            };
            let refused = served.refused.len();
            output::line(&format!(
                "{}  {state}  {waiting} transitions since its cursor  {refused} refused  {}",
                printable(name),
                printable(served.failing.as_deref().unwrap_or_default()),
            ))?;
            for refused in &served.refused {
                let (id, number) = (&refused.alert, refused.transition);
                output::line(&format!("    {id}.{number}  {}", printable(&refused.reason)))?;
            }
        }
        rows.push(json!({
            "destination": name, "cursor": cursor, "chain_end": chain.next_sequence(),
            "transitions_since_cursor": waiting, "served": served,
        }));
    }
    if common.format() == Format::Json {
        output::json(&rows)?;
    } else if rows.is_empty() {
        output::line("no destination is configured")?;
    }
    Ok(Outcome::Fine)
}

/// Transitions in these commits that the destination is told of.
fn waiting(destination: &DestinationConfig, commits: Vec<Commit>) -> usize {
    let (route, links) = (Route::new(destination), LinkRule::default());
    let told = commits.into_iter().flat_map(|commit| Committed::of(commit, &links).alerts);
    told.filter(|alert| route.judge(alert).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use schemas::{Alert, Severity};

    use super::*;
    use crate::examples::firing;

    fn alert(severity: Severity) -> Alert {
        Alert { severity, ..firing("kb1") }
    }

    #[test]
    fn what_is_quiet_or_goes_elsewhere_does_not_wait() {
        let (warning, critical) = (alert(Severity::Warning), alert(Severity::Critical));
        let alerts = vec![critical.clone(), warning.clone(), critical.clone()];
        let one = Commit { v: 1, sequence: 0, alerts, quiet: vec![0], ..Commit::default() };
        let two =
            Commit { sequence: 1, alerts: vec![warning, critical], quiet: vec![], ..one.clone() };
        let check = |keys: &str, expected: usize| {
            let json = format!(r#"{{"name":"a","type":"webhook","url":"https://a/"{keys}}}"#);
            let destination = serde_json::from_str(&json).expect("keys");
            assert_eq!(waiting(&destination, vec![one.clone(), two.clone()]), expected, "{keys}");
        };
        check("", 4);
        check(r#","severities":["critical"]"#, 2);
        check(r#","rings":["last"]"#, 0);
    }
}
