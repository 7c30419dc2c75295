//! `ringwatch simulate`: the records of a made-up fleet, to NDJSON files or to Kafka.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemas::{Stream, StreamKind};
use sim::{Scenario, SimRecord, Simulation};

use crate::cli::{Common, SimulateArgs};
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format};
use crate::produce::Producer;
use crate::progress::Progress;
use crate::scenarios::{self, BUILT_IN};

/// Writes or sends every record of a scenario, in order of arrival.
pub fn run(common: &Common, args: &SimulateArgs) -> Result<Outcome, Failure> {
    if args.list {
        for (name, about, _) in BUILT_IN {
            output::line(&format!("{name:<14} {about}"))?;
        }
        return Ok(Outcome::Fine);
    }
    let mut scenario = scenarios::load(args.scenario.as_deref().unwrap_or_default())?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let written = match (&args.out, &args.brokers) {
        (Some(folder), _) => to_files(&scenario, folder, common)?,
        (None, Some(brokers)) => to_kafka(&scenario, brokers, common)?,
        (None, None) => return Err(Failure::usage("name --out DIR or --brokers HOST:PORT")),
    };
    match common.format() {
        Format::Json => output::json(&serde_json::json!({
            "records": written, "devices": scenario.devices, "seed": scenario.seed,
        }))?,
        Format::Text => output::line(&format!(
            "{written} records of {} devices, seed {}",
            scenario.devices, scenario.seed
        ))?,
    }
    if let (Some(folder), Format::Text) = (&args.out, common.format()) {
        let folder = folder.display();
        output::line(&format!("next: ringwatch replay --input {folder} --data ./out"))?;
    }
    Ok(Outcome::Fine)
}

/// A bar over event time: how far the story has gone.
fn told(scenario: &Scenario, common: &Common) -> (Progress, Arc<AtomicU64>) {
    let told = Arc::new(AtomicU64::new(0));
    let length_s = (scenario.end() - scenario.start).as_secs_f64() as u64;
    (Progress::seconds(length_s, Arc::clone(&told), common), told)
}

fn note(told: &AtomicU64, scenario: &Scenario, record: &SimRecord) {
    let since = (record.arrival - scenario.start).as_secs_f64().max(0.0);
    told.store(since as u64, Ordering::Relaxed);
}

fn to_files(scenario: &Scenario, folder: &Path, common: &Common) -> Result<u64, Failure> {
    let taken = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        let folder = folder.display();
        return Err(Failure::usage(format!("{folder} is not empty; name a new folder")));
    }
    fs::create_dir_all(folder)?;
    let (progress, told) = told(scenario, common);
    let mut files: BTreeMap<Stream, BufWriter<File>> = BTreeMap::new();
    let telemetry = (0..scenario.partitions).map(|partition| (StreamKind::Telemetry, partition));
    for (kind, partition) in telemetry.chain([(StreamKind::Changes, 0), (StreamKind::Support, 0)]) {
        let name = match kind {
            // Three digits: the order of names is that of partitions.
            StreamKind::Telemetry => format!("telemetry-{partition:03}.ndjson"),
            kind => format!("{}.ndjson", kind.name()),
        };
        let file = BufWriter::new(File::create(folder.join(name))?);
        files.insert(Stream { kind, partition }, file);
    }
    let mut line = Vec::new();
    let mut written = 0;
    for record in Simulation::new(scenario) {
        line.clear();
        sim::write_ndjson(&record.value, record.arrival, &mut line);
        if let Some(file) = files.get_mut(&record.stream) {
            file.write_all(&line)?;
        }
        note(&told, scenario, &record);
        written += 1;
    }
    for file in files.values_mut() {
        file.flush()?;
    }
    progress.finish();
    Ok(written)
}

fn to_kafka(scenario: &Scenario, brokers: &str, common: &Common) -> Result<u64, Failure> {
    let config = Config::load(common.config.as_deref(), std::env::vars())?;
    let producer = Producer::connect(&config, brokers)?;
    let (progress, told) = told(scenario, common);
    let mut sent = 0;
    for record in Simulation::new(scenario) {
        producer.send(&record)?;
        if sent % 1_000 == 0 {
            producer.poll();
        }
        note(&told, scenario, &record);
        sent += 1;
    }
    producer.flush()?;
    progress.finish();
    Ok(sent)
}
