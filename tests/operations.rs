//! What operators get under `deploy/` and `docs/runbook/`, against the tools that read it.

#![allow(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use schemas::{Decision, DurationSignal, Signal};
use serde_json::Value;
use xtask::faults::member::sum_of;
use xtask::faults::settings::Settings;
use xtask::faults::wait_until;
use xtask::fixture::{Program, Running, finish, free_address, oracle, page, spawn};
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

/// The metrics of a service with a broker and a destination that is told of something at intervals.
fn metrics_of_deliveries(folder: &Path) -> String {
    let broker = Broker::start().expect("a broker");
    broker.create_topics(1).expect("the topics");
    let port = free_address().port();
    let destination = "[[destination]]\nname = \"echo\"\ntype = \"command\"\n\
                       command = [\"/bin/true\"]\nheartbeat_interval = \"10s\"";
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
    let tested = read("deploy/ringwatch.rules.test.yml");
    let rules = prometheus_rules();
    assert!(rules.len() >= 10, "{} rules", rules.len());
    for name in rules {
        assert!(read(&format!("docs/runbook/{name}.md")).contains("## Do"), "{name}");
        assert!(
            tested.contains(&format!("\"{name}\"")) || tested.contains(&format!(": {name}\n")),
            "{name} has no test"
        );
    }
}

/// Rules of Prometheus, by name.
fn prometheus_rules() -> Vec<String> {
    let rules: Value = serde_saphyr::from_str(&read("deploy/ringwatch.rules.yml")).expect("YAML");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    rules.iter().map(|rule| rule["alert"].as_str().expect("a name").to_owned()).collect()
}

/// Signals `process.…` that stand in the product's code: an alert can be raised with each of them.
fn process_signals(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            process_signals(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        let named = product.split("\"process.").skip(1).filter_map(|rest| rest.split('"').next());
        found.extend(named.map(|name| format!("process.{name}")));
    }
}

#[test]
fn whatever_can_be_raised_has_its_page_and_every_page_is_about_something_that_can() {
    let decisions =
        [Decision::Clear, Decision::Watch, Decision::Hold, Decision::Rollback].map(Decision::name);
    let signals = Signal::ALL.iter().map(|signal| signal.name());
    let durations = DurationSignal::ALL.iter().map(|signal| signal.name());
    let named = decisions.into_iter().chain(["escalate"]).chain(signals).chain(durations);
    let named = named.map(str::to_owned);
    let mut wanted: BTreeSet<String> = named.chain(prometheus_rules()).collect();
    for folder in ["alerts/src", "src"] {
        process_signals(&repository().join(folder), &mut wanted);
    }
    // What `ringwatch alerts test` sends says of itself that nothing is to be done.
    assert!(wanted.remove("process.test"));
    assert!(wanted.iter().filter(|name| name.starts_with("process.")).count() > 15, "{wanted:?}");
    let index = read("docs/runbook/README.md");
    for name in &wanted {
        let page = read(&format!("docs/runbook/{name}.md"));
        assert!(page.contains("## Look") && page.contains("## Do"), "{name}");
        assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
    }
    let pages = fs::read_dir(repository().join("docs/runbook")).expect("the runbook");
    let pages =
        pages.map(|page| page.expect("an entry").file_name().into_string().expect("a name"));
    let mut pages: BTreeSet<String> =
        pages.filter_map(|page| page.strip_suffix(".md").map(str::to_owned)).collect();
    assert!(pages.remove("README"));
    let astray: Vec<_> = pages.difference(&wanted).collect();
    assert!(astray.is_empty(), "pages of what cannot be raised: {astray:?}");
}

/// What keeps a process that is taken over from reaching anything else.
const HARDENING: &str = "\
    DynamicUser=yes UMask=0027 CapabilityBoundingSet= AmbientCapabilities= NoNewPrivileges=yes \
    PrivateDevices=yes PrivateTmp=yes PrivateUsers=yes ProtectClock=yes ProtectControlGroups=yes \
    ProtectHome=yes ProtectHostname=yes ProtectKernelLogs=yes ProtectKernelModules=yes \
    ProtectKernelTunables=yes ProtectProc=invisible ProtectSystem=strict RestrictNamespaces=yes \
    RestrictRealtime=yes RestrictSUIDSGID=yes LockPersonality=yes MemoryDenyWriteExecute=yes \
    SystemCallArchitectures=native SystemCallFilter=@system-service";

/// Keys that systemd knows from version 254 on, and one before it passes over.
const NEWER_KEYS: [&str; 2] = ["RestartSteps", "RestartMaxDelaySec"];

#[test]
fn the_unit_is_hardened_and_systemd_takes_it_where_there_is_one() {
    let unit = read("deploy/ringwatch.service");
    for line in HARDENING.split_whitespace() {
        assert!(unit.lines().any(|it| it == line), "{line} is missing");
    }
    assert!(unit.contains("\nSystemCallFilter=~@privileged @resources\n"));
    assert!(unit.contains("\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n"));
    // The same unit, with a program that is there.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (program, copy) =
        (env!("CARGO_BIN_EXE_ringwatch"), folder.path().join("ringwatch.service"));
    fs::write(&copy, unit.replace("/usr/local/bin/ringwatch", program)).expect("written");
    let mut verify = Command::new("systemd-analyze");
    let verified = verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&copy).output();
    // Where there is none, the lines above have to do.
    let Ok(verified) = verified else { return };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let has_read_it = verified.status.success() || said.contains("ringwatch.service");
    assert!(has_read_it, "{verified:?}");
    let newer = |line: &&str| NEWER_KEYS.iter().any(|key| line.contains(&format!("'{key}'")));
    let own = said.lines().filter(|line| line.contains("ringwatch.service") && !newer(line));
    let said: Vec<&str> = own.collect();
    assert_eq!(said, [""; 0]);
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
    wait_until("received = applied + duplicate + rejected", PATIENCE, || {
        let page = ask(&address, "/metrics");
        let sum = |name| sum_of(name, &page).unwrap_or_default();
        let received = sum("ringwatch_journal_received_total");
        // Whole numbers.
        received > 0.0 && (received - sum("ringwatch_journal_records_total")).abs() < 0.5
    });
    let page = pages.concat();
    let (shown, declared) = (metrics_in(&page), metrics_in(&read("docs/metrics.md")));
    for path in ["deploy/grafana/ringwatch.json", "deploy/ringwatch.rules.yml"] {
        let named = metrics_in(&read(path));
        let missing: Vec<_> = named.difference(&shown).collect();
        assert!(named.len() > 5 && missing.is_empty(), "{path}: {missing:?}\n{page}");
    }
    let unknown: Vec<_> = shown.difference(&declared).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");

    let listen = free_address().to_string();
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
