//! A data folder in S3 and in Azure Blob: what a store promises, and the main job on real servers.
//!
//! ```text
//! MemoryStore, LocalStore, S3 (moto), Azure Blob (azurite)   the same promises, case by case
//! RemoteStore ─► proxy with faults ─► server                 one object whatever goes wrong
//! Kafka ─► ringwatch run, killed and started again ─► server ─► tables = model, verify
//! ```
//! The last with two kills; `cargo xtask soak object-store` does twenty on each server.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use benches::canonical::CanonicalConfig;
use benches::folder::write_canonical;
use store::{Blobs, LocalStore, MemoryStore, Put, RemoteStore, StoreError};
use tempfile::TempDir;
use xtask::faults::usage::Usage;
use xtask::fixture::{Program, files, finish, oracle, spawn};
use xtask::kafka::Broker;
use xtask::object_store::{Fault, Kind, Proxy, Server};
use xtask::produce;

const KINDS: [Kind; 2] = [Kind::S3, Kind::Azure];

/// Long enough for a busy machine; a run takes seconds.
const PATIENCE: Duration = Duration::from_mins(5);

fn open(server: &Server, port: u16, prefix: &str) -> Result<RemoteStore, StoreError> {
    RemoteStore::open(&server.url(prefix), server.environment_at(port), "proof")
}

fn server(kind: Kind) -> Server {
    Server::start(kind).expect("an object store")
}

/// Runs the same case on every kind of store, each empty; `case` gets two openings of it.
fn check_all(case: impl Fn(&Arc<dyn Blobs>, &Arc<dyn Blobs>)) {
    let memory: Arc<dyn Blobs> = Arc::new(MemoryStore::new());
    case(&memory, &memory);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let local = || -> Arc<dyn Blobs> { Arc::new(LocalStore::open(folder.path()).expect("fit")) };
    case(&local(), &local());
    for kind in KINDS {
        let server = server(kind);
        // Below a prefix, beside a neighbour whose name begins alike, and at the top.
        let at = |prefix: &str| -> Arc<dyn Blobs> {
            Arc::new(open(&server, server.port(), prefix).expect("fit"))
        };
        at("a/b2").put_if_absent("tables/9", b"not ours").expect("a neighbour");
        case(&at("a/b"), &at("a/b/"));
        if kind == Kind::S3 {
            let top = self::server(kind);
            let at_top =
                || -> Arc<dyn Blobs> { Arc::new(open(&top, top.port(), "").expect("fit")) };
            case(&at_top(), &at_top());
        }
    }
}

#[test]
fn every_store_keeps_the_same_promises() {
    check_all(|one, other| {
        let probes = one.list("system/probe").expect("a list");
        assert_eq!(probes, Vec::<String>::new(), "left behind when it was opened");
        puts_and_reads(&**one, &**other);
        lists(&**one);
        publishes(&**one, &**other);
        of_many_writers_one_wins(one, other);
    });
}

fn puts_and_reads(one: &dyn Blobs, other: &dyn Blobs) {
    assert_eq!(one.put_if_absent("system/a/1", b"one").expect("a put"), Put::Written);
    assert_eq!(other.put_if_absent("system/a/1", b"two").expect("a put"), Put::Taken);
    assert_eq!(one.put_if_absent("system/a/1", b"one").expect("a put"), Put::Taken);
    let start = |key, bytes| other.get_start(key, bytes).expect("a read");
    assert_eq!(other.get("system/a/1").expect("a read").as_deref(), Some(&b"one"[..]));
    assert_eq!(start("system/a/1", 0).as_deref(), Some(&b""[..]));
    assert_eq!(start("system/a/1", 2).as_deref(), Some(&b"on"[..]));
    assert_eq!(start("system/a/1", 3).as_deref(), Some(&b"one"[..]));
    assert_eq!(start("system/a/1", 9).as_deref(), Some(&b"one"[..]));
    assert_eq!(one.put_if_absent("system/a/empty", b"").expect("a put"), Put::Written);
    assert_eq!(other.get("system/a/empty").expect("a read").as_deref(), Some(&b""[..]));
    assert_eq!(start("system/a/empty", 9).as_deref(), Some(&b""[..]));
    assert_eq!(start("system/a/2", 9), None);
    for absent in ["system/a/2", "system/a", "system/a/1/below"] {
        let found = one.get(absent);
        assert!(!matches!(found, Ok(Some(_))), "{absent}: {found:?}");
    }
    one.replace("system/cursors/a%20b", b"1").expect("a put");
    other.replace("system/cursors/a%20b", b"2").expect("a put");
    assert_eq!(one.get("system/cursors/a%20b").expect("a read").as_deref(), Some(&b"2"[..]));
    one.delete("system/cursors/a%20b").expect("a delete");
    one.delete("system/cursors/a%20b").expect("another delete");
    assert_eq!(one.get("system/cursors/a%20b").expect("a read"), None);
    one.sync("system/a").expect("a sync");
}

fn lists(blobs: &dyn Blobs) {
    let keys = ["tables/b=1/10", "tables/b=1/2", "tables/b=1/1", "tables/a/9", "tables-x/1"];
    for key in keys {
        blobs.put_if_absent(key, b"x").expect("a put");
    }
    let sorted = ["tables/a/9", "tables/b=1/1", "tables/b=1/10", "tables/b=1/2"];
    assert_eq!(blobs.list("tables").expect("a list"), sorted);
    assert_eq!(blobs.list("tables/b=1").expect("a list"), sorted[1..]);
    assert_eq!(blobs.list("nothing").expect("a list"), Vec::<String>::new());
    let after = |prefix, key| blobs.list_after(prefix, key).expect("a list");
    assert_eq!(after("tables", "tables/a/9"), sorted[1..]);
    assert_eq!(after("tables/b=1", "tables/b=1/1"), sorted[2..]);
    assert_eq!(after("tables/b=1", "tables/b=1/100"), sorted[3..]);
    assert_eq!(after("tables", "tables/b=1/2"), Vec::<String>::new());
}

fn publishes(one: &dyn Blobs, other: &dyn Blobs) {
    for (staged, bytes) in [("1", &b"rows"[..]), ("2", b"rows"), ("3", b"else")] {
        one.put_if_absent(&format!("system/staging/{staged}"), bytes).expect("a put");
    }
    one.publish("system/staging/1", "tables/1").expect("the first");
    other.publish("system/staging/1", "tables/1").expect("again");
    other.publish("system/staging/2", "tables/1").expect("the same bytes");
    let foreign = other.publish("system/staging/3", "tables/1").expect_err("other bytes");
    assert!(matches!(foreign, StoreError::Damaged { .. }), "{foreign}");
    let missing = one.publish("system/staging/4", "tables/4").expect_err("nothing staged");
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert_eq!(other.get("tables/1").expect("a read").as_deref(), Some(&b"rows"[..]));
}

fn of_many_writers_one_wins(one: &Arc<dyn Blobs>, other: &Arc<dyn Blobs>) {
    for round in 0..8 {
        let key = format!("system/race/{round}");
        let writers: Vec<_> = (0..8_u8)
            .map(|number| {
                let blobs = Arc::clone(if number % 2 == 0 { one } else { other });
                let key = key.clone();
                thread::spawn(move || blobs.put_if_absent(&key, &[number]).expect("a put"))
            })
            .collect();
        let puts: Vec<Put> = writers.into_iter().map(|w| w.join().expect("a writer")).collect();
        let winners: Vec<usize> = (0..8).filter(|at| puts[*at] == Put::Written).collect();
        let standing = one.get(&key).expect("a read").expect("an object");
        assert_eq!(winners, [usize::from(standing[0])], "{puts:?}");
    }
}

#[test]
fn a_lost_answer_a_503_a_conflict_and_a_slow_answer_end_as_exactly_one_object() {
    for kind in KINDS {
        let server = server(kind);
        let proxy = Proxy::start(server.port()).expect("a proxy");
        let far = open(&server, proxy.port(), "x").expect("fit");
        let near = open(&server, server.port(), "x").expect("fit");
        let written = |key: &str| near.get(key).expect("a read").expect("an object");
        for (count, fault) in [
            (1, Fault::LostAnswer),
            (2, Fault::LostAnswer),
            (2, Fault::Busy),
            (2, Fault::Conflict),
            (1, Fault::Slow(Duration::from_secs(1))),
        ] {
            let key = format!("system/{count}-{}", format!("{fault:?}").len());
            proxy.fail_next(count, "PUT", fault);
            let put = far.put_if_absent(&key, b"mine");
            assert_eq!(put.expect("a put"), Put::Written, "{kind:?} {fault:?}");
            assert_eq!(written(&key), b"mine");
            proxy.fail_next(count, "PUT", fault);
            assert_eq!(far.put_if_absent(&key, b"other").expect("a put"), Put::Taken);
            assert_eq!(written(&key), b"mine", "{kind:?} {fault:?}");
        }
        near.put_if_absent("system/staging/1", b"rows").expect("a put");
        proxy.fail_next(2, "PUT", Fault::LostAnswer);
        far.publish("system/staging/1", "tables/1").expect("published");
        assert_eq!(written("tables/1"), b"rows");
        proxy.fail_next(2, "GET", Fault::Busy);
        assert_eq!(far.list("tables").expect("a list"), ["tables/1"]);
        proxy.fail_next(2, "GET", Fault::LostAnswer);
        assert_eq!(far.get("tables/1").expect("a read").as_deref(), Some(&b"rows"[..]));
    }
}

/// docs/decisions/0009-object-stores.md reckons with these.
#[test]
fn each_call_costs_one_request_and_publishing_two() {
    for kind in KINDS {
        let server = server(kind);
        let proxy = Proxy::start(server.port()).expect("a proxy");
        let store = open(&server, proxy.port(), "x").expect("fit");
        let check = |expected: &[(&str, u64)], call: &dyn Fn()| {
            let before = proxy.counts();
            call();
            let mut spent = proxy.counts();
            for (what, count) in before {
                *spent.entry(what).or_default() -= count;
            }
            spent.retain(|_, count| *count > 0);
            let spent: Vec<(&str, u64)> = spent.iter().map(|(w, count)| (&**w, *count)).collect();
            assert_eq!(spent, expected, "{kind:?}");
        };
        let rows = vec![7; 3 << 20];
        check(&[("PUT", 1)], &|| {
            store.put_if_absent("system/staging/1", &rows).expect("a put");
        });
        check(&[("GET", 1), ("PUT", 1)], &|| {
            store.publish("system/staging/1", "tables/1").expect("published");
        });
        check(&[("GET", 1)], &|| drop(store.get("tables/1").expect("a read")));
        check(&[("GET", 1)], &|| drop(store.get_start("tables/1", 9).expect("a read")));
        check(&[("LIST", 1)], &|| drop(store.list("tables").expect("a list")));
        check(&[("PUT", 1)], &|| store.replace("system/cursors/a", b"1").expect("a put"));
        check(&[("POST", 1)], &|| store.delete("system/staging/1").expect("a delete"));
    }
}

#[test]
fn an_outage_is_told_within_seconds_as_one_that_passes() {
    // Side by side: most of it is waiting.
    thread::scope(|scope| {
        for kind in KINDS {
            scope.spawn(move || check_outages(kind));
        }
    });
}

fn check_outages(kind: Kind) {
    let server = server(kind);
    let proxy = Proxy::start(server.port()).expect("a proxy");
    let store = open(&server, proxy.port(), "x").expect("fit");
    for (fault, limit) in [(Fault::Busy, 8), (Fault::LostAnswer, 8), (Fault::Silence, 15)] {
        proxy.fail(fault);
        let started = Instant::now();
        let errors = [
            store.put_if_absent("system/a", b"mine").expect_err("no answer"),
            store.get("system/a").expect_err("no answer"),
        ];
        let elapsed = started.elapsed();
        for error in errors {
            assert!(error.is_transient(), "{kind:?} {fault:?}: {error:?}");
        }
        assert!(elapsed < 2 * Duration::from_secs(limit), "{kind:?} {fault:?}: {elapsed:?}");
        proxy.heal();
        // Whoever asks again finds the own bytes, or a free key.
        store.put_if_absent("system/a", b"mine").expect("it is back");
        assert_eq!(store.get("system/a").expect("a read").as_deref(), Some(&b"mine"[..]));
        store.delete("system/a").expect("a delete");
    }
    drop(server);
    let gone = store.list("system").expect_err("no server");
    assert!(gone.is_transient(), "{gone:?}");
}

#[test]
fn a_store_that_lets_a_second_put_through_is_refused_and_left_as_it_was() {
    // Azure signs the condition: without it the request itself is refused.
    let server = server(Kind::S3);
    let proxy = Proxy::start(server.port()).expect("a proxy");
    proxy.fail(Fault::NoConditions);
    let unfit = open(&server, proxy.port(), "x").expect_err("puts overwrite");
    assert!(matches!(unfit, StoreError::NoPutIfAbsent { .. }), "{unfit:?}");
    let reading = RemoteStore::open_read_only(&server.url("x"), server.environment());
    assert_eq!(reading.expect("readable").list("system").expect("a list"), Vec::<String>::new());
}

#[test]
fn check_and_alerts_list_name_the_store_and_what_is_wrong_with_it() {
    let (server, broker) = (server(Kind::S3), Broker::start().expect("a broker"));
    broker.create_topics(1).expect("the topics");
    let ringwatch = |arguments: &[&str], data: &str| {
        let mut command = Program::new(env!("CARGO_BIN_EXE_ringwatch")).command(arguments);
        command.env("RINGWATCH__STORE__DATA", data);
        command.env("RINGWATCH__KAFKA__BROKERS", broker.bootstrap());
        finish(command.envs(server.environment()))
    };
    let fit = ringwatch(&["check", "--connect"], &server.url("x")).with_code(0);
    assert!(fit.stdout.contains("s3://ringwatch/x can be written, and refuses"), "{fit}");
    let open = RemoteStore::open_read_only(&server.url("x"), server.environment());
    assert_eq!(open.expect("readable").list("system").expect("a list"), Vec::<String>::new());
    let none = ringwatch(&["alerts", "list"], &server.url("x")).with_code(0);
    assert!(none.stdout.contains("no open alerts"), "{none}");
    let nowhere = ringwatch(&["check", "--connect"], "s3://nowhere/x").with_code(1);
    assert!(nowhere.stderr.contains("NoSuchBucket"), "{nowhere}");
    let unknown = ringwatch(&["check"], "gs://bucket/x").with_code(2);
    assert!(unknown.stderr.contains("`store.data` begins with gs://"), "{unknown}");
}

#[test]
fn what_cannot_be_opened_or_written_is_refused_by_name() {
    for kind in KINDS {
        let server = server(kind);
        let reading = RemoteStore::open_read_only(&server.url("x"), server.environment());
        let reading = reading.expect("readable");
        assert_eq!(reading.list("system").expect("a list"), Vec::<String>::new());
        let refused = reading.put_if_absent("system/a", b"x").expect_err("reading only");
        assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
        let elsewhere = server.url("x").replace("ringwatch", "nowhere");
        for missing in [
            RemoteStore::open(&elsewhere, server.environment(), "proof").expect_err("no bucket"),
            RemoteStore::open_read_only(&elsewhere, server.environment()).expect_err("no bucket"),
        ] {
            let text = missing.to_string();
            assert!(text.contains("nowhere/x") && text.contains("bucket"), "{text}");
            assert!(!missing.is_transient(), "{missing:?}");
        }
    }
    let azure = server(Kind::Azure);
    let mut environment = azure.environment();
    environment.retain(|(name, _)| name != "AZURE_STORAGE_ACCOUNT_KEY");
    environment.push(("AZURE_STORAGE_ACCOUNT_KEY".to_owned(), "d3Jvbmc=".to_owned()));
    let stranger = RemoteStore::open(&azure.url("x"), environment, "proof").expect_err("no key");
    assert!(stranger.to_string().contains("credentials"), "{stranger}");
    assert!(!stranger.is_transient(), "{stranger:?}");
}

/// Telemetry records that reach the broker for each round.
const RECORDS_PER_ROUND: usize = 30_000;

/// Canonical input, a broker that gets it part by part, and a server for the data folder.
struct World {
    folder: TempDir,
    broker: Broker,
    server: Server,
}

impl World {
    fn new(kind: Kind, parts: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let messages = (RECORDS_PER_ROUND * parts) as u64;
        let config = CanonicalConfig { messages, ..CanonicalConfig::default() };
        write_canonical(&folder.path().join("input"), config).expect("the canonical workload");
        let broker = Broker::start().expect("a broker");
        broker.create_topics(4).expect("the topics");
        let world = Self { folder, broker, server: server(kind) };
        world.split(parts);
        world
    }

    fn part(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("part-{number}"))
    }

    /// The input in parts of equal length; of `changes` and `support` all in the first.
    fn split(&self, parts: usize) {
        for number in 0..parts {
            fs::create_dir(self.part(number)).expect("a folder");
        }
        for (name, bytes) in files(&self.folder.path().join("input")) {
            let text = String::from_utf8(bytes).expect("JSON");
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let is_telemetry = name.to_string_lossy().starts_with("telemetry");
            let of_a_part = lines.len().div_ceil(if is_telemetry { parts } else { 1 }).max(1);
            for number in 0..parts {
                let part = lines.chunks(of_a_part).nth(number).unwrap_or_default();
                fs::write(self.part(number).join(&name), part.concat()).expect("a file");
            }
        }
    }

    fn produce(&self, part: usize) {
        let sent = produce::ndjson_folder(self.broker.bootstrap(), &self.part(part));
        sent.expect("records in the broker");
    }

    /// With the id of a static member, so that the one that follows a kill need not wait until
    /// the broker misses it; with small entries, so that there is a middle to be killed in.
    fn config(&self) -> PathBuf {
        let path = self.folder.path().join("ringwatch.toml");
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\n\
             properties = {{ \"group.instance.id\" = \"one\" }}\n[store]\ndata = \"{}\"\n\
             entry_records_max = 2000\npublish_interval = \"1s\"\n[http]\nlisten = \"\"\n",
            self.broker.bootstrap(),
            self.server.url("data"),
        );
        fs::write(&path, text).expect("the configuration");
        path
    }

    fn ringwatch(&self, arguments: &[&str]) -> Command {
        let program = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
        let mut command = program.command(arguments);
        command.envs(self.server.environment());
        command
    }

    fn reading(&self) -> RemoteStore {
        let url = self.server.url("data");
        RemoteStore::open_read_only(&url, self.server.environment()).expect("readable")
    }

    fn entries(&self) -> usize {
        self.reading().list("system/journal/telemetry").expect("a list").len()
    }

    /// The sums of `DuckDB` over the tables equal those of the model, and `verify` agrees.
    fn assert_true(&self) {
        let store = self.reading();
        let copy = self.folder.path().join("copy");
        for key in store.list("tables").expect("a list") {
            let path = copy.join(&key);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(path, store.get(&key).expect("a read").expect("listed")).expect("a file");
        }
        let input = self.folder.path().join("input");
        oracle("compare.py", [copy.as_os_str(), input.as_os_str()]).with_code(0);
        finish(&mut self.ringwatch(&["verify", "--data", &self.server.url("data")])).with_code(0);
        assert_eq!(store.list("system/staging").expect("a list"), Vec::<String>::new());
    }
}

/// A service that is killed again and again while records come in; then all of it, compared.
fn check_kills(kind: Kind) {
    // Two kills on each server, or as many as the long form wants.
    let text = std::env::var("OBJECT_STORE_ROUNDS").unwrap_or_else(|_| "2".to_owned());
    let rounds: usize = text.parse().expect("OBJECT_STORE_ROUNDS is a number");
    let world = World::new(kind, rounds + 1);
    let config = world.config().to_string_lossy().into_owned();
    for round in 0..rounds {
        world.produce(round);
        let before = world.entries();
        let mut running = spawn(&mut world.ringwatch(&["run", "--config", &config]));
        running.wait_until("progress", PATIENCE, |_| world.entries() > before + round % 8);
        // Anywhere in a commit: the rounds are up to 400 ms late.
        thread::sleep(Duration::from_millis(round as u64 * 97 % 400));
        running.kill();
        say(&format!("{kind:?}: killed {}, {} entries", round + 1, world.entries()));
    }
    world.produce(rounds);
    spawn(&mut world.ringwatch(&["run", "--until-end", "--config", &config]))
        .finish(PATIENCE)
        .with_code(0);
    world.assert_true();
}

#[expect(clippy::print_stdout, reason = "the long form takes minutes, and is watched")]
fn say(line: &str) {
    println!("{line}");
}

#[test]
fn sums_in_s3_are_true_after_kills() {
    check_kills(Kind::S3);
}

#[test]
fn sums_in_azure_blob_are_true_after_kills() {
    check_kills(Kind::Azure);
}

/// An outage of the store while a service runs: 12 s, a minute in the long form.
#[test]
fn a_service_waits_for_a_store_that_answers_503_and_goes_on_by_itself() {
    let is_long = std::env::var_os("OBJECT_STORE_ROUNDS").is_some();
    let length = Duration::from_secs(if is_long { 60 } else { 12 });
    let world = World::new(Kind::S3, 2);
    let proxy = Proxy::start(world.server.port()).expect("a proxy");
    world.produce(0);
    let config = world.config().to_string_lossy().into_owned();
    let mut command = world.ringwatch(&["run", "--config", &config]);
    command.envs(world.server.environment_at(proxy.port()));
    let mut running = spawn(&mut command);
    running.wait_until("progress", PATIENCE, |_| world.entries() > 4);
    proxy.fail(Fault::Busy);
    world.produce(1);
    thread::sleep(Duration::from_secs(4));
    let (lines, calm) = (running.stderr().lines().count(), Usage::of(running.id()));
    thread::sleep(length);
    let waiting = Usage::of(running.id());
    let cpu = waiting.cpu.saturating_sub(calm.cpu).as_secs_f64() / length.as_secs_f64();
    let said = running.stderr().lines().count() - lines;
    assert!(running.ended().is_none(), "{}", running.stderr());
    assert!(cpu < 0.05, "{:.1} % of a core while waiting", cpu * 100.0);
    assert!(said < 20, "{said} lines while waiting");
    let before = world.entries();
    proxy.heal();
    let healed = Instant::now();
    running.wait_until("it goes on", Duration::from_secs(30), |_| world.entries() > before);
    say(&format!(
        "503 for {} s: {:.1} % of a core, {said} lines, resumed in {:.1} s",
        length.as_secs(),
        cpu * 100.0,
        healed.elapsed().as_secs_f64(),
    ));
    running.terminate(PATIENCE).with_code(0);
    spawn(&mut world.ringwatch(&["run", "--until-end", "--config", &config]))
        .finish(PATIENCE)
        .with_code(0);
    world.assert_true();
}
