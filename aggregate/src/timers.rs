//! Devices by the window whose close looks at them, in lists that grow block by block.
//!
//! Nearly every device stands in one list, so a list that doubles would take as much again, and
//! would be copied in the middle of a record. Blocks that have been looked at are used again.

use std::collections::BTreeMap;

/// Devices of a block: 1 KiB, so that the last of a list, half empty, is little beside the devices
/// of a window.
const BLOCK: usize = 256;

type Block = Box<[u32; BLOCK]>;

/// Lists of devices by number of the window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    lists: BTreeMap<u32, List>,
    spare: Vec<Block>,
}

/// Devices of one window.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    blocks: Vec<Block>,
    count: usize,
}

impl Timers {
    pub(crate) fn push(&mut self, window: u32, device: u32) {
        let list = self.lists.entry(window).or_default();
        let at = list.count % BLOCK;
        if at == 0 {
            list.blocks.push(self.spare.pop().unwrap_or_else(|| Box::new([0; BLOCK])));
        }
        list.blocks[list.count / BLOCK][at] = device;
        list.count += 1;
    }

    /// The first window up to `window` that has a list, and that.
    pub(crate) fn next(&mut self, window: u32) -> Option<(u32, List)> {
        let entry = self.lists.first_entry().filter(|entry| *entry.key() <= window)?;
        Some(entry.remove_entry())
    }

    /// Takes the room of a list that has been looked at.
    pub(crate) fn reuse(&mut self, list: List) {
        self.spare.extend(list.blocks);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let blocks = |list: &List| 64 + list.blocks.capacity() * 8 + list.blocks.len() * BLOCK * 4;
        self.lists.values().map(blocks).sum::<usize>() + self.spare.len() * (BLOCK * 4 + 8)
    }
}

impl List {
    /// Every device, a block at a time.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[u32]> {
        let last = self.count.saturating_sub(1) / BLOCK;
        self.blocks.iter().enumerate().map(move |(number, block)| {
            if number < last { &block[..] } else { &block[..self.count - last * BLOCK] }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_out_whole_in_the_order_of_their_windows_and_their_room_is_used_again() {
        let mut timers = Timers::default();
        let mut bytes = 0;
        for round in 0..3 {
            for device in 0..1_000 {
                timers.push(7 + device % 2, device);
            }
            timers.push(3, 1_000);
            assert_eq!(timers.next(2).map(|(window, _)| window), None);
            for (window, expected) in [(3, 1), (7, 500), (8, 500)] {
                let (found, list) = timers.next(8).unwrap();
                let devices: Vec<u32> = list.blocks().flatten().copied().collect();
                assert_eq!((found, devices.len()), (window, expected));
                assert!(devices.is_sorted_by(|one, next| one < next));
                timers.reuse(list);
            }
            assert!(round == 0 || timers.memory_bytes() == bytes, "round {round}");
            bytes = timers.memory_bytes();
        }
    }
}
