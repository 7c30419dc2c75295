//! One telemetry record, decoded and valid, borrowing its text from the record's buffer.

use crate::COHORTS_MAX;
use crate::signal::Signal;
use crate::time::Timestamp;

/// A valid telemetry record (contracts.md 2.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// 1..=128 bytes, no control characters; so are `ring`, `build`, `model`.
    pub device: &'a str,
    pub ring: &'a str,
    pub time: Timestamp,
    /// Increasing per device; `None` where the fleet sends none (then nothing is a duplicate).
    pub seq: Option<u64>,
    pub build: Option<&'a str>,
    pub model: Option<&'a str>,
    /// Values of the configured cohort dimensions, in their configured order.
    pub cohorts: [Option<&'a str>; COHORTS_MAX],
    pub body: Body<'a>,
}

/// What the record says, by its `type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    Heartbeat {
        interval_s: u32,
        uptime_s: u64,
        cert_expires: Option<Timestamp>,
    },
    Boot {
        boot_ms: u64,
        signin_ms: u64,
        reason: BootReason,
    },
    Update {
        change: &'a str,
        state: UpdateState,
        code: Option<&'a str>,
        duration_ms: Option<u64>,
    },
    /// `kind` is one of the fault signals, or [`Signal::Other`] with the unknown kind as signature.
    Fault {
        kind: Signal,
        signature: Option<&'a str>,
        count: u32,
    },
    Ticket {
        ticket: &'a str,
        severity: TicketSeverity,
        category: Option<&'a str>,
    },
    Audit {
        kind: AuditKind,
        actor: &'a str,
        detail: Option<&'a str>,
    },
    Lifecycle(Lifecycle<'a>),
}

impl Body<'_> {
    /// Whether the record shows that the device is alive: a ticket or an audit record does not.
    pub const fn is_sign_of_life(&self) -> bool {
        !matches!(self, Self::Ticket { .. } | Self::Audit { .. })
    }
}

/// A closed set of names as they stand in records and datasets.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name { $(#[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in records and datasets.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use names;

names! {
    /// Why a device started.
    BootReason { Update = "update", User = "user", Crash = "crash", Power = "power" }
}

names! {
    /// How far a change is on a device.
    UpdateState {
        Offered = "offered", Downloading = "downloading", Downloaded = "downloaded",
        Installing = "installing", RestartPending = "restart_pending", Installed = "installed",
        Failed = "failed", RolledBack = "rolled_back", Uninstalled = "uninstalled",
    }
}

names! {
    /// How urgent a support case is.
    TicketSeverity { A = "A", B = "B", C = "C", Informational = "informational" }
}

names! {
    /// What was used or changed that only the service may.
    AuditKind {
        ServiceAccount = "service_account", GroupChange = "group_change",
        PolicyEdit = "policy_edit",
    }
}

/// A change of a device's standing in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle<'a> {
    Enrolled,
    Moved {
        from: &'a str,
    },
    /// Going away on purpose: not expected until heard again.
    Offline,
    /// Factory reset: everything known of the device is forgotten.
    Reset,
    Retired,
}
