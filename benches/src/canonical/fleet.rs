//! The machines of the canonical fleet and where each stands in the two changes under way.

use schemas::Timestamp;
use schemas::event::UpdateState;
use schemas::registry::ChangeType;
use sim::device::{self, Traits};
use sim::{Line, partition_of};

use super::CanonicalConfig;

/// Rings in rollout order with their share of the fleet.
pub const RINGS: [(&str, f64); 5] =
    [("test", 0.001), ("first", 0.01), ("fast", 0.09), ("broad", 0.699), ("last", 0.2)];

/// The changes under way.
pub const CHANGES: [(&str, ChangeType); 2] =
    [("kb5040442", ChangeType::Quality), ("fu-26h1", ChangeType::Feature)];

pub(super) const SIGNATURES: [&str; 8] = [
    "outlook.exe!0xc0000005",
    "teams.exe!0xc0000409",
    "explorer.exe!0xc0000374",
    "chrome.exe!0x80000003",
    "ntoskrnl!0x0000003b",
    "nvlddmkm.sys!0x00000116",
    "lsass.exe!0xc0000008",
    "msedge.exe!0xc000041d",
];

/// One device.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    /// Position in [`RINGS`].
    pub(super) ring: usize,
    pub(super) partition: i32,
    /// Of the next record.
    pub(super) seq: u64,
    traits: Traits,
    progress: [Progress; CHANGES.len()],
}

/// How far a change is on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    Installing,
    Installed,
}

/// All machines; the rings take their shares in order.
pub(super) fn build(config: &CanonicalConfig) -> Vec<Machine> {
    let machine = |number: u32| {
        let name = device::name(number);
        Machine {
            ring: ring_of((f64::from(number) + 0.5) / f64::from(config.devices)),
            partition: partition_of(&name, config.partitions),
            seq: 1,
            traits: Traits::of(config.seed, number),
            progress: [Progress::Waiting; CHANGES.len()],
            name,
        }
    };
    (0..config.devices).map(machine).collect()
}

fn ring_of(position: f64) -> usize {
    let mut below = 0.0;
    let ring = RINGS.iter().position(|(_, share)| {
        below += share;
        position < below
    });
    ring.unwrap_or(RINGS.len() - 1)
}

impl Machine {
    /// Starts a record of this machine with what all its records say.
    pub(super) fn begin(&self, line: &mut Line, kind: &str, time: Timestamp) {
        line.begin(kind, &self.name, RINGS[self.ring].0, time)
            .number("seq", self.seq)
            .text("build", self.traits.build)
            .text("model", self.traits.model);
    }

    /// Ends it.
    pub(super) fn end(&self, line: &mut Line) {
        line.attrs(&[("driver", self.traits.driver), ("region", self.traits.region)]).end();
    }

    /// The next state that this machine reports of a change; `luck` is in `[0, 1)`.
    pub(super) fn advance(&mut self, change: usize, luck: f64) -> UpdateState {
        use UpdateState::{
            Downloaded, Downloading, Failed, Installed, Installing, Offered, RestartPending,
            RolledBack, Uninstalled,
        };
        let (next, state) = match self.progress[change] {
            Progress::Waiting if luck < 0.05 => (Progress::Waiting, Offered),
            Progress::Waiting if luck < 0.10 => (Progress::Waiting, Downloading),
            Progress::Waiting if luck < 0.15 => (Progress::Waiting, Downloaded),
            Progress::Waiting => (Progress::Installing, Installing),
            Progress::Installing if luck < 0.05 => (Progress::Waiting, Failed),
            Progress::Installing if luck < 0.15 => (Progress::Installing, RestartPending),
            Progress::Installing => (Progress::Installed, Installed),
            Progress::Installed if luck < 0.10 => (Progress::Waiting, RolledBack),
            Progress::Installed if luck < 0.12 => (Progress::Waiting, Uninstalled),
            Progress::Installed => (Progress::Installed, Downloaded),
        };
        self.progress[change] = next;
        state
    }
}
