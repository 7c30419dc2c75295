//! The dashboard in a real browser: over a demo that tells its story, and over a service with a
//! broker, with refused records and destinations, which is then started again.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::cell::{Ref, RefCell};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use xtask::faults::settings::Settings;
use xtask::fixture::{Program, Running, finish, free_address, oracle, page};
use xtask::kafka::Broker;
use xtask::{produce, repository};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

const TOKEN: &str = "correct-horse-battery-staple";

/// One at a time: the first says how long a page takes.
static MACHINE: Mutex<()> = Mutex::new(());

/// Where Debian, and where others put it.
const CHROMIUM: &[&str] =
    &["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

fn chromium() -> PathBuf {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = CHROMIUM.iter().map(PathBuf::from);
    let mut there = named.into_iter().chain(known).filter(|path| path.exists());
    there.next().unwrap_or_else(|| panic!("no Chromium; run `./dev setup`, or set CHROMIUM"))
}

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

/// Runs a script in the browser.
#[expect(clippy::print_stdout, reason = "it says how long pages took, to whoever asks for it")]
fn browse(script: &str, arguments: &[&str]) {
    let scripts = repository().join("tests/browser");
    assert!(scripts.join("node_modules/axe-core").exists(), "run `./dev setup` first");
    let mut node = Command::new("node");
    node.current_dir(&scripts).arg(script).args(arguments).env("CHROMIUM", chromium());
    let seen = finish(&mut node).with_code(0);
    assert!(seen.stdout.contains("every page is as it should be"), "{seen}");
    println!("{}", seen.stdout);
}

#[test]
fn every_page_is_usable_by_everybody_and_an_alert_appears_by_itself() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let flags = ["demo", "--headless", "--stay", "--duration", "120s", "--data"];
    let flags = flags.map(std::ffi::OsStr::new).into_iter().chain([data.as_os_str()]);
    let mut demo = ringwatch().spawn(flags);
    let address = format!("http://{}", demo.dashboard());
    browse("run.mjs", &[&address, data.to_str().expect("a plain path")]);
    let told = ringwatch().run(["top", "--url", &address]).with_code(0);
    assert!(told.stdout.contains("ROLLBACK") && !told.stdout.contains('\x1b'), "{told}");
    demo.terminate(Duration::from_mins(1)).with_code(0);
}

/// A service over the sample of `docs/data.md` and two records that it refuses; one destination
/// takes what it is told, at the other nobody listens.
struct Service {
    _broker: Broker,
    folder: tempfile::TempDir,
    address: String,
}

impl Service {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let input = folder.path().join("input");
        let scenario = repository().join("analysts/sample.toml");
        let simulate = ["simulate".as_ref(), "--scenario".as_ref(), scenario.as_os_str()];
        let out = ["--out".as_ref(), input.as_os_str()];
        ringwatch().run(simulate.into_iter().chain(out)).with_code(0);
        let records = input.join("telemetry-000.ndjson");
        let text = fs::read_to_string(&records).expect("records");
        fs::write(&records, format!("no JSON\n{{}}\n{text}")).expect("written");
        let broker = Broker::start().expect("a broker");
        broker.create_topics(2).expect("the topics");
        produce::ndjson_folder(broker.bootstrap(), &input).expect("records sent");

        let token = folder.path().join("token");
        fs::write(&token, TOKEN).expect("written");
        let port = free_address().port();
        let more = format!(
            "token_file = \"{}\"\n\
             [[destination]]\nname = \"echo\"\ntype = \"command\"\ncommand = [\"/bin/true\"]\n\
             [[destination]]\nname = \"nobody\"\ntype = \"webhook\"\nallow_private = true\n\
             url = \"http://127.0.0.1:1/\"\n",
            token.display()
        );
        let settings = Settings { more, ..Settings::default() };
        let data = folder.path().join("data");
        let text = settings.toml(broker.bootstrap(), &data, "", Some(port));
        fs::write(folder.path().join("ringwatch.toml"), text).expect("written");
        Self { _broker: broker, folder, address: format!("127.0.0.1:{port}") }
    }

    /// A process of it, once everything has been read and told, and what its pipeline says then.
    fn start(&self) -> (Running, Value) {
        let config = self.folder.path().join("ringwatch.toml");
        let arguments = ["run".as_ref(), "--config".as_ref(), config.as_os_str()];
        let mut process = ringwatch().spawn(arguments);
        let said = RefCell::default();
        process.wait_until("everything read and told", PATIENCE, |_| {
            said.replace(self.ask("/api/v1/pipeline"));
            let flow: Ref<'_, Value> = said.borrow();
            let [echo, nobody] = [0, 1].map(|at| &flow["destinations"][at]);
            let samples = flow["throughput"]["received"].as_array();
            let is_even = samples.is_some_and(|samples| {
                samples.len() > 1 && samples.last() == Some(&flow["counts"]["received"])
            });
            flow["lag_records"] == 0
                && echo["commits_behind"].as_u64() < nobody["commits_behind"].as_u64()
                && nobody["standing"] == "failing"
                && is_even
        });
        (process, said.into_inner())
    }

    /// What the interface says; null while it does not answer.
    fn ask(&self, path: &str) -> Value {
        let body = page(&self.address, path);
        body.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default()
    }

    /// Everything that a page shows of changes and alerts.
    fn shown(&self) -> Value {
        let fleet = self.ask("/api/v1/fleet");
        let alerts = fleet["alerts"].as_array().expect("alerts").iter();
        let ids = alerts.map(|alert| alert["id"].as_str().expect("an id"));
        let alerts: Vec<Value> = ids.map(|id| self.ask(&format!("/api/v1/alerts/{id}"))).collect();
        let curves = self.ask("/api/v1/changes/kb5040442/rings/first/curves");
        json!({
            "changes": fleet["changes"], "alerts": fleet["alerts"], "resolved": fleet["resolved"],
            "counts": fleet["counts"], "evaluated_until": fleet["evaluated_until"],
            "each": alerts, "curves": curves["signals"], "silences": self.ask("/api/v1/silences"),
        })
    }
}

/// The pipeline's numbers, where there are some.
fn check_flow(flow: &Value) {
    assert_eq!(flow["lag_records"], 0, "{flow}");
    let (watermark, evaluated) = (&flow["watermark"], &flow["evaluated_until"]);
    for time in [watermark, evaluated] {
        let time = time.as_str().expect("a time");
        assert!(time.starts_with("2026-07-1"), "{time}");
    }
    // The sample ends in July, and the clock goes on.
    assert!(flow["lag_seconds"].as_f64().expect("seconds") > 86_400.0, "{flow}");
    let counts = &flow["counts"];
    let of = |name: &str| counts[name].as_u64().expect("a count");
    assert_eq!(of("received"), of("applied") + of("duplicates") + of("rejected"));
    assert_eq!(of("rejected"), 2, "{counts}");
    let samples = flow["throughput"]["received"].as_array().expect("samples");
    assert_eq!(samples.last().and_then(Value::as_u64), Some(of("received")), "{samples:?}");
    let refused = flow["refused"].as_array().expect("the refused");
    let places: Vec<_> = refused.iter().map(|one| (&one["stream"], &one["offset"])).collect();
    let stream = json!("telemetry/0");
    assert_eq!(places, [(&stream, &json!(1)), (&stream, &json!(0))], "the newest first");
    assert!(refused.iter().all(|one| !one["error"].as_str().expect("why").is_empty()));
    let partitions = flow["partitions"].as_array().expect("partitions");
    for partition in partitions {
        assert_eq!(
            (&partition["end"], &partition["lag_records"]),
            (&partition["log_end"], &json!(0))
        );
    }
    assert_eq!(partitions.len(), 4);
    // Commits without alerts are noted now and then only, so the first may be some behind.
    let [echo, nobody] = [0, 1].map(|at| &flow["destinations"][at]);
    let behind = |one: &Value| one["commits_behind"].as_u64().expect("commits");
    assert_eq!((&echo["standing"], &echo["reason"]), (&json!("fine"), &Value::Null));
    assert!(behind(echo) < behind(nobody), "{flow}");
    assert!(nobody["reason"].as_str().expect("a reason").contains("refused"), "{nobody}");
}

#[test]
fn a_service_is_shown_filled_obeys_its_forms_and_shows_the_same_once_started_again() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let service = Service::new();
    let (process, flow) = service.start();
    check_flow(&flow);
    browse("service.mjs", &[&format!("http://{}", service.address), TOKEN]);
    let before = service.shown();
    process.terminate(PATIENCE).with_code(0);
    let (again, _) = service.start();
    assert_eq!(service.shown(), before);
    again.terminate(PATIENCE).with_code(0);
    // It has rows of every dataset.
    oracle("readers.py", [service.folder.path().join("data")]).with_code(0);
}
