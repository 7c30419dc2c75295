//! The record that four in five are: a heartbeat of a device that goes on as it was.
//!
//! ```text
//! record ─► newest, next seq, same ring, names and hour, at risk ─► times and sums move on
//!                          └ anything else: Fold::general, and nothing that is stored is touched
//! ```
//! Does what the general way does: `partition::steady` compares them.

use schemas::Body;

use super::{Fold, Record};
use crate::device::{Device, Life, Sign};
use crate::exposure::reach_ms;
use crate::partition::Applied;
use crate::returns::{Order, Step};
use crate::sequence;

impl Fold {
    /// Folds the record in if its device goes on as it was; else changes nothing that is stored.
    #[inline]
    pub(crate) fn steady(&mut self, device: &mut Device, record: &Record<'_>) -> Option<Applied> {
        let (event, at_ms, group) = (record.event, record.at_ms, device.group());
        let Body::Heartbeat { interval_s, cert_expires: None, .. } = event.body else {
            return None;
        };
        let in_order = self.hour_ms(at_ms) <= device.newest_ms
            && device.newest_ms <= at_ms
            && at_ms <= device.until_ms;
        let until_ms = self.exposure.until_ms(device, at_ms + reach_ms(interval_s));
        let stays = device.life == Life::AtRisk
            && group.ring == record.ring
            && self.exposure.is_watched(device, until_ms);
        let follows = event.seq.is_none_or(|seq| sequence::is_next(device, seq));
        if !(in_order && stays && follows && self.goes_by(device, event)) {
            return None;
        }
        if event.seq.is_some() {
            sequence::step(device);
        }
        let applied = self.count_applied(record, group);
        self.lag.record(record.ring, at_ms);
        device.interval_s = interval_s;
        device.note(at_ms, Sign::OfLife);
        device.until_ms = until_ms;
        let times = (at_ms, self.lag.clock_ms());
        self.returns.step(device, times, group, Step::Back(Order::Newest));
        Some(applied)
    }
}
