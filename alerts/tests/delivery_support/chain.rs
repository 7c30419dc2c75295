//! A chain in memory, and loops that deliver from it.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alerts::delivery::{
    Acting, Backoff, CatchUp, Committed, DestinationConfig, DestinationLoop, Notice, Now,
    OpenAlert, Running, Standing, Taken, UreqClient, Wiring,
};
use schemas::{Alert, AlertState, Span, Timestamp};

/// Commits by sequence, dense from 0.
#[derive(Clone, Default)]
pub(crate) struct Chain(Arc<Mutex<Vec<Committed>>>);

impl Chain {
    pub(crate) fn commit(&self, alerts: &[Alert]) -> Committed {
        let alerts = alerts.iter().cloned().map(Arc::new).collect();
        self.push(Committed { alerts, ..Committed::default() })
    }

    /// `commit` at its end.
    pub(crate) fn push(&self, commit: Committed) -> Committed {
        let mut commits = self.0.lock().expect("not poisoned");
        let sequence = commits.len() as u64;
        commits.push(Committed { sequence, ..commit });
        commits[commits.len() - 1].clone()
    }
}

impl CatchUp for Chain {
    fn since(&self, sequence: u64) -> Result<Vec<Committed>, Box<dyn Error + Send + Sync>> {
        let commits = self.0.lock().expect("not poisoned");
        Ok(commits.iter().skip(sequence as usize).take(3).cloned().collect())
    }

    fn last(&self, ids: &[String]) -> Result<Vec<Arc<Alert>>, Box<dyn Error + Send + Sync>> {
        let commits = self.0.lock().expect("not poisoned");
        let told: Vec<&Arc<Alert>> = commits.iter().flat_map(|one| &one.alerts).collect();
        let last = |id: &String| told.iter().rfind(|alert| alert.id == *id);
        Ok(ids.iter().filter_map(last).map(|alert| Arc::clone(alert)).collect())
    }
}

impl Chain {
    /// What stands open after so many commits, at most.
    fn open(&self, count_max: usize) -> Vec<OpenAlert> {
        let commits = self.0.lock().expect("not poisoned");
        let commits = &commits[..count_max.min(commits.len())];
        let mut open: Vec<Arc<Alert>> = Vec::new();
        for alert in commits.iter().flat_map(|one| &one.alerts) {
            open.retain(|before| before.fingerprint != alert.fingerprint);
            if matches!(alert.state, AlertState::Firing | AlertState::Acknowledged) {
                open.push(Arc::clone(alert));
            }
        }
        let muted = |alert: &Alert| {
            let news = |one: &Committed| one.alerts.iter().any(|other| other.id == alert.id);
            let since = commits.iter().rposition(news).unwrap_or(0);
            commits[since..].iter().any(|one| one.muted.contains(&alert.id))
        };
        open.into_iter().map(|alert| OpenAlert { muted: muted(&alert), alert }).collect()
    }
}

/// A destination over a chain, as a test wants it.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) chain: Chain,
    /// Its cursors, in the order in which they were saved; it starts at the last.
    pub(crate) cursors: Arc<Mutex<Vec<u64>>>,
    /// How the destination stood when that was last saved, and what it gave notice of.
    pub(crate) standing: Arc<Mutex<Standing>>,
    pub(crate) notices: Arc<Mutex<Vec<Notice>>>,
    /// Whether how it stands is kept.
    pub(crate) keeps_standing: Arc<AtomicBool>,
    pub(crate) queued_max: usize,
    /// Commits that stood in the chain when the publisher started it, at most.
    pub(crate) started_at: usize,
    /// How much faster than ours its clock runs.
    pub(crate) speed: u32,
    /// How far its clock on the wall is behind ours.
    pub(crate) behind: Span,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            name: "test",
            chain: Chain::default(),
            cursors: Arc::default(),
            standing: Arc::default(),
            notices: Arc::default(),
            keeps_standing: Arc::new(AtomicBool::new(true)),
            queued_max: 100,
            started_at: usize::MAX,
            speed: 1,
            behind: Span::ZERO,
        }
    }
}

impl Setup {
    /// `keys`: those of a `[[destination]]` besides its name, as JSON.
    pub(crate) fn start(&self, keys: &str) -> Running {
        let text = format!("{{\"name\":{:?},{keys}}}", self.name);
        let config: DestinationConfig = serde_json::from_str(&text).expect("keys");
        let destination = config.open().expect("valid");
        let (saved, speed, behind) = (Arc::clone(&self.cursors), self.speed, self.behind);
        let (standings, notices) = (Arc::clone(&self.standing), Arc::clone(&self.notices));
        let keeps = Arc::clone(&self.keeps_standing);
        let (begun, mut state) = (Instant::now(), 1_u64);
        let random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state
        };
        let wiring = Wiring {
            http: Box::new(UreqClient::new(&destination)),
            destination,
            catch_up: Box::new(self.chain.clone()),
            cursor: self.cursor().unwrap_or(0),
            open: self.chain.open(self.started_at),
            save_cursor: Box::new(move |next| saved.lock().expect("not poisoned").push(next)),
            standing: self.standing.lock().expect("not poisoned").clone(),
            save_standing: Box::new(move |standing| {
                if !keeps.load(Ordering::Acquire) {
                    return Taken::No;
                }
                standings.lock().expect("not poisoned").clone_from(standing);
                Taken::Yes
            }),
            notify: Box::new(move |notice| {
                notices.lock().expect("not poisoned").push(notice.clone());
                Taken::Yes
            }),
            acting: Box::new(|| Acting::Allowed),
            may_send: Box::new(|| true),
            clock: Box::new(move || Now {
                wall: wall() - behind,
                elapsed: begun.elapsed() * speed,
            }),
            random: Box::new(random),
            backoff: Backoff { base: Duration::from_millis(20), ..Backoff::default() },
            queued_max: self.queued_max,
        };
        DestinationLoop::spawn(wiring).expect("a thread")
    }

    /// The cursor that was saved last.
    pub(crate) fn cursor(&self) -> Option<u64> {
        self.cursors.lock().expect("not poisoned").last().copied()
    }
}

pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(since.as_micros() as i64)
}
