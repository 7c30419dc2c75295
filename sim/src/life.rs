//! What makes a fleet rough: incidents, frail devices, sleep, hours of the day, disturbances.
//!
//! In: tables of a scenario, all of them optional. Out: checked values, and the factor that a
//! moment has. Without any of them faults are independent and their rates never change.

use std::collections::BTreeMap;

use schemas::{Span, Timestamp};
use serde::Deserialize;

use crate::rng::{Rng, mix};
use crate::scenario::{ScenarioError, not_negative, positive, share, wrong};

const DAY_H: f64 = 24.0;
const DAY_HOURS: usize = 24;
/// 1970 began on a Thursday: days since then and this, modulo 7, are 0 on Mondays.
pub(crate) const MONDAY_OF_1970: i64 = 3;
pub(crate) const FRIDAY: i64 = 4;
/// Evenings and mornings of one device wander by this.
const NIGHT_JITTER_H: f64 = 1.0;

/// Faults come in incidents: so many events of one kind within so many hours.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incidents {
    pub events: u32,
    pub within_h: f64,
}

/// Devices that crash for a reason of their own, all the time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chronic {
    pub share: f64,
    pub kind: String,
    pub per_day: f64,
}

/// Devices that sleep at night and over the weekend, and say nothing of it. Hours are UTC.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sleep {
    pub share: f64,
    pub from_h: f64,
    pub hours: f64,
    #[serde(default)]
    pub weekends: bool,
}

/// A disturbance of the whole fleet: every kind named is so many times as likely for a while.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    pub from_h: f64,
    pub hours: f64,
    pub factor: BTreeMap<String, f64>,
}

/// Programs that nobody had before: each brings a fault signature never seen.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPrograms {
    pub per_day: f64,
    /// Share of all faults that are theirs.
    pub share: f64,
    /// How long after it came a program still has faults.
    pub days: f64,
}

/// Everything above; each is absent unless a scenario has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    pub incidents: Option<Incidents>,
    /// Shape of the gamma distribution, of mean 1, that each device's rates are multiplied by.
    pub frailty_shape: Option<f64>,
    pub chronic: Option<Chronic>,
    pub sleep: Option<Sleep>,
    pub new_programs: Option<NewPrograms>,
    /// Rates hour by hour, in percent of the base rate; the seed picks one of the series, and
    /// where in it the story begins.
    #[serde(default)]
    pub hourly_pct: Vec<Vec<u32>>,
    /// The hour (UTC) at which a series' mean day is busiest; without it anywhere.
    pub busiest_h: Option<u32>,
    #[serde(default, rename = "wave")]
    pub waves: Vec<Wave>,
}

impl Life {
    pub(crate) fn check(&self, rates: &BTreeMap<String, f64>) -> Result<(), ScenarioError> {
        if let Some(incidents) = self.incidents {
            positive("life.incidents.events", f64::from(incidents.events))?;
            not_negative("life.incidents.within_h", incidents.within_h)?;
        }
        if let Some(shape) = self.frailty_shape {
            positive("life.frailty_shape", shape)?;
        }
        if let Some(chronic) = &self.chronic {
            share("life.chronic.share", chronic.share)?;
            not_negative("life.chronic.per_day", chronic.per_day)?;
            has_rate("life.chronic.kind", &chronic.kind, rates)?;
        }
        if let Some(sleep) = self.sleep {
            share("life.sleep.share", sleep.share)?;
            not_negative("life.sleep.from_h", sleep.from_h)?;
            if sleep.from_h >= DAY_H || !(2.0..=20.0).contains(&sleep.hours) {
                return wrong("life.sleep", "must begin before 24 and last 2 to 20 h".to_owned());
            }
        }
        if let Some(programs) = self.new_programs {
            not_negative("life.new_programs.per_day", programs.per_day)?;
            positive("life.new_programs.days", programs.days)?;
            share("life.new_programs.share", programs.share)?;
        }
        if self.hourly_pct.iter().any(Vec::is_empty) {
            return wrong("life.hourly_pct", "must have hours in each series".to_owned());
        }
        let whole_days = |series: &Vec<u32>| series.len().is_multiple_of(DAY_HOURS);
        if self.busiest_h.is_some_and(|hour| hour >= 24 || !self.hourly_pct.iter().all(whole_days))
        {
            let why = "must be below 24, and each series of hours whole days".to_owned();
            return wrong("life.busiest_h", why);
        }
        for wave in &self.waves {
            not_negative("life.wave.hours", wave.hours)?;
            for (kind, factor) in &wave.factor {
                not_negative("life.wave.factor", *factor)?;
                has_rate("life.wave.factor", kind, rates)?;
            }
        }
        Ok(())
    }

    /// The series of hours that the seed picks, turned so that the story begins at its front.
    pub(crate) fn hours(&self, seed: u64, start: Timestamp) -> Vec<f64> {
        let mut rng = Rng::new(mix(seed ^ 0x0068_6f75_7273));
        let count = self.hourly_pct.len() as u32;
        let Some(series) = self.hourly_pct.get(rng.below(count.max(1)) as usize) else {
            return Vec::new();
        };
        let first = match self.busiest_h {
            None => rng.below(series.len() as u32) as usize,
            Some(hour) => {
                let begins = start.0.div_euclid(Span::hours(1).0).rem_euclid(DAY_HOURS as i64);
                let until = (hour as usize + DAY_HOURS - begins as usize) % DAY_HOURS;
                let day = rng.below((series.len() / DAY_HOURS).max(1) as u32) as usize;
                (day * DAY_HOURS + busiest(series) + DAY_HOURS - until) % series.len()
            }
        };
        let turned = series[first..].iter().chain(&series[..first]);
        turned.map(|percent| f64::from(*percent) / 100.0).collect()
    }
}

/// The busiest hour of a series' mean day.
fn busiest(series: &[u32]) -> usize {
    let of_hour = |hour: usize| series.iter().skip(hour).step_by(DAY_HOURS).sum::<u32>();
    (0..DAY_HOURS).rev().max_by_key(|&hour| of_hour(hour)).unwrap_or(0)
}

fn has_rate(field: &str, kind: &str, rates: &BTreeMap<String, f64>) -> Result<(), ScenarioError> {
    if rates.contains_key(kind) {
        return Ok(());
    }
    wrong(field, format!("names {kind}, which has no base rate"))
}

impl Sleep {
    /// When a device that sleeps now wakes up.
    pub(crate) fn wakes(&self, seed: u64, device: u32, now: Timestamp) -> Option<Timestamp> {
        let mut own = Rng::new(mix(seed ^ 0x736c_6565_7000) ^ u64::from(device));
        if !own.chance(self.share) {
            return None;
        }
        let evening_h = self.from_h + own.between(-NIGHT_JITTER_H, NIGHT_JITTER_H);
        let today = now.0.div_euclid(Span::days(1).0);
        (today - 3..=today).find_map(|day| {
            let weekday = (day + MONDAY_OF_1970).rem_euclid(7);
            if self.weekends && weekday > FRIDAY {
                return None;
            }
            let away_h = if self.weekends && weekday == FRIDAY { 2.0 * DAY_H } else { 0.0 };
            let mut night = Rng::new(mix(seed ^ day as u64) ^ u64::from(device));
            let [begins, ends] = [0.0, self.hours + away_h].map(|hours| {
                evening_h + hours + night.between(-NIGHT_JITTER_H, NIGHT_JITTER_H) / 2.0
            });
            let at = |hours: f64| Timestamp(day * Span::days(1).0 + (hours * 3.6e9) as i64);
            (at(begins)..at(ends)).contains(&now).then(|| at(ends))
        })
    }
}

/// A gamma variate of that shape and mean 1.
///
/// Source: G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables", 2000;
/// below shape 1 the boost of its section 6.
pub(crate) fn gamma(rng: &mut Rng, shape: f64) -> f64 {
    let boosted = shape.max(1.0) + if shape < 1.0 { shape } else { 0.0 };
    let d = boosted - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    let drawn = loop {
        let x = normal(rng);
        let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
        if v > 0.0 && libm::log(1.0 - rng.unit()) < x * x / 2.0 + d * (1.0 - v + libm::log(v)) {
            break d * v;
        }
    };
    let boost = if shape < 1.0 { libm::pow(1.0 - rng.unit(), 1.0 / shape) } else { 1.0 };
    drawn * boost / shape
}

/// Standard normal, by Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - rng.unit()));
    radius * libm::cos(2.0 * core::f64::consts::PI * rng.unit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_has_mean_one_and_the_variance_of_its_shape() {
        for shape in [0.3, 1.0, 4.0] {
            let mut rng = Rng::new(11);
            let drawn: Vec<f64> = (0..200_000).map(|_| gamma(&mut rng, shape)).collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let square = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
            let variance = square / drawn.len() as f64;
            assert!((mean - 1.0).abs() < 0.02, "{shape}: mean {mean}");
            assert!((variance * shape - 1.0).abs() < 0.05, "{shape}: variance {variance}");
        }
    }

    #[test]
    fn the_busiest_hour_of_a_series_stands_where_the_scenario_wants_it() {
        let peak = |hour: usize| if hour % 24 == 3 { 200 } else { 50 };
        let life = Life {
            hourly_pct: vec![(0..72).map(peak).collect()],
            busiest_h: Some(13),
            ..Life::default()
        };
        let start = Timestamp::parse_rfc3339(b"2026-07-13T05:00:00Z").unwrap();
        for seed in 0..20 {
            let hours = life.hours(seed, start);
            let at: Vec<usize> = (0..72).filter(|&hour| hours[hour] > 1.0).collect();
            assert_eq!(at, [8, 32, 56]);
        }
    }

    #[test]
    fn who_sleeps_wakes_in_the_morning_and_after_the_weekend_on_monday() {
        let sleep = Sleep { share: 1.0, from_h: 18.0, hours: 14.0, weekends: true };
        let monday = Timestamp::parse_rfc3339(b"2026-07-13T00:00:00Z").unwrap();
        let at = |day: i64, hour: i64| monday + Span::days(day) + Span::hours(hour);
        for device in 0..50 {
            let wakes = |now| sleep.wakes(3, device, now);
            assert_eq!(wakes(at(0, 12)), None, "Monday noon");
            let morning = wakes(at(1, 1)).unwrap();
            assert!((at(1, 6)..at(1, 10)).contains(&morning), "{morning}");
            let monday = wakes(at(5, 12)).unwrap();
            assert!((at(7, 6)..at(7, 10)).contains(&monday), "{monday}");
            assert_eq!(wakes(monday), None);
        }
        let nobody = Sleep { share: 0.0, ..sleep };
        assert!((0..50).all(|device| nobody.wakes(3, device, at(1, 1)).is_none()));
    }
}
