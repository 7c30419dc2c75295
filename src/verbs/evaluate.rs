//! `ringwatch evaluate`: a scenario's stories through the pipeline in memory, seed by seed, held
//! against what the scenario expects.

use crate::cli::{Common, EvaluateArgs};
use crate::config::Config;
use crate::evaluation::{Told, judge, tell};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format};
use crate::scenarios;
use crate::verbs::replay;

/// Tells every story and prints one line about each.
pub fn run(common: &Common, args: &EvaluateArgs) -> Result<Outcome, Failure> {
    let mut scenario = scenarios::load(&args.scenario)?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let mut met = 0;
    for _ in 0..args.count {
        let mut config = Config::load(common.config.as_deref(), std::env::vars())?;
        replay::bound_by_records(&mut config);
        let told = judge(&scenario, &tell(&scenario, &mut config)?);
        met += u64::from(told.met);
        match common.format() {
            Format::Json => output::json(&told)?,
            Format::Text => output::line(&said(&told))?,
        }
        scenario.seed += 1;
    }
    if common.format() == Format::Text {
        output::line(&format!("{met} of {} as expected", args.count))?;
    }
    Ok(if met == args.count { Outcome::Fine } else { Outcome::Alerting })
}

fn said(told: &Told) -> String {
    let verdict = if told.met { "as expected" } else { "NOT as expected" };
    let first = told.first.as_ref().map_or_else(
        || "no alarm".to_owned(),
        |alarm| {
            let cohort = alarm.cohort.as_deref().unwrap_or("all");
            format!(
                "{} {} in ring {} for {} ({cohort}) after {:.1} h, {} devices hit",
                alarm.decision.name(),
                alarm.change,
                alarm.ring,
                alarm.signal,
                alarm.delay_h,
                alarm.devices_hit
            )
        },
    );
    format!("seed {:<4} {verdict}: {first}; {} alarms", told.seed, told.alarms)
}
