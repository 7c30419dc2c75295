//! `ringwatch explain`: an alert's evidence, recomputed from the tables, with its arithmetic.

use std::collections::BTreeMap;
use std::sync::Arc;

use alerts::explain::{Counted, Explanation, explain, needs_windows};
use schemas::{Alert, Dataset, Signal, Timestamp};
use serde_json::Value;
use store::{Blobs, Chain};

use crate::cli::{Common, ExplainArgs};
use crate::config::Config;
use crate::datafolder;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, printable};

/// Finds the alert and prints how its numbers come about.
pub fn run(common: &Common, args: &ExplainArgs) -> Result<Outcome, Failure> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => Config::load(common.config.as_deref(), std::env::vars())?.data,
    };
    let store = datafolder::open_read_only(&data)?;
    let (explanation, tables_until) = explained(&store, &args.alert)?;
    match common.format() {
        Format::Json => output::json(&explanation)?,
        Format::Text => {
            for line in explanation.lines() {
                output::line(&printable(&line))?;
            }
            if let Some(until) = tables_until {
                output::line("")?;
                output::line(&format!(
                    "The tables end at {until}; the windows up to {} are published later.",
                    explanation.alert.starts_at
                ))?;
            }
        }
    }
    Ok(Outcome::Fine)
}

/// The explanation of the one alert whose id begins so; and where the tables end, if that is
/// before it.
pub(crate) fn explained(
    store: &Arc<dyn Blobs>,
    id: &str,
) -> Result<(Explanation, Option<Timestamp>), Failure> {
    let alert = find(store, id)?;
    let counts = Counts::read(&**store, &alert)?;
    Ok((counts.best(&alert), counts.missing_after(&alert)))
}

/// The transition with which the episode began.
fn find(store: &Arc<dyn Blobs>, id: &str) -> Result<Alert, Failure> {
    let mut found: Vec<Alert> = Vec::new();
    for commit in Chain::open(Arc::clone(store))?.newest_first() {
        let began = commit?.alerts.into_iter().filter(|alert| alert.transition == 1);
        found.extend(began.filter(|alert| alert.id.starts_with(id)));
        if found.iter().any(|alert| alert.id == id) {
            // Whole ids have one length: none begins with another.
            break;
        }
    }
    match (found.pop(), found.len()) {
        (Some(alert), 0) => Ok(alert),
        (None, _) => Err(Failure::usage(format!(
            "no alert `{}` in this folder; `ringwatch alerts list --all` names them",
            printable(id)
        ))),
        (Some(_), more) => Err(Failure::usage(format!(
            "{} alerts begin with `{}`; give more of the id",
            more + 1,
            printable(id)
        ))),
    }
}

/// What the tables hold for an alert, window by window: silence has two forms.
#[derive(Default)]
struct Counts {
    forms: Vec<BTreeMap<Timestamp, Counted>>,
    /// Start of the newest window with a row of any change.
    newest: Option<Timestamp>,
}

/// Which arm of the alert's comparison a row belongs to.
#[derive(Clone, Copy)]
enum Arm {
    Treated,
    Control,
}

impl Counts {
    fn read(store: &dyn Blobs, alert: &Alert) -> Result<Self, Failure> {
        let mut counts = Self::default();
        if !needs_windows(alert) {
            return Ok(counts);
        }
        let control = control_rings(store, alert)?;
        let arm_of = |change: Option<&str>, ring: Option<&str>, arm: Option<&str>| {
            let (ring, arm) = (ring?, arm?);
            match arm {
                _ if change != Some(&alert.change) => None,
                "treated" if ring == alert.ring => Some(Arm::Treated),
                "control" if control.iter().any(|name| name == ring) => Some(Arm::Control),
                _ => None,
            }
        };
        let mut exposure: BTreeMap<Timestamp, Counted> = BTreeMap::new();
        let columns = ["window_start", "change", "ring", "arm", "device_seconds"];
        store::read_rows(store, Dataset::RingHealth, &columns, &mut |row| {
            let window = Timestamp(row.count(0));
            counts.newest = counts.newest.max(Some(window));
            if let Some(arm) = arm_of(row.text(1), row.text(2), row.text(3)) {
                let seconds = &mut exposure.entry(window).or_default().seconds;
                match arm {
                    Arm::Treated => seconds.treated += row.count(4),
                    Arm::Control => seconds.control += row.count(4),
                }
            }
        })?;
        let forms = forms(&alert.signal);
        counts.forms = vec![exposure; forms.len()];
        let columns =
            ["window_start", "change", "ring", "arm", "signal", "cohort_key", "affected_devices"];
        store::read_rows(store, Dataset::RingSignals, &columns, &mut |row| {
            let form = forms.iter().position(|form| row.text(4) == Some(form));
            let arm = arm_of(row.text(1), row.text(2), row.text(3));
            let (Some(form), Some(arm), None) = (form, arm, row.text(5)) else { return };
            let counted = counts.forms[form].entry(Timestamp(row.count(0))).or_default();
            match arm {
                Arm::Treated => counted.affected.treated += row.count(6),
                Arm::Control => counted.affected.control += row.count(6),
            }
        })?;
        for windows in &mut counts.forms {
            let first = windows.iter().find(|(_, counted)| counted.seconds.treated > 0);
            let first = first.map(|(&window, _)| window);
            windows.retain(|&window, _| Some(window) >= first && window < alert.starts_at);
        }
        Ok(counts)
    }

    /// The form that speaks most strongly.
    fn best(&self, alert: &Alert) -> Explanation {
        let none = BTreeMap::new();
        let explained = self.forms.iter().map(|windows| explain(alert, windows));
        let best = explained.max_by(|one, other| {
            let log_e = |of: &Explanation| of.log_e.unwrap_or(f64::NEG_INFINITY);
            log_e(one).total_cmp(&log_e(other))
        });
        best.unwrap_or_else(|| explain(alert, &none))
    }

    /// Where the tables end, if that is before the alert.
    fn missing_after(&self, alert: &Alert) -> Option<Timestamp> {
        let windows = self.forms.iter().flat_map(BTreeMap::keys);
        let length = {
            let mut starts = windows.copied();
            let first = starts.next();
            first.zip(starts.next()).map(|(one, next)| next - one)
        };
        let until = self.newest? + length?;
        (until < alert.starts_at).then_some(until)
    }
}

/// The rows of `ring_signals` that an alert's signal comes from.
fn forms(signal: &str) -> Vec<&str> {
    if signal == Signal::Silence.name() {
        vec![signal, Signal::SilenceLearned.name()]
    } else {
        vec![signal]
    }
}

/// Rings whose devices without the change are the control that the alert shows.
fn control_rings(store: &dyn Blobs, alert: &Alert) -> Result<Vec<String>, Failure> {
    let settings = store::standing_config(store)?.unwrap_or_default();
    let names = settings["fold"]["rings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rings: Vec<String> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let own = rings.iter().position(|ring| *ring == alert.ring).ok_or_else(|| {
        Failure::failed(format!("ring `{}` is not in the folder's settings", alert.ring))
    })?;
    let evidence = &alert.evidence;
    let rare = evidence.kind == schemas::alert::EvidenceKind::Rare;
    Ok(match evidence.baseline_ratio {
        _ if rare => rings[own..].to_vec(),
        Some(_) => rings[own + 1..].to_vec(),
        None => vec![alert.ring.clone()],
    })
}
