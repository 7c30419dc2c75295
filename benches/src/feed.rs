//! Decoded records into a partition as a worker feeds them: in runs, each looked up at once.

use std::hint::black_box;

use aggregate::{Arrived, Identity, LOOK_AHEAD_MAX, Partition};
use ingest::Decoded;

/// Applies the events in their order.
pub fn apply(partition: &mut Partition, events: &[Decoded<'_>]) {
    let mut devices = [Identity::default(); LOOK_AHEAD_MAX];
    for run in events.chunks(LOOK_AHEAD_MAX) {
        for (device, decoded) in devices.iter_mut().zip(run) {
            *device = partition.announce(decoded.event.device.as_bytes());
        }
        partition.look_ahead(&devices[..run.len()]);
        for (decoded, device) in run.iter().zip(devices) {
            let arrived = Arrived { at: decoded.arrival, key: None };
            black_box(partition.apply_as(device, &decoded.event, arrived));
        }
    }
}
