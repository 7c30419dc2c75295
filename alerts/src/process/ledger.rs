//! What is remembered for the change process: open tickets, what was noted lately, certificates.
//!
//! In: support records, facts of each window. Out: findings by rule and ring. Every list has a
//! bound; all of it is part of the engine's stored state.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::event::TicketSeverity;
use schemas::{Fact, Span, SupportRecord, Timestamp, WindowTotals};
use serde::{Deserialize, Serialize};

use super::rules::{devices, span};
use super::{Finding, Key, Rule};
use crate::metrics;

/// 10,000 open tickets of severity A are a catastrophe that nobody reads one by one.
const TICKETS_MAX: usize = 10_000;
/// The newest five: whoever sees a message of more looks into the ticket system.
const NAMED_MAX: usize = 5;
/// 14 d: a ticket that nobody touched for so long was closed without a word.
const TICKET_KEPT: Span = Span::days(14);
/// 24 h: what happened once is news for a day; what goes on keeps its alert open.
const NOTED_KEPT: Span = Span::hours(24);
/// Detection 5: 5 % of a ring, here as one of so many.
const AT_ONCE: i64 = 20;
/// 4 %: what is urgent stays so until it is clearly less, or each device that comes to a ring and
/// leaves it would end the alert and begin another.
const STILL_AT_ONCE: i64 = 25;
/// How the status of a ticket begins that is over; any other says that it is open.
const CLOSED: [&str; 9] = [
    "closed",
    "resolved",
    "solved",
    "cancel",
    "duplicate",
    "done",
    "fixed",
    "complete",
    "rejected",
];

/// An open ticket of severity A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ticket {
    change: Arc<str>,
    ring: Arc<str>,
    opened: Timestamp,
    /// When we first heard of it.
    came: Timestamp,
    touched: Timestamp,
}

/// Something that was noted in a ring, and may be again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Noted {
    count: i64,
    first_at: Option<Timestamp>,
    /// End of the last window in which it was.
    last: Timestamp,
}

/// Devices of a ring of which a certificate expires soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Expiring {
    devices: i64,
    earliest: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    tickets: BTreeMap<String, Ticket>,
    /// By fact and ring: bounded by the configured rings and `unmanaged`.
    noted: BTreeMap<(Fact, Arc<str>), Noted>,
    expiring: BTreeMap<Arc<str>, Expiring>,
}

impl Ledger {
    /// Takes in a support record: the latest of a ticket counts.
    pub(crate) fn support(&mut self, record: SupportRecord, at: Timestamp) {
        let status = record.status.to_ascii_lowercase();
        let open = record.severity == TicketSeverity::A
            && !CLOSED.iter().any(|word| status.starts_with(word));
        if !open {
            self.tickets.remove(&record.ticket);
            return;
        }
        if self.tickets.len() >= TICKETS_MAX && !self.tickets.contains_key(&record.ticket) {
            return metrics::tickets_refused().increment(1);
        }
        let name = |name: Option<String>| name.map_or_else(|| Arc::from(""), Arc::from);
        let (change, ring) = (name(record.change), name(record.ring));
        // Under another change or ring it is another's work.
        let known = self.tickets.get(&record.ticket);
        let known = known.filter(|known| known.change == change && known.ring == ring);
        let (opened, came) = known.map_or((record.time, at), |known| (known.opened, known.came));
        self.tickets.insert(record.ticket, Ticket { change, ring, opened, came, touched: at });
    }

    /// Takes in a window.
    pub(crate) fn add(&mut self, totals: &WindowTotals) {
        if totals.repartitioned {
            // Partitions have forgotten whose certificates they counted.
            self.expiring.clear();
        }
        for ((ring, fact), noted) in &totals.facts {
            if *fact == Fact::CertificateExpiry {
                let expiring = self.expiring.entry(Arc::clone(ring)).or_default();
                expiring.devices += noted.affected;
                let both = [expiring.earliest, noted.first_at];
                expiring.earliest = both.into_iter().flatten().min();
                continue;
            }
            let key = (*fact, Arc::clone(ring));
            let new = Noted { count: 0, first_at: None, last: totals.end };
            let known = self.noted.entry(key).or_insert(new);
            known.count += noted.affected;
            known.first_at = [known.first_at, noted.first_at].into_iter().flatten().min();
            known.last = totals.end;
        }
        self.expiring.retain(|_, expiring| expiring.devices > 0);
        self.noted.retain(|_, noted| totals.end - noted.last < NOTED_KEPT);
        self.tickets.retain(|_, ticket| totals.end - ticket.touched < TICKET_KEPT);
    }

    /// What stands at the end of a window; `known` says how many devices a ring has, `is_open`
    /// what people have been told of.
    pub(crate) fn findings(
        &self,
        at: Timestamp,
        known: impl Fn(&str) -> i64,
        is_open: impl Fn(&Key) -> bool,
    ) -> BTreeMap<Key, Finding> {
        let mut findings = BTreeMap::new();
        for ((fact, ring), noted) in &self.noted {
            if let Some((rule, finding)) = told(*fact, ring, noted) {
                findings.insert((rule, Arc::from(""), Arc::clone(ring)), finding);
            }
        }
        let mut names: BTreeMap<Key, Vec<(Timestamp, &str)>> = BTreeMap::new();
        for (name, ticket) in &self.tickets {
            let key = (Rule::SeverityATicket, Arc::clone(&ticket.change), Arc::clone(&ticket.ring));
            names.entry(key.clone()).or_default().push((ticket.came, name));
            let new = || Finding::new(String::new(), String::new());
            let finding = findings.entry(key).or_insert_with(new);
            finding.affected += 1;
            let both = [finding.first_at, Some(ticket.opened)];
            finding.first_at = both.into_iter().flatten().min();
            finding.newest = finding.newest.max(Some(ticket.came));
        }
        let urgent = findings.iter_mut().filter(|(key, _)| key.0 == Rule::SeverityATicket);
        urgent.for_each(|(key, finding)| {
            say_tickets(key, names.remove(key).unwrap_or_default(), finding);
        });
        for (ring, expiring) in &self.expiring {
            let urgent = (Rule::CertificatesAtOnce, Arc::from(""), Arc::clone(ring));
            let one_of = if is_open(&urgent) { STILL_AT_ONCE } else { AT_ONCE };
            let known = known(ring);
            let at_once = known > 0 && expiring.devices * one_of >= known;
            let rule = if at_once { urgent.0 } else { Rule::CertificateExpiry };
            findings.insert((rule, urgent.1, urgent.2), certificates(ring, expiring, known, at));
        }
        findings
    }
}

/// What a fact says of its ring; certificates are told apart.
fn told(fact: Fact, ring: &str, noted: &Noted) -> Option<(Rule, Finding)> {
    let count = noted.count;
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let (rule, summary, what) = match fact {
        Fact::RingDrift => (
            Rule::RingDrift,
            format!("{} came to ring {ring} that nobody had moved there", devices(count)),
            format!("put the devices back that came to ring {ring} on their own"),
        ),
        Fact::ServiceAccount => (
            Rule::ServiceAccount,
            format!("a service account was used on devices of ring {ring} {times}"),
            "find out who used the service account, and change its secret".to_owned(),
        ),
        Fact::GroupChange => (
            Rule::GroupChange,
            format!("groups of the service were changed on devices of ring {ring} {times}"),
            "undo the change of groups that only the service may change".to_owned(),
        ),
        Fact::PolicyEdit => (
            Rule::PolicyEdit,
            format!("policies of the service were edited on devices of ring {ring} {times}"),
            "undo the edit of policies that only the service may edit".to_owned(),
        ),
        Fact::SeverityATicket => (Rule::SeverityATicket, String::new(), String::new()),
        Fact::CertificateExpiry => return None,
    };
    let finding = Finding::new(summary, what).about(count, noted.first_at);
    Some((rule, Finding { newest: Some(noted.last), ..finding }))
}

/// Those that devices report are counted only: facts carry no names.
fn say_tickets((_, change, ring): &Key, mut names: Vec<(Timestamp, &str)>, finding: &mut Finding) {
    let count = finding.affected;
    let tickets = if count == 1 { "1 ticket".to_owned() } else { format!("{count} tickets") };
    let whereabouts = match (&**change, &**ring) {
        ("", "") => String::new(),
        ("", ring) => format!(" in ring {ring}"),
        (change, "") => format!(" on {change}"),
        (change, ring) => format!(" on {change} in ring {ring}"),
    };
    names.sort_by_key(|&(came, name)| (Reverse(came), name));
    names.truncate(NAMED_MAX);
    let (some, unnamed) = (names.len(), count - names.len() as i64);
    let names = names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ");
    let names = match (some, unnamed) {
        (0, _) => String::new(),
        (_, 0) => format!(": {names}"),
        _ => format!(": {names} and {unnamed} more"),
    };
    finding.summary = format!("{tickets} of severity A{whereabouts}{names}");
    finding.what = format!("take up the tickets of severity A{whereabouts}");
    finding.of = count;
}

fn certificates(ring: &str, expiring: &Expiring, known: i64, at: Timestamp) -> Finding {
    let count = expiring.devices;
    let first = expiring.earliest.map_or(String::new(), |earliest| {
        let left = earliest - at;
        let when = if left > Span::ZERO { format!("in {}", span(left)) } else { "already".into() };
        format!(", the first {when} ({earliest})")
    });
    let summary =
        format!("certificates of {} in ring {ring} expire within 60 days{first}", devices(count));
    let what = format!("renew the certificates of ring {ring}");
    let finding = Finding::new(summary, what).about(count, expiring.earliest);
    Finding { of: known.max(count), ..finding }
}
