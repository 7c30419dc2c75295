//! The lines of `ringwatch top`: a table of changes by ring, and the open alerts.

use super::{Cell, Fleet, Open};
use crate::output::printable;

/// Width of the first column.
const CHANGE_COLUMNS: usize = 16;

/// Width of a ring's column at least: the longest word and its mark.
const RING_COLUMNS_MIN: usize = 15;

/// Lines kept for alerts, if there are any.
const ALERT_LINES: usize = 6;

/// Whether colours are used; the words say it all without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verbs) enum Palette {
    Colors,
    Plain,
}

impl Palette {
    /// What the user wants of a terminal (<https://no-color.org>).
    pub(in crate::verbs) fn of_environment() -> Self {
        if std::env::var_os("NO_COLOR").is_none() { Self::Colors } else { Self::Plain }
    }
}

/// What is shown of it, on a screen.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Lines of the screen.
    pub rows: usize,
    /// The first change that is shown.
    pub first: usize,
    /// Records received in the last second.
    pub rate: Option<u64>,
    /// Why the service does not answer.
    pub away: Option<String>,
}

/// All lines; without a place every change and every alert.
pub(super) fn lines(
    fleet: &Fleet,
    place: Option<&Place>,
    columns: usize,
    palette: Palette,
) -> Vec<String> {
    let mut lines = head(fleet, place);
    let alerts = fleet.alerts.len();
    let below = if alerts == 0 { 1 } else { (alerts + 1).min(ALERT_LINES) };
    let (first, count) = place.map_or((0, usize::MAX), |place| {
        (place.first, place.rows.saturating_sub(lines.len() + below + 4).max(1))
    });
    let (shown, width) = rings_shown(fleet.rings.len(), columns);
    lines.push(String::new());
    lines.extend(table(fleet, (first, count), (shown, width), palette));
    lines.push(rest(fleet, first, count, shown));
    if alerts > 0 {
        lines.push(format!("Open alerts: {alerts}"));
    }
    let told = place.map_or(usize::MAX, |_| below.saturating_sub(1));
    lines.extend(fleet.alerts.iter().take(told).map(alert));
    lines.into_iter().map(|line| cut(&line, columns)).collect()
}

/// The whole table of changes by ring, as wide as that.
pub(super) fn whole(fleet: &Fleet, columns: usize, palette: Palette) -> Vec<String> {
    let rings = rings_shown(fleet.rings.len(), columns);
    let lines = table(fleet, (0, usize::MAX), rings, palette);
    lines.iter().map(|line| cut(line, columns)).collect()
}

fn table(
    fleet: &Fleet,
    (first, count): (usize, usize),
    (shown, width): (usize, usize),
    palette: Palette,
) -> Vec<String> {
    let mut titles = " ".repeat(CHANGE_COLUMNS);
    for ring in fleet.rings.iter().take(shown) {
        titles.push_str(&fitted(&printable(ring), width));
    }
    let mut lines = vec![titles.trim_end().to_owned()];
    for row in fleet.changes.iter().skip(first).take(count) {
        let mut line = fitted(&printable(&row.change), CHANGE_COLUMNS);
        for cell in row.cells.iter().take(shown) {
            line.push_str(&painted(cell, width, palette));
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn head(fleet: &Fleet, place: Option<&Place>) -> Vec<String> {
    let until = fleet.evaluated_until.as_deref().unwrap_or("nothing yet");
    let rate = place.and_then(|place| place.rate).map(|rate| format!("  {rate}/s"));
    let mut lines = vec![
        format!("ringwatch top  evaluated until {}", printable(until)),
        format!(
            "{} records received{}  {} rejected",
            fleet.counts.received,
            rate.unwrap_or_default(),
            fleet.counts.rejected
        ),
    ];
    lines.extend(match fleet.publisher.as_str() {
        "standby" => Some("ANOTHER PROCESS PUBLISHES: it knows changes and alerts".to_owned()),
        "recovering" => Some("RECOVERING: changes and alerts follow".to_owned()),
        _ => None,
    });
    if let Some(reason) = &fleet.down {
        lines.push(format!("BROKER OUT OF REACH: {}", printable(reason)));
    }
    if let Some(reason) = place.and_then(|place| place.away.as_ref()) {
        lines.push(format!("NO ANSWER, as it last was: {}", printable(reason)));
    }
    lines
}

/// What is there beside what is shown.
fn rest(fleet: &Fleet, first: usize, count: usize, shown: usize) -> String {
    let changes = fleet.changes.len();
    let last = first.saturating_add(count).min(changes);
    let mut said = Vec::new();
    if changes == 0 {
        said.push("no change has been seen yet".to_owned());
    } else if first > 0 || last < changes {
        said.push(format!("changes {} to {last} of {changes}: arrows, PgUp, PgDn", first + 1));
    }
    if shown < fleet.rings.len() {
        said.push(format!("{} more rings: widen the terminal", fleet.rings.len() - shown));
    }
    said.join("; ")
}

/// How many rings fit, and how wide each may be.
fn rings_shown(rings: usize, columns: usize) -> (usize, usize) {
    let room = columns.saturating_sub(CHANGE_COLUMNS);
    let even = room.checked_div(rings).unwrap_or(RING_COLUMNS_MIN);
    // Without the numbers a word still fits; then rings are left out.
    let width = even.clamp(RING_COLUMNS_MIN - 3, RING_COLUMNS_MIN + 12);
    ((room / width).clamp(1, rings.max(1)), width)
}

fn painted(cell: &Cell, width: usize, palette: Palette) -> String {
    let (mark, word, paint) = match cell.standing.as_str() {
        "escalate" => ('▲', "ESCALATE", "\x1b[1;35m"),
        "rollback" => ('◀', "ROLLBACK", "\x1b[1;31m"),
        "hold" => ('■', "HOLD", "\x1b[1;33m"),
        "watch" => ('◆', "watch", "\x1b[33m"),
        "insufficient" => ('…', "insuffic.", "\x1b[2m"),
        "clear" => ('✓', "clear", "\x1b[32m"),
        _ => ('·', "no data", "\x1b[2m"),
    };
    let numbers = match cell.line {
        Some(line) if width >= RING_COLUMNS_MIN + 5 => format!(" {:.1}/{line:.1}", cell.log_e),
        _ => String::new(),
    };
    let plain = fitted(&format!("{mark} {word}{numbers}"), width);
    if palette == Palette::Plain { plain } else { format!("{paint}{plain}\x1b[0m") }
}

fn alert(open: &Open) -> String {
    let decision = open.decision.to_uppercase();
    let (state, since) = (printable(&open.state), printable(&open.starts_at));
    format!("{:9} {since} {state}: {}", printable(&decision), printable(&open.summary))
}

/// Exactly so many columns, the last of them free.
fn fitted(text: &str, width: usize) -> String {
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{cut:width$}")
}

/// At most so many columns; what paints takes none.
pub(in crate::verbs) fn cut(line: &str, columns: usize) -> String {
    let (mut kept, mut taken, mut is_paint) = (String::new(), 0, false);
    for letter in line.chars() {
        is_paint |= letter == '\x1b';
        if is_paint {
            is_paint = letter != 'm';
        } else if taken == columns {
            continue;
        } else {
            taken += 1;
        }
        kept.push(letter);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(changes: usize, rings: usize) -> Fleet {
        let cell = serde_json::json!({ "standing": "rollback", "log_e": 9.25, "line": 7.5 });
        let row = |number| {
            serde_json::json!({
                "change": format!("kb{number}"), "cells": vec![cell.clone(); rings],
            })
        };
        let names: Vec<String> = (0..rings).map(|ring| format!("ring-{ring}")).collect();
        let told = serde_json::json!({
            "evaluated_until": "2026-07-19T10:00:00Z", "rings": names, "down": null,
            "publisher": "leading",
            "changes": (0..changes).map(row).collect::<Vec<_>>(),
            "alerts": [{ "decision": "rollback", "state": "firing", "starts_at": "t",
                         "summary": "bad\u{1b}[2J news" }],
            "counts": { "received": 5, "rejected": 1 },
        });
        serde_json::from_value(told).expect("a fleet")
    }

    fn columns(line: &str) -> usize {
        let is_paint =
            |part: &str| part.split_once('m').map_or(0, |(_, rest)| rest.chars().count());
        let mut parts = line.split('\x1b');
        parts.next().map_or(0, |part| part.chars().count()) + parts.map(is_paint).sum::<usize>()
    }

    #[test]
    fn every_screen_is_filled_and_never_exceeded() {
        for (wide, rows) in [(40, 10), (80, 24), (200, 60)] {
            for (changes, rings) in [(0, 0), (1, 1), (3, 5), (100, 15)] {
                let place = Place { rows, first: 0, rate: Some(9), away: None };
                let told = fleet(changes, rings);
                let lines = lines(&told, Some(&place), wide, Palette::Colors);
                assert!(lines.len() <= rows, "{} of {rows} lines", lines.len());
                assert!(lines.iter().all(|line| columns(line) <= wide), "{lines:#?}");
            }
        }
    }

    #[test]
    fn who_does_not_publish_gives_no_all_clear() {
        for (publisher, said) in [("standby", "ANOTHER PROCESS"), ("recovering", "RECOVERING")] {
            let told = Fleet { publisher: publisher.to_owned(), ..fleet(0, 0) };
            let lines = lines(&told, None, 80, Palette::Plain);
            assert!(lines.iter().any(|line| line.starts_with(said)), "{lines:#?}");
        }
    }

    #[test]
    fn piped_it_shows_everything_without_paint() {
        let lines = lines(&fleet(100, 15), None, usize::MAX, Palette::Plain);
        assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("kb")).count(), 100);
        assert!(lines.iter().any(|line| line.contains("ring-14")));
        assert!(lines.iter().any(|line| line.contains("ROLLBACK 9.2/7.5")), "{}", lines[4]);
    }
}
