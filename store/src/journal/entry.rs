//! The bytes of one journal entry.
//!
//! ```text
//! "RINGWJ01" │ header length u32 │ header, JSON │ SHA-256 of all before
//! { tag u8 │ length u64 │ Arrow IPC stream }*   │ SHA-256 of all before
//! ```
//! Integers are little-endian. The header has a checksum of its own, so that recovery can read
//! the headers of a long journal without the rows. No byte of an entry is without a checksum.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::ipc::{CompressionType, MetadataVersion};
use schemas::entry::EntryHeader;
use schemas::{Delta, Entry};
use serde::{Deserialize, Serialize};

use super::columns::{Fault, Names, canonical};
use super::sections;
use crate::error::StoreError;
use crate::hash::{HASH_BYTES, Hasher, sha256_bytes};

/// Name and version of the layout.
const MAGIC: &[u8; 8] = b"RINGWJ01";

/// Compressing takes no more processor time than to write what it saves: half of a large entry.
const COMPRESSION: Option<CompressionType> = Some(CompressionType::LZ4_FRAME);

/// What columns start at a multiple of. A short entry has a hundred of them, so that the library's
/// own 64, for readers that map files into memory, would be a sixth of it.
const ALIGNMENT_BYTES: usize = 8;

/// Bytes before the header's JSON.
const PREFIX_BYTES: usize = MAGIC.len() + size_of::<u32>();

/// What is read of an entry at first for its header: most are under 1 KiB.
pub(super) const HEADER_BYTES_FIRST: usize = 4_096;

/// An entry without its rows, and what its rows hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) header: EntryHeader,
    pub(crate) delta_checksum: String,
}

/// SHA-256 over the rows of a delta, hexadecimal: the same for equal rows, whoever wrote them.
pub fn delta_checksum(delta: &Delta) -> String {
    checksum_of(&sections::batches(delta))
}

fn checksum_of(sections: &[(u8, RecordBatch)]) -> String {
    let mut hasher = Hasher::default();
    for (tag, batch) in sections {
        hasher.put(&[*tag]);
        canonical(batch, &mut hasher);
    }
    hasher.finish()
}

pub(super) fn encode(header: &EntryHeader, delta: &Delta) -> Result<Vec<u8>, StoreError> {
    let sections = sections::batches(delta);
    let stored = Stored { header: header.clone(), delta_checksum: checksum_of(&sections) };
    let json = serde_json::to_vec(&stored)
        .map_err(|error| StoreError::encode("the header of an entry")(error.into()))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend((json.len() as u32).to_le_bytes());
    bytes.extend(json);
    append_hash(&mut bytes);
    for (tag, batch) in &sections {
        append_section(*tag, batch, &mut bytes)
            .map_err(|error| StoreError::encode("the rows of an entry")(error.into()))?;
    }
    append_hash(&mut bytes);
    Ok(bytes)
}

fn append_section(tag: u8, batch: &RecordBatch, bytes: &mut Vec<u8>) -> Result<(), ArrowError> {
    bytes.push(tag);
    let length_at = bytes.len();
    bytes.extend([0; size_of::<u64>()]);
    let options = IpcWriteOptions::try_new(ALIGNMENT_BYTES, false, MetadataVersion::V5)?
        .try_with_compression(COMPRESSION)?;
    let mut writer = StreamWriter::try_new_with_options(&mut *bytes, &batch.schema(), options)?;
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    let (before, stream) = bytes.split_at_mut(length_at + size_of::<u64>());
    before[length_at..].copy_from_slice(&(stream.len() as u64).to_le_bytes());
    Ok(())
}

fn append_hash(bytes: &mut Vec<u8>) {
    let hash = sha256_bytes(bytes);
    bytes.extend(hash);
}

/// Where the header's checksum ends, which is where the sections begin.
///
/// `bytes` may be the start of an entry; 12 of them must be there.
pub(super) fn header_end(bytes: &[u8]) -> Result<usize, Fault> {
    let Some((magic, rest)) = bytes.split_at_checked(MAGIC.len()) else {
        return Err("it is cut off".to_owned());
    };
    if magic != MAGIC {
        return Err("it is no journal entry of this version".to_owned());
    }
    let length = rest.first_chunk().ok_or("it is cut off")?;
    Ok(PREFIX_BYTES + u32::from_le_bytes(*length) as usize + HASH_BYTES)
}

/// Reads the header from the start of an entry that holds at least [`header_end`] bytes.
pub(super) fn decode_header(bytes: &[u8]) -> Result<Stored, Fault> {
    let covered = bytes.get(..header_end(bytes)?).ok_or("it is cut off")?;
    let head = unhashed(covered, "header")?;
    serde_json::from_slice(&head[PREFIX_BYTES..])
        .map_err(|error| format!("its header cannot be read: {error}"))
}

/// Reads a whole entry, every byte of it checked.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Entry, String), Fault> {
    let Stored { header, delta_checksum } = decode_header(bytes)?;
    let mut rest = unhashed(bytes, "entry")?.get(header_end(bytes)?..).ok_or("it is cut off")?;
    let (mut delta, mut names, mut last_tag) = (Delta::default(), Names::default(), 0);
    while let Some((tag, after)) = rest.split_first() {
        if *tag <= last_tag {
            return Err(format!("section {tag} follows section {last_tag}"));
        }
        last_tag = *tag;
        let (length, after) = after.split_first_chunk().ok_or("it is cut off")?;
        let length = u64::from_le_bytes(*length) as usize;
        let (stream, after) = after.split_at_checked(length).ok_or("it is cut off")?;
        let batch = single_batch(stream).map_err(|error| format!("section {tag}: {error}"))?;
        sections::read(*tag, &batch, &mut names, &mut delta)?;
        rest = after;
    }
    Ok((Entry { header, delta }, delta_checksum))
}

fn single_batch(stream: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut batches = StreamReader::try_new(stream, None)?;
    let missing = || ArrowError::IpcError("it holds no batch".to_owned());
    batches.next().ok_or_else(missing)?
}

/// The bytes before the checksum that ends them, if it is theirs.
fn unhashed<'a>(bytes: &'a [u8], what: &str) -> Result<&'a [u8], Fault> {
    let (content, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or("it is cut off")?;
    if sha256_bytes(content) == *hash {
        Ok(content)
    } else {
        Err(format!("its {what} does not match its checksum"))
    }
}
