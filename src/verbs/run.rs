//! `ringwatch run`: the service.

use std::sync::Arc;

use ingest::{KafkaSource, RejectedTopic};
use schemas::StreamKind;
use store::{Growth, World, WorldInput, world::LAYOUT};

use crate::cli::{Common, RunArgs};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, PseudonymKey};
use crate::deliveries::Deliveries;
use crate::failure::{Failure, Outcome};
use crate::http::{Behind, Gate};
use crate::orders::Orders;
use crate::output::{self, Format};
use crate::pipeline::{Gaps, Parts, Until, run as run_pipeline};
use crate::shutdown::Stop;
use crate::summary::Summary;
use crate::view::SharedView;
use crate::{datafolder, http};

/// Runs until told to stop, or with `--until-end` until today's end is in the tables.
pub fn run(common: &Common, args: &RunArgs) -> Result<Outcome, Failure> {
    http::metrics::install().map_err(Failure::failed)?;
    let mut config = Config::load(common.config.as_deref(), std::env::vars())?;
    config.require_brokers()?;
    if config.pseudonyms == PseudonymKey::GroupName {
        tracing::warn!(
            "privacy.pseudonym_key_file is not set; pseudonyms are keyed by the group name"
        );
    }
    let until = if args.until_end { Until::End } else { Until::Stopped };
    let stop = Stop::default();
    stop.on_signals()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let accepted = Accepted {
        gaps: if args.accept_gap { Gaps::Accepted } else { Gaps::Refused },
        growth: if args.accept_growth { Growth::Accepted } else { Growth::Refused },
    };
    let view = SharedView::default();
    let summary = serve(&mut config, (until, accepted), clock, &stop, &view)?;
    report(&summary, common.format(), until)?;
    Ok(Outcome::Fine)
}

/// What the operator has accepted of an input that is no longer what it was.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    pub gaps: Gaps,
    pub growth: Growth,
}

impl Accepted {
    /// An input that must be what it was.
    pub const NOTHING: Self = Self { gaps: Gaps::Refused, growth: Growth::Refused };
}

/// Connects everything and runs the pipeline; also the heart of `demo`.
pub fn serve(
    config: &mut Config,
    (until, accepted): (Until, Accepted),
    clock: Arc<dyn Clock>,
    stop: &Stop,
    view: &SharedView,
) -> Result<Summary, Failure> {
    let store = datafolder::open(&config.data)?;
    let source = KafkaSource::connect(config.kafka.clone(), config.connect_timeout)?;
    let world = World {
        layout: LAYOUT,
        input: WorldInput::Kafka {
            cluster: ingest::Source::identity(&source),
            group: config.kafka.group.clone(),
        },
        topics: datafolder::topic_names(&config.kafka.topics),
        partition_count: source.partition_count(StreamKind::Telemetry),
        partition_counts_other: Some(
            [StreamKind::Changes, StreamKind::Support].map(|kind| source.partition_count(kind)),
        ),
        window_length: config.fold.window_length,
        hash_seed: crate::nonce::seed(),
    };
    let world = datafolder::claim(&*store, world, accepted.growth, config)?;
    let rejected = RejectedTopic::open(&config.kafka)?;
    let gate = Gate { token: config.http.token.clone(), orders: Orders::new(&store, &clock) };
    let behind = Behind::new(config, &store, &clock);
    let serving = http::start(&config.http, view.clone(), gate, behind, stop)?;
    view.lock().address = serving.as_ref().map(|serving| serving.address);
    let deliveries = Deliveries::new(config, &store, &clock)?;
    let summary = run_pipeline(Parts {
        streams: source.streams(),
        source,
        store: Arc::clone(&store),
        clock,
        config,
        world,
        until,
        gaps: accepted.gaps,
        view: view.clone(),
        stop: stop.clone(),
        rejected,
        deliveries,
    });
    if let Some(serving) = serving {
        serving.finish();
    }
    Ok(summary?)
}

fn report(summary: &Summary, format: Format, until: Until) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(summary),
        Format::Text if until == Until::End => super::replay::print(summary),
        Format::Text => Ok(()),
    }
}
