//! `ringwatch deliveries`: how destinations are served.

use schemas::Order;
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
        let waiting: usize = chain.read_from(from)?.iter().map(|commit| commit.alerts.len()).sum();
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
