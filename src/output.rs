//! Standard output: written so that a closed pipe ends the program quietly, not with a panic.

use std::io::{self, Write};

use schemas::text::misleads;

/// How a verb prints its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Json,
}

/// Writes one line to standard output. A reader that went away (`| head`) is no error.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes text without a line end, at once: for a table that is drawn again and again.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a value as one line of JSON.
pub fn json<T: serde::Serialize>(value: &T) -> Result<(), crate::failure::Failure> {
    Ok(line(&serde_json::to_string(value)?)?)
}

/// Text from a device or the registry, safe to print: what misleads becomes `?`.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if misleads(letter) { '?' } else { letter }).collect()
}
