//! Decoded records into a partition as a worker feeds them: in groups, each looked up one ahead.

use std::hint::black_box;

use aggregate::{Arrived, Identity, LOOK_AHEAD_MAX, Partition};
use ingest::Decoded;

/// Applies the events in their order.
pub fn apply(partition: &mut Partition, events: &[Decoded<'_>]) {
    let mut next = [Identity::default(); LOOK_AHEAD_MAX];
    let mut groups = events.chunks(LOOK_AHEAD_MAX).peekable();
    look_ahead(partition, groups.peek().copied().unwrap_or_default(), &mut next);
    while let Some(group) = groups.next() {
        let identities = next;
        look_ahead(partition, groups.peek().copied().unwrap_or_default(), &mut next);
        for (decoded, identity) in group.iter().zip(identities) {
            let arrived = Arrived { at: decoded.arrival, key: None };
            black_box(partition.apply_as(identity, &decoded.event, arrived));
        }
    }
}

/// Hashes the device ids of a group and asks for their devices.
fn look_ahead(
    partition: &Partition,
    group: &[Decoded<'_>],
    identities: &mut [Identity; LOOK_AHEAD_MAX],
) {
    for (identity, decoded) in identities.iter_mut().zip(group) {
        *identity = partition.identity(decoded.event.device.as_bytes());
    }
    partition.look_ahead(&identities[..group.len()]);
}
