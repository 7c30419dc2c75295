//! Object stores of their own for tests: S3 (moto) and Azure Blob (azurite), and a proxy with
//! faults before them.
//!
//! ```text
//! RemoteStore, ringwatch ─► Proxy (503, silence, slowness, lost answers; counts) ─► Server
//! ```
//! A server starts on a free port with one empty bucket; all goes with the [`Server`].

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::fixture::free_address;
use crate::{Failure, stop_on_signals};

mod programs;
mod proxy;

pub use proxy::{Fault, Proxy};

/// The bucket, or container, that each server starts with.
const BUCKET: &str = "ringwatch";
/// A start takes 2 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Another process may take a free port before the server binds it.
const START_ATTEMPTS_MAX: usize = 3;
/// Between two looks: short against a start.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The emulator's account and its key, which are the same everywhere and published.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A signature by that key, good until 2099: making the container needs one.
const AZURE_SAS: &str = "sv=2021-08-06&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z\
    &spr=https%2Chttp&sig=kV1%2FDJNn7340SUtIltqF6L9gEwifTOYTqBxfQeMSrhM%3D";

/// Whose protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    S3,
    Azure,
}

/// A running object store with one bucket; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    port: u16,
    process: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a server and waits until it has its bucket.
    pub fn start(kind: Kind) -> Result<Self, Failure> {
        let mut result = Self::attempt(kind);
        for _ in 1..START_ATTEMPTS_MAX {
            if result.is_ok() {
                break;
            }
            result = Self::attempt(kind);
        }
        result
    }

    fn attempt(kind: Kind) -> Result<Self, Failure> {
        let folder =
            tempfile::tempdir().map_err(Failure::io("make a folder for the object store"))?;
        let port = free_address().port();
        let mut command = match kind {
            Kind::S3 => programs::moto(port)?,
            Kind::Azure => programs::azurite(port, folder.path())?,
        };
        let log = File::create(folder.path().join("server.log"))
            .map_err(Failure::io("write the object store's log"))?;
        let errors = log.try_clone().map_err(Failure::io("write the object store's log"))?;
        let process =
            command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(
                Failure::io("start an object store; ./dev setup installs what it needs"),
            )?;
        let mut server = Self { kind, port, process, folder };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.process.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(Failure::Unmet(format!("the object store stopped:\n{}", self.log())));
            }
            if self.make_bucket().is_ok_and(|answer| is_success(&answer)) {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
        let limit_s = START_TIMEOUT.as_secs();
        Err(Failure::Unmet(format!("no object store within {limit_s} s:\n{}", self.log())))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// The first line of the answer.
    fn make_bucket(&self) -> std::io::Result<String> {
        let target = match self.kind {
            Kind::S3 => format!("/{BUCKET}"),
            Kind::Azure => format!("/{AZURE_ACCOUNT}/{BUCKET}?restype=container&{AZURE_SAS}"),
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            stream,
            "PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-ms-version: 2021-08-06\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a data folder in it.
    pub fn url(&self, prefix: &str) -> String {
        let scheme = match self.kind {
            Kind::S3 => "s3",
            Kind::Azure => "az",
        };
        format!("{scheme}://{BUCKET}/{prefix}")
    }

    /// The environment that leads to it and opens it.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment_at(self.port)
    }

    /// The same by another way, as through a [`Proxy`].
    pub fn environment_at(&self, port: u16) -> Vec<(String, String)> {
        let pairs = match self.kind {
            Kind::S3 => vec![
                ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
                ("AWS_ALLOW_HTTP", "true".to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ACCESS_KEY_ID", "test".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ],
            Kind::Azure => vec![
                ("AZURE_STORAGE_ENDPOINT", format!("http://127.0.0.1:{port}/{AZURE_ACCOUNT}")),
                ("AZURE_ALLOW_HTTP", "true".to_owned()),
                ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY.to_owned()),
            ],
        };
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Runs a server behind a proxy until Ctrl-C.
pub fn foreground(kind: Kind) -> Result<(), Failure> {
    let asked = stop_on_signals()?;
    let server = Server::start(kind)?;
    let proxy = Proxy::start(server.port())?;
    for (name, value) in server.environment_at(proxy.port()) {
        announce(&format!("export {name}={value}"));
    }
    announce(&format!("export RINGWATCH__STORE__DATA={}", server.url("data")));
    while !asked.load(Ordering::Relaxed) {
        sleep(POLL_INTERVAL);
    }
    for (what, count) in proxy.counts() {
        announce(&format!("# {what} {count}"));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the address is what the task is run for")]
fn announce(line: &str) {
    println!("{line}");
}

fn is_success(status_line: &str) -> bool {
    status_line.split(' ').nth(1).is_some_and(|status| status.starts_with('2'))
}
