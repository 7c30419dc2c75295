//! One process, then several of one group, over the same records: what sharing costs.
//!
//! ```text
//! group at rest on empty topics ─► frozen ─► records produced ─► thawed ─► all read ─► stopped
//! ```
//! Frozen meanwhile, so that each member finds its share of the backlog: what is measured is work,
//! not how the group is put together.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::measure::{children_cpu, measure};
use super::programs::Programs;
use super::service::{OWNED, RECORDS, Service};
use super::stand::{Files, Settings, Stand, Workload, to_the_end};
use super::{BROKER_CORE, PARTITIONS, say};
use crate::kafka::Broker;
use crate::{Failure, produce};

/// `changes` and `support` have a partition each.
const PARTITIONS_IN_ALL: i32 = PARTITIONS + 2;
const PATIENCE: Duration = Duration::from_mins(10);

/// Prints the CPU of the group beside that of one process.
pub(super) fn run(
    programs: &Programs,
    workload: Workload,
    count: u32,
    workers: Option<u32>,
) -> Result<(), Failure> {
    let mut files = Files::write(programs, workload)?;
    let mut cpu_s = Vec::new();
    for members in [1, count] {
        let used;
        (used, files) = group(programs, files, members, workers)?;
        let used = used.as_secs_f64();
        let each = used / workload.messages as f64 * 1e6;
        say(&format!("{members} processes: {used:.2} CPU-s together, {each:.3} a million"));
        cpu_s.push(used);
    }
    say(&format!("{count} processes take {:.2} x the CPU of one", cpu_s[1] / cpu_s[0]));
    Ok(())
}

/// CPU of a group of so many from when the records are there to its end.
fn group(
    programs: &Programs,
    files: Files,
    members: u32,
    workers: Option<u32>,
) -> Result<(Duration, Files), Failure> {
    let broker = Broker::start_pinned(BROKER_CORE)?;
    broker.create_topics(PARTITIONS)?;
    let stand = Stand { files, broker };
    let settings = Settings::workers(workers);
    let name = format!("group-of-{members}");
    let ended_before = children_cpu()?;
    let mut services = Vec::new();
    for _ in 0..members {
        // The same data folder, pages of its own.
        let configured = stand.configure(&name, &settings)?;
        let mut service = Service::start(&programs.ringwatch, &configured, &settings.cores())?;
        // It has read its configuration, so that the next one's may stand there.
        service.wait_until("it answers", PATIENCE, Service::answers)?;
        services.push(service);
    }
    settle(&mut services)?;
    for service in &services {
        service.signal(Signal::SIGSTOP);
    }
    let idle: Duration = services.iter().map(|service| service.usage().cpu).sum();
    let produced = produce::ndjson_folder(stand.broker.bootstrap(), &stand.files.input())?;
    for service in &services {
        service.signal(Signal::SIGCONT);
    }
    wait_until_read(&mut services, produced)?;
    for service in &services {
        service.signal(Signal::SIGTERM);
    }
    services.into_iter().try_for_each(Service::wait)?;
    let used = children_cpu()?.saturating_sub(ended_before).saturating_sub(idle);
    let configured = stand.configure(&name, &settings)?;
    let mut rest: Command = to_the_end(&programs.ringwatch, &configured.config);
    measure(&mut rest, &settings.cores())?;
    stand.files.check(&programs.ringwatch, &configured.data)?;
    Ok((used, stand.files))
}

/// Waits until each member has a share and nothing is left over.
fn settle(services: &mut [Service]) -> Result<(), Failure> {
    let [first, others @ ..] = services else { return Ok(()) };
    first.wait_until("every member has a share", PATIENCE, |first| {
        let shares: Vec<f64> = std::iter::once(first)
            .chain(others.iter())
            .map(|service| service.metric(OWNED))
            .collect();
        shares.iter().all(|share| *share > 0.0)
            && shares.iter().sum::<f64>() as i32 == PARTITIONS_IN_ALL
    })?;
    Ok(())
}

/// Waits until the members have read all there is.
fn wait_until_read(services: &mut [Service], records: u64) -> Result<(), Failure> {
    let [first, others @ ..] = services else { return Ok(()) };
    first.wait_until("all records are read", PATIENCE, |first| {
        let read = std::iter::once(first).chain(others.iter());
        read.map(|service| service.metric(RECORDS)).sum::<f64>() >= records as f64
    })?;
    Ok(())
}
