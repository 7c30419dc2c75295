//! `ringwatch top`: a running service in the terminal, asked by HTTP once a second.
//!
//! ```text
//! /api/v1/fleet ─► Fleet ─► screen::lines ─► terminal (redrawn in place) or, piped, once as text
//!                              keys ─► place ──┘
//! ```

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use console::{Key, Term};
use serde::Deserialize;

pub(super) mod screen;

use screen::{Palette, Place};

use crate::cli::{Common, TopArgs};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format};
use crate::view::View;

/// How often the service is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// 16 MiB: a hundred times a large fleet.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What the service says of the fleet: the part of `/api/v1/fleet` that is drawn.
#[derive(Clone, Debug, Deserialize)]
struct Fleet {
    evaluated_until: Option<String>,
    rings: Vec<String>,
    changes: Vec<Row>,
    alerts: Vec<Open>,
    publisher: String,
    counts: Counts,
    down: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    change: String,
    cells: Vec<Cell>,
}

#[derive(Clone, Debug, Deserialize)]
struct Cell {
    standing: String,
    log_e: f64,
    line: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Open {
    decision: String,
    state: String,
    summary: String,
    starts_at: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Counts {
    received: u64,
    rejected: u64,
}

/// Draws until a key ends it; prints once where nobody is at the terminal.
pub fn run(common: &Common, args: &TopArgs) -> Result<Outcome, Failure> {
    let service = Service::new(&args.url);
    let is_live = std::io::stdout().is_terminal() && !args.once;
    if common.format() == Format::Json {
        output::text(&service.text()?)?;
        output::line("")?;
    } else if is_live {
        watch(&service)?;
    } else {
        let (columns, _) = (usize::MAX, 0);
        for line in screen::lines(&service.fleet()?, None, columns, Palette::Plain) {
            output::line(&line)?;
        }
    }
    Ok(Outcome::Fine)
}

/// The table of changes by ring, of what `/api/v1/fleet` says.
pub(super) fn table(fleet: &View, columns: usize, palette: Palette) -> Vec<String> {
    let fleet = serde_json::from_value(crate::http::fleet::fleet(fleet));
    fleet.map_or_else(|_| Vec::new(), |fleet| screen::whole(&fleet, columns, palette))
}

struct Service {
    agent: ureq::Agent,
    address: String,
    shown: String,
}

impl Service {
    fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).build();
        let base = url.trim_end_matches('/');
        let address = format!("{base}/api/v1/fleet");
        Self { agent: config.into(), address, shown: base.to_owned() }
    }

    fn text(&self) -> Result<String, Failure> {
        let asked = self.agent.get(&self.address).call();
        let read = asked.and_then(|mut answer| {
            answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()
        });
        read.map_err(|error| {
            Failure::failed(format!(
                "no answer from {}: {error}; is it running, and is `http.listen` set?",
                output::printable(&self.shown)
            ))
        })
    }

    fn fleet(&self) -> Result<Fleet, Failure> {
        serde_json::from_str(&self.text()?).map_err(|error| {
            Failure::failed(format!("{} is no ringwatch of this version: {error}", self.address))
        })
    }
}

/// The terminal as it was, whatever ends the drawing.
struct Screen(Term);

impl Screen {
    fn open() -> Result<Self, Failure> {
        // The other screen, without a cursor.
        output::text("\x1b[?1049h\x1b[?25l")?;
        Ok(Self(Term::stdout()))
    }

    fn draw(&self, lines: &[String]) -> Result<(), Failure> {
        // Line by line over what is there: nothing flickers.
        let mut text = "\x1b[H".to_owned();
        for line in lines.iter().take(self.rows()) {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.truncate(text.len().saturating_sub(2));
        text.push_str("\x1b[J");
        Ok(output::text(&text)?)
    }

    fn rows(&self) -> usize {
        usize::from(self.0.size().0)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        output::text("\x1b[?25h\x1b[?1049l").ok();
    }
}

fn watch(service: &Service) -> Result<(), Failure> {
    let mut fleet = service.fleet()?;
    let palette = Palette::of_environment();
    let keys = keys()?;
    let screen = Screen::open()?;
    let mut place = Place { rows: screen.rows(), first: 0, rate: None, away: None };
    loop {
        place.rows = screen.rows();
        let columns = usize::from(screen.0.size().1);
        screen.draw(&screen::lines(&fleet, Some(&place), columns, palette))?;
        let page = place.rows / 2;
        match keys.recv_timeout(ASK_EVERY) {
            Ok(Key::Char('q') | Key::Escape | Key::CtrlC) | Err(RecvTimeoutError::Disconnected) => {
                return Ok(());
            }
            Ok(Key::ArrowDown) => place.first += 1,
            Ok(Key::ArrowUp) => place.first = place.first.saturating_sub(1),
            Ok(Key::PageDown) => place.first += page,
            Ok(Key::PageUp) => place.first = place.first.saturating_sub(page),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => match service.fleet() {
                Ok(newer) => {
                    let more = newer.counts.received.saturating_sub(fleet.counts.received);
                    place.rate = Some(more);
                    place.away = None;
                    fleet = newer;
                }
                // What was last seen stays, and says so.
                Err(error) => place.away = Some(error.line()),
            },
        }
        place.first = place.first.min(fleet.changes.len().saturating_sub(1));
    }
}

/// Keys as they are pressed, from a thread that ends with the process.
fn keys() -> Result<Receiver<Key>, Failure> {
    let (sender, receiver) = channel();
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        let term = Term::stdout();
        while let Ok(key) = term.read_key_raw() {
            let ends = matches!(key, Key::Char('q') | Key::Escape | Key::CtrlC);
            if sender.send(key).is_err() || ends {
                return;
            }
        }
    })?;
    Ok(receiver)
}
