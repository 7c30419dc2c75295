//! Which alerts go to a destination, and why others do not. Pure.

use std::fmt;

use schemas::alert::{Channel, EvidenceKind, Owner};
use schemas::{Alert, AlertState, ChangeType, Decision, Severity, Timestamp};

use super::config::DestinationConfig;
use super::hours::OfficeHours;
use crate::desk::delivery_fingerprint;

/// The filters of one destination.
#[derive(Clone, Debug, Default)]
pub struct Route {
    decisions: Option<Vec<Decision>>,
    severities: Option<Vec<Severity>>,
    change_types: Option<Vec<ChangeType>>,
    rings: Option<Vec<String>>,
    owners: Option<Vec<Owner>>,
    channels: Option<Vec<Channel>>,
    pub(crate) hours: Option<OfficeHours>,
    /// The types of changes that a destination may act on; `None`: it does not act.
    act_change_types: Option<Vec<ChangeType>>,
    /// Of the alert that says this destination takes none.
    own_failure: String,
}

/// Whether there is an alert that both would act on: one device would be rolled back by two.
pub fn both_act(one: &DestinationConfig, other: &DestinationConfig) -> bool {
    fn meet<T: PartialEq>(one: Option<&Vec<T>>, other: Option<&Vec<T>>) -> bool {
        let (Some(one), Some(other)) = (one, other) else { return true };
        one.iter().any(|value| other.contains(value))
    }
    (one.acts && other.acts)
        && meet(Some(&one.act_change_types), Some(&other.act_change_types))
        && meet(one.change_types.as_ref(), other.change_types.as_ref())
        && meet(one.decisions.as_ref(), other.decisions.as_ref())
        && meet(one.severities.as_ref(), other.severities.as_ref())
        && meet(one.rings.as_ref(), other.rings.as_ref())
        && meet(one.owners.as_ref(), other.owners.as_ref())
}

/// Why an alert does not go to a destination, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stay {
    Pending,
    /// The key of the filter that keeps it away, and what the alert says there.
    Filtered(&'static str, String),
    /// It would tell a destination that it cannot be told anything.
    OwnFailure,
    /// The destination acts, and there is nothing to act on.
    NoAction,
    /// Office hours begin only then.
    Until(Timestamp),
}

impl fmt::Display for Stay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => formatter.write_str("pending alerts are told to nobody"),
            Self::Filtered(key, value) => write!(formatter, "`{key}` does not name {value:?}"),
            Self::OwnFailure => formatter.write_str("it is about this destination itself"),
            Self::NoAction => formatter
                .write_str("it acts on rollbacks and holds when they begin, on nothing else"),
            Self::Until(time) => write!(formatter, "it waits for `hours`, until {time}"),
        }
    }
}

impl Route {
    pub fn new(config: &DestinationConfig) -> Self {
        Self {
            decisions: config.decisions.clone(),
            severities: config.severities.clone(),
            change_types: config.change_types.clone(),
            rings: config.rings.clone(),
            channels: config.channels.clone(),
            owners: config.owners.clone(),
            hours: config.hours,
            act_change_types: config.acts.then(|| config.act_change_types.clone()),
            own_failure: delivery_fingerprint(&config.name),
        }
    }

    /// Whether the alert is for this destination, at whatever time.
    pub fn judge(&self, alert: &Alert) -> Result<(), Stay> {
        if alert.state == AlertState::Pending {
            return Err(Stay::Pending);
        }
        if alert.fingerprint == self.own_failure {
            return Err(Stay::OwnFailure);
        }
        if let Some(types) = &self.act_change_types {
            // A hold of the change process is for people: nothing has done harm.
            let harm = alert.evidence.kind != EvidenceKind::Process;
            let asks = harm && matches!(alert.decision, Decision::Rollback | Decision::Hold);
            if !asks || alert.state != AlertState::Firing {
                return Err(Stay::NoAction);
            }
            named("act_change_types", Some(types), &alert.change_type, ChangeType::name)?;
        }
        named("decisions", self.decisions.as_ref(), &alert.decision, Decision::name)?;
        named("severities", self.severities.as_ref(), &alert.severity, Severity::name)?;
        named("change_types", self.change_types.as_ref(), &alert.change_type, ChangeType::name)?;
        named("owners", self.owners.as_ref(), &alert.action.owner, Owner::name)?;
        if let Some(wanted) = &self.channels {
            let notice = alert.action.notice.as_ref();
            let channels = notice.map_or(&[][..], |notice| &notice.channels[..]);
            if !channels.iter().any(|channel| wanted.contains(channel)) {
                let names: Vec<_> = channels.iter().map(|channel| channel.name()).collect();
                return Err(Stay::Filtered("channels", names.join(", ")));
            }
        }
        match &self.rings {
            Some(rings) if !rings.contains(&alert.ring) => {
                Err(Stay::Filtered("rings", alert.ring.clone()))
            }
            _ => Ok(()),
        }
    }

    /// The same with the time of day: what `alerts test --explain` says.
    pub fn explain(&self, alert: &Alert, now: Timestamp) -> Result<(), Stay> {
        self.judge(alert)?;
        match self.hours.map(|hours| hours.next_open(now)) {
            Some(opens) if opens > now => Err(Stay::Until(opens)),
            _ => Ok(()),
        }
    }

    pub(crate) fn takes(&self, alert: &Alert) -> bool {
        self.judge(alert).is_ok()
    }

    /// Whether it rolls back and holds instead of telling people.
    pub(crate) const fn acts(&self) -> bool {
        self.act_change_types.is_some()
    }
}

fn named<T: PartialEq + Copy>(
    key: &'static str,
    wanted: Option<&Vec<T>>,
    is: &T,
    name: impl Fn(T) -> &'static str,
) -> Result<(), Stay> {
    match wanted {
        Some(wanted) if !wanted.contains(is) => Err(Stay::Filtered(key, name(*is).to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::examples::{firing, resolved};

    fn route(keys: &str) -> Route {
        let text = format!("{{\"name\":\"a\",\"type\":\"webhook\",\"url\":\"https://a/\",{keys}}}");
        Route::new(&serde_json::from_str(&text).expect("keys"))
    }

    #[track_caller]
    fn check(keys: &str, alert: &Alert, expected: &str) {
        let said = match route(keys).judge(alert) {
            Ok(()) => "goes".to_owned(),
            Err(stay) => stay.to_string(),
        };
        assert_eq!(said, expected, "{keys}");
    }

    #[test]
    fn every_filter_that_is_given_must_name_the_alert() {
        let alert = firing("kb1");
        check("\"decisions\":[\"rollback\"],\"severities\":[\"critical\"]", &alert, "goes");
        check("\"decisions\":[\"hold\"]", &alert, "`decisions` does not name \"rollback\"");
        check("\"severities\":[\"info\"]", &alert, "`severities` does not name \"critical\"");
        check(
            "\"change_types\":[\"security\"]",
            &alert,
            "`change_types` does not name \"quality\"",
        );
        check("\"rings\":[\"test\",\"first\"]", &alert, "goes");
        check("\"rings\":[\"test\"]", &alert, "`rings` does not name \"first\"");
        check("\"owners\":[\"customer\"]", &alert, "`owners` does not name \"service\"");
        check("\"owners\":[\"service\"]", &resolved("kb1"), "goes");
    }

    #[test]
    fn a_channel_gets_the_notices_that_name_it_and_nothing_acts_on_them() {
        let mut alert = Alert { decision: Decision::Hold, ..firing("kb1") };
        alert.evidence.kind = EvidenceKind::Process;
        let channels = vec![Channel::Email, Channel::Bulletin];
        alert.action.notice = Some(schemas::alert::Notice { channels, when: None });
        check("\"channels\":[\"bulletin\"]", &alert, "goes");
        let stays = Stay::Filtered("channels", "email, bulletin".to_owned()).to_string();
        check("\"channels\":[\"page\"]", &alert, &stays);
        let stays = Stay::Filtered("channels", String::new()).to_string();
        check("\"channels\":[\"page\"]", &firing("kb1"), &stays);
        check("\"acts\":true", &alert, &Stay::NoAction.to_string());
    }

    #[test]
    fn what_acts_gets_the_beginning_of_rollbacks_and_holds_and_no_security() {
        let acts = "\"acts\":true";
        check(acts, &firing("kb1"), "goes");
        let nothing = Stay::NoAction.to_string();
        check(acts, &resolved("kb1"), &nothing);
        check(acts, &Alert { decision: Decision::Escalate, ..firing("kb1") }, &nothing);
        check(acts, &Alert { state: AlertState::Acknowledged, ..firing("kb1") }, &nothing);
        for change_type in [ChangeType::Security, ChangeType::Emergency] {
            let alert = Alert { change_type, decision: Decision::Hold, ..firing("kb1") };
            let why = format!("`act_change_types` does not name {:?}", change_type.name());
            check(acts, &alert, &why);
            let named = format!("\"acts\":true,\"act_change_types\":[{:?}]", change_type.name());
            check(&named, &alert, "goes");
        }
    }

    #[test]
    fn a_destination_is_not_told_that_it_takes_nothing() {
        let alert = Alert { fingerprint: delivery_fingerprint("a"), ..firing("ringwatch") };
        check("\"acts\":false", &alert, &Stay::OwnFailure.to_string());
        let other = Alert { fingerprint: delivery_fingerprint("b"), ..firing("ringwatch") };
        check("\"acts\":false", &other, "goes");
    }

    #[test]
    fn outside_of_its_hours_an_alert_waits() {
        let time = |text: &str| Timestamp::parse_rfc3339(text.as_bytes()).expect("a time");
        let route = route("\"hours\":\"mon-fri 08:00-18:00\"");
        let friday = time("2026-07-17T17:00:00Z");
        assert_eq!(route.explain(&firing("kb1"), friday), Ok(()));
        let opens = time("2026-07-20T08:00:00Z");
        let late = route.explain(&firing("kb1"), time("2026-07-17T18:00:00Z"));
        assert_eq!(late, Err(Stay::Until(opens)));
    }
}
