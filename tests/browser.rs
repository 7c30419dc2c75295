//! The dashboard in a real browser, over a demo that has told its story.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use xtask::fixture::{Program, finish};

/// Where Debian, and where others put it.
const CHROMIUM: &[&str] =
    &["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

fn chromium() -> PathBuf {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = CHROMIUM.iter().map(PathBuf::from);
    let mut there = named.into_iter().chain(known).filter(|path| path.exists());
    there.next().unwrap_or_else(|| panic!("no Chromium; run `./dev setup`, or set CHROMIUM"))
}

#[test]
fn every_page_is_usable_by_everybody_and_an_alert_appears_by_itself() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(scripts.join("node_modules/axe-core").exists(), "run `./dev setup` first");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let ringwatch = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    let flags = ["demo", "--headless", "--stay", "--duration", "120s", "--data"];
    let mut demo =
        ringwatch.spawn(flags.map(std::ffi::OsStr::new).into_iter().chain([data.as_os_str()]));
    let address = format!("http://{}", demo.dashboard());
    let mut script = Command::new("node");
    script.current_dir(&scripts).args(["run.mjs", &address]).env("CHROMIUM", chromium());
    let seen = finish(&mut script).with_code(0);
    assert!(seen.stdout.contains("every page is as it should be"), "{seen}");
    let told = ringwatch.run(["top", "--url", &address]).with_code(0);
    assert!(told.stdout.contains("ROLLBACK") && !told.stdout.contains('\x1b'), "{told}");
    demo.terminate(Duration::from_mins(1)).with_code(0);
}
