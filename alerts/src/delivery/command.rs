//! A program of this machine: the alert as JSON on its standard input, its exit code the answer.
//!
//! No shell: program and arguments are the configured ones, and nothing that a device or the
//! registry says becomes an argument. The environment names the alert: `RINGWATCH_ID`,
//! `RINGWATCH_TRANSITION`, `RINGWATCH_STATE`, `RINGWATCH_DECISION`; where it acts, also
//! `RINGWATCH_IDEMPOTENCY_KEY` and `RINGWATCH_ACT_BEFORE`. The rest of it is the service's, without
//! the secrets of other destinations and of the service. Exit 0 has it; 75 (`EX_TEMPFAIL`
//! of sysexits.h) and a program that is killed or hangs are tried again; all else is refused.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{self, Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use schemas::Alert;

use super::destination::Terms;
use super::limited;
use super::retry::Outcome;

const EX_TEMPFAIL: i32 = 75;
/// 20 ms: what a program's end is noticed late by.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const REASON_BYTES_MAX: usize = 300;

#[derive(Debug)]
pub(crate) struct Command {
    program: String,
    arguments: Vec<String>,
    /// The variables that hold the secrets of destinations.
    secrets: Vec<String>,
}

impl Command {
    /// The configured words, of which there is one at least.
    pub(crate) fn new(words: &[String], secrets: Vec<String>) -> Self {
        let (program, arguments) = words
            .split_first()
            .map_or_else(Default::default, |(one, all)| (one.clone(), all.to_vec()));
        Self { program, arguments, secrets }
    }

    /// Runs the program and waits for its end, `at_most` so long; then it is killed.
    pub(crate) fn run(&self, alert: &Alert, terms: Option<&Terms>, at_most: Duration) -> Outcome {
        match self.spawn(alert, terms) {
            Ok(child) => finish(child, super::http::json(alert), at_most),
            Err(error) => busy(format!("cannot start {}: {error}", self.program)),
        }
    }

    fn spawn(&self, alert: &Alert, terms: Option<&Terms>) -> std::io::Result<Child> {
        // Names of ours, an id that follows from a digest, numbers: nothing from outside.
        let terms = terms.map(|terms| (terms.key.clone(), terms.before.to_string()));
        let terms = terms.into_iter().flat_map(|(key, before)| {
            [("RINGWATCH_IDEMPOTENCY_KEY", key), ("RINGWATCH_ACT_BEFORE", before)]
        });
        let mut program = process::Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if self.is_secret(&name.to_string_lossy()) {
                program.env_remove(&name);
            }
        }
        program
            .envs(terms)
            .args(&self.arguments)
            .env("RINGWATCH_ID", &alert.id)
            .env("RINGWATCH_TRANSITION", alert.transition.to_string())
            .env("RINGWATCH_STATE", alert.state.name())
            .env("RINGWATCH_DECISION", alert.decision.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }

    /// Whether a variable opens another destination or what is the service's own: any key of the
    /// configuration, the data folder (docs/configuration.md), the receiver of traces.
    fn is_secret(&self, name: &str) -> bool {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
        self.secrets.iter().any(|secret| secret == name)
            || begins(&["RINGWATCH__"])
            || begins(&["AWS_", "AZURE_"]) && holds(&["KEY", "SECRET", "TOKEN"])
            || begins(&["OTEL_"]) && name.ends_with("_HEADERS")
    }
}

/// Feeds the program, reads the beginning of what it complains of, and waits.
fn finish(mut child: Child, input: Vec<u8>, at_most: Duration) -> Outcome {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    // Threads of their own: a program may neither read nor close what it was given.
    thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    let (said, complaint) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = stderr {
            let _partial = pipe.by_ref().take(REASON_BYTES_MAX as u64).read_to_end(&mut text);
            let _sent = said.send(String::from_utf8_lossy(&text).into_owned());
            // What follows is read away, so that the program is not held up by it.
            let _rest = std::io::copy(&mut pipe, &mut std::io::sink());
        }
    });
    let mut waited = Duration::ZERO;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let said = complaint.recv_timeout(LOOK_EVERY).unwrap_or_default();
                return outcome(status, &said);
            }
            Ok(None) if waited < at_most => {
                thread::sleep(LOOK_EVERY);
                waited += LOOK_EVERY;
            }
            Ok(None) => {
                kill_all(&mut child);
                let _reaped = child.wait();
                return busy(format!("killed: it ran for more than {} s", at_most.as_secs()));
            }
            Err(error) => return busy(format!("cannot wait for it: {error}")),
        }
    }
}

/// With all that it has started: half of a rollback must not run on beside the next one.
fn kill_all(child: &mut Child) {
    let group = i32::try_from(child.id()).map(nix::unistd::Pid::from_raw);
    let killed = group.map(|group| nix::sys::signal::killpg(group, nix::sys::signal::SIGKILL));
    if !matches!(killed, Ok(Ok(()))) {
        let _gone = child.kill();
    }
}

fn outcome(status: ExitStatus, said: &str) -> Outcome {
    let reason = limited(&format!("{status} {}", said.trim()), REASON_BYTES_MAX);
    match status.code() {
        Some(0) => Outcome::Accepted,
        Some(EX_TEMPFAIL) | None => busy(reason),
        Some(_) => Outcome::Refused { reason },
    }
}

fn busy(reason: String) -> Outcome {
    Outcome::Busy { reason, retry_after: None }
}

#[cfg(test)]
mod tests {
    use schemas::Timestamp;

    use super::*;
    use crate::delivery::examples::firing;
    use crate::delivery::hostile::hostile;
    use crate::delivery::{Destination, DestinationConfig, DestinationError, UreqClient};

    fn run(script: &str, at_most: Duration) -> Outcome {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        Command::new(&words, Vec::new()).run(&firing("kb1"), None, at_most)
    }

    #[test]
    fn the_exit_code_says_what_became_of_it() {
        let long = Duration::from_secs(20);
        assert_eq!(run("cat > /dev/null", long), Outcome::Accepted);
        assert_eq!(run("exit 0", long), Outcome::Accepted, "what it does not read is no fault");
        let refused = run("echo no such team >&2; exit 3", long);
        assert_eq!(refused, Outcome::Refused { reason: "exit status: 3 no such team".to_owned() });
        assert_eq!(run("exit 75", long).label(), "retried");
        assert_eq!(run("kill -9 $$", long).label(), "retried");
        let absent = Command::new(&["/nowhere/program".to_owned()], Vec::new());
        assert_eq!(absent.run(&firing("kb1"), None, long).label(), "retried");
    }

    #[test]
    fn a_program_that_hangs_is_killed_and_one_that_talks_is_not_held_up() {
        let Outcome::Busy { reason, .. } = run("sleep 60", Duration::from_millis(100)) else {
            panic!("it hangs")
        };
        assert!(reason.starts_with("killed"), "{reason}");
        let folder = std::env::temp_dir().join(format!("ringwatch-group-{}", std::process::id()));
        let (marker, hang) = (folder.display(), Duration::from_millis(200));
        let script = format!("(sleep 1; touch {marker}) & wait");
        assert_eq!(run(&script, hang).label(), "retried");
        thread::sleep(Duration::from_millis(1_500));
        assert!(!folder.exists(), "what it had started went on");
        let chatty = "head -c 1000000 /dev/zero >&2; exit 0";
        assert_eq!(run(chatty, Duration::from_secs(20)), Outcome::Accepted);
    }

    #[test]
    fn the_alert_comes_on_standard_input_and_nothing_of_it_as_an_argument() {
        let folder = std::env::temp_dir().join(format!("ringwatch-command-{}", process::id()));
        std::fs::create_dir_all(&folder).expect("created");
        let file = folder.join("got");
        let script = format!(
            "cat > {0}; echo \"$RINGWATCH_STATE $RINGWATCH_DECISION $#\" >> {0}",
            file.display()
        );
        let words = ["/bin/sh", "-c", &script].map(str::to_owned);
        let command = Command::new(&words, Vec::new());
        let outcome = command.run(&hostile(), None, Duration::from_secs(20));
        assert_eq!(outcome, Outcome::Accepted);
        let got = std::fs::read_to_string(&file).expect("written");
        std::fs::remove_dir_all(&folder).expect("removed");
        let (json, rest) = got.rsplit_once('}').expect("JSON and a line");
        let alert: Alert = serde_json::from_str(&format!("{json}}}")).expect("an alert");
        assert_eq!((alert, rest), (hostile(), "firing rollback 0\n"));
    }

    /// Cargo names the crate to its tests: two variables that are there.
    #[test]
    fn a_program_gets_the_environment_without_the_secrets_of_other_destinations() {
        let script = "test -z \"${CARGO_PKG_NAME+x}\" || exit 3; \
                      test \"$PATH\" && test \"$CARGO_PKG_VERSION\" && test \"$RINGWATCH_ID\"";
        let config = |keys: &str| -> DestinationConfig {
            serde_json::from_str(&format!("{{\"name\":\"a\",{keys}}}")).expect("keys")
        };
        let program = format!(r#""type":"command","command":["/bin/sh","-c",{script:?}]"#);
        let program = config(&program);
        let other = r#""type":"jira","secret_env":"CARGO_PKG_NAME""#;
        let sent = |opened: Result<Destination, DestinationError>| {
            let destination = opened.expect("usable");
            destination.send_once(&UreqClient::new(&destination), &firing("kb1"), Timestamp(0))
        };
        assert_eq!(sent(program.open()).label(), "gave_up", "the variable is there");
        assert_eq!(sent(program.open_among(&[program.clone(), config(other)])), Outcome::Accepted);
    }

    #[test]
    fn what_opens_the_service_is_withheld_and_what_a_program_needs_is_not() {
        let command = Command::new(&[], vec!["PAGERDUTY_KEY".to_owned()]);
        for name in [
            "PAGERDUTY_KEY",
            "RINGWATCH__KAFKA__PROPERTIES",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ] {
            assert!(command.is_secret(name), "{name}");
        }
        for name in ["PATH", "HOME", "TZ", "LANG", "AWS_REGION", "DEPLOY_TOKEN", "HTTPS_PROXY"] {
            assert!(!command.is_secret(name), "{name}");
        }
    }
}
