//! The detector's formulas once more, in Python with 50 digits, and by other people's packages.
//!
//! `cargo test -p alerts --test statistics` compares the product with the file that is checked
//! here.

use xtask::fixture::oracle;

#[test]
fn the_golden_values_are_fresh_and_other_packages_agree() {
    oracle("statistics.py", ["--check"]).with_code(0);
}
