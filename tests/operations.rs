//! What operators get under `deploy/` and `docs/runbook/`, against the tools that read it.

#![allow(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use schemas::{Decision, Signal};
use serde_json::Value;
use xtask::faults::settings::Settings;
use xtask::fixture::{Program, Running, finish, oracle, page, spawn};
use xtask::kafka::Broker;
use xtask::repository;

const PATIENCE: Duration = Duration::from_mins(3);

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn promtool(arguments: &[&str]) -> Command {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(repository().join("deploy"));
    command
}

/// A demo that stays, and where it listens.
fn demo(data: &Path) -> (Running, String) {
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let flags = ["demo", "--headless", "--stay", "--data"];
    let flags = flags.map(std::ffi::OsStr::new).into_iter().chain([data.as_os_str()]);
    let mut demo = ringwatch.spawn(flags);
    let caught = "FIRING rollback";
    demo.wait_until("the bad change", PATIENCE, |demo| demo.stdout().contains(caught));
    let address = demo.dashboard();
    (demo, address)
}

/// The metrics of a service with a broker and a destination that is told of something each second.
fn metrics_of_deliveries(folder: &Path) -> String {
    let broker = Broker::start().expect("a broker");
    broker.create_topics(1).expect("the topics");
    let port = free_port();
    let destination = "[[destination]]\nname = \"echo\"\ntype = \"command\"\n\
                       command = [\"/bin/true\"]\nheartbeat_interval = \"1s\"";
    let settings = Settings { more: destination.to_owned(), ..Settings::default() };
    let text = settings.toml(broker.bootstrap(), &folder.join("served"), "", Some(port));
    let config = folder.join("ringwatch.toml");
    fs::write(&config, text).expect("written");
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let mut service = ringwatch.spawn(["run".as_ref(), "--config".as_ref(), config.as_os_str()]);
    let address = format!("127.0.0.1:{port}");
    let scrape = || page(&address, "/metrics").unwrap_or_default();
    let told = |page: &str| {
        ["ringwatch_deliveries_total{", "ringwatch_delivery_queued_alerts{"]
            .iter()
            .all(|name| page.contains(name))
    };
    service.wait_until("a delivery", PATIENCE, |_| told(&scrape()));
    scrape()
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").port()
}

/// What a server says at a path.
fn ask(address: &str, path: &str) -> String {
    page(address, path).expect("an answer")
}

/// Names of our metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("ringwatch_"));
    let plain = words.map(|word| {
        let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        of.unwrap_or(word).to_owned()
    });
    plain.collect()
}

#[test]
fn the_rules_fire_when_they_should_and_each_alert_has_its_page() {
    finish(&mut promtool(&["check", "rules", "ringwatch.rules.yml"])).with_code(0);
    finish(&mut promtool(&["test", "rules", "ringwatch.rules.test.yml"])).with_code(0);
    let rules: Value = serde_saphyr::from_str(&read("deploy/ringwatch.rules.yml")).expect("YAML");
    let tested = read("deploy/ringwatch.rules.test.yml");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.len() >= 10, "{} rules", rules.len());
    for rule in rules {
        let name = rule["alert"].as_str().expect("a name");
        assert!(read(&format!("docs/runbook/{name}.md")).contains("## Do"), "{name}");
        assert!(
            tested.contains(&format!("\"{name}\"")) || tested.contains(&format!(": {name}\n")),
            "{name} has no test"
        );
    }
}

#[test]
fn every_decision_and_signal_has_its_page() {
    let decisions =
        [Decision::Clear, Decision::Watch, Decision::Hold, Decision::Rollback].map(Decision::name);
    let signals = Signal::ALL.iter().map(|signal| signal.name());
    let index = read("docs/runbook/README.md");
    for name in decisions.into_iter().chain(["escalate"]).chain(signals) {
        assert!(read(&format!("docs/runbook/{name}.md")).contains("## Look"), "{name}");
        assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
    }
}

/// A real Prometheus scrapes it, `promtool` finds nothing to say of it, and whatever the dashboard
/// and the rules name is there.
#[test]
fn prometheus_reads_the_metrics_and_what_dashboard_and_rules_name_is_among_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ringwatch, address) = demo(&folder.path().join("data"));
    let pages = [ask(&address, "/metrics"), metrics_of_deliveries(folder.path())];
    for page in &pages {
        fs::write(folder.path().join("metrics"), page).expect("written");
        let file = fs::File::open(folder.path().join("metrics")).expect("opened");
        let checked = finish(promtool(&["check", "metrics"]).stdin(Stdio::from(file)));
        let checked = checked.with_code(0);
        assert_eq!((&*checked.stdout, &*checked.stderr), ("", ""));
    }
    let page = pages.concat();
    let (shown, declared) = (metrics_in(&page), metrics_in(&read("docs/metrics.md")));
    for path in ["deploy/grafana/ringwatch.json", "deploy/ringwatch.rules.yml"] {
        let named = metrics_in(&read(path));
        let missing: Vec<_> = named.difference(&shown).collect();
        assert!(named.len() > 5 && missing.is_empty(), "{path}: {missing:?}\n{page}");
    }
    let unknown: Vec<_> = shown.difference(&declared).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");

    let listen = format!("127.0.0.1:{}", free_port());
    let mut config = String::new();
    writeln!(config, "global: {{ scrape_interval: 1s }}").expect("text");
    writeln!(
        config,
        "rule_files: [\"{}\"]",
        repository().join("deploy/ringwatch.rules.yml").display()
    )
    .expect("text");
    writeln!(config, "scrape_configs:\n  - job_name: ringwatch").expect("text");
    writeln!(config, "    static_configs: [{{ targets: [\"{address}\"] }}]").expect("text");
    fs::write(folder.path().join("prometheus.yml"), config).expect("written");
    let mut prometheus = Command::new("prometheus");
    prometheus.current_dir(folder.path()).args(["--config.file=prometheus.yml"]);
    prometheus.args(["--storage.tsdb.path=tsdb", &format!("--web.listen-address={listen}")]);
    let mut prometheus = spawn(&mut prometheus);
    let up = "/api/v1/query?query=up*on()ringwatch_publisher";
    prometheus.wait_until("a scrape", PATIENCE, |_| {
        std::net::TcpStream::connect(&listen).is_ok() && ask(&listen, up).contains(",\"1\"]")
    });
    drop((prometheus, ringwatch));
}

#[test]
fn the_manifests_are_what_kubernetes_takes() {
    let path = repository().join("deploy/kubernetes/ringwatch.yaml");
    oracle("manifests.py", [path]).with_code(0);
}

#[test]
fn the_reference_of_the_metrics_is_fresh() {
    let printed = Program::new(env!("CARGO_BIN_EXE_ringwatch")).run(["schema", "metrics"]);
    let printed = printed.with_code(0).stdout;
    assert!(printed == read("docs/metrics.md"), "run `ringwatch schema metrics > docs/metrics.md`");
}
