//! A device in stored state: its fields one after the other, little-endian, as wide as they are.
//!
//! Millions of devices are stored and loaded at a time; a general format takes several times as
//! long, and saves little: identities are random, and most numbers large.

use super::{Device, Gap, Group, Identity, Life, SLOTS_MAX, Tried};
use crate::gaps::Gaps;
use crate::intern::NameId;
use crate::sets::SetId;

/// Bytes of a device.
pub(crate) const BYTES: usize = 92 + 2 * SLOTS_MAX;

/// The bytes that stand for a device.
pub(crate) fn bytes(device: &Device) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let mut rest = &mut bytes[..];
    let mut put = |field: &[u8]| {
        let (here, after) = std::mem::take(&mut rest).split_at_mut(field.len());
        here.copy_from_slice(field);
        rest = after;
    };
    let Group { ring, set } = device.group();
    let Identity { low, high } = device.identity();
    for number in [low, device.seq, device.seq_bits] {
        put(&number.to_le_bytes());
    }
    for time_ms in [device.newest_ms, device.from_ms, device.until_ms] {
        put(&time_ms.to_le_bytes());
    }
    let lengths = [device.boot_age_ms, device.boot_gap_ms, device.gap_ms, device.sign_age_ms];
    let others = [device.interval_s, device.due_s, device.timer];
    for number in [high].into_iter().chain(lengths).chain(others) {
        put(&number.to_le_bytes());
    }
    for id in
        [set.0, device.attempt.0, device.tried.0].into_iter().chain(device.names.map(|name| name.0))
    {
        put(&id.to_le_bytes());
    }
    put(&device.gaps.0);
    put(&[ring, device.seq_unborn, device.life as u8, device.gap as u8]);
    bytes
}

/// The device that the bytes stand for; `None` if they stand for none.
pub(crate) fn device(mut bytes: &[u8]) -> Option<Device> {
    let rest = &mut bytes;
    let low = u64::from_le_bytes(take(rest)?);
    let [seq, seq_bits] = [u64::from_le_bytes(take(rest)?), u64::from_le_bytes(take(rest)?)];
    let mut times_ms = [0; 3];
    for time_ms in &mut times_ms {
        *time_ms = i64::from_le_bytes(take(rest)?);
    }
    let high = u32::from_le_bytes(take(rest)?);
    let mut device = Device::new(Identity { low, high }, Group::default());
    (device.seq, device.seq_bits) = (seq, seq_bits);
    [device.newest_ms, device.from_ms, device.until_ms] = times_ms;
    let lengths = [&mut device.boot_age_ms, &mut device.boot_gap_ms, &mut device.gap_ms];
    let others = [&mut device.interval_s, &mut device.due_s, &mut device.timer];
    for number in lengths.into_iter().chain([&mut device.sign_age_ms]).chain(others) {
        *number = u32::from_le_bytes(take(rest)?);
    }
    let set = SetId(u16::from_le_bytes(take(rest)?));
    device.attempt = Tried(u16::from_le_bytes(take(rest)?));
    for id in [&mut device.tried].into_iter().chain(&mut device.names) {
        *id = NameId(u16::from_le_bytes(take(rest)?));
    }
    device.gaps = Gaps(take(rest)?);
    let [ring, seq_unborn, life, gap] = take(rest)?;
    device.set_group(Group { ring, set });
    device.seq_unborn = seq_unborn;
    device.life = [Life::Away, Life::AtRisk, Life::Silent].get(usize::from(life)).copied()?;
    device.gap = [Gap::Unknown, Gap::Silent, Gap::Shut].get(usize::from(gap)).copied()?;
    (seq_unborn < 64).then_some(device)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*field)
}
