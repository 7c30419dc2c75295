//! A process that is stopped past its session and woken: others have taken over by then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use xtask::faults::cluster::Cluster;
use xtask::faults::member::Member;
use xtask::faults::settings::Settings;
use xtask::faults::wait_until;
use xtask::faults::webhook::Webhook;
use xtask::produce;

use crate::effort::{Effort, say};
use crate::load::{Load, Rate};
use crate::ringwatch;

const PATIENCE: Duration = Duration::from_mins(2);
/// How soon one who was given up must have its place again.
const RECOVER_MAX: Duration = Duration::from_secs(30);
const PARTITIONS: i32 = 4;
const LINKS: &str = "[links]\nrunbook = \"https://wiki.example.com/{page}\"\n";
/// It acts, however old the story.
const ACTS: &str = "acts = true\nact_timeout = \"36500d\"";

/// The number of the member that holds telemetry/0, and so publishes.
fn publisher(cluster: &Cluster) -> usize {
    let holds = cluster.members.iter().position(|member| member.owned().contains(&0));
    holds.expect("somebody holds telemetry/0")
}

/// What a member shows of the fleet.
fn fleet(member: &Member) -> Value {
    let page = member.page("/api/v1/fleet").unwrap_or_default();
    serde_json::from_str(&page).unwrap_or_default()
}

/// Waits until one says that it leads, and the other that it does not.
fn wait_for_roles(cluster: &Cluster, leader: usize) {
    wait_until("each says what it is", PATIENCE, || {
        let roles = cluster.members.iter().map(|member| fleet(member)["publisher"].clone());
        let leads = roles.map(|role| role.as_str().map(|role| role == "leading"));
        leads.eq([Some(leader == 0), Some(leader == 1)])
    });
}

/// Waits until one of the two holds everything.
fn wait_for_takeover(cluster: &mut Cluster, heir: usize) {
    cluster.members[heir]
        .wait_until_owns("all", PATIENCE, |owned| owned.len() == PARTITIONS as usize);
}

#[test]
fn a_worker_that_is_woken_after_others_took_over_writes_nothing_and_recovers() {
    let effort = Effort::of("zombie");
    let mut cluster = Cluster::new(ringwatch(), PARTITIONS, 2, Settings::default());
    cluster.start_all();
    let load = Load::start(&cluster, Rate::steady(500));
    cluster.wait_until_shared(PATIENCE);
    for round in 0..effort.rounds(2, 20) {
        cluster.wait_for_entries(10, PATIENCE);
        // Whoever does not publish in one round, who does in the next.
        let zombie = (publisher(&cluster) + round as usize + 1) % 2;
        cluster.members[zombie].process().freeze();
        wait_for_takeover(&mut cluster, 1 - zombie);
        cluster.wait_for_entries(10, PATIENCE);
        let lines_before = cluster.members[zombie].log().len();
        cluster.members[zombie].process().thaw();
        let took = wait_until("the woken member has its place again", RECOVER_MAX, || {
            cluster.assert_alive();
            let owned = cluster.members.iter().map(Member::owned);
            let is_new = cluster.members[zombie].log().len() > lines_before;
            is_new
                && owned.clone().all(|owned| !owned.is_empty())
                && owned.flatten().count() == PARTITIONS as usize
        });
        // It does not only say so: it writes again what it owns.
        let (owned, before) = (cluster.members[zombie].owned(), cluster.newest_entries());
        let wrote = wait_until("the woken member journals again", RECOVER_MAX, || {
            let now = cluster.newest_entries();
            owned.iter().all(|partition| now.get(partition) > before.get(partition))
        });
        let took = took + wrote;
        say(&format!("round {round}: in its place again after {:.1} s", took.as_secs_f64()));
    }
    let produced = load.stop();
    cluster.end(&produced.input);
}

#[test]
fn of_two_publishers_one_writes_the_chain_and_no_alert_is_lost() {
    let effort = Effort::of("two publishers");
    let (webhook, actor) = (Webhook::start(), Webhook::start());
    let settings = Settings {
        idle_after: "10s".to_owned(),
        // As replay does: the registry is read before what it is about, however busy the machine.
        log_idle_after: "10s".to_owned(),
        more: webhook.destination("hook", "") + &actor.destination("actor", ACTS) + LINKS,
        ..Settings::default()
    };
    let mut cluster = Cluster::new(ringwatch(), PARTITIONS, 2, settings);
    let whole = cluster.beside("input");
    let simulate = ["simulate", "--scenario", "os-crash-10x", "--out"].map(AsRef::as_ref);
    ringwatch().run(simulate.into_iter().chain([whole.as_os_str()])).with_code(0);
    // The change does its harm in the second part.
    let [first, rest] = split(&whole, 1_783_935_000_000, &cluster.beside("parts"));
    cluster.start_all();
    cluster.wait_until_shared(PATIENCE);
    produce::ndjson_folder(cluster.broker.bootstrap(), &first).expect("produced");
    cluster.wait_for_entries(4, PATIENCE);
    let zombie = publisher(&cluster);
    wait_for_roles(&cluster, zombie);
    cluster.members[zombie].process().freeze();
    produce::ndjson_folder(cluster.broker.bootstrap(), &rest).expect("produced");
    wait_for_takeover(&mut cluster, 1 - zombie);
    sleep(effort.pick(Duration::from_secs(10), Duration::from_secs(84)));
    cluster.members[zombie].process().thaw();
    let replayed = Replayed::of(&cluster, &whole);
    assert!(!replayed.alerts.is_empty());
    wait_until("every alert is received", PATIENCE, || {
        cluster.assert_alive();
        received(&webhook).is_superset(&replayed.alerts)
    });
    // Whoever would send more has the time to.
    sleep(effort.pick(Duration::from_secs(5), Duration::from_secs(70)));
    cluster.assert_alive();
    assert_eq!(received(&webhook), replayed.alerts);
    let told = told(&webhook);
    let bodies = told.len();
    assert!(bodies <= replayed.alerts.len() + 1, "one stale repeat may be, not {bodies} bodies");
    let runbooks = told.iter().map(|alert| alert["links"]["runbook"].as_str().unwrap_or_default());
    let signals = told.iter().map(|alert| alert["signal"].as_str().unwrap_or_default());
    let expected = signals.map(|signal| format!("https://wiki.example.com/{signal}"));
    assert!(runbooks.eq(expected), "{told:#?}");
    // Whoever acts holds a lease: it is asked for each, and of two publishers by one; a repeat
    // under the same key may be where the lead moved before the cursor was saved.
    let mut asked: Vec<_> = actor.received().iter().map(transition).collect();
    let count = asked.len();
    asked.sort();
    asked.dedup();
    assert!(count > 0 && count <= asked.len() + 1, "asked {count} times for {asked:?}");
    // Who lost the lead shows nothing of what it knew, and who has it shows the alerts.
    let heir = publisher(&cluster);
    wait_for_roles(&cluster, heir);
    let shown = cluster.members.iter().map(|member| fleet(member)["changes"].clone());
    let knows: Vec<bool> = shown.map(|changes| changes != serde_json::json!([])).collect();
    assert_eq!(knows, [heir == 0, heir == 1]);
    // Idle ticks let time go on after the last record: of the sums, time at risk is not replay's.
    assert_eq!(cluster.close().json()["records"], replayed.records);
}

/// An alert's transition, as its receiver would tell it from a repeat.
fn transition(alert: &Value) -> (String, u64) {
    let id = alert["id"].as_str().unwrap_or_default().to_owned();
    (id, alert["transition"].as_u64().unwrap_or_default())
}

/// What came of the story itself: that the other destination acted is acknowledged besides.
fn told(webhook: &Webhook) -> Vec<Value> {
    webhook.received().into_iter().filter(|alert| alert["state"] != "acknowledged").collect()
}

fn received(webhook: &Webhook) -> BTreeSet<(String, u64)> {
    told(webhook).iter().map(transition).collect()
}

/// What must come of an input, whoever reads it.
struct Replayed {
    records: u64,
    alerts: BTreeSet<(String, u64)>,
}

impl Replayed {
    fn of(cluster: &Cluster, input: &Path) -> Self {
        let data = cluster.beside("replayed");
        let replay = ["replay".as_ref(), "--json".as_ref(), "--input".as_ref(), input.as_os_str()];
        let data = ["--data".as_ref(), data.as_os_str()];
        let said = ringwatch().run(replay.into_iter().chain(data)).with_code(3).json();
        let alerts = said["alerts"].as_array().into_iter().flatten().map(transition).collect();
        Self { records: said["records"].as_u64().expect("a number"), alerts }
    }
}

/// Two folders of what arrived before and after a moment; the registry goes with the first.
fn split(whole: &Path, at_ms: i64, folder: &Path) -> [std::path::PathBuf; 2] {
    let parts = ["first", "rest"].map(|name| folder.join(name));
    for part in &parts {
        fs::create_dir_all(part).expect("a folder");
    }
    for entry in fs::read_dir(whole).expect("the input").flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("telemetry") {
            fs::copy(entry.path(), parts[0].join(name)).expect("copied");
            continue;
        }
        let mut files = parts
            .each_ref()
            .map(|part| BufWriter::new(File::create(part.join(&name)).expect("a file")));
        let lines = BufReader::new(File::open(entry.path()).expect("a file")).lines();
        for line in lines.map_while(Result::ok) {
            let arrival = line
                .rsplit_once("\"_ts\":")
                .and_then(|(_, rest)| rest.trim_end_matches('}').parse::<i64>().ok());
            let part = usize::from(arrival.expect("an arrival") >= at_ms);
            writeln!(files[part], "{line}").expect("written");
        }
    }
    parts
}
