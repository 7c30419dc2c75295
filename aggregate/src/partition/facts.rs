//! What is noted of the change process: one rule, one scenario.

use std::collections::BTreeMap;

use schemas::event::{AuditKind, Lifecycle, TicketSeverity};
use schemas::{Body, Event, Fact};

use super::harness::*;
use crate::config::{FoldConfig, FoldLimits, tests::config};

const HOUR: i64 = 3_600;

/// Counts by ring and fact, over all places; what adds up to nothing is left out.
fn noted(rig: &mut Rig) -> BTreeMap<(String, Fact), i64> {
    let mut sums = BTreeMap::new();
    for ((_, ring, fact), count) in rig.take().facts {
        *sums.entry((ring, fact)).or_default() += count;
    }
    sums.retain(|_, sum: &mut i64| *sum != 0);
    sums
}

fn check(rig: &mut Rig, expected: &[(&str, Fact, i64)]) {
    let expected = expected.iter().map(|&(ring, fact, sum)| ((ring.to_owned(), fact), sum));
    assert_eq!(noted(rig), expected.collect());
}

fn send_from(world: &mut Rig, ring: &str, at_s: i64, body: Body<'_>) {
    world.offer(&Event { ring, ..event("d-1", second(at_s), body) });
}

#[test]
fn audits_and_urgent_tickets_count_in_the_ring_that_they_name() {
    let mut rig = Rig::new();
    let audit = |kind| Body::Audit { kind, actor: "svc", detail: None };
    let ticket = |severity| Body::Ticket { ticket: "T", severity, category: None };
    rig.send("d-1", 0, audit(AuditKind::ServiceAccount));
    rig.send("d-2", 1, audit(AuditKind::ServiceAccount));
    rig.send("d-2", 2, audit(AuditKind::GroupChange));
    rig.send("d-2", 3, ticket(TicketSeverity::A));
    rig.send("d-2", 4, ticket(TicketSeverity::B));
    let stray = event("d-3", second(5), audit(AuditKind::PolicyEdit));
    rig.offer(&Event { ring: "elsewhere", ..stray });
    let expected = [
        ("first", Fact::ServiceAccount, 2),
        ("first", Fact::GroupChange, 1),
        ("first", Fact::SeverityATicket, 1),
        ("unmanaged", Fact::PolicyEdit, 1),
    ];
    check(&mut rig, &expected);
}

#[test]
fn a_device_that_names_another_ring_drifts_once() {
    let mut rig = Rig::new();
    for (ring, at_s) in [("first", 0), ("last", 1), ("last", 2), ("elsewhere", 3)] {
        send_from(&mut rig, ring, at_s, heartbeat(3_600));
    }
    check(&mut rig, &[("last", Fact::RingDrift, 1), ("unmanaged", Fact::RingDrift, 1)]);
}

#[test]
fn a_certificate_counts_from_sixty_days_before_its_expiry_until_it_is_renewed() {
    const FACT: Fact = Fact::CertificateExpiry;
    let mut rig = Rig::new();
    rig.send("d-1", 0, certificate(61));
    check(&mut rig, &[]);
    rig.send("d-1", 24 * HOUR, certificate(61));
    rig.send("d-1", 25 * HOUR, certificate(61));
    check(&mut rig, &[("first", FACT, 1)]);
    send_from(&mut rig, "last", 26 * HOUR, certificate(61));
    let moved = noted(&mut rig);
    assert_eq!((moved[&("first".into(), FACT)], moved[&("last".into(), FACT)]), (-1, 1));
    rig.send("d-1", 20 * HOUR, certificate(400));
    check(&mut rig, &[]);
    send_from(&mut rig, "last", 27 * HOUR, certificate(400));
    check(&mut rig, &[("last", FACT, -1)]);
}

#[test]
fn a_device_that_is_reset_or_retired_counts_no_more_and_a_full_table_refuses() {
    let limits = FoldLimits { certificates_max: 1, ..FoldLimits::default() };
    let mut rig = Rig::with(&FoldConfig { limits, ..config() });
    for (at_s, state) in [(0, Lifecycle::Reset), (10, Lifecycle::Retired)] {
        rig.send("d-1", at_s, certificate(30));
        rig.send("d-2", at_s + 1, certificate(30));
        check(&mut rig, &[("first", Fact::CertificateExpiry, 1)]);
        rig.send("d-1", at_s + 2, lifecycle(state));
        check(&mut rig, &[("first", Fact::CertificateExpiry, -1)]);
    }
    assert_eq!(rig.partition.refused().certificates, 2);
}
