//! The evaluation: every scenario family by seed, one committed line per seed, one document.
//!
//! ```text
//! scenarios/GROUP/NAME.toml ─► ringwatch evaluate --seed N ─► docs/evaluation/results/….tsv
//!                              several at once, resumable          └─► docs/evaluation.md
//! ```
//! A family is a scenario file. Its lines belong to that file and to `scenarios/ringwatch.toml`
//! as they were: where either has changed, the family is begun afresh.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sim::Scenario;

use crate::{Failure, repository};

pub mod document;
pub mod results;
mod same;
pub mod statistics;

use results::{Line, Results};

pub use results::told;
pub use same::replayed;

/// Where the document stands.
pub const DOCUMENT: &str = "docs/evaluation.md";

/// Where the scenarios stand, and the configuration for all of them.
const SCENARIOS: &str = "scenarios";
const CONFIG: &str = "scenarios/ringwatch.toml";

/// What is run.
#[derive(Args, Debug)]
pub struct Options {
    /// Families (`null/clustered`) or groups (`null`); all of them without it
    families: Vec<String>,
    /// Seeds of each; without it 400 of a change that does nothing, 100 of harm, 20 of an incident
    #[arg(long)]
    seeds: Option<u64>,
    /// Stories told at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Forgets the lines there are: the detector has changed
    #[arg(long)]
    afresh: bool,
    /// Runs nothing; writes the document from the lines there are
    #[arg(long)]
    document: bool,
    /// Also writes that many seeds of each as NDJSON and compares the alerts of `replay`
    #[arg(long, default_value_t = 0)]
    replay: u64,
}

/// A scenario file.
#[derive(Clone, Debug)]
pub struct Family {
    /// `null/clustered`.
    pub name: String,
    pub scenario: Scenario,
    /// The comment at its head.
    pub about: String,
    /// Of the file and the configuration.
    pub digest: String,
}

/// What a group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Null,
    Harm,
    Incidents,
}

impl Group {
    pub const ALL: [Self; 3] = [Self::Null, Self::Harm, Self::Incidents];

    /// Its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Harm => "harm",
            Self::Incidents => "incidents",
        }
    }

    const fn seeds(self) -> u64 {
        match self {
            Self::Null => 400,
            Self::Harm => 100,
            Self::Incidents => 20,
        }
    }
}

/// Every family of a group, by name.
pub fn families(group: Group) -> Result<Vec<Family>, Failure> {
    let folder = repository().join(SCENARIOS).join(group.name());
    let reading = || Failure::io(format!("read {}", folder.display()));
    let entries = fs::read_dir(&folder).map_err(reading())?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| family(group, path)).collect()
}

fn family(group: Group, path: &Path) -> Result<Family, Failure> {
    let text = read(path)?;
    let config = read(&repository().join(CONFIG))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let scenario = Scenario::parse(&text)
        .map_err(|error| Failure::Unmet(format!("{}: {error}", path.display())))?;
    let head = text.lines().map_while(|line| line.strip_prefix("# "));
    let about = head.take_while(|line| !line.starts_with("Hours: ")).collect::<Vec<_>>().join(" ");
    let digest = format!("{:016x}", fnv(text.bytes().chain(config.bytes())));
    Ok(Family { name: format!("{}/{stem}", group.name()), scenario, about, digest })
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::io(format!("read {}", path.display())))
}

/// FNV-1a: notices an edit; nobody has a reason to forge one.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Tells what is missing, then writes the document.
pub fn run(options: &Options) -> Result<(), Failure> {
    if !options.document {
        tell(options)?;
    }
    let text = document::text()?;
    let path = repository().join(DOCUMENT);
    fs::write(&path, text).map_err(Failure::io(format!("write {}", path.display())))
}

fn tell(options: &Options) -> Result<(), Failure> {
    let program = build()?;
    let mut stories = VecDeque::new();
    let mut chosen = Vec::new();
    for group in Group::ALL {
        for family in families(group)? {
            let is_named = |name: &String| *name == family.name || name == group.name();
            if !options.families.is_empty() && !options.families.iter().any(is_named) {
                continue;
            }
            if options.afresh {
                Results::forget(&family)?;
            }
            let results = Results::open(&family)?;
            let seeds = 1..=options.seeds.unwrap_or_else(|| group.seeds());
            stories.extend(
                seeds.filter(|seed| !results.has(*seed)).map(|seed| (family.clone(), seed)),
            );
            chosen.push(family);
        }
    }
    if chosen.is_empty() {
        return Err(Failure::Unmet("no such family; they are the files of scenarios/".to_owned()));
    }
    tell_all(&program, stories, options.jobs)?;
    same::check(&program, &chosen, options.replay)
}

/// Tells all stories, as many at once as there are jobs; each line is on disk before the next.
fn tell_all(program: &Path, stories: VecDeque<(Family, u64)>, jobs: usize) -> Result<(), Failure> {
    let bar = ProgressBar::new(stories.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} [{wide_bar}] {msg} {eta} left") {
        bar.set_style(style);
    }
    let stories = Mutex::new(stories);
    let next = || stories.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || -> Result<(), Failure> {
        while let Some((family, seed)) = next() {
            bar.set_message(family.name.clone());
            Line::of(program, &family, seed)?.append(&family)?;
            bar.inc(1);
        }
        Ok(())
    };
    let ended: Vec<Result<(), Failure>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(Failure::Unmet("a worker panicked".to_owned())))
        });
        ended.collect()
    });
    bar.finish_and_clear();
    ended.into_iter().collect()
}

/// The optimised program.
fn build() -> Result<PathBuf, Failure> {
    let mut cargo = crate::command("cargo");
    cargo.args(["build", "--release", "--bin", "ringwatch"]).current_dir(repository());
    let status = cargo.status().map_err(Failure::io("start cargo"))?;
    if !status.success() {
        return Err(Failure::Unmet("ringwatch does not build".to_owned()));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| repository().join("target"));
    Ok(target.join("release/ringwatch"))
}
