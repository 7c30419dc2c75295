//! What a destination's loop says: to the chain, and to those who look from outside.

use schemas::Order;

/// What others must know of a destination. It becomes a command, and so an alert of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It has taken nothing for so long that people must know, or takes alerts again.
    Failing {
        reason: String,
    },
    Works,
    /// It did what an alert asked for, or did not in time.
    Acted {
        alert: String,
    },
    NotActed {
        alert: String,
        reason: String,
    },
}

impl Notice {
    /// The order that it becomes, and its reason.
    pub fn order(&self, destination: &str) -> (Order, Option<&str>) {
        let destination = destination.to_owned();
        match self {
            Self::Failing { reason } => (Order::DeliveryFailing { destination }, Some(reason)),
            Self::Works => (Order::DeliveryWorks { destination }, None),
            Self::Acted { alert } => (Order::Acknowledge { alert: alert.clone() }, None),
            Self::NotActed { alert, reason } => {
                (Order::NotActed { alert: alert.clone(), destination }, Some(reason))
            }
        }
    }
}

/// A transition that a destination refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub alert: String,
    pub transition: u32,
    pub reason: String,
}

/// How a destination stands: what a restart goes on from, besides the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Why the last attempts failed, if they did.
    pub failing: Option<String>,
    /// Whether people were told that it takes nothing.
    pub given_up: bool,
    pub refused: Vec<Refused>,
}
