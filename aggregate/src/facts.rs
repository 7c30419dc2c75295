//! What records say of how the fleet is run: the inputs of the change process.
//!
//! ```text
//! audit, ticket of severity A ─► counted in the ring that the record names
//! cert_expires ─► devices of which a certificate expires soon: a level by ring, kept as + and -
//! ```
//! Most records say nothing of it and cost one look at their type.

use schemas::event::{AuditKind, Body, Lifecycle, TicketSeverity};
use schemas::{Fact, Span, Timestamp};

use crate::fold::{Fold, Record};
use crate::hash::{Map, NumberHash};
use crate::returns::Order;
use crate::state::{Reader, StateError, Writer};

/// Detection 5: 60 days are two rounds of monthly maintenance, enough to renew in good order.
const SOON: Span = Span::days(60);

/// Devices of which a certificate expires soon, and the ring that each counts in.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    soon: Map<u32, u8>,
    count_max: usize,
    refused: u64,
}

/// What a device's certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    Far,
    Soon(Timestamp),
}

/// A ring whose level changes, by how much, and the expiry of what came.
type Step = (u8, i64, Option<Timestamp>);

impl Certificates {
    pub(crate) fn new(hash: NumberHash, count_max: usize) -> Self {
        Self { soon: Map::with_hasher(hash), count_max, refused: 0 }
    }

    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&self.refused);
        let mut soon: Vec<_> = self.soon.iter().collect();
        soon.sort_unstable();
        out.put_all(soon.into_iter());
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>, rings: usize) -> Result<(), StateError> {
        self.refused = from.take()?;
        let soon: Vec<(u32, u8)> = from.take_all(Reader::take)?;
        if soon.iter().any(|&(_, ring)| usize::from(ring) >= rings) {
            return Err(StateError::Damaged);
        }
        self.soon.extend(soon);
        Ok(())
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.soon.capacity() * (size_of::<(u32, u8)>() + 1)
    }

    /// What a device reports changes: it leaves the ring that it counted in, it comes to another.
    fn report(&mut self, at: u32, ring: u8, expiry: Expiry) -> [Option<Step>; 2] {
        let Expiry::Soon(expires) = expiry else {
            return [self.forget(at), None];
        };
        let count = self.soon.len();
        match self.soon.get_mut(&at) {
            Some(counted) if *counted == ring => [None, None],
            Some(counted) => {
                let left = std::mem::replace(counted, ring);
                [Some((left, -1, None)), Some((ring, 1, Some(expires)))]
            }
            None if count >= self.count_max => {
                self.refused += 1;
                [None, None]
            }
            None => {
                self.soon.insert(at, ring);
                [None, Some((ring, 1, Some(expires)))]
            }
        }
    }

    fn forget(&mut self, at: u32) -> Option<Step> {
        self.soon.remove(&at).map(|ring| (ring, -1, None))
    }
}

impl Fold {
    /// Notes what the record says of the change process.
    pub(crate) fn note(&mut self, at: u32, record: &Record<'_>, order: Order) {
        let steps = match record.event.body {
            Body::Heartbeat { cert_expires: Some(expires), .. } if order == Order::Newest => {
                let soon = expires - record.event.time <= SOON;
                let expiry = if soon { Expiry::Soon(expires) } else { Expiry::Far };
                self.certificates.report(at, record.ring, expiry)
            }
            Body::Lifecycle(Lifecycle::Reset | Lifecycle::Retired) if order == Order::Newest => {
                [self.certificates.forget(at), None]
            }
            Body::Audit { kind, .. } => {
                return self.count_fact(
                    record,
                    match kind {
                        AuditKind::ServiceAccount => Fact::ServiceAccount,
                        AuditKind::GroupChange => Fact::GroupChange,
                        AuditKind::PolicyEdit => Fact::PolicyEdit,
                    },
                );
            }
            Body::Ticket { severity: TicketSeverity::A, .. } => {
                return self.count_fact(record, Fact::SeverityATicket);
            }
            _ => return,
        };
        for (ring, rise, expires) in steps.into_iter().flatten() {
            let (place, fact) = (record.place, Fact::CertificateExpiry);
            self.rows.measures.fact((place, ring), fact, rise, expires);
        }
    }

    /// Counts something once in the ring that the record names.
    pub(crate) fn count_fact(&mut self, record: &Record<'_>, fact: Fact) {
        let at = Some(record.event.time);
        self.rows.measures.fact((record.place, record.ring), fact, 1, at);
    }
}
