//! Writes the canonical workload as NDJSON files; for a scenario's story see `ringwatch simulate`.

use std::io;
use std::path::PathBuf;

use benches::canonical::CanonicalConfig;
use benches::folder::write_canonical;
use clap::Parser;

/// Writes the canonical workload as NDJSON files.
#[derive(Parser)]
struct Arguments {
    /// Folder to write to; made if absent.
    #[arg(long)]
    out: PathBuf,
    /// Messages of the workload.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Devices of the workload.
    #[arg(long, default_value_t = 200_000)]
    devices: u32,
    /// Seed; the canonical one if absent.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let default = CanonicalConfig::default();
    let config = CanonicalConfig {
        messages: arguments.messages,
        devices: arguments.devices,
        seed: arguments.seed.unwrap_or(default.seed),
        ..default
    };
    write_canonical(&arguments.out, config)
}
