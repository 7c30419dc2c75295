//! What is remembered of one device, in 112 bytes, in memory as in stored state.
//!
//! Rare things (missing `seq` ranges, last events per signal, resets) stand in side tables.
//! Times are Unix milliseconds: at-risk time is counted in them.

use schemas::{COHORTS_MAX, Span};
use serde::{Deserialize, Serialize};

use crate::gaps::Gaps;
use crate::intern::NameId;
use crate::sets::SetId;

pub(crate) mod stored;

/// A device as its partition knows it: the hash of its id under the data folder's seed, 96 bits,
/// so that of 50 M devices two are taken for one with a chance of 1 in 10^13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub(crate) low: u64,
    pub(crate) high: u32,
}

/// Names kept per device: the cohort dimensions, `build` and `model`.
pub(crate) const SLOTS_MAX: usize = COHORTS_MAX + 2;

/// The last known name of each slot.
pub(crate) type SlotNames = [NameId; SLOTS_MAX];

/// Interval of a device that has not named one (contracts 2.1).
const INTERVAL_S_DEFAULT: u32 = 3_600;

/// Before every event, and far enough from the end of the range to add and subtract.
pub(crate) const NEVER_MS: i64 = i64::MIN / 4;

/// Devices of one ring exposed to one set of changes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct Group {
    /// Index of a configured ring, or one more for `unmanaged`.
    pub(crate) ring: u8,
    pub(crate) set: SetId,
}

/// How a device stands with the watch over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// New, gone on purpose or retired: neither at risk nor missed.
    Away,
    /// Heard within three of its intervals.
    AtRisk,
    /// Not heard for three of its intervals.
    Silent,
}

/// What lies just before a device's present time at risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The device was not known: a late record may still fill it.
    Unknown,
    /// The device was silent: a late record may still fill it.
    Silent,
    /// The device was away, in another group or somebody else's: never filled.
    Shut,
}

/// The change of a device's newest attempt, and in the top bit whether that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tried(pub(crate) u16);

impl Tried {
    pub(crate) const NOTHING: Self = Self(0);
    /// Numbers of changes stay below the bit.
    pub(crate) const CHANGES_MAX: u16 = Self::ENDED - 2;
    const ENDED: u16 = 1 << 15;

    pub(crate) const fn open(change: NameId) -> Self {
        Self(change.0)
    }

    pub(crate) const fn ended(change: NameId) -> Self {
        Self(change.0 | Self::ENDED)
    }

    pub(crate) const fn change(self) -> NameId {
        NameId(self.0 & !Self::ENDED)
    }
}

/// One device. `Copy`, so that a whole chunk is copied at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    identity_low: u64,
    /// Greatest `seq` seen; bit n of `seq_bits` stands for `seq - n`, bit 0 = 0: none seen yet.
    pub(crate) seq: u64,
    pub(crate) seq_bits: u64,
    /// Event time of the newest record of any kind.
    pub(crate) newest_ms: i64,
    /// Time at risk: `[from_ms, until_ms)`, present or last.
    pub(crate) from_ms: i64,
    pub(crate) until_ms: i64,
    identity_high: u32,
    /// How long before `newest_ms` the newest boot was that was no update, and how long before
    /// that the one before; at most.
    pub(crate) boot_age_ms: u32,
    pub(crate) boot_gap_ms: u32,
    /// The time at risk before the present one ended this long before `from_ms`, at least.
    pub(crate) gap_ms: u32,
    /// The newest sign of life is this much older than `newest_ms`, at most.
    pub(crate) sign_age_ms: u32,
    pub(crate) interval_s: u32,
    /// The deadline of the trial that is open (`Returns`), in Unix seconds; 0 = none.
    pub(crate) due_s: u32,
    /// Number of the window whose close looks at `until_ms`; 0 = none.
    pub(crate) timer: u32,
    ring: u8,
    set: SetId,
    /// The change of the attempt that is open, or ended last.
    pub(crate) attempt: Tried,
    /// The change whose attempt the open trial is; none: the trial is a heartbeat or boot.
    pub(crate) tried: NameId,
    /// Longest gaps between signs of life, in these two weeks and the two before (`Gaps`).
    pub(crate) gaps: Gaps,
    pub(crate) names: SlotNames,
    /// Lowest bits of `seq_bits` that stand before the first record of the sequence.
    pub(crate) seq_unborn: u8,
    pub(crate) life: Life,
    pub(crate) gap: Gap,
}

impl Device {
    pub(crate) const fn new(identity: Identity, group: Group) -> Self {
        Self {
            identity_low: identity.low,
            identity_high: identity.high,
            seq: 0,
            seq_bits: 0,
            newest_ms: NEVER_MS,
            from_ms: NEVER_MS,
            until_ms: NEVER_MS,
            boot_age_ms: u32::MAX,
            boot_gap_ms: u32::MAX,
            gap_ms: u32::MAX,
            sign_age_ms: 0,
            interval_s: INTERVAL_S_DEFAULT,
            due_s: 0,
            timer: 0,
            ring: group.ring,
            set: group.set,
            attempt: Tried::NOTHING,
            tried: NameId::NONE,
            gaps: Gaps::NONE,
            names: [NameId::NONE; SLOTS_MAX],
            seq_unborn: 0,
            life: Life::Away,
            gap: Gap::Unknown,
        }
    }

    /// Forgets what a factory reset takes away; duplicates and time at risk are kept apart.
    pub(crate) fn forget(&mut self) {
        let fresh = Self::new(self.identity(), self.group());
        self.boot_age_ms = fresh.boot_age_ms;
        self.boot_gap_ms = fresh.boot_gap_ms;
        self.interval_s = fresh.interval_s;
        self.attempt = fresh.attempt;
        self.tried = fresh.tried;
        self.due_s = fresh.due_s;
        self.gaps = fresh.gaps;
        self.names = fresh.names;
    }

    pub(crate) const fn identity(&self) -> Identity {
        Identity { low: self.identity_low, high: self.identity_high }
    }

    pub(crate) const fn group(&self) -> Group {
        Group { ring: self.ring, set: self.set }
    }

    /// Changes the group and nothing else: time at risk moves with `Exposure::switch`.
    pub(crate) const fn set_group(&mut self, group: Group) {
        self.ring = group.ring;
        self.set = group.set;
    }

    /// Event time of the newest sign of life.
    pub(crate) const fn sign_ms(&self) -> i64 {
        self.newest_ms - self.sign_age_ms as i64
    }

    /// Notes a record and whether it was a sign of life; older ones change nothing.
    pub(crate) fn note(&mut self, at_ms: i64, sign: Sign) {
        let before_ms = self.sign_ms();
        let sign_ms = match sign {
            Sign::OfLife => before_ms.max(at_ms),
            Sign::None => before_ms,
        };
        self.gaps.note(before_ms, sign_ms);
        let newest_ms = self.newest_ms.max(at_ms);
        let passed_ms = short_ms(newest_ms - self.newest_ms);
        self.boot_age_ms = self.boot_age_ms.saturating_add(passed_ms);
        self.newest_ms = newest_ms;
        self.sign_age_ms = short_ms(newest_ms.saturating_sub(sign_ms));
    }

    /// Event time of the newest boot that was no update.
    pub(crate) const fn boot_ms(&self) -> i64 {
        match self.boot_age_ms {
            u32::MAX => NEVER_MS,
            age_ms => self.newest_ms - age_ms as i64,
        }
    }

    /// Notes a boot at `at_ms`, which is not after the newest record.
    pub(crate) fn set_boot(&mut self, at_ms: i64, gap_ms: i64) {
        self.boot_age_ms = short_ms(self.newest_ms - at_ms);
        self.boot_gap_ms = short_ms(gap_ms);
    }

    /// End of the time at risk before the present one.
    pub(crate) const fn gap_start_ms(&self) -> i64 {
        self.from_ms - self.gap_ms as i64
    }

    /// Starts the present time at risk, or moves its start.
    pub(crate) fn set_from(&mut self, from_ms: i64, gap_start_ms: i64, gap: Gap) {
        self.from_ms = from_ms;
        self.gap_ms = short_ms(from_ms - gap_start_ms);
        self.gap = gap;
    }
}

/// Three boots within this, those with reason `update` not counted, are a boot loop.
const BOOT_LOOP_MS: i64 = Span::minutes(30).as_millis();

/// Notes a boot; true if it is the third within half an hour, which starts the count afresh.
pub(crate) fn is_boot_loop(device: &mut Device, at_ms: i64) -> bool {
    let before_ms = device.boot_ms();
    if at_ms < before_ms {
        return false;
    }
    let gap_ms = at_ms - before_ms;
    let third = gap_ms + i64::from(device.boot_gap_ms) <= BOOT_LOOP_MS;
    if third {
        (device.boot_age_ms, device.boot_gap_ms) = (u32::MAX, u32::MAX);
    } else {
        device.set_boot(at_ms, gap_ms);
    }
    third
}

/// A length of time, at most 49 days.
fn short_ms(length_ms: i64) -> u32 {
    u32::try_from(length_ms).unwrap_or(u32::MAX)
}

/// Whether a record shows that its device is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    OfLife,
    None,
}

const _: () = assert!(size_of::<Device>() <= 112, "index and timer take 16 of the 128 bytes");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_records_move_what_is_newest() {
        let mut device = Device::new(Identity::default(), Group::default());
        device.note(100, Sign::OfLife);
        device.note(250, Sign::None);
        device.note(90, Sign::OfLife);
        assert_eq!((device.newest_ms, device.sign_ms()), (250, 100));
        device.note(240, Sign::OfLife);
        assert_eq!((device.newest_ms, device.sign_ms()), (250, 240));
    }
}
