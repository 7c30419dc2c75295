//! How many devices there were, as a sketch that any tool can join: Apache `DataSketches` HLL.
//!
//! A *coupon* stands for a device: 26 bits of a hash to find its slot, 6 bits for the zeros that
//! the rest of the hash begins with, plus one. A sketch of lgK 12 keeps the largest such number of
//! each of 4,096 slots (2.0 % error at 95 %), and while it has few coupons, just those.
//! Format: the preamble of `HllSketch` (serial version 1), target type `HLL_8`.
//!
//! Identities are hashes of the folder's seed, so coupons of two data folders do not join; within
//! one folder any rows do.

use serde::{Deserialize, Serialize};

use crate::device::Identity;

/// Log2 of the slots.
const LG_K: u8 = 12;

const SLOTS: usize = 1 << LG_K;

/// Bits of a coupon that name a slot, for any size of sketch up to 2^26.
const ADDRESS_BITS: u32 = 26;

/// Coupons of a list, and of a set: beyond, the format has slots.
const LIST_MAX: usize = 7;
const SET_MAX: usize = 384;

/// Registers of this and more are summed apart, so that small numbers are not lost.
const LARGE: u8 = 32;

/// What the sketch keeps of a device.
pub(crate) fn coupon(identity: Identity) -> u32 {
    let address = identity.low as u32 & ((1 << ADDRESS_BITS) - 1);
    ((identity.high.leading_zeros() + 1) << ADDRESS_BITS) | address
}

/// A sketch; equal ones have equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sketch {
    /// Coupons, ascending.
    Sparse(Vec<u32>),
    /// The number of each slot.
    Dense(Vec<u8>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl Sketch {
    /// The sketch of these coupons.
    pub(crate) fn of(coupons: &[u32]) -> Self {
        let mut sketch = Self::default();
        for &coupon in coupons {
            sketch.add(coupon);
        }
        sketch
    }

    /// Whether it is what this module makes, and not damaged state.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Sparse(coupons) => {
                coupons.len() <= SET_MAX && coupons.is_sorted_by(|one, next| one < next)
            }
            Self::Dense(slots) => slots.len() == SLOTS,
        }
    }

    pub(crate) fn add(&mut self, coupon: u32) {
        match self {
            Self::Sparse(coupons) => {
                let Err(at) = coupons.binary_search(&coupon) else { return };
                coupons.insert(at, coupon);
                if coupons.len() > SET_MAX {
                    let mut slots = vec![0; SLOTS];
                    for &coupon in coupons.iter() {
                        raise(&mut slots, coupon);
                    }
                    *self = Self::Dense(slots);
                }
            }
            Self::Dense(slots) => raise(slots, coupon),
        }
    }

    /// Takes in all devices of another.
    pub(crate) fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (_, Self::Sparse(coupons)) => {
                for &coupon in coupons {
                    self.add(coupon);
                }
            }
            (Self::Sparse(coupons), Self::Dense(_)) => {
                let mut joined = other.clone();
                for &coupon in coupons.iter() {
                    joined.add(coupon);
                }
                *self = joined;
            }
            (Self::Dense(slots), Self::Dense(others)) => {
                slots.iter_mut().zip(others).for_each(|(slot, other)| *slot = (*slot).max(*other));
            }
        }
    }

    /// The bytes that `HllSketch` reads; `None` of nobody.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Sparse(coupons) if coupons.is_empty() => None,
            Self::Sparse(coupons) => Some(coupon_bytes(coupons)),
            Self::Dense(slots) => Some(slot_bytes(slots)),
        }
    }
}

fn raise(slots: &mut [u8], coupon: u32) {
    let slot = &mut slots[coupon as usize % SLOTS];
    *slot = (*slot).max((coupon >> ADDRESS_BITS) as u8);
}

/// The first eight bytes; `lg_array` and `count` mean what the mode makes of them.
const fn preamble(ints: u8, lg_array: u8, count: u8, mode: Mode) -> [u8; 8] {
    const SERIAL_VERSION: u8 = 1;
    const FAMILY_HLL: u8 = 7;
    const COMPACT: u8 = 8;
    /// Slots that were joined: the estimate comes from them alone.
    const OUT_OF_ORDER: u8 = 16;
    const HLL_8: u8 = 2;
    let flags = match mode {
        Mode::List | Mode::Set => COMPACT,
        Mode::Slots => COMPACT | OUT_OF_ORDER,
    };
    [ints, SERIAL_VERSION, FAMILY_HLL, LG_K, lg_array, flags, count, mode as u8 | HLL_8 << 2]
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    List = 0,
    Set = 1,
    Slots = 2,
}

fn coupon_bytes(coupons: &[u32]) -> Vec<u8> {
    let count = coupons.len();
    let mut bytes = if count <= LIST_MAX {
        preamble(2, 3, count as u8, Mode::List).to_vec()
    } else {
        // A hash table at most three quarters full.
        let lg_array = (count * 4 / 3 + 1).next_power_of_two().ilog2().max(5) as u8;
        let mut bytes = preamble(3, lg_array, 0, Mode::Set).to_vec();
        bytes.extend((count as u32).to_le_bytes());
        bytes
    };
    bytes.extend(coupons.iter().flat_map(|coupon| coupon.to_le_bytes()));
    bytes
}

fn slot_bytes(slots: &[u8]) -> Vec<u8> {
    // 2 to the power of -slot, exactly.
    let inverse = |&slot: &u8| f64::from_bits((1_023 - u64::from(slot)) << 52);
    let sum_of_small: f64 = slots.iter().filter(|&&slot| slot < LARGE).map(inverse).sum();
    let sum_of_large: f64 = slots.iter().filter(|&&slot| slot >= LARGE).map(inverse).sum();
    let empty_count: u32 = slots.iter().map(|&slot| u32::from(slot == 0)).sum();
    let mut bytes = preamble(10, 0, 0, Mode::Slots).to_vec();
    // What is counted as devices come is not known of sketches that were joined.
    for number in [0.0, sum_of_small, sum_of_large] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(empty_count.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(slots);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coupons of devices that differ as their identities would.
    fn coupons(range: std::ops::Range<u64>) -> Vec<u32> {
        let mix = |number: u64| {
            let word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            word ^ (word >> 32)
        };
        let identity = |n| Identity { low: mix(2 * n), high: (mix(2 * n + 1) >> 32) as u32 };
        range.map(|number| coupon(identity(number))).collect()
    }

    #[test]
    fn a_sketch_of_parts_is_the_sketch_of_all_whatever_the_sizes() {
        for (one, other) in [(3, 4), (5, 300), (300, 300), (3_000, 10), (10, 3_000), (900, 900)] {
            let (one, other) = (coupons(0..one), coupons(one / 2..one / 2 + other));
            let mut joined = Sketch::of(&one);
            joined.join(&Sketch::of(&other));
            assert_eq!(joined, Sketch::of(&[one, other].concat()));
            assert!(joined.is_sound());
            let before = joined.clone();
            joined.join(&before);
            assert_eq!(joined, before, "nobody counts twice");
        }
    }

    #[test]
    fn bytes_are_those_of_the_python_package_datasketches() {
        // `hll_sketch(12, HLL_8)` after `update` of 0, 1 and 2; and the start of one of 0 to 19.
        let three = [0x04c2_d7cb, 0x06fb_f22b, 0x0df9_2f86];
        let list = "0201070c03080308cbd7c2042bf2fb06862ff90d";
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        };
        assert_eq!(hex(&Sketch::of(&three).bytes().unwrap()), list);
        let twenty = Sketch::of(&coupons(0..20)).bytes().unwrap();
        assert_eq!(hex(&twenty[..12]), "0301070c0508000914000000");
    }

    #[test]
    fn nobody_has_no_bytes_and_each_mode_its_length() {
        assert_eq!(Sketch::default().bytes(), None);
        for (devices, length) in [(1, 12), (7, 36), (8, 12 + 32), (384, 12 + 4 * 384), (385, 4_136)]
        {
            let bytes = Sketch::of(&coupons(0..devices)).bytes().unwrap();
            assert_eq!(bytes.len(), length, "{devices}");
        }
    }
}
