//! The command line: raw flags here, the work in `verbs/`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};
use humantime::Duration;

use crate::config::DataLocation;
use crate::failure::{Failure, Outcome};
use crate::output::Format;
use crate::{log, verbs};

mod operators;

pub use operators::{
    AckArgs, AlertsArgs, AlertsVerb, DeliveriesArgs, DeliveriesListArgs, DeliveriesRetryArgs,
    DeliveriesVerb, GivenBy, PauseArgs, ShowArgs, SilenceArgs, TestArgs,
};

/// Watches staged changes roll through rings of devices and says, with evidence, when one does
/// harm.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  ringwatch demo\n  ringwatch check --config ringwatch.toml \
                  --connect\n  ringwatch run --config ringwatch.toml\n\n\
                  Exit codes: 0 fine, 1 failed, 2 usage or \
                  configuration, 3 an alert is firing (replay, alerts list)"
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Configuration file (TOML); without it the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say less
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,
    /// Say more; twice for all
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Common {
    /// How the result is printed.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the service: consume from Kafka, keep tables, raise alerts
    #[command(after_help = "Examples:\n  ringwatch run --config ringwatch.toml\n  \
        RINGWATCH__KAFKA__BROKERS=broker:9092 ringwatch run\n  \
        ringwatch run --config ringwatch.toml --until-end   # batch: stop at today's end")]
    Run(RunArgs),
    /// Show a bad change being caught: broker, fleet and service in one process
    #[command(
        after_help = "Examples:\n  ringwatch demo\n  ringwatch demo --duration 30s --headless\n  \
                      ringwatch demo --stay   # and look at the dashboard"
    )]
    Demo(DemoArgs),
    /// Watch a running service in the terminal
    #[command(after_help = "Examples:\n  ringwatch top\n  \
        ringwatch top --url http://ringwatch.example.com:8080\n  \
        ringwatch top --once | grep hold\n\n\
        Keys: q ends; arrows, PgUp and PgDn scroll the changes.")]
    Top(TopArgs),
    /// Run NDJSON files through the same pipeline, as fast as it can
    #[command(after_help = "Examples:\n  ringwatch replay --input ./incident --data ./out\n  \
        ringwatch replay --input ./incident --data ./out --json | jq .alerts\n\n\
        The input folder holds telemetry*.ndjson (each one partition), changes.ndjson and\n\
        support.ndjson; the last two are optional. A line may carry `_ts`, its arrival\n\
        in Unix ms.")]
    Replay(ReplayArgs),
    /// Write the records of a made-up fleet to NDJSON files or to Kafka
    #[command(after_help = "Examples:\n  ringwatch simulate --scenario demo --out ./incident\n  \
        ringwatch simulate --scenario my-fleet.toml --seed 7 --brokers 127.0.0.1:9092\n  \
        ringwatch simulate --list")]
    Simulate(SimulateArgs),
    /// Tell a scenario's stories to the pipeline in memory, and say what it makes of them
    #[command(
        after_help = "Examples:\n  ringwatch evaluate --scenario os-crash-10x --count 20\n  \
        ringwatch evaluate --scenario my-fleet.toml --seed 7 --count 100 --json | jq .met\n\n\
        A scenario says in its table `expect` which alarm must come of it; without one, none may.\n\
        Exit code 3 if a story was not as expected."
    )]
    Evaluate(EvaluateArgs),
    /// Check the configuration; with --connect also broker, data folder and destinations
    #[command(after_help = "Examples:\n  ringwatch check --config ringwatch.toml\n  \
        ringwatch check --config ringwatch.toml --connect --sample 1000")]
    Check(CheckArgs),
    /// Prove from the files that every offset is in the tables exactly once
    #[command(after_help = "Examples:\n  ringwatch verify --data ./data\n  \
        ringwatch verify --data ./data --json | jq .problems")]
    Verify(VerifyArgs),
    /// Set a damaged data folder aside, so that the next run makes it anew from the topics
    #[command(after_help = "Examples:\n  ringwatch rebuild --data ./data\n  \
        ringwatch rebuild --config ringwatch.toml && ringwatch run --config ringwatch.toml\n\n\
        Nothing is thrown away: tables that the topics no longer cover can still be read below\n\
        set-aside/<n>/tables. Stop every process that writes into the folder first.")]
    Rebuild(RebuildArgs),
    /// Look at alerts, acknowledge and silence them, try the destinations
    #[command(after_help = "Examples:\n  ringwatch alerts list --data ./data\n  \
        ringwatch alerts list --data ./data --all --json | jq '.[].summary'\n  \
        ringwatch alerts ack rw-5k2n8 --reason 'vendor is called'\n  \
        ringwatch alerts silence --change kb5040442 --for 2h --reason 'known, see T-18231'\n  \
        ringwatch alerts test --explain --decision hold --ring first\n\n\
        Whoever may write the data folder may give commands; the service obeys them within\n\
        seconds, also if it is started only later.")]
    Alerts(AlertsArgs),
    /// Look at how destinations are served; try one again
    #[command(after_help = "Examples:\n  ringwatch deliveries list --config ringwatch.toml\n  \
        ringwatch deliveries retry on-call --config ringwatch.toml")]
    Deliveries(DeliveriesArgs),
    /// Let nothing act on alerts: destinations with `acts = true` wait, people are told as before
    #[command(after_help = "Examples:\n  ringwatch pause --config ringwatch.toml \
        --reason 'the rollback tool is being replaced'")]
    Pause(PauseArgs),
    /// Let destinations act on alerts again
    #[command(after_help = "Examples:\n  ringwatch resume --config ringwatch.toml")]
    Resume(PauseArgs),
    /// Recompute an alert's evidence from the tables, and print the arithmetic
    #[command(after_help = "Examples:\n  ringwatch explain rw-5k2n8 --data ./data\n  \
        ringwatch explain rw-5k2n8 --data ./data --json | jq .terms\n\n\
        The beginning of an id is enough if no other begins with it.")]
    Explain(ExplainArgs),
    /// Say what each ring can see by when, and which ring sizes a goal needs
    #[command(after_help = "Examples:\n  ringwatch plan --devices 100,500,1400,3000,5000 \
        --rate os_crash=0.5%\n  ringwatch plan --devices 100,500,1400,3000,5000 \
        --rate os_crash=0.5% --rate app_crash=2% --ratio 5 --within 24h --json\n\n\
        Rings, alpha and margin are those of the configuration.")]
    Plan(PlanArgs),
    /// Print the JSON Schema of an input or output, the data dictionary, or a script of views
    #[command(after_help = "Examples:\n  ringwatch schema\n  \
            ringwatch schema telemetry > telemetry.schema.json\n  \
        ringwatch schema dictionary\n  ringwatch schema views --data ./data > views.sql")]
    Schema(SchemaArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  ringwatch completions bash > /etc/bash_completion.d/ringwatch"
    )]
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Stop after everything that is in the topics now is in the tables
    #[arg(long)]
    pub until_end: bool,
    /// Go on although records are gone from the topic that were not read yet, or that a state has
    /// to be derived from again; which they were is written to the journal
    #[arg(long)]
    pub accept_gap: bool,
    /// Go on although the topic has more partitions by now: what is known of each device begins
    /// afresh, open tests end as insufficient, and no silence is counted for three days
    #[arg(long)]
    pub accept_growth: bool,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How long it may take
    #[arg(long, default_value = "60s", value_name = "TIME")]
    pub duration: Duration,
    /// Print plain lines instead of a live table
    #[arg(long)]
    pub headless: bool,
    /// Where to write; a new folder under the system's temporary folder without it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep the dashboard open after the end of the story, until Ctrl-C
    #[arg(long)]
    pub stay: bool,
}

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Where the service listens
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// Print how things stand once, and end; also what happens where the output is no terminal
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Folder with telemetry*.ndjson, changes.ndjson, support.ndjson
    #[arg(long, value_name = "DIR")]
    pub input: PathBuf,
    /// Data folder to write; one that holds other input is refused
    #[arg(long, value_name = "DIR|URL")]
    pub data: DataLocation,
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// A built-in scenario (see --list) or a file
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "list")]
    pub scenario: Option<String>,
    /// List the built-in scenarios
    #[arg(long)]
    pub list: bool,
    /// Seed of all chance; the scenario's own without it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Write telemetry-NNN.ndjson, changes.ndjson and support.ndjson to this new folder
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "brokers",
        required_unless_present_any = ["brokers", "list"]
    )]
    pub out: Option<PathBuf>,
    /// Produce to the configured topics at these brokers instead
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
}

#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// A built-in scenario (see simulate --list) or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: String,
    /// The first seed; the scenario's own without it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How many seeds, one after the other
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Try broker, data folder and destinations too
    #[arg(long)]
    pub connect: bool,
    /// Read this many real records, without joining a group or writing anything
    #[arg(long, value_name = "N", requires = "connect")]
    pub sample: Option<usize>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Data folder; the configured one without it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
    /// Compare with the offsets that the broker holds, too
    #[arg(long)]
    pub kafka: bool,
}

#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Data folder; the configured one without it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
}

#[derive(Debug, Args)]
pub struct AlertsListArgs {
    /// Data folder; the configured one without it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
    /// Resolved ones too
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Id of the alert, or its beginning
    #[arg(value_name = "ALERT")]
    pub alert: String,
    /// Data folder; the configured one without it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Devices of each ring, in rollout order
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', required = true)]
    pub devices: Vec<u64>,
    /// Share of devices that a signal newly hits in a day; repeat for more
    #[arg(long, value_name = "SIGNAL=PERCENT%", required = true)]
    pub rate: Vec<verbs::plan::Rate>,
    /// How many times as often the treated are hit
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "3,5,10,30")]
    pub ratio: Vec<f64>,
    /// The goal: seen within this time
    #[arg(long, default_value = "24h", value_name = "TIME")]
    pub within: Duration,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which one; without it a list
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// For `views`: the data folder, as the reader will reach it
    #[arg(long, value_name = "DIR|URL")]
    pub data: Option<DataLocation>,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    pub shell: clap_complete::Shell,
}

/// Parses the process's arguments, runs the verb, and reports.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version print to standard output and are no failure.
            let outcome = if error.use_stderr() { Outcome::Usage } else { Outcome::Fine };
            error.print().ok();
            return outcome.into();
        }
    };
    run(&cli)
        .unwrap_or_else(|failure| {
            report(&failure);
            failure.outcome
        })
        .into()
}

/// Runs what a parsed command line asks for.
pub fn run(cli: &Cli) -> Result<Outcome, Failure> {
    let common = &cli.common;
    let noisy = i8::from(matches!(cli.verb, Verb::Run(_))) - 1;
    let _until_the_end =
        log::start(noisy + common.verbose as i8 - common.quiet as i8, common.format());
    match &cli.verb {
        Verb::Run(args) => verbs::run::run(common, args),
        Verb::Demo(args) => verbs::demo::run(common, args),
        Verb::Top(args) => verbs::top::run(common, args),
        Verb::Replay(args) => verbs::replay::run(common, args),
        Verb::Simulate(args) => verbs::simulate::run(common, args),
        Verb::Evaluate(args) => verbs::evaluate::run(common, args),
        Verb::Check(args) => verbs::check::run(common, args),
        Verb::Verify(args) => verbs::verify::run(common, args),
        Verb::Rebuild(args) => verbs::rebuild::run(common, args),
        Verb::Alerts(args) => verbs::alerts::run(common, args),
        Verb::Deliveries(args) => verbs::deliveries::run(common, args),
        Verb::Pause(args) => verbs::operate::pause(common, args),
        Verb::Resume(args) => verbs::operate::resume(common, args),
        Verb::Explain(args) => verbs::explain::run(common, args),
        Verb::Plan(args) => verbs::plan::run(common, args),
        Verb::Schema(args) => verbs::schema::run(common, args),
        Verb::Completions(args) => verbs::completions::run(args),
    }
}

#[expect(clippy::print_stderr, reason = "the one place where a failure is told to the user")]
fn report(failure: &Failure) {
    eprintln!("ringwatch: {}", failure.line());
}

/// Parses arguments given as a list, for tests.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments)
}
