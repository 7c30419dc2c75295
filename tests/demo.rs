//! The demo as a newcomer sees it: a bad change is caught, a good one is left alone.

use std::time::{Duration, Instant};

use xtask::fixture::Program;

#[test]
fn the_bad_change_is_caught_within_a_minute_and_the_good_one_is_not_blamed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let started = Instant::now();
    let mut demo = ringwatch.spawn([
        "demo".as_ref(),
        "--headless".as_ref(),
        "--data".as_ref(),
        data.as_os_str(),
    ]);
    demo.wait_until("the rollback alert", Duration::from_mins(1), |demo| {
        demo.stdout().contains("FIRING rollback: kb5040442")
    });
    let finished = demo.finish(Duration::from_secs(90)).with_code(0);
    assert!(started.elapsed() < Duration::from_secs(90), "{finished}");
    let told: Vec<&str> =
        finished.stdout.lines().filter(|line| line.starts_with("FIRING")).collect();
    assert!(told.iter().all(|line| !line.contains("fu-26h1")), "{told:?}");
    assert!(finished.stdout.contains("every offset is in the tables exactly once"), "{finished}");
    ringwatch.run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(0);
    let listed =
        ringwatch.run(["alerts".as_ref(), "list".as_ref(), "--data".as_ref(), data.as_os_str()]);
    assert!(listed.with_code(3).stdout.contains("kb5040442"));
}
