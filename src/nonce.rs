//! Randomness from the operating system: names of processes, seeds of data folders.

use std::fs::File;
use std::io::Read;

/// 16 random bytes as 32 hexadecimal digits.
pub fn fresh() -> String {
    let [low, high] = seed();
    format!("{low:016x}{high:016x}")
}

/// Two random words.
pub fn seed() -> [u64; 2] {
    let mut bytes = [0_u8; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        // Without the device the address space layout and the clock still differ by process.
        use std::hash::{BuildHasher, RandomState};
        let words = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        return words;
    }
    let word =
        |at: usize| bytes[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    [word(0), word(8)]
}
