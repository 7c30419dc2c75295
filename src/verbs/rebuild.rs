//! `ringwatch rebuild`: sets a damaged data folder aside; the next `run` makes it anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::rebuild::{has_folder, log_length, set_aside};
use store::{Blobs, StoreError};

use crate::cli::{Common, RebuildArgs};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::datafolder;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format};
use crate::progress::Progress;

/// How long the logs must not grow: whoever publishes commits every 30 s, if nothing is slow.
const QUIET_FOR: Duration = Duration::from_secs(65);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Moves everything below `set-aside/<n>/`, unless somebody is at work on it.
pub fn run(common: &Common, args: &RebuildArgs) -> Result<Outcome, Failure> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => Config::load(common.config.as_deref(), std::env::vars())?.data,
    };
    // First for reading: where there is nothing of ours, nothing is made or moved.
    if !has_folder(&*datafolder::open_read_only(&data)?)? {
        return Err(StoreError::NoFolder.into());
    }
    let store = datafolder::open(&data)?;
    let done = Arc::new(AtomicU64::new(0));
    let progress = Progress::steps(Arc::clone(&done), common);
    let outcome = wait_until_quiet(&*store, &progress, &done).and_then(|()| {
        let moved = set_aside(&*store, &mut |step| {
            progress.say(step.step, step.total);
            done.store(step.done, Ordering::Relaxed);
        });
        Ok(moved?)
    });
    progress.finish();
    let aside = outcome?;
    match common.format() {
        Format::Json => output::json(&aside)?,
        Format::Text => {
            let (objects, folder) = (aside.objects, &aside.folder);
            output::line(&format!("{objects} objects stand in {folder} of {data} now"))?;
            output::line(
                "the next start reads everything that the topics still hold; days before that can \
                 be read there, and alerts that begin in the same window are delivered again under \
                 the same ids",
            )?;
        }
    }
    Ok(Outcome::Fine)
}

/// Refuses a folder that somebody writes into.
fn wait_until_quiet(
    store: &dyn Blobs,
    progress: &Progress,
    done: &AtomicU64,
) -> Result<(), Failure> {
    let clock = SystemClock::start();
    let begun = log_length(store)?;
    progress.say("seconds of looking for a process at work", QUIET_FOR.as_secs());
    while begun > 0 && clock.monotonic() < QUIET_FOR {
        clock.sleep(LOOK_EVERY);
        done.store(clock.monotonic().as_secs(), Ordering::Relaxed);
        if log_length(store)? != begun {
            return Err(Failure::failed(AtWork));
        }
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("a process is writing into the data folder; stop every one of them first")]
struct AtWork;
