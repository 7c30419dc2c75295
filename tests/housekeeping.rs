//! A data folder after settling and retention, as readers who know nothing of ringwatch see it:
//! the views, and the queries of docs/verify.md.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use benches::canonical::CanonicalConfig;
use benches::folder::write_canonical;
use schemas::{Commit, FileRecord};
use serde_json::{Value, json};
use store::settle::{SettleRule, days_due, settle};
use store::{Blobs, Chain, LocalStore, Tables, retention};
use tempfile::TempDir;
use xtask::fixture::{Program, files as files_below, oracle};
use xtask::kafka::Broker;
use xtask::produce::{Producer, Record};

/// After every day of the workload.
const LATER: &str = "2100-01-01";

/// A replayed folder of many small files.
struct World {
    folder: TempDir,
}

/// The folder opened as a publisher would.
struct Opened {
    store: Arc<dyn Blobs>,
    chain: Chain,
    tables: Tables,
}

impl World {
    fn replayed() -> Self {
        Self::replayed_with(30_000, [2_000, 1_500])
    }

    fn replayed_with(messages: u64, [entry_records, publish_rows]: [u64; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let world = Self { folder };
        let config = CanonicalConfig { messages, ..CanonicalConfig::default() };
        write_canonical(&world.path("input"), config).expect("the canonical workload");
        let settings = format!(
            "[store]\nentry_records_max = {entry_records}\npublish_rows_max = {publish_rows}\n"
        );
        fs::write(world.path("replay.toml"), settings).expect("a configuration file");
        let [input, data, config] = ["input", "data", "replay.toml"].map(|name| world.path(name));
        let replay = ["replay".as_ref(), "--input".as_ref(), input.as_os_str()];
        let more = ["--data".as_ref(), data.as_os_str(), "--config".as_ref(), config.as_os_str()];
        ringwatch().run(replay.into_iter().chain(more)).with_code(0);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Opened {
        let store: Arc<dyn Blobs> = Arc::new(LocalStore::open(self.path("data")).expect("a store"));
        let chain = Chain::open(Arc::clone(&store)).expect("a chain");
        Opened { tables: Tables::new(Arc::clone(&store)), chain, store }
    }

    /// What the views of a fresh script read, having checked that they hold the rows of the tables.
    fn views(&self) -> Value {
        let data = self.path("data");
        let script = ["schema".as_ref(), "views".as_ref(), "--data".as_ref(), data.as_os_str()];
        let script = ringwatch().run(script).with_code(0).stdout;
        fs::write(self.path("views.sql"), script).expect("a file");
        let arguments = [data, self.path("views.sql")];
        oracle("views.py", arguments).with_code(0).json()
    }

    /// What each query of docs/verify.md finds wrong.
    fn queries(&self) -> Value {
        oracle("verify_docs.py", [self.folder.path()]).with_code(0).json()
    }

    /// Files and bytes below a folder of the data folder.
    #[expect(clippy::print_stdout, reason = "figures for the document")]
    fn used(&self, folder: &str) -> (usize, u64) {
        let found = files_below(&self.path("data").join(folder));
        let used = (found.len(), found.values().map(|bytes| bytes.len() as u64).sum());
        println!("{folder:<16} {:>6} files {:>12} bytes", used.0, used.1);
        used
    }

    fn verify(&self, code: i32) {
        let data = self.path("data");
        ringwatch().run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(code);
    }
}

impl Opened {
    fn settle_all(&mut self) -> Vec<FileRecord> {
        let rule = SettleRule::default();
        let days = days_due(&*self.store, LATER, rule).expect("a listing");
        let files: Vec<FileRecord> = days
            .iter()
            .flat_map(|day| settle(&self.tables, &self.chain, day, rule).expect("settled"))
            .collect();
        self.commit(Commit { settled: files.clone(), ..Commit::default() });
        for file in &files {
            self.tables.publish(file).expect("published");
        }
        files
    }

    fn commit(&mut self, commit: Commit) {
        let sequence = self.chain.next_sequence();
        self.chain.append(&Commit { v: 1, sequence, ..commit }).expect("committed");
    }
}

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

/// The paths of all files of a dataset, in order.
fn files(data: &Path, dataset: &str) -> Vec<PathBuf> {
    let days = fs::read_dir(data.join("tables").join(dataset)).expect("a dataset");
    let files = days.flat_map(|day| fs::read_dir(day.expect("a day").path()).expect("its files"));
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths
}

#[test]
fn views_read_settled_days_and_the_rest_and_no_row_twice() {
    let world = World::replayed();
    let before = world.views();
    assert_eq!(before["ring_health"]["settled"], 0);
    assert!(before["ring_health"]["files"].as_u64().expect("a count") > 8, "{before}");
    let settled = world.open().settle_all();
    world.verify(0);
    let after = world.views();
    assert_eq!(after["ring_health"], json!({"files": 1, "settled": 1}));
    let rejected = |file: &&FileRecord| file.dataset == "rejected";
    assert_eq!(settled.iter().filter(rejected).count(), 2, "one for rows without a time");

    // A row that comes late is in a table file of a later commit.
    let newest = files(&world.path("data"), "ring_health").pop().expect("a file");
    let late = newest.with_file_name(format!("{:020}-0.parquet", 9_999));
    fs::copy(newest, late).expect("a copy");
    assert_eq!(world.views()["ring_health"], json!({"files": 2, "settled": 1}));
    world.verify(1);
}

/// The figures of docs/verify.md: `HOUSEKEEPING_RECORDS=1000000`, an hour of input in entries of
/// 5 s and files of a quarter of an hour.
#[test]
fn a_settled_day_takes_less_room_than_its_table_files() {
    let records = std::env::var("HOUSEKEEPING_RECORDS").ok();
    let world = match records.map(|text| text.parse().expect("a number of records")) {
        None => World::replayed(),
        Some(records) => World::replayed_with(records, [records / 2_880, 40_000]),
    };
    let (commits, _) = world.used("system/chain");
    world.used("system/journal");
    let (files, bytes) = world.used("tables");
    assert!(files > 3 * commits, "{files} files by {commits} commits");
    world.open().settle_all();
    let (settled_files, settled_bytes) = world.used("settled");
    assert!(
        settled_files <= 6 && settled_bytes < bytes,
        "{settled_files} of {settled_bytes} bytes"
    );
}

#[test]
fn the_queries_of_the_document_find_nothing_in_a_sound_folder_and_what_is_wrong_in_others() {
    let world = World::replayed();
    let mut opened = world.open();
    opened.settle_all();
    let sound = json!({"Offsets": 0, "Sums": 0, "Files": 0, "Settled days": 0});
    assert_eq!(world.queries(), sound);
    let data = world.path("data");

    // A file that is gone.
    let health = files(&data, "ring_health").swap_remove(3);
    let bytes = fs::read(&health).expect("a file");
    fs::remove_file(&health).expect("removed");
    assert_eq!(world.queries(), json!({"Offsets": 0, "Sums": 1, "Files": 1, "Settled days": 1}));
    fs::write(&health, &bytes).expect("written");
    // One that is foreign.
    let foreign = health.with_file_name("00000000000000009999-0.parquet");
    fs::copy(&health, &foreign).expect("a copy");
    assert_eq!(world.queries(), json!({"Offsets": 0, "Sums": 1, "Files": 1, "Settled days": 0}));
    fs::remove_file(foreign).expect("removed");
    // A commit with all its files, from the middle of a partition.
    let health = &files(&data, "ring_health")[6];
    let name = health.file_name().and_then(|name| name.to_str()).expect("a name");
    let sequence = name.split('-').next().expect("a sequence").to_owned();
    for dataset in ["ring_health", "ring_signals", "device_updates", "rejected"] {
        for file in files(&data, dataset) {
            if file.to_string_lossy().contains(&sequence) {
                fs::remove_file(file).expect("removed");
            }
        }
    }
    let found = world.queries();
    assert!(found["Offsets"].as_u64() > Some(0), "{found}");
    world.verify(1);
}

#[test]
fn a_day_that_was_dropped_is_gone_for_readers_and_no_problem() {
    let world = World::replayed();
    let mut opened = world.open();
    opened.settle_all();
    let dropped = retention::days_before(&*opened.store, LATER).expect("a listing");
    assert_eq!(dropped.len(), 5, "a day of each dataset that has files: {dropped:?}");
    let signals: Vec<_> = dropped.into_iter().filter(|day| day.dataset == "ring_signals").collect();
    let sequence = opened.chain.next_sequence();
    opened.commit(Commit { dropped: signals.clone(), ..Commit::default() });
    world.verify(0);
    let deleted = retention::delete_days(&*opened.store, &signals, sequence).expect("deleted");
    assert!(deleted.objects > 8 && deleted.bytes > 0, "{deleted:?}");
    world.verify(0);
    assert_eq!(files(&world.path("data"), "ring_signals"), Vec::<PathBuf>::new());
    assert_eq!(world.views().get("ring_signals"), None);
    let sound = json!({"Offsets": 0, "Sums": 0, "Files": 0, "Settled days": 0});
    assert_eq!(world.queries(), sound);
}

/// Everything that is done in hours or days, in a second.
const IN_SECONDS: &str = "\
[store]
commit_interval = \"200ms\"
publish_interval = \"500ms\"
snapshot_interval = \"1s\"
snapshot_records_min = 1
checkpoint_interval = \"1s\"
settle_after = \"1s\"
journal_keep = 1
collect_after = \"1s\"
housekeeping_interval = \"1s\"
";

/// A running service whose input moves on by an hour in each step.
struct Service {
    broker: Broker,
    world: World,
    hours: u32,
}

impl Service {
    fn new() -> Self {
        let broker = Broker::start().expect("a broker");
        broker.create_topics(2).expect("the topics");
        let world = World { folder: tempfile::tempdir().expect("a temporary folder") };
        Self { broker, world, hours: 0 }
    }

    /// Runs until `is_done` with the hours that it takes; all of them must be counted.
    fn run_until(&mut self, retention_days: u32, is_done: impl Fn(&Path) -> bool) {
        let (config, data) = (self.world.path("ringwatch.toml"), self.world.path("data"));
        let text = format!(
            "{IN_SECONDS}retention_days = {retention_days}\ndata = \"{}\"\n\
             [kafka]\nbrokers = \"{}\"\n[http]\nlisten = \"\"\n\
             [windows]\nidle_after = \"2s\"\nlog_idle_after = \"1s\"\n",
            data.display(),
            self.broker.bootstrap(),
        );
        fs::write(&config, text).expect("a configuration file");
        let run = ["run", "--json", "--config"].map(OsStr::new);
        let service = ringwatch().spawn(run.into_iter().chain([config.as_os_str()]));
        let last = self.hours + HOURS_MAX;
        while !is_done(&data) {
            assert!(self.hours < last, "not in {HOURS_MAX} steps\n{}", service.stderr());
            self.produce();
            sleep(STEP);
        }
        let summary = service.terminate(PATIENCE).with_code(0).json();
        let until_end = ["run", "--json", "--until-end", "--config"].map(OsStr::new);
        let until_end = until_end.into_iter().chain([config.as_os_str()]);
        let more = ringwatch().spawn(until_end).finish(PATIENCE).with_code(0).json();
        assert!(summary["records"].as_u64() <= more["records"].as_u64(), "{summary} {more}");
        assert_eq!(more["records"], 2 * self.hours);
        self.world.verify(0);
    }

    /// A heartbeat in each partition, an hour after the last.
    fn produce(&mut self) {
        let mut producer = Producer::connect(self.broker.bootstrap()).expect("a producer");
        let time = format!("2026-07-{:02}T{:02}:00:00Z", 10 + self.hours / 24, self.hours % 24);
        for partition in 0..2 {
            let device = format!("d-{partition}");
            let value = json!({"type": "heartbeat", "device": device, "ring": "first",
                "uptime_s": 5, "time": time});
            let (key, value) = (device.into_bytes(), value.to_string().into_bytes());
            let record = Record { key: Some(&key), value: Some(&value), ..Record::default() };
            producer.send("telemetry", partition, record).expect("sent");
        }
        producer.finish().expect("acknowledged");
        self.hours += 1;
    }
}

/// Steps that a wait may take: six days of input.
const HOURS_MAX: u32 = 144;

/// Between two steps: more than one entry, less than two publications.
const STEP: Duration = Duration::from_millis(300);

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Files in a folder that may not be there.
fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_service_settles_collects_and_drops_and_goes_on_from_what_is_left() {
    let mut service = Service::new();
    let day = "ring_health/date=2026-07-10";
    service.run_until(0, |data| {
        let first = data.join("system/journal/telemetry/0/00000000000000000000");
        data.join("settled").join(day).exists() && !first.exists()
    });
    let views = service.world.views();
    assert!(views["ring_health"]["settled"].as_u64() >= Some(1), "{views}");
    let sound = json!({"Offsets": 0, "Sums": 0, "Files": 0, "Settled days": 0});
    assert_eq!(service.world.queries(), sound);

    service.run_until(1, |data| {
        ["tables", "settled"].iter().all(|folder| count(&data.join(folder).join(day)) == 0)
    });
    let views = service.world.views();
    assert!(views["ring_health"]["files"].as_u64() >= Some(1), "{views}");
}
