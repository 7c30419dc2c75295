//! `ringwatch plan`: what each ring can see by when, and which ring sizes a goal needs.

use std::str::FromStr;

use alerts::plan::{Question, Sight, can_be_planned, plan};
use schemas::{Signal, Span};

use crate::cli::{Common, PlanArgs};
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, printable};

/// A signal and the share of devices that it newly hits in a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    signal: Signal,
    per_day: f64,
}

impl FromStr for Rate {
    type Err = String;

    /// `os_crash=0.5%`: of the devices, newly hit in a day.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rate) =
            text.split_once('=').ok_or("write it as SIGNAL=PERCENT%, as in os_crash=0.5%")?;
        let signal = Signal::from_name(name).filter(|&signal| can_be_planned(signal));
        let signal = signal.ok_or_else(|| {
            let names = Signal::ALL.into_iter().filter(|&signal| can_be_planned(signal));
            let names: Vec<&str> = names.map(Signal::name).collect();
            format!("`{}` has no rate; use one of {}", printable(name), names.join(", "))
        })?;
        let percent = rate.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        match percent.filter(|percent| *percent > 0.0 && *percent <= 100.0) {
            Some(percent) => Ok(Self { signal, per_day: percent / 100.0 }),
            None => Err(format!("`{}` is no share of devices; write it as 0.5%", printable(rate))),
        }
    }
}

/// Prints the plan for the configured rings.
pub fn run(common: &Common, args: &PlanArgs) -> Result<Outcome, Failure> {
    let config = Config::load(common.config.as_deref(), std::env::vars())?;
    let rings = config.rings();
    if args.devices.len() != rings.len() {
        return Err(Failure::usage(format!(
            "--devices has {} numbers, and there are {} rings: {}",
            args.devices.len(),
            rings.len(),
            rings.join(", ")
        )));
    }
    if args.devices.contains(&0) {
        return Err(Failure::usage("--devices: a ring without devices sees nothing".to_owned()));
    }
    if let Some(ratio) = args.ratio.iter().find(|&&ratio| ratio <= config.detection.margin) {
        return Err(Failure::usage(format!(
            "a ratio of {ratio} is no harm: it must be above the margin of {}",
            config.detection.margin
        )));
    }
    let within = Span(i64::try_from(args.within.as_micros()).unwrap_or(i64::MAX));
    let sights = plan(
        &config.detection,
        &Question {
            devices: args.devices.clone(),
            rates: args.rate.iter().map(|rate| (rate.signal, rate.per_day)).collect(),
            ratios: args.ratio.clone(),
            within,
        },
    );
    match common.format() {
        Format::Json => output::json(&sights)?,
        Format::Text => print(&sights, args)?,
    }
    Ok(Outcome::Fine)
}

fn print(sights: &[Sight], args: &PlanArgs) -> Result<(), Failure> {
    let goal = format!("size for {}", args.within);
    output::line(&format!(
        "{:<12} {:>9} {:<18} {:>6} {:>11} {:>12} {:>14}",
        "ring", "devices", "signal", "ratio", "seen after", "devices hit", goal
    ))?;
    for sight in sights {
        let hours = sight.hours.map_or("never".to_owned(), duration);
        let hit = sight.devices_hit.map_or("-".to_owned(), |hit| format!("{:.0}", hit.ceil()));
        let needed = sight.devices_needed.map_or("none".to_owned(), |size| size.to_string());
        output::line(&format!(
            "{:<12} {:>9} {:<18} {:>5}x {hours:>11} {hit:>12} {needed:>14}",
            printable(&sight.ring),
            sight.devices,
            sight.signal.name(),
            sight.ratio,
        ))?;
    }
    output::line("")?;
    for line in [
        "With power 0.8, once the whole ring has the change; the control is the later rings.",
        "The last ring has none once it is exposed. Two devices that lose data, failed installs",
        "and devices that do not come back count everywhere, without a line in this table.",
    ] {
        output::line(line)?;
    }
    Ok(())
}

fn duration(hours: f64) -> String {
    if hours < 48.0 { format!("{hours:.1} h") } else { format!("{:.1} d", hours / 24.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_signal_and_a_percentage() {
        let rate: Rate = "os_crash=0.5%".parse().expect("a rate");
        assert_eq!(rate, Rate { signal: Signal::OsCrash, per_day: 0.005 });
        for (wrong, expected) in [
            ("os_crash", "write it as"),
            ("os_crash=0.5", "no share"),
            ("os_crash=-1%", "no share"),
            ("crash=1%", "`crash` has no rate"),
            ("install_failure=1%", "`install_failure` has no rate"),
        ] {
            let error = wrong.parse::<Rate>().expect_err(wrong);
            assert!(error.contains(expected), "{error}");
        }
    }
}
