//! A webhook that notes when it first hears of each change.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use schemas::Timestamp;

type Heard = Arc<Mutex<BTreeMap<String, Timestamp>>>;

/// It listens for as long as the process lives.
pub(super) struct Hook {
    address: SocketAddr,
    heard: Heard,
}

impl Hook {
    pub(super) fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, heard) = (listener.local_addr()?, Heard::default());
        let noted = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                thread::spawn(move || {
                    // A connection that breaks is the sender's to repeat.
                    serve(&stream, &noted).ok();
                });
            }
        });
        Ok(Self { address, heard })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.heard).len()
    }

    pub(super) fn heard(&self) -> BTreeMap<String, Timestamp> {
        lock(&self.heard).clone()
    }
}

fn lock(heard: &Heard) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers every request of a connection.
fn serve(stream: &TcpStream, heard: &Heard) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let at = super::wall();
        let alert: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(change) = alert["change"].as_str() {
            lock(heard).entry(change.to_owned()).or_insert(at);
        }
        writer.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")?;
    }
}
