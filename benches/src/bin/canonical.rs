//! Writes the canonical workload, or a scenario's story, as NDJSON files.
//!
//! Out: a folder with `telemetry-<partition>.ndjson`, `changes.ndjson` and `support.ndjson`,
//! ready for `ringwatch replay`; each line carries its arrival as `_ts`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use benches::canonical::{Canonical, CanonicalConfig, registry};
use clap::Parser;
use schemas::{Stream, StreamKind, Timestamp};
use sim::{Scenario, Simulation, write_ndjson};

/// Writes the canonical workload, or a scenario's story, as NDJSON files.
#[derive(Parser)]
struct Arguments {
    /// Folder to write to; made if absent.
    #[arg(long)]
    out: PathBuf,
    /// Messages of the canonical workload.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Devices of the canonical workload.
    #[arg(long, default_value_t = 200_000)]
    devices: u32,
    /// A scenario (TOML) to tell instead of the canonical workload.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Seed; that of the scenario or of the canonical workload if absent.
    #[arg(long)]
    seed: Option<u64>,
}

/// One open file per stream.
struct Files {
    folder: PathBuf,
    open: BTreeMap<Stream, BufWriter<File>>,
    line: Vec<u8>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut files = Files::create(&arguments.out)?;
    match &arguments.scenario {
        Some(path) => tell(path, arguments.seed, &mut files)?,
        None => write_canonical(&arguments, &mut files)?,
    }
    Ok(files.finish()?)
}

fn tell(
    path: &Path,
    seed: Option<u64>,
    files: &mut Files,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut scenario = Scenario::parse(&fs::read_to_string(path)?)?;
    scenario.seed = seed.unwrap_or(scenario.seed);
    files.open_all(scenario.partitions)?;
    for record in Simulation::new(&scenario) {
        files.write(record.stream, &record.value, record.arrival)?;
    }
    Ok(())
}

fn write_canonical(arguments: &Arguments, files: &mut Files) -> io::Result<()> {
    let default = CanonicalConfig::default();
    let config = CanonicalConfig {
        messages: arguments.messages,
        devices: arguments.devices,
        seed: arguments.seed.unwrap_or(default.seed),
        ..default
    };
    files.open_all(config.partitions)?;
    for record in registry(&config) {
        files.write(record.stream, &record.value, record.arrival)?;
    }
    let mut canonical = Canonical::new(config);
    while let Some(message) = canonical.next_message() {
        files.write(message.stream(), message.value, message.arrival)?;
    }
    Ok(())
}

impl Files {
    fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), open: BTreeMap::new(), line: Vec::new() })
    }

    /// Partition numbers have three digits, so that the order of names is that of partitions.
    fn open_all(&mut self, partitions: i32) -> io::Result<()> {
        let telemetry = |partition| (StreamKind::Telemetry, partition);
        let others = [(StreamKind::Changes, 0), (StreamKind::Support, 0)];
        for (kind, partition) in (0..partitions).map(telemetry).chain(others) {
            let name = match kind {
                StreamKind::Telemetry => format!("telemetry-{partition:03}.ndjson"),
                StreamKind::Changes | StreamKind::Support => format!("{}.ndjson", kind.name()),
            };
            let file = BufWriter::new(File::create(self.folder.join(name))?);
            self.open.insert(Stream { kind, partition }, file);
        }
        Ok(())
    }

    fn write(&mut self, stream: Stream, value: &[u8], arrival: Timestamp) -> io::Result<()> {
        self.line.clear();
        write_ndjson(value, arrival, &mut self.line);
        match self.open.get_mut(&stream) {
            Some(file) => file.write_all(&self.line),
            None => Err(io::Error::other(format!("{stream} is no partition of this workload"))),
        }
    }

    fn finish(self) -> io::Result<()> {
        self.open.into_values().try_for_each(|mut file| file.flush())
    }
}
