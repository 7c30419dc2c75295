//! What the demo shows while it runs: a live table in a terminal, plain lines elsewhere.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alerts::{Verdict, VerdictRow};
use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};
use schemas::{Alert, AlertState, Decision, Timestamp};
use sim::Scenario;

use crate::cli::Common;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, printable};
use crate::summary::evidence;
use crate::view::{SharedView, View};

/// How often a plain line is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Width of a ring's column where there is room, and of the column of changes.
const COLUMN: usize = 16;

/// The demo's output.
pub(super) struct Screen {
    rings: Vec<String>,
    changes: Vec<String>,
    start: Timestamp,
    end: Timestamp,
    style: Style,
    began: Instant,
    printed: Option<Instant>,
    /// Lines of the live table that stand on the screen.
    drawn: usize,
    /// Characters of a line: one that is broken in two would be erased by half.
    width: usize,
    /// Whether it was said where the dashboard is.
    addressed: bool,
    /// Transitions told so far.
    told: BTreeSet<(String, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Live { color: bool },
    Plain,
    Silent,
}

impl Screen {
    pub(super) fn start(
        scenario: &Scenario,
        config: &Config,
        plain: bool,
        common: &Common,
    ) -> Result<Self, Failure> {
        let style = if common.json || common.quiet > 0 {
            Style::Silent
        } else if plain {
            Style::Plain
        } else {
            Style::Live { color: std::env::var_os("NO_COLOR").is_none() }
        };
        let screen = Self {
            rings: config.rings().to_vec(),
            changes: scenario.changes.iter().map(|change| change.id.clone()).collect(),
            start: scenario.start,
            end: scenario.end(),
            style,
            began: Instant::now(),
            printed: None,
            drawn: 0,
            width: usize::MAX,
            addressed: false,
            told: BTreeSet::new(),
        };
        screen.say(&format!(
            "ringwatch demo: {} devices in {} rings, {} changes, {:.0} h of their life in under a \
             minute",
            scenario.devices,
            scenario.rings.len(),
            scenario.changes.len(),
            (screen.end - screen.start).as_secs_f64() / 3_600.0,
        ))?;
        for change in &scenario.changes {
            screen.say(&format!("  {:<12} {}", change.id, change.title))?;
        }
        Ok(screen)
    }

    /// Shows how things stand, and tells every alert once.
    pub(super) fn draw(&mut self, view: &SharedView) -> Result<(), Failure> {
        let view = view.snapshot();
        self.tell_address(&view)?;
        self.tell_alerts(&view)?;
        match self.style {
            Style::Live { color } => self.draw_table(&view, color),
            Style::Plain if self.printed.is_none_or(|at| at.elapsed() >= PLAIN_EVERY) => {
                self.printed = Some(Instant::now());
                self.say(&self.progress(&view))
            }
            Style::Plain | Style::Silent => Ok(()),
        }
    }

    /// The state at the end, which stays on the screen.
    pub(super) fn last(&mut self, view: &SharedView) -> Result<(), Failure> {
        self.printed = None;
        self.draw(view)?;
        if self.style == Style::Plain {
            let view = view.snapshot();
            for line in self.table(&view, false) {
                self.say(&line)?;
            }
        }
        Ok(())
    }

    pub(super) fn say(&self, line: &str) -> Result<(), Failure> {
        if self.style == Style::Silent {
            return Ok(());
        }
        Ok(output::line(line)?)
    }

    fn tell_address(&mut self, view: &View) -> Result<(), Failure> {
        if let Some(address) = view.address.filter(|_| !self.addressed) {
            self.addressed = true;
            self.say(&format!("  dashboard: http://{address}/"))?;
        }
        Ok(())
    }

    pub(super) fn tell_alerts(&mut self, view: &View) -> Result<(), Failure> {
        for alert in view.alerts.iter() {
            if !self.told.insert((alert.id.clone(), alert.transition)) {
                continue;
            }
            self.erase()?;
            self.say("")?;
            let state = alert.state.name().to_uppercase();
            let decision = alert.decision.name();
            self.say(&format!("{state} {decision}: {}", printable(&alert.summary)))?;
            self.say(&format!(
                "  {} after {:.0} s",
                alert.updated_at,
                self.began.elapsed().as_secs_f64()
            ))?;
            for line in evidence(alert) {
                self.say(&format!("  {line}"))?;
            }
            self.say("")?;
        }
        Ok(())
    }

    /// In as many words as a line has room for.
    fn progress(&self, view: &View) -> String {
        let Some(until) = view.evaluated_until else {
            return format!("{:>3.0} s  starting", self.began.elapsed().as_secs_f64());
        };
        let told = (until - self.start).as_secs_f64() / (self.end - self.start).as_secs_f64();
        let records = view.counts.received;
        let rate = records as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let line = |rate: &str| {
            format!(
                "{:>3.0} s  {:>3.0} %  evaluated until {until}  {records} records{rate}  \
                 {} rejected",
                self.began.elapsed().as_secs_f64(),
                (told * 100.0).clamp(0.0, 100.0),
                view.counts.rejected,
            )
        };
        let whole = line(&format!(" ({rate:.0}/s)"));
        if whole.len() <= self.width { whole } else { line("") }
    }

    /// Takes the live table off the screen.
    fn erase(&mut self) -> Result<(), Failure> {
        if self.drawn > 0 {
            output::text(&format!("\x1b[{}A\x1b[J", self.drawn))?;
            self.drawn = 0;
        }
        Ok(())
    }

    fn draw_table(&mut self, view: &View, color: bool) -> Result<(), Failure> {
        self.erase()?;
        self.width = Term::stdout().size_checked().map_or(usize::MAX, |(_, width)| width.into());
        let mut lines = vec![self.progress(view)];
        lines.extend(self.table(view, color));
        self.drawn = lines.len();
        let fits = |line: &String| truncate_str(line, self.width, "…").into_owned();
        let lines: Vec<String> = lines.iter().map(fits).collect();
        Ok(output::text(&(lines.join("\n") + "\n"))?)
    }

    fn table(&self, view: &View, color: bool) -> Vec<String> {
        let longest = self.changes.iter().map(String::len).max().unwrap_or(0);
        let names = if self.width == usize::MAX { COLUMN } else { COLUMN.min(longest + 3) };
        let column = (self.width.saturating_sub(names) / self.rings.len().max(1)).min(COLUMN);
        let mut head = " ".repeat(names);
        let room = column.saturating_sub(1);
        for ring in &self.rings {
            head.push_str(&pad_str(&truncate_str(ring, room, "…"), column, Alignment::Left, None));
        }
        let mut lines = vec![head];
        for change in &self.changes {
            let mut line = format!("{:<names$}", format!("  {change}"));
            for ring in &self.rings {
                let cell = Cell::of(change, ring, view);
                line.push_str(&cell.text(color, column));
            }
            lines.push(line);
        }
        lines
    }
}

/// How one change stands in one ring, in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    NotStarted,
    Verdict(Verdict, usize, usize),
    Alert(&'static str),
    /// Near its line, or beyond it and put down to another change.
    Watch,
    Resolved,
}

impl Cell {
    fn of(change: &str, ring: &str, view: &View) -> Self {
        let here = |alert: &&Alert| alert.change == change && alert.ring == ring;
        let open = |alert: &&Alert| alert.state != AlertState::Resolved;
        let gravity = |alert: &&Alert| match alert.decision {
            Decision::Rollback => 4,
            Decision::Escalate => 3,
            Decision::Hold => 2,
            Decision::Watch => 1,
            Decision::Clear => 0,
        };
        if let Some(alert) = view.alerts.iter().filter(here).filter(open).max_by_key(gravity) {
            return Self::Alert(alert.decision.name());
        }
        if view.alerts.iter().any(|alert| here(&alert)) {
            return Self::Resolved;
        }
        let rows: Vec<&VerdictRow> = view
            .verdicts
            .iter()
            .filter(|row| *row.change == *change && *row.ring == *ring)
            .collect();
        if rows.iter().any(|row| row.watch) {
            return Self::Watch;
        }
        let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
        for verdict in [Verdict::Healthy, Verdict::Insufficient, Verdict::NoData] {
            if count(verdict) > 0 {
                return Self::Verdict(verdict, count(verdict), rows.len());
            }
        }
        Self::NotStarted
    }

    /// Padded to a column; the word says it all, mark and colour only help.
    fn text(self, color: bool, column: usize) -> String {
        let (mark, word, paint) = match self {
            Self::NotStarted => ('·', String::new(), ""),
            Self::Verdict(Verdict::Healthy, healthy, all) => {
                ('✓', format!("healthy {healthy}/{all}"), "\x1b[32m")
            }
            Self::Verdict(verdict, ..) => ('…', verdict.name().to_owned(), "\x1b[2m"),
            Self::Watch => ('◆', "watch".to_owned(), "\x1b[33m"),
            Self::Alert(decision) => ('✗', decision.to_uppercase(), "\x1b[1;31m"),
            Self::Resolved => ('○', "resolved".to_owned(), "\x1b[33m"),
        };
        let room = column.saturating_sub(1);
        let last = word.rsplit(' ').next().unwrap_or_default();
        let forms = [format!("{mark} {word}"), word.clone(), format!("{mark} {last}")];
        let fitting = forms.iter().find(|form| measure_text_width(form) <= room);
        let text = truncate_str(fitting.unwrap_or(&word), room, "…").into_owned();
        let plain = pad_str(&text, column, Alignment::Left, None).into_owned();
        if color && !paint.is_empty() { format!("{paint}{plain}\x1b[0m") } else { plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_what_its_column_has_room_for() {
        let healthy = Cell::Verdict(Verdict::Healthy, 10, 15);
        for (cell, column, expected) in [
            (healthy, 16, "✓ healthy 10/15 "),
            (healthy, 14, "healthy 10/15 "),
            (healthy, 13, "✓ 10/15      "),
            (Cell::Verdict(Verdict::Insufficient, 0, 1), 13, "insufficient "),
            (Cell::Alert("rollback"), 13, "✗ ROLLBACK   "),
            (Cell::Alert("rollback"), 6, "ROLL… "),
            (Cell::Watch, 1, "…"),
            (Cell::NotStarted, 4, "·   "),
        ] {
            assert_eq!(cell.text(false, column), expected, "{column}");
        }
    }
}
