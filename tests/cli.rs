//! The command line as a user meets it: plain errors, exit codes, help.

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use xtask::fixture::{Finished, Program};

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

fn with_config(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("ringwatch.toml");
    fs::write(&path, text).expect("a configuration file");
    path
}

/// Runs `verb` with a configuration that is wrong, and expects one line on standard error.
fn check_refused(verb: &[&str], text: &str, code: i32, expected: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = with_config(&folder, text);
    let mut arguments: Vec<_> = verb.iter().map(std::ffi::OsString::from).collect();
    arguments.extend(["--config".into(), config.into_os_string()]);
    let finished: Finished = ringwatch().run(arguments).with_code(code);
    let lines: Vec<&str> =
        finished.stderr.lines().filter(|line| line.starts_with("ringwatch:")).collect();
    assert_eq!(lines.len(), 1, "{finished}");
    assert!(lines[0].contains(expected), "expected {expected:?}\n{finished}");
}

#[test]
fn a_wrong_configuration_says_in_one_line_what_to_do() {
    for (text, expected) in [
        ("[kafka]\nbroker = 'x'", "unknown key `kafka.broker`; did you mean `kafka.brokers`?"),
        ("[kafka]\nbrokers = 'x'\n[[ring]]\nname = ''", "`ring.name` is \"\"; use 1 to 128 bytes"),
        (
            "[kafka]\nbrokers = 'x'\n[kafka.properties]\n'group.id' = 'x'",
            "`kafka.properties.group.id` is ringwatch's own to set: set kafka.group instead",
        ),
        ("", "`kafka.brokers` is not set; set it in the file or as RINGWATCH__KAFKA__BROKERS"),
        ("[kafka", "the configuration is no valid TOML"),
    ] {
        check_refused(&["run"], text, 2, expected);
    }
}

#[test]
fn an_unreachable_broker_is_named() {
    // Port 1 of the loopback interface: refused at once, so the time-out decides.
    let text = "[kafka]\nbrokers = '127.0.0.1:1'\nconnect_timeout = '2s'\n[store]\ndata = 'DATA'";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = text.replace("DATA", &folder.path().join("data").to_string_lossy());
    check_refused(&["run"], &text, 1, "cannot reach a broker at 127.0.0.1:1 within 2 s");
}

#[test]
fn an_unwritable_folder_is_named() {
    let text = "[kafka]\nbrokers = '127.0.0.1:1'\n[store]\ndata = '/proc/ringwatch'";
    check_refused(&["run"], text, 1, "/proc");
}

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in
        ["run", "demo", "replay", "simulate", "check", "verify", "alerts", "schema", "completions"]
    {
        let help = ringwatch().run([verb, "--help"]).with_code(0).stdout;
        assert!(
            help.contains("Examples:") && help.contains(&format!("ringwatch {verb}")),
            "{help}"
        );
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["replay"][..], &["no-such-verb"], &["verify", "--no-such-flag"]] {
        ringwatch().run(arguments).with_code(2);
    }
}

#[test]
fn schemas_and_completions_are_printed() {
    let telemetry = ringwatch().run(["schema", "telemetry"]).with_code(0).json();
    assert_eq!(telemetry["type"], "object");
    assert!(ringwatch().run(["schema", "dictionary"]).stdout.contains("devices_active"));
    ringwatch().run(["schema", "nonsense"]).with_code(2);
    assert!(ringwatch().run(["completions", "bash"]).with_code(0).stdout.contains("_ringwatch"));
}

#[test]
fn a_configuration_that_is_right_is_said_to_be() {
    let checked = ringwatch().run(["check", "--json"]).with_code(0).json();
    assert_eq!(checked["configuration"], "ok");
}

#[test]
fn verifying_what_is_not_there_fails() {
    let finished = ringwatch().run(["verify", "--data", "/nonexistent/data"]).with_code(1);
    assert!(finished.stderr.contains("/nonexistent/data"), "{finished}");
}
