//! The corpus of the fuzzer, replayed: what once led to new paths through the decoder still does.
//!
//! `cargo xtask soak fuzz` goes on from there for half an hour.

use std::fs;

#[path = "../fuzz/both_ways.rs"]
mod both_ways;

#[test]
fn the_corpus_of_the_fuzzer_is_read_the_same_in_both_ways() {
    let (mut inputs, mut by_shape) = (0, 0);
    for file in fs::read_dir("fuzz/corpus/paths").expect("the corpus") {
        let input = fs::read(file.expect("a file").path()).expect("an input");
        by_shape += both_ways::compare(&input);
        inputs += 1;
    }
    assert!(inputs >= 100, "{inputs} inputs");
    assert!(by_shape >= 100, "{by_shape} records by shape: it shows nothing");
}
