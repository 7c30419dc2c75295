//! A progress bar on standard error for long work; nothing where nobody watches.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Common;

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// A bar that follows a counter until it is finished.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    done: Arc<AtomicBool>,
    drawing: Option<JoinHandle<()>>,
}

impl Progress {
    /// A bar over bytes; hidden with `--quiet`, `--json` and where standard error is no terminal.
    pub fn bytes(total: u64, read: Arc<AtomicU64>, common: &Common) -> Self {
        let template = "{bytes}/{total_bytes} [{wide_bar}] {bytes_per_sec}, {eta} left";
        Self::start(total, read, common, template)
    }

    /// A bar over seconds of event time.
    pub fn seconds(total: u64, told: Arc<AtomicU64>, common: &Common) -> Self {
        Self::start(total, told, common, "{percent}% [{wide_bar}] {eta} left")
    }

    /// A bar over named steps, see [`Progress::say`].
    pub fn steps(done: Arc<AtomicU64>, common: &Common) -> Self {
        Self::start(0, done, common, "{msg} {pos}/{len} [{wide_bar}]")
    }

    /// Names the step under way and its length.
    pub fn say(&self, step: &'static str, total: u64) {
        self.bar.set_message(step);
        self.bar.set_length(total);
    }

    fn start(total: u64, read: Arc<AtomicU64>, common: &Common, template: &str) -> Self {
        let watched = std::io::stderr().is_terminal() && common.quiet == 0 && !common.json;
        let target =
            if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let done = Arc::new(AtomicBool::new(false));
        let drawing = watched.then(|| {
            let (bar, done) = (bar.clone(), Arc::clone(&done));
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    bar.set_position(read.load(Ordering::Relaxed));
                    thread::sleep(REDRAW);
                }
            })
        });
        Self { bar, done, drawing }
    }

    /// Takes the bar away.
    pub fn finish(mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drawing.join().ok();
        }
        self.bar.finish_and_clear();
    }
}
