//! What is kept of a story: one line per seed, in a file per family.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

use super::{CONFIG, Family, SCENARIOS};
use crate::{Failure, repository};

const FOLDER: &str = "docs/evaluation/results";

const COLUMNS: &str = "seed\tmet\talarms\tright\tdecision\tchange\tring\tsignal\tcohort\tdelay_h\t\
                       devices_hit\tlog_e\trecords\tseconds";

/// One story: what `ringwatch evaluate --json` prints, and how long it took.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Line {
    pub seed: u64,
    pub records: u64,
    pub alarms: u64,
    /// Alarms that name the guilty change.
    pub right: u64,
    /// Whether the story ended as its scenario expects.
    pub met: bool,
    /// The alarm that is as expected, else the first one.
    pub first: Option<Alarm>,
    #[serde(default)]
    pub seconds: f64,
}

/// See [`Line::first`].
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Alarm {
    pub decision: String,
    pub change: String,
    pub ring: String,
    pub signal: String,
    pub cohort: Option<String>,
    pub delay_h: f64,
    pub devices_hit: i64,
    pub log_e: f64,
}

impl Line {
    /// Tells the story of a seed.
    pub fn of(program: &Path, family: &Family, seed: u64) -> Result<Self, Failure> {
        let started = Instant::now();
        let said = told(program, family, seed)?;
        let line = Self::deserialize(said)
            .map_err(|error| Failure::Unmet(format!("{} seed {seed}: {error}", family.name)))?;
        Ok(Self { seconds: started.elapsed().as_secs_f64(), ..line })
    }

    /// Adds it to the file of its family.
    pub fn append(&self, family: &Family) -> Result<(), Failure> {
        let path = path(family);
        let adding = || Failure::io(format!("add to {}", path.display()));
        let mut file = OpenOptions::new().append(true).open(&path).map_err(adding())?;
        file.write_all(format!("{}\n", self.text()).as_bytes()).map_err(adding())
    }

    /// As it stands in a file, but for the time it took.
    #[must_use]
    pub fn rounded(&self) -> String {
        Self { seconds: 0.0, ..self.clone() }.text()
    }

    fn text(&self) -> String {
        let Self { seed, met, alarms, right, records, seconds, .. } = self;
        let mut text = format!("{seed}\t{met}\t{alarms}\t{right}\t");
        // Writing to a string cannot fail.
        match &self.first {
            Some(Alarm { decision, change, ring, signal, cohort, delay_h, devices_hit, log_e }) => {
                let cohort = cohort.as_deref().unwrap_or("-");
                write!(text, "{decision}\t{change}\t{ring}\t{signal}\t{cohort}\t").ok();
                write!(text, "{delay_h:.3}\t{devices_hit}\t{log_e:.2}").ok();
            }
            None => text.push_str("-\t-\t-\t-\t-\t-\t-\t-"),
        }
        write!(text, "\t{records}\t{seconds:.1}").ok();
        text
    }

    /// A line of a file; `None` for one that was cut short, as by a power cut.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('\t').collect();
        let [seed, met, alarms, right, alarm @ .., records, seconds] = fields.as_slice() else {
            return None;
        };
        let [decision, change, ring, signal, cohort, delay_h, devices_hit, log_e] = alarm else {
            return None;
        };
        let own = |text: &str| text.to_owned();
        let first = (*decision != "-").then(|| {
            Some(Alarm {
                decision: own(decision),
                change: own(change),
                ring: own(ring),
                signal: own(signal),
                cohort: (*cohort != "-").then(|| own(cohort)),
                delay_h: delay_h.parse().ok()?,
                devices_hit: devices_hit.parse().ok()?,
                log_e: log_e.parse().ok()?,
            })
        });
        Some(Self {
            seed: seed.parse().ok()?,
            met: met.parse().ok()?,
            alarms: alarms.parse().ok()?,
            right: right.parse().ok()?,
            records: records.parse().ok()?,
            seconds: seconds.parse().ok()?,
            first: match first {
                Some(read) => Some(read?),
                None => None,
            },
        })
    }
}

/// What `ringwatch evaluate` says of a seed.
pub fn told(program: &Path, family: &Family, seed: u64) -> Result<serde_json::Value, Failure> {
    let mut command = crate::command(&program.to_string_lossy());
    command.args(["evaluate", "--json", "--config", CONFIG, "--scenario"]);
    command.arg(format!("{SCENARIOS}/{}.toml", family.name)).args(["--seed", &seed.to_string()]);
    let output = command
        .current_dir(repository())
        .output()
        .map_err(Failure::io(format!("start {}", program.display())))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        Failure::Unmet(format!("{} seed {seed}: {}", family.name, said.trim()))
    })
}

/// The lines of a family.
#[derive(Clone, Debug, Default)]
pub struct Results {
    pub lines: BTreeMap<u64, Line>,
}

impl Results {
    /// The lines that belong to the family as it is; none where there is no file.
    pub fn read(family: &Family) -> Self {
        let text = fs::read_to_string(path(family)).unwrap_or_default();
        let current = text.lines().next() == Some(head(family).as_str());
        let lines = text.lines().skip(2).filter(|_| current).filter_map(Line::parse);
        Self { lines: lines.map(|line| (line.seed, line)).collect() }
    }

    /// The same, and makes sure that the file is one to add to.
    pub(super) fn open(family: &Family) -> Result<Self, Failure> {
        let results = Self::read(family);
        let path = path(family);
        let writing = || Failure::io(format!("write {}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(writing())?;
        }
        let mut text = format!("{}\n{COLUMNS}\n", head(family));
        for line in results.lines.values() {
            text.push_str(&line.text());
            text.push('\n');
        }
        fs::write(&path, text).map_err(writing())?;
        Ok(results)
    }

    pub(super) fn forget(family: &Family) -> Result<(), Failure> {
        match fs::remove_file(path(family)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::io(format!("remove {}", path(family).display()))(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn has(&self, seed: u64) -> bool {
        self.lines.contains_key(&seed)
    }
}

fn path(family: &Family) -> PathBuf {
    repository().join(FOLDER).join(format!("{}.tsv", family.name))
}

fn head(family: &Family) -> String {
    format!("# {} as of {}", family.name, family.digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_half_a_line_is_none() {
        let line = Line {
            seed: 7,
            records: 1_000,
            alarms: 2,
            right: 1,
            met: true,
            first: Some(Alarm {
                decision: "hold".to_owned(),
                change: "kb1".to_owned(),
                ring: "first".to_owned(),
                signal: "os_crash".to_owned(),
                cohort: Some("driver=nv".to_owned()),
                delay_h: 5.25,
                devices_hit: 9,
                log_e: 7.5,
            }),
            seconds: 1.5,
        };
        assert_eq!(Line::parse(&line.text()), Some(line.clone()));
        let quiet = Line { first: None, alarms: 0, ..line.clone() };
        assert_eq!(Line::parse(&quiet.text()), Some(quiet));
        let half = &line.text()[..20];
        assert_eq!(Line::parse(half), None);
    }
}
