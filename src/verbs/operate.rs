//! What people tell ringwatch: acknowledgements, silences, pause and resume, as commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use alerts::Desk;
use schemas::{Alert, Command, Commit, Matcher, Order, Span, Timestamp};
use serde_json::json;
use store::{Blobs, Chain};

use crate::cli::{AckArgs, Common, GivenBy, PauseArgs, ShowArgs, SilenceArgs};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, DataLocation};
use crate::datafolder;
use crate::failure::{Failure, Outcome};
use crate::orders::{Orders, may_silence};
use crate::output::{self, Format, printable};
use crate::summary::{evidence, muted};

/// The data folder that was named, or the configured one.
pub fn data(common: &Common, named: Option<&DataLocation>) -> Result<DataLocation, Failure> {
    match named {
        Some(data) => Ok(data.clone()),
        None => Ok(Config::load(common.config.as_deref(), std::env::vars())?.data),
    }
}

/// Every commit of a folder.
pub fn commits(data: &DataLocation) -> Result<Vec<Commit>, Failure> {
    Ok(Chain::open(datafolder::open_read_only(data)?)?.read_said()?)
}

/// Acknowledges the one alert whose id begins so.
pub fn acknowledge(common: &Common, args: &AckArgs) -> Result<Outcome, Failure> {
    let data = data(common, args.by.data.as_ref())?;
    let alert = last_of(&commits(&data)?, &args.alert)?;
    give(common, &args.by, Order::Acknowledge { alert: alert.id })
}

/// Pauses whatever acts on alerts.
pub fn pause(common: &Common, args: &PauseArgs) -> Result<Outcome, Failure> {
    give(common, &args.by, Order::Pause)
}

/// Lets it act again.
pub fn resume(common: &Common, args: &PauseArgs) -> Result<Outcome, Failure> {
    give(common, &args.by, Order::Resume)
}

/// Begins, lists or ends silences.
pub fn silence(common: &Common, args: &SilenceArgs) -> Result<Outcome, Failure> {
    if args.list {
        return list_silences(common, args);
    }
    if let Some(silence) = &args.end {
        let commits = commits(&data(common, args.by.data.as_ref())?)?;
        if !desk_of(&commits).silences().contains_key(silence) {
            let silence = printable(silence);
            let hint = "`ringwatch alerts silence --list` names those that last";
            return Err(Failure::usage(format!("no silence `{silence}`; {hint}")));
        }
        return give(common, &args.by, Order::EndSilence { silence: silence.clone() });
    }
    let matcher = Matcher {
        alert: args.alert.clone(),
        change: args.change.clone(),
        ring: args.ring.clone(),
        signal: args.signal.clone(),
        decision: args.decision,
        severity: args.severity,
    };
    may_silence(&matcher, args.by.reason.as_deref()).map_err(Failure::usage)?;
    let alert = args.alert.as_ref().map(|id| {
        let data = data(common, args.by.data.as_ref())?;
        Ok::<_, Failure>(last_of(&commits(&data)?, id)?.id)
    });
    let matcher = Matcher { alert: alert.transpose()?, ..matcher };
    let lasts = args.lasts.map(|lasts| lasts.as_micros()).unwrap_or_default();
    let now = SystemClock::start().wall().unwrap_or_default();
    let until = now.saturating_add(Span(i64::try_from(lasts).unwrap_or(i64::MAX)));
    give(common, &args.by, Order::Silence { matcher, until })
}

/// What was said of an alert, transition by transition, and by whom.
pub fn show(common: &Common, args: &ShowArgs) -> Result<Outcome, Failure> {
    let commits = commits(&data(common, args.data.as_ref())?)?;
    let last = last_of(&commits, &args.alert)?;
    let transitions: Vec<&Alert> =
        commits.iter().flat_map(|c| &c.alerts).filter(|alert| alert.id == last.id).collect();
    let commands: Vec<&Command> =
        commits.iter().flat_map(|c| &c.commands).filter(|c| is_about(c, &last.id)).collect();
    let muted_by = muted(&commits).remove(&last.id);
    if common.format() == Format::Json {
        let whole =
            json!({ "transitions": transitions, "commands": commands, "muted_by": muted_by });
        output::json(&whole)?;
        return Ok(Outcome::Fine);
    }
    let escalation =
        last.escalation.map(|escalation| format!(", escalation {}", escalation.name()));
    output::line(&format!("{}  {}", last.id, printable(&last.summary)))?;
    output::line(&format!(
        "  {} ({}{}), {} since {}",
        last.decision.name(),
        last.severity.name(),
        escalation.unwrap_or_default(),
        last.state.name(),
        last.starts_at,
    ))?;
    for alert in transitions {
        let (number, state) = (alert.transition, alert.state.name());
        output::line(&format!("  {number:>3}  {state:<12} {}", alert.updated_at))?;
    }
    for command in commands {
        let reason = command.reason.as_deref().unwrap_or("no reason given");
        let (author, reason) = (printable(&command.author), printable(reason));
        output::line(&format!("  {} by {author} at {}: {reason}", verb(command), command.at))?;
    }
    if let Some(by) = muted_by {
        output::line(&format!("  muted by {by}"))?;
    }
    for line in evidence(&last) {
        output::line(&format!("  {line}"))?;
    }
    Ok(Outcome::Fine)
}

/// Gives a command and says which.
pub fn give(common: &Common, by: &GivenBy, order: Order) -> Result<Outcome, Failure> {
    let author = by.author.clone().or_else(|| std::env::var("USER").ok());
    let Some(author) = author.filter(|author| !author.trim().is_empty()) else {
        return Err(Failure::usage("say who gives the command: --author NAME"));
    };
    let data = data(common, by.data.as_ref())?;
    // One that is not there is not to be made by a command.
    datafolder::open_read_only(&data)?;
    let store = datafolder::open(&data)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let command = Orders::new(&store, &clock).give(order, author, by.reason.clone())?;
    match common.format() {
        Format::Json => output::json(&command)?,
        Format::Text => output::line(&format!(
            "command {} is given ({}); the service obeys it within seconds of reading it",
            command.number,
            verb(&command),
        ))?,
    }
    Ok(Outcome::Fine)
}

/// The last transition of the one alert whose id begins so.
fn last_of(commits: &[Commit], id: &str) -> Result<Alert, Failure> {
    let mut found: BTreeMap<&str, &Alert> = BTreeMap::new();
    for alert in commits.iter().flat_map(|commit| &commit.alerts) {
        if alert.id.starts_with(id) {
            found.insert(&alert.id, alert);
        }
    }
    let count = found.len();
    match (found.pop_last(), count) {
        (Some((_, alert)), 1) => Ok(alert.clone()),
        (None, _) => Err(Failure::usage(format!(
            "no alert `{}` in this folder; `ringwatch alerts list --all` names them",
            printable(id)
        ))),
        _ => Err(Failure::usage(format!(
            "{count} alerts begin with `{}`; give more of the id",
            printable(id)
        ))),
    }
}

fn is_about(command: &Command, id: &str) -> bool {
    match &command.order {
        Order::Acknowledge { alert } | Order::NotActed { alert, .. } => alert == id,
        Order::Silence { matcher, .. } => matcher.alert.as_deref() == Some(id),
        _ => false,
    }
}

fn verb(command: &Command) -> String {
    match &command.order {
        Order::Acknowledge { .. } => "acknowledged".to_owned(),
        Order::Silence { until, .. } => format!("{} until {until}", command.silence_id()),
        Order::EndSilence { silence } => format!("end of {}", printable(silence)),
        Order::Pause => "pause".to_owned(),
        Order::Resume => "resume".to_owned(),
        Order::Retry { destination } => format!("retry of {}", printable(destination)),
        Order::DeliveryFailing { destination } => format!("{} fails", printable(destination)),
        Order::DeliveryWorks { destination } => format!("{} works", printable(destination)),
        Order::Unreadable => "unreadable".to_owned(),
        Order::NotActed { destination, .. } => format!("not done by {}", printable(destination)),
    }
}

/// The silences that last, by what the chain says and the time of its windows.
fn list_silences(common: &Common, args: &SilenceArgs) -> Result<Outcome, Failure> {
    let commits = commits(&data(common, args.by.data.as_ref())?)?;
    let desk = desk_of(&commits);
    if common.format() == Format::Json {
        output::json(desk.silences())?;
        return Ok(Outcome::Fine);
    }
    if desk.silences().is_empty() {
        output::line("no silences")?;
    }
    for (id, silence) in desk.silences() {
        let (author, reason) = (printable(&silence.author), silence.reason.as_deref());
        let matcher = printable(&serde_json::to_string(&silence.matcher)?);
        let reason = printable(reason.unwrap_or("no reason given"));
        output::line(&format!("{id}  until {}  {matcher}  by {author}: {reason}", silence.until))?;
    }
    Ok(Outcome::Fine)
}

/// The desk as far as commands alone make it: silences and pause.
pub fn desk_of(commits: &[Commit]) -> Desk {
    let (mut desk, mut until) = (Desk::default(), Timestamp::MIN);
    for commit in commits {
        until = commit.evaluated_until.unwrap_or(until);
        let mut said = alerts::Said::default();
        desk.take(Vec::new(), until, &mut said);
        for command in &commit.commands {
            desk.obey(command, commit.evaluated_until, &mut said);
        }
    }
    desk
}

/// Opens the configured folder for reading.
pub fn reading(common: &Common, named: Option<&DataLocation>) -> Result<Arc<dyn Blobs>, Failure> {
    datafolder::open_read_only(&data(common, named)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use store::commands;

    use super::*;
    use crate::cli::{AlertsVerb, Cli, Verb};

    #[test]
    fn a_silence_names_what_is_to_be_quiet_and_why() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().to_string_lossy().into_owned();
        let store = datafolder::open(&data.parse().expect("a folder")).expect("opened");
        let given = |flags: &[&str]| {
            let always = ["--for", "2h", "--author", "ana", "--data", &data];
            let words = ["ringwatch", "alerts", "silence"].iter().chain(&always).chain(flags);
            let cli = Cli::parse_from(words);
            let Verb::Alerts(alerts) = cli.verb else { panic!("{flags:?}") };
            let AlertsVerb::Silence(args) = alerts.verb else { panic!("{flags:?}") };
            silence(&cli.common, &args)
        };
        for (flags, wrong) in [
            (&["--reason", "mine"][..], "names what is to be quiet"),
            (&["--reason", "mine", "--change", ""], "empty text"),
            (&["--reason", "mine", "--change", "kb1", "--ring", " "], "empty text"),
            (&["--reason", "mine", "--alert", ""], "empty text"),
            (&["--change", "kb1"], "needs a reason"),
            (&["--change", "kb1", "--reason", " "], "needs a reason"),
        ] {
            let refused = given(flags).expect_err("a silence that is refused");
            assert!(refused.line().contains(wrong), "{flags:?}: {}", refused.line());
        }
        assert_eq!(commands::read(&*store, 0).expect("read"), None);
        let change = Matcher { change: Some("kb1".to_owned()), ..Matcher::default() };
        assert_eq!(may_silence(&change, Some("mine")), Ok(()));
    }
}
