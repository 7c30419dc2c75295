//! The explanation for people: what was counted, what is no harm, and each step from there.

use std::fmt::Write as _;

use schemas::Signal;
use schemas::alert::EvidenceKind;

use super::{Counted, Explanation, Term};

/// Windows with onsets that are printed; the JSON has all.
const TERMS_SHOWN: usize = 20;
/// Ratios of the mixture on one line.
const RATIOS_PER_LINE: usize = 4;

impl Explanation {
    /// The arithmetic, line by line.
    pub fn lines(&self) -> Vec<String> {
        let alert = &self.alert;
        let mut lines = vec![
            alert.summary.clone(),
            format!(
                "{} {} since {}: {}",
                alert.state.name(),
                alert.decision.name(),
                alert.starts_at,
                alert.action.what
            ),
        ];
        match alert.evidence.kind {
            EvidenceKind::Attempt => self.say_attempts(&mut lines),
            EvidenceKind::Rare => self.say_rare(&mut lines),
            _ => self.say_rate(&mut lines),
        }
        lines
    }

    fn say_rate(&self, lines: &mut Vec<String>) {
        let evidence = &self.alert.evidence;
        lines.push(String::new());
        lines.push(format!("Counted in {} windows in which both arms had exposure:", self.windows));
        self.say_arms(lines);
        lines.push(String::new());
        let (r0, baseline) = (evidence.r0, evidence.baseline_ratio.unwrap_or(1.0));
        let margin = r0 / baseline;
        lines.push(format!(
            "No harm is a ratio up to r0 = {margin:.3} x {baseline:.3} = {r0:.4} (margin x how the \
             ring fared before)"
        ));
        lines.push(String::new());
        lines
            .push("Each window with x treated and y control devices newly hit, T and C".to_owned());
        lines.push(
            "device-seconds, adds x ln(r/r0) - (x+y) ln((rT + C)/(r0T + C)) for each r:".to_owned(),
        );
        self.say_terms(lines);
        lines.push(String::new());
        lines.push("which makes, for the 24 ratios of the mixture (r: sum):".to_owned());
        for ratios in self.mixture.chunks(RATIOS_PER_LINE) {
            let mut line = String::new();
            for each in ratios {
                // Writing to a String cannot fail.
                let _written = write!(line, "  {:>7.3}: {:>8.3}", each.ratio, each.log_likelihood);
            }
            lines.push(line);
        }
        self.say_result(lines);
    }

    fn say_terms(&self, lines: &mut Vec<String>) {
        lines.push(format!("  {:<20} {:>4} {:>5} {:>12} {:>12}", "window", "x", "y", "T", "C"));
        for Term { window_start, counted } in self.terms.iter().take(TERMS_SHOWN) {
            let Counted { seconds, affected } = counted;
            lines.push(format!(
                "  {:<20} {:>4} {:>5} {:>12} {:>12}",
                window_start.to_string(),
                affected.treated,
                affected.control,
                seconds.treated,
                seconds.control
            ));
        }
        if let Some(more) = self.terms.len().checked_sub(TERMS_SHOWN).filter(|&more| more > 0) {
            lines.push(format!("  and {more} more windows (--json shows all)"));
        }
    }

    fn say_result(&self, lines: &mut Vec<String>) {
        let evidence = &self.alert.evidence;
        let (Some(log_e), Some(weighted)) = (self.log_e, self.weighted) else { return };
        let weight = evidence.comparison_weight.unwrap_or(1.0);
        lines.push(String::new());
        lines.push(format!("log E = ln(mean of e^sum)                           {log_e:>9.3}"));
        lines.push(format!(
            "with the weight {weight:.3} of this comparison: + ln w  {weighted:>9.3}"
        ));
        lines.push(format!(
            "the alert said, with the other comparisons          {:>9.3}",
            evidence.log_e
        ));
        lines.push(format!(
            "its line is ln(1/(alpha w)), alpha {}, w {:.5}     {:>9.3}",
            evidence.alpha,
            libm::exp(-evidence.line) / evidence.alpha,
            evidence.line
        ));
        let crossed = if evidence.log_e >= evidence.line {
            "crossed by itself".to_owned()
        } else {
            "crossed together with the change's other tests: their weighted mean counts".to_owned()
        };
        lines.push(crossed);
    }

    fn say_arms(&self, lines: &mut Vec<String>) {
        let Counted { seconds, affected } = self.counted;
        let hours = |seconds: i64| seconds as f64 / 3_600.0;
        lines.push(format!(
            "  treated {:>8} newly hit in {:>14.1} device-hours: devices with {} in ring {}",
            affected.treated,
            hours(seconds.treated),
            self.alert.change,
            self.alert.ring
        ));
        lines.push(format!(
            "  control {:>8} newly hit in {:>14.1} device-hours: {}",
            affected.control,
            hours(seconds.control),
            self.control
        ));
        if seconds.control > 0 {
            let share = seconds.treated as f64 / seconds.control as f64;
            let expected = affected.control as f64 * share;
            lines.push(format!(
                "  at the control's rate {expected:.2} treated were expected: {} x {share:.4}",
                affected.control
            ));
        }
        let shown =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        lines.push(format!(
            "  most likely ratio {}, at any time between {} and {}",
            shown(self.ratio),
            shown(self.ratio_low),
            shown(self.ratio_high)
        ));
    }

    fn say_rare(&self, lines: &mut Vec<String>) {
        lines.push(String::new());
        lines.push(format!("Counted in {} windows since the first exposure:", self.windows));
        self.say_arms(lines);
        if self.alert.signal == Signal::DataLoss.name() {
            lines.push(
                "Two treated devices and none of the control are enough, unless chance does it \
                 once in a thousand changes: no rate test could see one in ten thousand."
                    .to_owned(),
            );
        } else {
            let evidence = &self.alert.evidence;
            lines.push(format!(
                "These are all faults of the signal in the ring. What was found is one fault \
                 signature never seen before the change, in all rings: log E {:.3}, its line is \
                 {:.3} = ln(k(k+1)/{}) for the change's k-th new signature. Counts by signature \
                 stand in no table; the alert's own are {} treated and {} of the control.",
                evidence.log_e,
                evidence.line,
                evidence.alpha,
                evidence.treated.affected,
                evidence.control.affected
            ));
        }
        self.say_terms(lines);
    }

    fn say_attempts(&self, lines: &mut Vec<String>) {
        let evidence = &self.alert.evidence;
        let (treated, control) = (&evidence.treated, &evidence.control);
        lines.push(String::new());
        lines.push(format!("treated: {} of {} attempts failed", treated.affected, treated.devices));
        lines.push(format!(
            "control: {} of {} failed ({})",
            control.affected, control.devices, self.control
        ));
        match self.log_e {
            Some(log_e) => lines.push(format!(
                "log E from these totals {log_e:.3}, the alert said {:.3}, its line is {:.3}",
                evidence.log_e, evidence.line
            )),
            None => lines.push(format!(
                "log E {:.3}, its line is {:.3}; its windows stand in no table",
                evidence.log_e, evidence.line
            )),
        }
        if self.alert.signal == Signal::NoReturn.name() {
            lines.push(
                "log E is that of a rate test whose exposure is trials: the mixture over 24 ratios \
                 above r0, added up window by window"
                    .to_owned(),
            );
        } else if control.devices > 0 {
            lines.push(format!(
                "E = B(a+1, s+1) B(c+1, d+1) / the largest p^a (1-p)^s q^c (1-q)^d with p <= {} q",
                evidence.r0
            ));
        }
    }
}
