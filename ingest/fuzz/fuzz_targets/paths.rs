//! Records of any bytes through both ways to decode; they must say the same.

#![no_main]

#[path = "../both_ways.rs"]
mod both_ways;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    both_ways::compare(input);
});
