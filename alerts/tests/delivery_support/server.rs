//! A server of `tests/oracle/`, in the project's Python.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running server; it ends with its standard input, and its folder goes with it.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) said: BufReader<ChildStdout>,
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
}

impl Server {
    pub(crate) fn start(script: &str, name: &str, arguments: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("ringwatch-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("created");
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut process = Command::new(root.join(".venv/bin/python"))
            .arg(root.join("tests/oracle").join(script))
            .arg(&folder)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Python of the project: ./dev setup");
        let mut said = BufReader::new(process.stdout.take().expect("piped"));
        let mut port = String::new();
        said.read_line(&mut port).expect("a line");
        let port = port.trim().parse().expect("it says its port: ./dev setup");
        Self { process, said, port, folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
