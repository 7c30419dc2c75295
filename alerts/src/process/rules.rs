//! The rules over what the registry says of a change, and over where it is.
//!
//! Each takes a change that is neither completed nor taken back, and the end of the window.

use std::sync::Arc;

use schemas::registry::RingStart;
use schemas::{ChangeRecord, ChangeStatus, ChangeType, Span, Timestamp};

use super::{Finding, Rule};

/// Detection 5: five days from the announcement, where an administrator has to do something.
const NOTICE_MIN: Span = Span::days(5);
/// Detection 5: two days before an action is due somebody must have said that it is seen to.
const ACTION_SOON: Span = Span::hours(48);
/// Detection 5: an emergency change goes out with its mitigation, or within an hour has one.
const MITIGATED_WITHIN: Span = Span::hours(1);

/// Where a change stands in one configured ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RingStand {
    /// Devices exposed there while its start lay ahead.
    pub(crate) early: i64,
    /// Whether it is safe to promote from there.
    pub(crate) clear: bool,
    /// Whether it was when the next ring started; then it stays so, whatever comes.
    pub(crate) let_pass: bool,
}

/// A change under way, as the rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Rollout<'a> {
    pub(crate) record: &'a ChangeRecord,
    /// Configured rings in rollout order, and where the change stands in each.
    pub(crate) rings: Vec<(&'a str, RingStand)>,
    /// End of the window.
    pub(crate) at: Timestamp,
}

/// Whether nothing of a change is to come any more.
pub(crate) const fn is_over(record: &ChangeRecord) -> bool {
    record.status.is_withdrawn() || matches!(record.status, ChangeStatus::Completed)
}

/// When the first of its rings starts.
pub(crate) fn first_start(record: &ChangeRecord) -> Option<Timestamp> {
    record.rings.iter().map(|ring| ring.starts).min()
}

/// When a ring starts, where the plan has it.
pub(crate) fn start_of(record: &ChangeRecord, ring: &str) -> Option<Timestamp> {
    record.rings.iter().find(|start| start.ring == ring).map(|start| start.starts)
}

/// Whether a ring is one that devices must not be exposed in yet: its start lies ahead, or a plan
/// leaves it out.
pub(crate) fn is_ahead(record: &ChangeRecord, ring: &str, at: Timestamp) -> bool {
    !record.rings.is_empty() && start_of(record, ring).is_none_or(|starts| starts >= at)
}

/// Whether a ring has started by plan.
pub(crate) fn has_started(record: &ChangeRecord, ring: &str, at: Timestamp) -> bool {
    let going = !matches!(record.status, ChangeStatus::Announced | ChangeStatus::Approved);
    going && start_of(record, ring).is_some_and(|starts| starts <= at)
}

impl Rollout<'_> {
    /// Every rule that is broken, with the ring that it is broken in.
    pub(crate) fn findings(&self) -> Vec<(Rule, Arc<str>, Finding)> {
        let whole = [
            (Rule::ShortNotice, self.short_notice()),
            (Rule::ActionDueSoon, self.action_due_soon()),
            (Rule::EmergencyUnmitigated, self.emergency_unmitigated()),
            (Rule::ToldBeforeMitigated, self.told_before_mitigated()),
            (Rule::RingOutOfOrder, self.ring_out_of_order()),
        ];
        let none: Arc<str> = Arc::from("");
        let whole =
            whole.into_iter().filter_map(|(rule, found)| Some((rule, none.clone(), found?)));
        let by_ring = self.rings.iter().enumerate().flat_map(|(at, (name, stand))| {
            let early = self.early_exposure(name, stand);
            let before = self.ring_before_clear(at);
            [(Rule::EarlyExposure, early), (Rule::RingBeforeClear, before)]
                .map(|(rule, found)| Some((rule, Arc::from(*name), found?)))
        });
        whole.chain(by_ring.flatten()).collect()
    }

    /// Emergencies are exempt: nobody can give five days of notice of one.
    fn short_notice(&self) -> Option<Finding> {
        let (record, change) = (self.record, &self.record.change);
        let emergency = record.change_type == ChangeType::Emergency;
        // Who never announced it gives no notice at all.
        let (announced, start) = (record.announced.unwrap_or(self.at), first_start(record)?);
        let short = record.requires_action && !emergency && start - announced < NOTICE_MIN;
        short.then(|| {
            let said = match record.announced {
                None => "was never announced".to_owned(),
                Some(_) if announced > start => format!(
                    "is announced {} after the start of its first ring ({announced})",
                    span(announced - start)
                ),
                Some(_) => format!(
                    "starts {} after it was announced ({announced})",
                    span(start - announced)
                ),
            };
            let what = if start > self.at {
                let earliest = announced + NOTICE_MIN;
                format!("postpone the start of {change} to {earliest} or later")
            } else {
                format!("pause {change} until its administrators have acted")
            };
            let summary = format!("{change} asks administrators to act and {said}; 5 days are due");
            Finding::new(summary, what)
        })
    }

    fn action_due_soon(&self) -> Option<Finding> {
        let (record, change) = (self.record, &self.record.change);
        let due = record.action_due?;
        let seen = record.acknowledged_at.is_some_and(|seen| seen <= self.at);
        (!seen && due - self.at < ACTION_SOON).then(|| {
            let left = due - self.at;
            let when = if left > Span::ZERO {
                format!("is due in {}", span(left))
            } else {
                format!("has been overdue for {}", span(self.at - due))
            };
            let summary = format!(
                "the action that {change} asks for {when} ({due}), and nobody has acknowledged it"
            );
            Finding::new(summary, format!("do what {change} asks for, and acknowledge it"))
        })
    }

    fn emergency_unmitigated(&self) -> Option<Finding> {
        let (record, change) = (self.record, &self.record.change);
        let emergency = record.change_type == ChangeType::Emergency;
        let since = first_start(record).or(record.announced).filter(|_| emergency)?;
        let open = record.mitigated_at.is_none_or(|mitigated| mitigated > self.at);
        (open && self.at >= since + MITIGATED_WITHIN).then(|| {
            let reason = record.reason.map_or("no reason given", |reason| reason.name());
            let summary = format!(
                "the emergency that {change} is for ({reason}) is not mitigated {} after its first \
                 ring started",
                span(self.at - since)
            );
            let what = format!("mitigate the emergency that {change} is for, and record when");
            Finding::new(summary, what)
        })
    }

    fn told_before_mitigated(&self) -> Option<Finding> {
        let (record, change) = (self.record, &self.record.change);
        let emergency = record.change_type == ChangeType::Emergency;
        let told = record.announced.filter(|&told| emergency && told <= self.at)?;
        record.mitigated_at.is_none_or(|mitigated| told < mitigated).then(|| {
            let summary = match record.mitigated_at {
                Some(mitigated) => format!(
                    "{change} was announced {} before the emergency was mitigated ({mitigated})",
                    span(mitigated - told)
                ),
                None => format!("{change} is announced, and the emergency is not mitigated yet"),
            };
            let what = format!("look into why {change} was announced before its mitigation");
            Finding::new(summary, what)
        })
    }

    /// A plan in which a ring starts before one ahead of it in rollout order.
    fn ring_out_of_order(&self) -> Option<Finding> {
        let (record, change) = (self.record, &self.record.change);
        let planned: Vec<RingStart> = self.planned().collect();
        let broken = planned.windows(2).find(|pair| pair[1].starts < pair[0].starts)?;
        let (ahead, after) = (&broken[0], &broken[1]);
        let summary = format!(
            "{change} is planned for ring {} {} before ring {}, which is ahead of it in rollout \
             order",
            after.ring,
            span(ahead.starts - after.starts),
            ahead.ring
        );
        let what =
            format!("start ring {} of {} after ring {}", after.ring, record.change, ahead.ring);
        Some(Finding::new(summary, what))
    }

    /// The plan, in rollout order.
    fn planned(&self) -> impl Iterator<Item = RingStart> {
        self.rings.iter().filter_map(|(name, _)| {
            let starts = start_of(self.record, name)?;
            Some(RingStart { ring: (*name).to_owned(), starts })
        })
    }

    /// The number of the ring of the plan ahead of a ring, in rollout order.
    pub(crate) fn ring_ahead(&self, ring: usize) -> Option<usize> {
        let planned = |&ahead: &usize| start_of(self.record, self.rings[ahead].0).is_some();
        (0..ring).rev().find(planned)
    }

    /// Emergencies are rolled out everywhere at once: waiting would leave later rings in danger.
    fn ring_before_clear(&self, ring: usize) -> Option<Finding> {
        let (change, (name, stand)) = (&self.record.change, &self.rings[ring]);
        let waits = self.record.change_type != ChangeType::Emergency
            && has_started(self.record, name, self.at);
        let (ahead, before) = &self.rings[self.ring_ahead(ring).filter(|_| waits)?];
        (!stand.let_pass && !before.clear).then(|| {
            let summary = format!("{change} started in ring {name} before ring {ahead} was clear");
            Finding::new(
                summary,
                format!("pause {change} in ring {name} until ring {ahead} is clear"),
            )
        })
    }

    fn early_exposure(&self, name: &str, stand: &RingStand) -> Option<Finding> {
        let change = &self.record.change;
        (stand.early > 0 && is_ahead(self.record, name, self.at)).then(|| {
            let devices = devices(stand.early);
            let summary = match start_of(self.record, name) {
                Some(start) => {
                    format!("{change} reached {devices} in ring {name}, which starts at {start}")
                }
                None => format!("{change} reached {devices} in ring {name}, which has no start"),
            };
            Finding::new(summary, format!("hold {change} in ring {name} until it starts"))
                .about(stand.early, None)
        })
    }
}

/// Devices that have a change in a ring that is not ours.
pub(crate) fn foreign_group(change: &str, count: i64) -> Option<Finding> {
    (count > 0).then(|| {
        let devices = devices(count);
        let summary = format!("{change} is on {devices} in groups that are no ring of ours");
        let what = format!("take {change} out of groups that are no ring of ours");
        Finding::new(summary, what).about(count, None)
    })
}

/// `count` devices, in words.
pub(crate) fn devices(count: i64) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{count} devices") }
}

/// A length of time as people say it: in days, hours or minutes, rounded down.
pub(crate) fn span(span: Span) -> String {
    let minutes = span.as_millis() / 60_000;
    match minutes {
        2_880.. => format!("{} d", minutes / 1_440),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{minutes} min"),
    }
}
