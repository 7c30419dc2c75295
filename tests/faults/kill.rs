//! kill -9 at random moments: three processes, eight partitions, under load, with processes
//! leaving and joining, and a reader who polls the tables throughout.

use std::thread::sleep;
use std::time::Duration;

use sim::Rng;
use xtask::faults::cluster::Cluster;
use xtask::faults::poller::Poller;
use xtask::faults::settings::Settings;

use crate::effort::{Effort, say};
use crate::load::{Load, Rate};
use crate::ringwatch;

const PATIENCE: Duration = Duration::from_mins(1);
const MEMBERS: usize = 3;
const PARTITIONS: i32 = 8;
const RATE: Rate = Rate::steady(1_000);
/// A process that stays away for so many rounds is away for longer than its session.
const AWAY_ROUNDS: u32 = 6;

#[test]
fn sums_stay_true_whoever_is_killed_whenever() {
    let effort = Effort::of("kill");
    let rounds = effort.rounds(6, 200);
    let settings = Settings::default();
    let mut cluster = Cluster::new(ringwatch(), PARTITIONS, MEMBERS, settings);
    cluster.start_all();
    let load = Load::start(&cluster, RATE);
    cluster.wait_until_shared(PATIENCE);
    let reader = Poller::start(cluster.data());
    let mut killing = Killing { rng: effort.rng(), back_at: [None; MEMBERS], counted: 0 };
    for round in 0..rounds {
        killing.round(&mut cluster, round);
    }
    let counted = killing.counted;
    cluster.start_all();
    let produced = load.stop();
    let summary = cluster.end(&produced.input).json();
    let seen = reader.finish();
    say(&format!(
        "{counted} of {rounds} kills hit an owner; {} records, {} polls",
        produced.records, seen.polls
    ));
    assert_eq!(summary["records"], produced.records);
    assert!(counted * 4 >= rounds * 3, "only {counted} of {rounds} killed processes owned any");
    assert_eq!(all_records(&seen.sums), produced.records, "the reader's last sums: {}", seen.sums);
}

/// What a reader makes of all tables: each record is applied, a duplicate or rejected.
fn all_records(sums: &serde_json::Value) -> u64 {
    let sum = |dataset: &str, column: &str| sums[dataset][column].as_u64().unwrap_or(0);
    sum("ring_health", "records") + sum("ring_health", "duplicates") + sum("rejected", "rows")
}

/// Who is away, and until which round.
struct Killing {
    rng: Rng,
    back_at: [Option<u32>; MEMBERS],
    counted: u32,
}

impl Killing {
    fn round(&mut self, cluster: &mut Cluster, round: u32) {
        self.bring_back(cluster, round);
        sleep(Duration::from_millis(u64::from(200 + self.rng.below(2_500))));
        cluster.assert_alive();
        let victim = self.running(cluster);
        let owned = cluster.members[victim].owned();
        cluster.members[victim].kill();
        self.counted += u32::from(!owned.is_empty());
        say(&format!("round {round}: {} killed, owned {owned:?}", cluster.members[victim].name()));
        self.back_at[victim] = Some(round + 1);
        match self.rng.below(8) {
            // Long enough away for the others to take over.
            0 | 1 => self.back_at[victim] = Some(round + AWAY_ROUNDS),
            2 => self.leave(cluster, round),
            // Back before the others have noticed.
            _ => {
                sleep(Duration::from_millis(u64::from(self.rng.below(500))));
                self.bring_back(cluster, round + 1);
            }
        }
    }

    /// One of those that run leaves in good order, and joins again some rounds later.
    fn leave(&mut self, cluster: &mut Cluster, round: u32) {
        let running = cluster.members.iter().filter(|member| member.is_running()).count();
        if running > 1 {
            let leaving = self.running(cluster);
            cluster.members[leaving].terminate();
            self.back_at[leaving] = Some(round + 1 + self.rng.below(AWAY_ROUNDS));
        }
    }

    /// Starts whose time has come, and somebody in any case.
    fn bring_back(&mut self, cluster: &mut Cluster, round: u32) {
        let nobody = cluster.members.iter().all(|member| !member.is_running());
        for (member, back_at) in cluster.members.iter_mut().zip(&mut self.back_at) {
            if back_at.is_some_and(|at| nobody || at <= round) {
                member.start();
                *back_at = None;
            }
        }
    }

    /// One of those that run.
    fn running(&mut self, cluster: &Cluster) -> usize {
        let all = cluster.members.iter().enumerate();
        let running: Vec<usize> =
            all.filter(|(_, member)| member.is_running()).map(|(number, _)| number).collect();
        running[self.rng.below(running.len() as u32) as usize]
    }
}
