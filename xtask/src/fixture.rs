//! For black-box tests: runs the built binary and the Python oracle, and says what they said.
//!
//! A fixture that cannot do its part panics with the whole output: there is nothing to test then.

#![expect(clippy::expect_used, reason = "a fixture that cannot run must fail the test")]

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::repository;

/// Between two looks at a process.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A demo opens its dashboard first.
const DASHBOARD_TIMEOUT: Duration = Duration::from_mins(1);
/// Pages are answered from memory.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// An address of this machine that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port")
}

/// The program under test: `Program::new(env!("CARGO_BIN_EXE_ringwatch"))`.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

/// What a process left behind.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A process under way, with its output going to files; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: TempDir,
}

impl Program {
    /// The program at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A command of it, without configuration from this process's environment.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RINGWATCH_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        finish(&mut self.command(arguments))
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        spawn(&mut self.command(arguments))
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn finish(command: &mut Command) -> Finished {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts a command.
#[track_caller]
pub fn spawn(command: &mut Command) -> Running {
    let output = tempfile::tempdir().expect("a temporary folder");
    let file = |name| File::create(output.path().join(name)).expect("a file in it");
    command.stdout(file("stdout")).stderr(file("stderr"));
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Running { child, output }
}

/// The body of a page of a server on this machine, if it answers; `address` as `host:port`.
pub fn page(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PAGE_TIMEOUT)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// The Python that has what the oracle needs.
#[track_caller]
pub fn python() -> PathBuf {
    let python = repository().join(".venv/bin/python");
    assert!(python.is_file(), "{} is missing: run ./dev setup", python.display());
    python
}

/// Runs a script of `tests/oracle`.
#[track_caller]
pub fn oracle<A: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = A>) -> Finished {
    let path = repository().join("tests/oracle").join(script);
    finish(Command::new(python()).arg(path).args(arguments))
}

impl Finished {
    /// The same, if it ended with that code.
    #[expect(clippy::return_self_not_must_use, reason = "the check is often all that is wanted")]
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "unexpected exit code\n{self}");
        self
    }

    /// What stands on standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(formatter, "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

impl Running {
    /// Where the dashboard of a demo is, as `host:port`, once it has said so.
    pub fn dashboard(&mut self) -> String {
        const LINE: &str = "dashboard: http://";
        let address = |demo: &Self| {
            let text = demo.stdout();
            let line = text.lines().find_map(|line| line.trim().strip_prefix(LINE));
            line.map(|line| line.trim_end_matches('/').to_owned())
        };
        let said = |demo: &Self| address(demo).is_some();
        self.wait_until("the dashboard's address", DASHBOARD_TIMEOUT, said);
        address(self).expect("it was there")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[track_caller]
    pub fn stdout(&self) -> String {
        self.written("stdout")
    }

    /// What it has written to standard error so far.
    #[track_caller]
    pub fn stderr(&self) -> String {
        self.written("stderr")
    }

    fn written(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).expect("the file it writes to");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has.
    #[track_caller]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of this process")
    }

    /// Stops it where it stands, as a machine that hangs would: SIGSTOP.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on: SIGCONT.
    #[track_caller]
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Stops it again and again where it stands, so that others see it at work, and stopped in the
    /// middle of it; ends early if it does.
    #[track_caller]
    pub fn go_haltingly(&mut self, halts: u32, go: Duration, halt: Duration) {
        for _ in 0..halts {
            sleep(go);
            if self.ended().is_some() {
                return;
            }
            self.freeze();
            sleep(halt);
            self.thaw();
        }
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is still there");
    }

    /// Waits until `condition` holds; panics if the process ends or the time is over.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, limit: Duration, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !condition(self) {
            let exited = self.ended();
            assert!(exited.is_none(), "it ended before {what}: {exited:?}\n{}", self.stderr());
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}\n{}", self.stderr());
            sleep(POLL_INTERVAL);
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Finished { status, stdout: self.stdout(), stderr: self.stderr() };
            }
            assert!(Instant::now() < deadline, "not ended within {limit:?}\n{}", self.stderr());
            sleep(POLL_INTERVAL);
        }
    }

    /// Asks it to stop: SIGTERM.
    #[track_caller]
    pub fn terminate(self, limit: Duration) -> Finished {
        self.signal(Signal::SIGTERM);
        self.finish(limit)
    }

    /// Ends it as a power cut would: SIGKILL.
    #[track_caller]
    pub fn kill(mut self) -> Finished {
        self.child.kill().expect("it is still there");
        self.finish(Duration::from_secs(10))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Copies every file below a folder to another one, which need not be there.
#[track_caller]
pub fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(path, bytes).expect("a file can be written");
    }
}

/// Every file below a folder by its path in it, with its bytes: for comparing two runs.
#[track_caller]
pub fn files(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below the folder").to_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}
