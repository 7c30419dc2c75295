//! `cargo xtask TASK`: the tasks of this repository that are more than one command.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{Failure, bench, ci, docs, evaluate, kafka, object_store, soak};

/// Checks, documents, a broker and the benchmark of this repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every check, in order; stops at the first step that fails.
    Ci,
    /// Writes the generated documents: JSON Schemas and the data dictionary.
    Docs {
        /// Writes nothing; fails if one of them is stale.
        #[arg(long)]
        check: bool,
    },
    /// Runs an Apache Kafka broker until Ctrl-C, with the three topics, and prints its address.
    Kafka {
        /// Partitions of the topic `telemetry`.
        #[arg(long, default_value_t = 4)]
        partitions: i32,
        /// Id of the cluster, 22 characters of base64url that end in `A`; a new one if absent.
        #[arg(long)]
        cluster_id: Option<String>,
    },
    /// Runs an object store until Ctrl-C, and prints the environment that leads to it; at the end
    /// what was asked of it.
    ObjectStore { kind: object_store::Kind },
    /// The canonical workload through a real broker: prints its two numbers.
    Bench(bench::Options),
    /// Scenario families by seed, resumed where they stopped; writes docs/evaluation.md.
    Evaluate(evaluate::Options),
    /// The long form of a test.
    Soak(soak::Options),
    /// Consumes a topic and counts; the measure that `bench` compares with.
    #[command(hide = true)]
    Count { bootstrap: String, topic: String },
    /// Produces the files of a folder of NDJSON.
    Produce { bootstrap: String, folder: std::path::PathBuf },
}

fn main() -> ExitCode {
    match run(Options::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut chain = failure.to_string();
            let mut cause = failure.source();
            while let Some(source) = cause {
                chain = format!("{chain}: {source}");
                cause = source.source();
            }
            say(&format!("error: {chain}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), Failure> {
    match task {
        Task::Ci => ci::run(),
        Task::Docs { check: false } => docs::write(),
        Task::Docs { check: true } => docs::check(),
        Task::Kafka { partitions, cluster_id } => {
            kafka::foreground(partitions, cluster_id.as_deref())
        }
        Task::ObjectStore { kind } => object_store::foreground(kind),
        Task::Bench(options) => bench::run(&options),
        Task::Evaluate(options) => evaluate::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Count { bootstrap, topic } => bench::count(&bootstrap, &topic),
        Task::Produce { bootstrap, folder } => xtask::produce::ndjson_folder(&bootstrap, &folder)
            .map(|count| say(&format!("{count} records"))),
    }
}

#[expect(clippy::print_stderr, reason = "a task talks to the person who started it")]
fn say(line: &str) {
    eprintln!("{line}");
}
