//! What an operator, or a destination, tells ringwatch to do: log 3 in small, taken into the chain.

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Decision, Severity};
use crate::time::Timestamp;

/// One command, the JSON object `system/commands/<number>`; a commit repeats it once it is obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub v: u32,
    /// Dense from 0.
    pub number: u64,
    /// Names this command and no other, so that writing it again is noticed.
    pub nonce: String,
    /// When it was given, by the clock of whoever gave it.
    pub at: Timestamp,
    /// Who gave it: a person, or `destination:<name>`.
    pub author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub order: Order,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Somebody takes care of an alert: by its whole id.
    Acknowledge {
        alert: String,
    },
    /// Alerts that match are told to nobody until then.
    Silence {
        matcher: Matcher,
        until: Timestamp,
    },
    /// Ends a silence before its time.
    EndSilence {
        silence: String,
    },
    /// No destination acts any more, or again.
    Pause,
    Resume,
    /// A destination is tried at once, and told again what it had refused.
    Retry {
        destination: String,
    },
    /// A destination has taken nothing for so long that people must know, or takes alerts again.
    DeliveryFailing {
        destination: String,
    },
    DeliveryWorks {
        destination: String,
    },
    /// What an alert asked for was not done in time.
    NotActed {
        alert: String,
        destination: String,
    },
    /// What stands at this number is damaged, or of a later version: nothing is done, and those
    /// after it are obeyed.
    Unreadable,
}

impl Command {
    /// How a silence that this command begins is called.
    pub fn silence_id(&self) -> String {
        format!("silence-{}", self.number)
    }
}

/// Which alerts a silence is about: every field that is given must be the alert's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

impl Matcher {
    /// Whether it says anything: one that does not would silence everything for ever unseen.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says something by an empty text, which would match whatever has no such name:
    /// of alerts of the process nearly all.
    pub fn has_blank(&self) -> bool {
        [&self.alert, &self.change, &self.ring, &self.signal]
            .into_iter()
            .any(|text| text.as_deref().is_some_and(|text| text.trim().is_empty()))
    }

    pub fn matches(&self, alert: &Alert) -> bool {
        let text = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| w == is);
        text(&self.alert, &alert.id)
            && text(&self.change, &alert.change)
            && text(&self.ring, &alert.ring)
            && text(&self.signal, &alert.signal)
            && self.decision.is_none_or(|decision| decision == alert.decision)
            && self.severity.is_none_or(|severity| severity == alert.severity)
    }
}

/// An alert that nobody is told of from a commit on, and what keeps it quiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Muted {
    /// Its id.
    pub alert: String,
    /// The id of the rollback alert or of the silence.
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_flat_object_that_names_what_to_do() {
        let matcher = Matcher { change: Some("kb1".to_owned()), ..Matcher::default() };
        let command = Command {
            v: 1,
            number: 7,
            nonce: "n".to_owned(),
            at: Timestamp(0),
            author: "ana".to_owned(),
            reason: None,
            order: Order::Silence { matcher, until: Timestamp(60_000_000) },
        };
        let json = serde_json::to_value(&command).expect("JSON");
        let order = serde_json::json!({
            "do": "silence", "matcher": {"change": "kb1"}, "until": "1970-01-01T00:01:00Z",
        });
        assert_eq!(json["order"], order);
        assert_eq!(serde_json::from_value::<Command>(json).expect("a command"), command);
        assert_eq!(command.silence_id(), "silence-7");
    }
}
