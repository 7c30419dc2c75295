//! What the bounds of the fold refused, as counters (A3).

use metrics::{counter, describe_counter};

/// What the bounds of one partition have refused since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Records of devices beyond `devices_max`: counted for their ring, nothing remembered.
    pub devices: u64,
    /// Values beyond `names_max`: they count as `__other__`.
    pub names: u64,
    /// Update records of changes beyond `changes_max`: they count as `__other__`.
    pub changes: u64,
    /// Exposures that would have needed a set beyond `sets_max` or `set_length_max`.
    pub sets: u64,
    /// Missing ranges of `seq` forgotten, the oldest first.
    pub missing_ranges: u64,
    /// Late time at risk that reached over more than `late_windows_max` windows and was cut.
    pub late_windows: u64,
    /// First events of a device and signal beyond `onsets_max`: they affect no device.
    pub onsets: u64,
    /// Times that a device came to be at risk with a value beyond `cohort_values_max`: in the rows
    /// of hours it counts as `__other__`.
    pub cohort_values: u64,
    /// Faults with a signature beyond `signatures_max`: they count for their kind alone.
    pub signatures: u64,
    /// First events of a device and signature beyond `signature_onsets_max`: as above.
    pub signature_onsets: u64,
    /// Devices beyond `certificates_max` of which a certificate expires soon: not counted.
    pub certificates: u64,
}

impl Refused {
    /// Name of the bound and what it refused.
    fn by_bound(&self) -> [(&'static str, u64); 11] {
        [
            ("devices_max", self.devices),
            ("names_max", self.names),
            ("changes_max", self.changes),
            ("sets_max", self.sets),
            ("missing_ranges_max", self.missing_ranges),
            ("late_windows_max", self.late_windows),
            ("onsets_max", self.onsets),
            ("cohort_values_max", self.cohort_values),
            ("signatures_max", self.signatures),
            ("signature_onsets_max", self.signature_onsets),
            ("certificates_max", self.certificates),
        ]
    }

    /// Adds what was refused since `before` to the counters.
    pub fn publish_since(&self, before: &Self) {
        for ((bound, now), (_, then)) in self.by_bound().into_iter().zip(before.by_bound()) {
            counter!("ringwatch_fold_refused_total", "bound" => bound).increment(now - then);
        }
    }
}

/// Adds what a bound of the merge refused.
pub(crate) fn merge_refused(bound: &'static str, count: u64) {
    counter!("ringwatch_merge_refused_total", "bound" => bound).increment(count);
}

/// Describes the counters of this crate to the installed recorder.
pub fn describe() {
    describe_counter!(
        "ringwatch_fold_refused_total",
        "What a bound of the device table or its side tables refused, by bound"
    );
    describe_counter!(
        "ringwatch_merge_refused_total",
        "Finished windows forgotten and changes left without control, by bound"
    );
}
