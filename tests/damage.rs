//! Bits flipped and files cut at random places of a data folder: noticed by name, or harmless.
//!
//! ```text
//! run, run ─► data ─► copy, one place spoiled ─┬─► verify: names the file
//!                                              └─► else: run on ─► refuses, or DuckDB = model
//! ```
//! Journal, chain and tables have checksums, so nothing in them may go unnoticed. What else lies
//! below `system/` is judged by what a run with new records makes of it.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benches::canonical::CanonicalConfig;
use benches::folder::write_canonical;
use sim::Rng;
use store::{Extent, LocalStore, verify_with};
use tempfile::TempDir;
use xtask::fixture::{Finished, Program, files, oracle};
use xtask::kafka::Broker;
use xtask::produce;

/// Places spoiled, by a flipped bit or by a cut.
const PLACES: usize = 200;
/// One place in this many lies where a run has to show what comes of it.
const ELSEWHERE_EVERY: usize = 8;
/// One in this many is shown to the program itself, whatever the library says of it.
const SAMPLED_EVERY: usize = 20;
const SEED: u64 = 4;
/// Long enough for a busy machine; a run takes seconds.
const PATIENCE: Duration = Duration::from_mins(2);
/// What verify checks, byte by byte: nothing here may go unnoticed.
const CHECKED: [&str; 3] = ["system/journal", "system/chain", "tables"];

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A broker with the canonical workload in small, of which `data` has seen two thirds.
struct World {
    folder: TempDir,
    broker: Broker,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = CanonicalConfig { messages: 800, devices: 160, ..CanonicalConfig::default() };
        write_canonical(&folder.path().join("all"), config).expect("the canonical workload");
        let broker = Broker::start().expect("a broker");
        broker.create_topics(4).expect("the topics");
        let world = Self { folder, broker };
        for third in 0..3 {
            let part = world.third(third);
            produce::ndjson_folder(world.broker.bootstrap(), &part).expect("records sent");
            if third < 2 {
                world.run(&world.path("data")).with_code(0);
            }
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A third of the records of each partition; the registry with the first.
    fn third(&self, third: usize) -> PathBuf {
        let part = self.path(&format!("part-{third}"));
        fs::create_dir(&part).expect("a folder");
        for (name, bytes) in files(&self.path("all")) {
            let text = String::from_utf8(bytes).expect("NDJSON is text");
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let parts = if name.to_string_lossy().starts_with("telemetry") { 3 } else { 1 };
            let of_third = lines.chunks(lines.len().div_ceil(parts).max(1)).nth(third);
            fs::write(part.join(name), of_third.unwrap_or_default().concat()).expect("written");
        }
        part
    }

    /// Runs the program on a data folder to the end of the topics.
    fn run(&self, data: &Path) -> Finished {
        let config = self.path("ringwatch.toml");
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\n[store]\ndata = \"{}\"\nentry_records_max = 30\n\
             publish_interval = \"1s\"\ncheckpoint_interval = \"1ms\"\n\
             snapshot_interval = \"1ms\"\nsnapshot_records_min = 60\n[http]\nlisten = \"\"\n",
            self.broker.bootstrap(),
            data.display()
        );
        fs::write(&config, text).expect("a configuration file");
        let run = ["run", "--until-end", "--config"].map(AsRef::as_ref);
        program().spawn(run.into_iter().chain([config.as_os_str()])).finish(PATIENCE)
    }

    /// Whether the tables hold the sums of every record.
    fn is_true(&self, data: &Path) -> bool {
        oracle("compare.py", [data, &self.path("all")]).status.success()
    }
}

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

/// A place in a file, and what is done to it.
#[derive(Debug)]
struct Place {
    file: PathBuf,
    at: usize,
    /// The bit to flip; `None` = the file ends here.
    bit: Option<u32>,
}

impl Place {
    /// Each kind of file is as likely as the other, so is each file of a kind and each byte of it.
    fn draw(rng: &mut Rng, whole: &Files, checked: bool) -> Self {
        let is_checked = |file: &Path| CHECKED.iter().any(|kind| file.starts_with(kind));
        let files: Vec<_> = whole.iter().filter(|(f, _)| is_checked(f) == checked).collect();
        let kinds: BTreeSet<_> = files.iter().map(|(file, _)| kind(file)).collect();
        let drawn = kinds.iter().nth(below(rng, kinds.len())).expect("a kind");
        let files: Vec<_> = files.iter().filter(|(file, _)| kind(file) == *drawn).collect();
        let (file, bytes) = files[below(rng, files.len())];
        let (at, bit) = (below(rng, bytes.len()), rng.below(8));
        Self { file: (*file).clone(), at, bit: rng.chance(0.5).then_some(bit) }
    }

    fn spoil(&self, whole: &Files, data: &Path) {
        for (name, bytes) in whole {
            let mut bytes = bytes.clone();
            match self.bit {
                _ if *name != self.file => {}
                Some(bit) => bytes[self.at] ^= 1 << bit,
                None => bytes.truncate(self.at),
            }
            let path = data.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, bytes).expect("written");
        }
    }
}

/// `system/journal`, `tables/ring_health`, …
fn kind(file: &Path) -> PathBuf {
    file.iter().take(2).collect()
}

fn below(rng: &mut Rng, count: usize) -> usize {
    rng.below(count as u32) as usize
}

/// What verify says is wrong with a data folder.
fn problems(data: &Path) -> Vec<String> {
    let store = LocalStore::open_read_only(data).expect("a data folder");
    match verify_with(&store, Extent::Committed, &mut |_| {}) {
        Ok(report) => report.problems,
        Err(error) => vec![error.to_string()],
    }
}

/// What a run makes of a spoiled folder: it refuses and writes nothing to be read, or every sum is
/// right, or verify has something to say of it.
fn check_run(world: &World, data: &Path, place: &Place) {
    let tables = files(&data.join("tables"));
    let run = world.run(data);
    if run.status.success() {
        let noticed = !problems(data).is_empty();
        assert!(noticed || world.is_true(data), "{place:?}: a silent wrong sum\n{run}");
    } else {
        assert!(run.stderr.contains("ringwatch: "), "{place:?}: ended without a word\n{run}");
        assert!(files(&data.join("tables")) == tables, "{place:?}: wrote before it refused\n{run}");
    }
}

#[test]
fn spoiled_at_any_place_a_folder_is_noticed_by_name_or_does_no_harm() {
    let world = World::new();
    let mut whole = files(&world.path("data"));
    whole.retain(|file, bytes| !file.starts_with("system/tmp") && !bytes.is_empty());
    assert_eq!(problems(&world.path("data")), Vec::<String>::new());
    for states in ["system/snapshots", "system/checkpoints"] {
        assert!(
            whole.iter().any(|(file, _)| file.starts_with(states)),
            "{states} are spoiled, too"
        );
    }
    let mut rng = Rng::new(SEED);
    for number in 0..PLACES {
        let place = Place::draw(&mut rng, &whole, !number.is_multiple_of(ELSEWHERE_EVERY));
        let copy = tempfile::tempdir().expect("a temporary folder");
        let data = copy.path();
        place.spoil(&whole, data);
        let found = problems(data);
        let file = place.file.to_string_lossy();
        let named = found.iter().any(|problem| problem.contains(&*file));
        assert!(named || found.is_empty(), "{place:?}: under another name: {found:#?}");
        let checked = CHECKED.iter().any(|kind| place.file.starts_with(kind));
        assert!(named || !checked, "{place:?}: unnoticed");
        let sampled = number % SAMPLED_EVERY == 1;
        if sampled {
            let verify = ["verify".as_ref(), "--data".as_ref(), data.as_os_str()];
            let said = program().run(verify).with_code(i32::from(named));
            assert!(!named || said.stdout.contains(&*file), "{place:?}\n{said}");
        }
        if sampled || !named {
            check_run(&world, data, &place);
        }
    }
}
