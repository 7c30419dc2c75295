//! One record's bytes to the parser's tape, every buffer reused from record to record.
//!
//! In: the bytes of a value. Out: what a walk over its tape makes of it, or a [`Rejection`] of the
//! stage FRAME (size) or DECODE (UTF-8, JSON, depth). The tape's text borrows from `bytes`.

use schemas::{Rejection, Stage};
use simd_json::{Buffers, ErrorType, INPUT_PADDING, Node, Tape};

/// Buffers larger than this are given back after the record that needed them: a rare giant must
/// not cost every worker its size for ever.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// The parser and its buffers.
pub(super) struct Json {
    bytes: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
    record_bytes_max: usize,
    depth_max: usize,
}

impl Json {
    pub(super) fn new(record_bytes_max: usize, depth_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            buffers: Buffers::with_max_depth(0, depth_max),
            tape: Tape(Vec::new()),
            record_bytes_max,
            depth_max,
        }
    }

    /// Parses `value` and hands its tape to `walk`.
    pub(super) fn read<'a, T>(
        &'a mut self,
        value: &[u8],
        walk: impl FnOnce(&[Node<'a>]) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        if value.len() > self.record_bytes_max {
            return Err(too_large(self.record_bytes_max));
        }
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            *self = Self::new(self.record_bytes_max, self.depth_max);
        }
        let Self { bytes, buffers, tape, depth_max, .. } = self;
        bytes.clear();
        bytes.extend_from_slice(value);
        bytes.resize(value.len() + INPUT_PADDING, b' ');
        let mut nodes = std::mem::replace(tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(bytes, value.len(), buffers, &mut nodes);
        let result = match parsed {
            Ok(()) => walk(&nodes.0),
            Err(error) => Err(refusal(&error, value, *depth_max)),
        };
        *tape = nodes.reset();
        result
    }
}

/// The refusal of a record beyond the limit of size.
pub(super) fn too_large(bytes_max: usize) -> Rejection {
    let error = format!("the record is larger than {bytes_max} bytes");
    Rejection { stage: Stage::Frame, field: None, error }
}

/// A refusal by the stage DECODE.
pub(super) fn undecodable(error: impl Into<String>) -> Rejection {
    Rejection { stage: Stage::Decode, field: None, error: error.into() }
}

fn refusal(error: &simd_json::Error, value: &[u8], depth_max: usize) -> Rejection {
    match error.error() {
        ErrorType::DepthLimitExceeded => {
            undecodable(format!("the record nests deeper than {depth_max}"))
        }
        ErrorType::InvalidUtf8 if std::str::from_utf8(value).is_err() => {
            undecodable("the record is not valid UTF-8")
        }
        // The parser calls half of a surrogate pair the one or the other.
        ErrorType::InvalidUtf8
        | ErrorType::InvalidUnicodeEscape
        | ErrorType::InvalidUnicodeCodepoint => {
            undecodable("the record holds an escape that is no Unicode character")
        }
        _ => undecodable("the record is not valid JSON"),
    }
}
