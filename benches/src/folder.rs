//! The canonical workload as a folder of NDJSON, ready for `ringwatch replay`.
//!
//! Out: `telemetry-<partition>.ndjson`, `changes.ndjson` and an empty `support.ndjson`; each line
//! carries its arrival as `_ts`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use schemas::{Stream, StreamKind};
use sim::write_ndjson;

use crate::canonical::{Canonical, CanonicalConfig, registry};

/// Writes the workload into `folder`, which is made if absent.
pub fn write_canonical(folder: &Path, config: CanonicalConfig) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Partition numbers have three digits, so that the order of names is that of partitions.
    let name = |stream: Stream| match stream.kind {
        StreamKind::Telemetry => format!("telemetry-{:03}.ndjson", stream.partition),
        StreamKind::Changes | StreamKind::Support => format!("{}.ndjson", stream.kind.name()),
    };
    let telemetry = (0..config.partitions).map(|partition| (StreamKind::Telemetry, partition));
    let mut files = BTreeMap::new();
    for (kind, partition) in telemetry.chain([(StreamKind::Changes, 0), (StreamKind::Support, 0)]) {
        let stream = Stream { kind, partition };
        files.insert(stream, BufWriter::new(File::create(folder.join(name(stream)))?));
    }
    let mut line = Vec::new();
    let mut write = |stream: Stream, value: &[u8], arrival| {
        line.clear();
        write_ndjson(value, arrival, &mut line);
        match files.get_mut(&stream) {
            Some(file) => file.write_all(&line),
            None => Err(io::Error::other(format!("{stream} is no partition of this workload"))),
        }
    };
    for record in registry(&config) {
        write(record.stream, &record.value, record.arrival)?;
    }
    let mut canonical = Canonical::new(config);
    while let Some(message) = canonical.next_message() {
        write(message.stream(), message.value, message.arrival)?;
    }
    files.into_values().try_for_each(|mut file| file.flush())
}
