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

const TWO_THAT_ACT: &str = "[kafka]\nbrokers = 'x'\n\
    [[destination]]\nname = 'one'\ntype = 'command'\ncommand = ['/bin/true']\nacts = true\n\
    [[destination]]\nname = 'two'\ntype = 'command'\ncommand = ['/bin/true']\nacts = true\n\
    decisions = ['rollback']";

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
        (TWO_THAT_ACT, "is set for `one` and `two`, and both would roll back the same"),
        (
            "[kafka]\nbrokers = 'x'\n[telemetry]\nfields = { ring = 'state' }",
            "`telemetry.fields` calls both `state` and `ring` \"state\"; give each a name of its \
             own",
        ),
    ] {
        check_refused(&["run"], text, 2, expected);
    }
}

#[cfg(not(feature = "delta"))]
#[test]
fn a_delta_log_is_refused_by_a_build_without_it() {
    let text = "[kafka]\nbrokers = 'x'\n[store]\ndelta = true";
    check_refused(&["check"], text, 2, "`store.delta` needs a build with the feature `delta`");
}

#[test]
fn a_demo_says_that_it_reads_no_configuration() {
    check_refused(&["demo"], "[kafka]\nbrokers = 'x'", 2, "the demo tells a story of its own");
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
    for verb in [
        "run",
        "demo",
        "replay",
        "simulate",
        "check",
        "verify",
        "alerts",
        "deliveries",
        "pause",
        "resume",
        "explain",
        "plan",
        "schema",
        "completions",
    ] {
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

#[test]
fn a_plan_says_what_each_ring_sees_by_when() {
    let asked = ["plan", "--devices", "100,500,1400,3000,5000", "--rate", "os_crash=0.5%"];
    let text = ringwatch().run(asked).with_code(0).stdout;
    assert!(text.contains("seen after") && text.contains("never"), "{text}");
    let json =
        ringwatch().run(asked.into_iter().chain(["--ratio", "10", "--json"])).with_code(0).json();
    let first = &json[1];
    assert_eq!((&first["ring"], &first["signal"]), (&"first".into(), &"os_crash".into()));
    let hours = first["hours"].as_f64().expect("later rings are there");
    assert!(hours > 5.0 && hours < 24.0, "{hours}");
    assert!(json[4]["hours"].is_null());
    let few = ["plan", "--devices", "100,500", "--rate", "os_crash=0.5%"];
    let refused = ringwatch().run(few).with_code(2);
    assert!(refused.stderr.contains("--devices has 2 numbers, and there are 5 rings"), "{refused}");
}

#[test]
fn an_alert_that_is_not_there_cannot_be_explained() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().to_string_lossy().into_owned();
    let finished = ringwatch().run(["explain", "rw-none", "--data", &data]);
    assert!(!finished.status.success() && finished.stderr.contains("ringwatch:"), "{finished}");
}

#[test]
fn the_destinations_of_the_documents_are_right() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alerts.md"));
    let page = page.expect("docs/alerts.md");
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2, "the page shows two configurations");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let head = format!("[kafka]\nbrokers = 'kafka-1:9092'\n[store]\ndata = '{}'", data.display());
    let mut lines = vec![head];
    // A secret of each form, in files, as environments of tests are shared.
    for (at, line) in blocks.concat().lines().enumerate() {
        let Some(name) = line.strip_prefix("secret_env = \"").and_then(|l| l.split('"').next())
        else {
            lines.push(line.to_owned());
            continue;
        };
        let secret = match name {
            "SLACK_WEBHOOK" => "https://hooks.slack.com/services/T0/B0/secret",
            "SERVICENOW_LOGIN" | "MAIL_LOGIN" => "user:password",
            "PAGERDUTY_KEY" => "0123456789abcdef0123456789abcdef",
            _ => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        };
        let path = folder.path().join(format!("secret-{at}"));
        fs::write(&path, secret).expect("a secret");
        lines.push(format!("secret_file = '{}'", path.display()));
    }
    let config = with_config(&folder, &lines.join("\n"));
    ringwatch().run(["check".as_ref(), "--config".as_ref(), config.as_os_str()]).with_code(0);
    let flags = ["alerts", "test", "--explain", "--config"].map(std::ffi::OsStr::new);
    let explained = ringwatch().run(flags.into_iter().chain([config.as_os_str()])).with_code(0);
    for name in ["on-call", "support", "customers", "office", "rollback"] {
        assert!(explained.stdout.contains(name), "{explained}");
    }
}
