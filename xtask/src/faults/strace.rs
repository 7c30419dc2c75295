//! `strace` as a source of faults: a call that fails, or the last call of a process.

#![expect(clippy::expect_used, reason = "a fixture that cannot run must fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::fixture::{Finished, Running, finish, spawn};

/// It attaches to one thread after the other, within milliseconds.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(20);

/// Whose calls are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    First,
    All,
}

/// The `number`-th call of this name, counted from 1 in each thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub call: String,
    pub number: u32,
}

/// Runs a command to its end and lists the steps that its busiest threads took.
#[track_caller]
pub fn steps(command: &Command, threads: Threads, calls: &str) -> Vec<Step> {
    let trace = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut strace = strace(threads, calls);
    strace.arg("-o").arg(trace.path()).arg(command.get_program()).args(command.get_args());
    let finished = finish(&mut strace);
    assert!(finished.status.code().is_some(), "{finished}");
    counted(&fs::read_to_string(trace.path()).expect("what was traced"))
}

/// Runs a command that dies at one step: before the call takes effect.
#[track_caller]
pub fn die_at(command: &Command, threads: Threads, step: &Step) -> Finished {
    let mut strace = strace(threads, &step.call);
    strace.args(["-o", "/dev/null", "-e"]);
    strace.arg(format!("inject={}:signal=SIGKILL:when={}", step.call, step.number));
    finish(strace.arg(command.get_program()).args(command.get_args()))
}

/// Makes a call of a running process fail where it is about one of the paths, as in
/// `fsync:error=EIO`, until this is dropped or terminated.
#[track_caller]
pub fn attach(process: u32, injection: &str, paths: &[PathBuf]) -> Running {
    let call = injection.split(':').next().unwrap_or_default();
    let mut strace = strace(Threads::All, call);
    strace.args(["-o", "/dev/null", "-e", &format!("inject={injection}")]);
    for path in paths {
        strace.arg("-P").arg(path);
    }
    let mut running = spawn(strace.args(["-p", &process.to_string()]));
    running.wait_until("strace is attached", ATTACH_TIMEOUT, |it| it.stderr().contains("attached"));
    running
}

fn strace(threads: Threads, calls: &str) -> Command {
    let mut strace = Command::new("strace");
    if threads == Threads::All {
        strace.arg("-f");
    }
    strace.args(["-e", &format!("trace={calls}")]);
    strace
}

/// For each call the most that one thread made, spelled out.
fn counted(trace: &str) -> Vec<Step> {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for line in trace.lines() {
        // `-f` puts the thread before the call: `123   fsync(5) = 0`.
        let is_thread = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        let (thread, rest) = match line.split_once(' ') {
            Some((thread, rest)) if is_thread(thread) => (thread, rest.trim_start()),
            _ => ("", line),
        };
        let Some((call, _)) = rest.split_once('(') else { continue };
        if call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, u32> = BTreeMap::new();
    for ((call, _), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    let spelled = |(call, count): (String, u32)| {
        (1..=count).map(move |number| Step { call: call.clone(), number })
    };
    most.into_iter().flat_map(spelled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_thread() {
        let trace = "12    fsync(3) = 0\n13 fsync(4 <unfinished ...>\n12 fsync(3) = 0\n\
            13 <... fsync resumed>) = 0\n12 linkat(AT_FDCWD, \"a(\", 4, \"b\", 0) = 0\n\
            12 +++ exited with 0 +++\n";
        let step = |call: &str, number| Step { call: call.to_owned(), number };
        assert_eq!(counted(trace), [step("fsync", 1), step("fsync", 2), step("linkat", 1)]);
        assert_eq!(counted("fsync(3) = 0\n+++ exited +++\n"), [step("fsync", 1)]);
    }
}
