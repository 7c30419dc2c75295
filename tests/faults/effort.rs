//! How much of a story is told: the short form here, the long one by `cargo xtask soak`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::str::FromStr;

use sim::Rng;

/// Set by `cargo xtask soak`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    is_full: bool,
    seed: u64,
    rounds: Option<u32>,
}

impl Effort {
    /// Reads the environment, and prints the seed that repeats this run.
    pub(super) fn of(story: &str) -> Self {
        let random = || RandomState::new().build_hasher().finish() >> 32;
        let effort = Self {
            is_full: std::env::var("FAULTS_FULL").is_ok(),
            seed: number("FAULTS_SEED").unwrap_or_else(random),
            rounds: number("FAULTS_ROUNDS"),
        };
        say(&format!("{story}: seed {}", effort.seed));
        effort
    }

    /// A number of the short form, or that of the long one.
    pub(super) fn pick<T>(self, short: T, full: T) -> T {
        if self.is_full { full } else { short }
    }

    /// The same for rounds, which `--rounds` overrides.
    pub(super) fn rounds(self, short: u32, full: u32) -> u32 {
        self.rounds.unwrap_or_else(|| self.pick(short, full))
    }

    /// The source of every random choice.
    pub(super) fn rng(self) -> Rng {
        Rng::new(self.seed)
    }
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells whoever watches how far it is.
#[expect(clippy::print_stderr, reason = "a soak of a quarter of an hour must say how far it is")]
pub(super) fn say(line: &str) {
    eprintln!("{line}");
}
