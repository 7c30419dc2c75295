//! What the demo shows while it runs: a live table in a terminal, plain lines elsewhere.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use console::Term;
use schemas::Timestamp;
use sim::Scenario;

use crate::cli::Common;
use crate::failure::Failure;
use crate::output::{self, printable};
use crate::summary::evidence;
use crate::verbs::top;
use crate::verbs::top::screen::{Palette, cut};
use crate::view::{SharedView, View};

/// How often a plain line is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Characters of a line where nobody says how many there are.
const PLAIN_COLUMNS: usize = 100;

/// The demo's output.
pub(super) struct Screen {
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
    Live(Palette),
    Plain,
    Silent,
}

impl Screen {
    pub(super) fn start(
        scenario: &Scenario,
        plain: bool,
        common: &Common,
    ) -> Result<Self, Failure> {
        let style = if common.json || common.quiet > 0 {
            Style::Silent
        } else if plain {
            Style::Plain
        } else {
            Style::Live(Palette::of_environment())
        };
        let screen = Self {
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
            Style::Live(palette) => self.draw_table(&view, palette),
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
            for line in top::table(&view, PLAIN_COLUMNS, Palette::Plain) {
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

    fn draw_table(&mut self, view: &View, palette: Palette) -> Result<(), Failure> {
        self.erase()?;
        self.width = Term::stdout().size_checked().map_or(usize::MAX, |(_, width)| width.into());
        let mut lines = vec![self.progress(view)];
        lines.extend(top::table(view, self.width, palette));
        self.drawn = lines.len();
        let lines: Vec<String> = lines.iter().map(|line| cut(line, self.width)).collect();
        Ok(output::text(&(lines.join("\n") + "\n"))?)
    }
}
