//! The kinds of harm that are counted.

use serde::{Deserialize, Serialize};

use crate::event::names;

names! {
    /// A duration that devices report, compared by its distribution (detection 3).
    DurationSignal { Install = "install_ms", Boot = "boot_ms", Signin = "signin_ms" }
}

/// A kind of harm that is counted (design: detection 1), or a membership fault (`RingDrift`).
///
/// The numbers are part of no contract; the names are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Signal {
    OsCrash,
    UnexpectedReboot,
    AppCrash,
    AppHang,
    SigninFailure,
    NetworkFailure,
    RecoveryPrompt,
    PolicyFailure,
    DataLoss,
    /// A fault of a kind this version does not know.
    Other,
    SupportTicket,
    /// Three boots within 30 minutes, those with reason `update` not counted.
    BootLoop,
    /// Not heard for three of its intervals: the short form.
    Silence,
    /// Not heard for longer than is usual for the device: the learned form (detection 1). One
    /// verdict comes of both.
    SilenceLearned,
    /// An attempt that failed or was rolled back, of those that reached `installing`.
    InstallFailure,
    /// A record that names another ring than the last one known, without `moved`.
    RingDrift,
    /// An attempt after which the device did not come back in time, of those that could have.
    NoReturn,
}

impl Signal {
    /// Every signal, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::OsCrash,
        Self::UnexpectedReboot,
        Self::AppCrash,
        Self::AppHang,
        Self::SigninFailure,
        Self::NetworkFailure,
        Self::RecoveryPrompt,
        Self::PolicyFailure,
        Self::DataLoss,
        Self::Other,
        Self::SupportTicket,
        Self::BootLoop,
        Self::Silence,
        Self::SilenceLearned,
        Self::InstallFailure,
        Self::RingDrift,
        Self::NoReturn,
    ];

    /// The name in datasets, alerts and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OsCrash => "os_crash",
            Self::UnexpectedReboot => "unexpected_reboot",
            Self::AppCrash => "app_crash",
            Self::AppHang => "app_hang",
            Self::SigninFailure => "signin_failure",
            Self::NetworkFailure => "network_failure",
            Self::RecoveryPrompt => "recovery_prompt",
            Self::PolicyFailure => "policy_failure",
            Self::DataLoss => "data_loss",
            Self::Other => "other",
            Self::SupportTicket => "support_ticket",
            Self::BootLoop => "boot_loop",
            Self::Silence => "silence",
            Self::SilenceLearned => "silence_learned",
            Self::InstallFailure => "install_failure",
            Self::RingDrift => "ring_drift",
            Self::NoReturn => "no_return",
        }
    }

    /// The signal of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// Whether the signal is tested as a hazard of being newly hit (detection 2).
    pub const fn is_onset(self) -> bool {
        !matches!(self, Self::InstallFailure | Self::RingDrift | Self::NoReturn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (number, signal) in Signal::ALL.into_iter().enumerate() {
            assert_eq!(signal as usize, number);
            assert_eq!(Signal::from_name(signal.name()), Some(signal));
        }
    }
}
