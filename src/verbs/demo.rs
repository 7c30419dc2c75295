//! `ringwatch demo`: the main job with nothing else installed.
//!
//! ```text
//! scenario ─► Fleet (thread) ─► embedded broker ─► the pipeline of `run` ─► new data folder
//!                  ▲                                        │
//!                  └── bounded by what was consumed ◄── View ──► Screen
//! ```
//! The broker is librdkafka's mock cluster. It keeps 5 MiB by partition and then drops the oldest
//! without a word, so the fleet never runs further ahead than `fleet::AHEAD_BYTES_MAX`, and the
//! counts are compared at the end.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use schemas::Span;

mod clock;
mod closing;
mod fleet;
mod screen;

use clock::StoryClock;
use fleet::{Fleet, Told};
use screen::Screen;

use crate::cli::{Common, DemoArgs};
use crate::config::{Config, DataLocation};
use crate::failure::{Failure, Outcome};
use crate::http;
use crate::output::{self, Format};
use crate::pipeline::Until;
use crate::scenarios;
use crate::shutdown::Stop;
use crate::summary::Summary;
use crate::verbs::run::Accepted;
use crate::view::SharedView;

/// How often the screen is drawn.
const REDRAW: Duration = Duration::from_millis(250);

/// How long after the fleet's end its last records may take.
const STRAGGLE: Duration = Duration::from_secs(20);

/// What the end needs of the duration: the last commit, the tables, the proof.
const CLOSING: Duration = Duration::from_secs(8);

/// Runs the demo and ends by itself.
pub fn run(common: &Common, args: &DemoArgs) -> Result<Outcome, Failure> {
    if common.config.is_some() {
        let what =
            "the demo tells a story of its own and reads no configuration; leave --config out";
        return Err(Failure::usage(what));
    }
    http::metrics::install().map_err(Failure::failed)?;
    let scenario = scenarios::load("demo")?;
    // The story needs the default rings: whatever the environment says is for `run`.
    let mut config = Config::parse("", std::iter::empty())?;
    let cluster = MockCluster::new(1).map_err(Failure::failed)?;
    prepare(&mut config, &cluster, args)?;
    let topics = &config.kafka.topics;
    for (topic, partitions) in
        [(&topics.telemetry, scenario.partitions), (&topics.changes, 1), (&topics.support, 1)]
    {
        cluster.create_topic(topic, partitions, 1).map_err(Failure::failed)?;
    }
    let stop = Stop::default();
    stop.on_signals()?;
    let plain = args.headless || common.json || !std::io::stdout().is_terminal();
    let mut screen = Screen::start(&scenario, plain, common)?;
    let view = SharedView::default();
    let deadline = Instant::now() + Duration::from(args.duration).saturating_sub(CLOSING);
    let clock = StoryClock::new(scenario.start);
    let fleet = Fleet::start(scenario, &config, &clock, &view, &stop, deadline)?;
    let (summary, ending) = thread::scope(|scope| {
        let served = scope.spawn(|| {
            let how = (Until::Finished, Accepted::NOTHING);
            let served = super::run::serve(&mut config, how, Arc::new(clock), &stop, &view);
            // Whatever ended the service ends the fleet and the screen, too.
            stop.ask();
            served
        });
        let watched = watch(&mut screen, &view, &stop, &fleet, deadline);
        if args.stay && matches!(watched, Ok(Ending::Told)) {
            stay(&mut screen, &view, &stop)?;
        }
        stop.ask();
        let served =
            served.join().map_err(|_| Failure::failed("the service broke an invariant"))?;
        let summary = served?;
        Ok::<_, Failure>((summary, watched?))
    })?;
    let told = fleet.finish()?;
    if ending == Ending::Stopped {
        return Err(Failure::failed("stopped before the end of the story"));
    }
    screen.last(&view)?;
    close(common, &config, &summary, told)
}

/// A new folder, the embedded broker, a free port; quick commits, so that there is much to see.
fn prepare(
    config: &mut Config,
    cluster: &MockCluster<'_, DefaultProducerContext>,
    args: &DemoArgs,
) -> Result<(), Failure> {
    config.kafka.brokers = cluster.bootstrap_servers();
    config.brokers = Some(cluster.bootstrap_servers());
    config.kafka.topics.rejected = None;
    config.kafka.properties.clear();
    config.data = DataLocation::Folder(data_folder(args)?);
    // In the story's time, of which an hour passes in less than a second.
    config.entry.interval = Some(Duration::from_mins(20));
    config.publish.interval = Some(Duration::from_hours(6));
    config.publish.lease = None;
    // Rings follow each other within hours.
    config.detection.soak = Span::hours(2);
    // The fleet sends as fast as it can: a partition that waits for it is not idle.
    config.idle.telemetry_after = Duration::from_hours(24);
    config.idle.log_after = Duration::from_mins(20);
    if let Some(listen) = &mut config.http.listen {
        listen.set_port(0);
    }
    Ok(())
}

fn data_folder(args: &DemoArgs) -> Result<PathBuf, Failure> {
    let folder = match &args.data {
        Some(folder) => folder.clone(),
        None => {
            std::env::temp_dir().join(format!("ringwatch-demo-{}", &crate::nonce::fresh()[..8]))
        }
    };
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(format!(
            "{} is not empty; name a new folder",
            folder.display()
        )));
    }
    Ok(folder)
}

/// How the story came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Told,
    /// By a signal, or because the service ended.
    Stopped,
}

/// Draws until the fleet has told everything and the pipeline has taken it in.
fn watch(
    screen: &mut Screen,
    view: &SharedView,
    stop: &Stop,
    fleet: &Fleet,
    deadline: Instant,
) -> Result<Ending, Failure> {
    while !stop.is_asked() {
        thread::sleep(REDRAW);
        screen.draw(view)?;
        let received = view.lock().counts.received;
        if fleet.has_told_all() && received >= fleet.told().telemetry {
            return Ok(Ending::Told);
        }
        if Instant::now() >= deadline + STRAGGLE {
            return Err(lost(fleet.told(), received));
        }
    }
    Ok(Ending::Stopped)
}

/// Leaves everything as it is until somebody stops it.
fn stay(screen: &mut Screen, view: &SharedView, stop: &Stop) -> Result<(), Failure> {
    screen.say("The story is told. The dashboard stays open until Ctrl-C.")?;
    while !stop.is_asked() {
        thread::sleep(REDRAW);
        screen.tell_alerts(&view.snapshot())?;
    }
    Ok(())
}

/// The folder, the proof, a query to paste and its result.
fn close(
    common: &Common,
    config: &Config,
    summary: &Summary,
    told: Told,
) -> Result<Outcome, Failure> {
    if summary.records != told.telemetry {
        return Err(lost(told, summary.records));
    }
    match common.format() {
        Format::Json => output::json(summary)?,
        Format::Text => closing::print(config, summary)?,
    }
    Ok(Outcome::Fine)
}

fn lost(told: Told, received: u64) -> Failure {
    let sent = told.telemetry;
    Failure::failed(format!("the embedded broker lost records: {sent} sent, {received} received"))
}
