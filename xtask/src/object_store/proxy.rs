//! What goes wrong between a client and an object store, on demand.
//!
//! ```text
//! client ─► request, whole ─► fault? ─► server ─► answer, whole ─► fault? ─► client
//! ```
//! One request per connection, so that a fault hits exactly one. Requests are counted by what
//! they are billed as.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Failure;

/// How long a request is held that is never answered: longer than any client waits.
const SILENCE: Duration = Duration::from_mins(2);
/// Between two looks at whether the silence is over.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered 503 and not passed on.
    Busy,
    /// Answered 409 and not passed on, as S3 does where puts of one key contend.
    Conflict,
    /// Neither passed on nor answered, until the fault is taken away.
    Silence,
    /// Passed on after a while.
    Slow(Duration),
    /// Passed on without its condition: a store that knows of none.
    NoConditions,
    /// Passed on; of the answer nothing comes back.
    LostAnswer,
}

/// A forwarder on a port of its own; dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    plan: Mutex<Plan>,
    counts: Mutex<BTreeMap<String, u64>>,
    stopped: AtomicBool,
}

/// Which requests are hit next.
#[derive(Debug, Default)]
struct Plan {
    fault: Option<Fault>,
    method: &'static str,
    left: u64,
}

impl Proxy {
    /// Starts forwarding to a port of this machine.
    pub fn start(server_port: u16) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::io("start the proxy"))?;
        let port = listener.local_addr().map_err(Failure::io("start the proxy"))?.port();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.forward(client, server_port));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on every request meets this fault.
    pub fn fail(&self, fault: Fault) {
        *locked(&self.shared.plan) = Plan { fault: Some(fault), method: "", left: u64::MAX };
    }

    /// The next `count` requests of a method meet this fault.
    pub fn fail_next(&self, count: u64, method: &'static str, fault: Fault) {
        *locked(&self.shared.plan) = Plan { fault: Some(fault), method, left: count };
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        *locked(&self.shared.plan) = Plan::default();
    }

    /// Requests so far: GET, PUT, …, and LIST, which is a GET that is billed as a PUT.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        locked(&self.shared.counts).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.heal();
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl Shared {
    /// The fault of a request, counted down.
    fn fault_for(&self, method: &str) -> Option<Fault> {
        let mut plan = locked(&self.plan);
        if plan.left == 0 || !(plan.method.is_empty() || plan.method == method) {
            return None;
        }
        plan.left -= 1;
        plan.fault
    }

    /// A client or server that goes away in the middle is one more fault, and no failure here.
    fn forward(&self, mut client: TcpStream, server_port: u16) {
        if let Ok(Some(request)) = read_request(&mut client) {
            self.answer(&mut client, &request, server_port).ok();
        }
        client.shutdown(Shutdown::Both).ok();
    }

    fn answer(&self, client: &mut TcpStream, request: &[u8], port: u16) -> io::Result<()> {
        let line = String::from_utf8_lossy(request.split(|b| *b == b'\r').next().unwrap_or(&[]));
        let method = line.split(' ').next().unwrap_or_default().to_owned();
        let is_list = line.contains("list-type=") || line.contains("comp=list");
        let billed = if is_list { "LIST" } else { &method };
        *locked(&self.counts).entry(billed.to_owned()).or_default() += 1;
        let fault = self.fault_for(&method);
        match fault {
            Some(Fault::Busy) => return refuse(client, "503 Slow Down"),
            Some(Fault::Conflict) => return refuse(client, "409 Conflict"),
            Some(Fault::Silence) => {
                self.wait_for_the_end_of_silence();
                return Ok(());
            }
            Some(Fault::Slow(delay)) => thread::sleep(delay),
            Some(Fault::NoConditions | Fault::LostAnswer) | None => {}
        }
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        if fault == Some(Fault::NoConditions) {
            server.write_all(&without_condition(request))?;
        } else {
            server.write_all(request)?;
        }
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        if fault == Some(Fault::LostAnswer) { Ok(()) } else { client.write_all(&answer) }
    }

    fn wait_for_the_end_of_silence(&self) {
        for _ in 0..SILENCE.as_millis() / POLL_INTERVAL.as_millis() {
            if locked(&self.plan).fault != Some(Fault::Silence) {
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Reads one request with its body; says the server to close after the answer, so that the
/// answer's end is that of the connection. `None` where the client sent nothing.
fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut byte = [0_u8];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut request = Vec::new();
    let mut body_bytes = 0_u64;
    for line in text.trim_end().split("\r\n") {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("connection") {
            continue;
        }
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.trim().parse().map_err(io::Error::other)?;
        }
        request.extend_from_slice(line.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    client.take(body_bytes).read_to_end(&mut request)?;
    Ok(Some(request))
}

fn refuse(client: &mut TcpStream, status: &str) -> io::Result<()> {
    write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// The request with its condition under a name that means nothing.
fn without_condition(request: &[u8]) -> Vec<u8> {
    let name = b"if-none-match:";
    let found = request.windows(name.len()).position(|part| part.eq_ignore_ascii_case(name));
    let mut changed = request.to_owned();
    if let Some(at) = found {
        changed[at] = b'x';
    }
    changed
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
