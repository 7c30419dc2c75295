//! The desk: between the detector and the chain. Acknowledgements, silences, muting, pause.
//!
//! ```text
//! Vec<Alert> of a window ─► take ──┐
//! Command of the log ─────► obey ──┼─► Said: transitions, which of them are quiet, who is muted
//! end of a window ────────► ───────┘
//! ```
//! Event time only; the same calls give the same transitions, so that a restart that repeats the
//! chain comes to the same. A command that comes twice, or too late, changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Alert, AlertState, Command, Decision, Matcher, Muted, Order, Timestamp};
use serde::{Deserialize, Serialize};

use crate::metrics;

mod notice;
mod standing;

pub use notice::delivery_fingerprint;
pub use notice::no_evidence;
use standing::{Input, Stage, Standing, Volume};

/// 1,000 silences at once are more than anybody oversees; each is looked at for each open alert.
const SILENCES_MAX: usize = 1_000;

/// Alerts that are open, silences that last, and whether anything may act.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Desk {
    episodes: BTreeMap<String, Episode>,
    silences: BTreeMap<String, Silence>,
    paused: Option<Paused>,
    /// The number of the next command.
    next_command: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Episode {
    /// Its last transition.
    alert: Alert,
    standing: Standing,
    muted_by: Option<String>,
    /// The alert that it follows, and ends with.
    #[serde(default)]
    follows: Option<String>,
}

/// A silence that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub matcher: Matcher,
    pub author: String,
    pub reason: Option<String>,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// Who has paused what acts, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    pub author: String,
    pub reason: Option<String>,
    pub since: Timestamp,
}

/// What enters the chain with the next commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub alerts: Vec<Alert>,
    /// Those of them that no destination is told of, by index.
    pub quiet: Vec<u32>,
    /// Open alerts that have become quiet, and still are.
    pub muted: Vec<Muted>,
    pub commands: Vec<Command>,
}

impl Said {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn push(&mut self, alert: Alert, volume: Volume) {
        if volume == Volume::Quiet {
            self.quiet.push(self.alerts.len() as u32);
        }
        self.alerts.push(alert);
    }
}

impl Desk {
    /// A desk before which these alerts are open: for a chain that was written without one.
    pub fn with_open(alerts: &[Alert]) -> Self {
        let open = alerts.iter().filter(|alert| alert.state == AlertState::Firing);
        let episode = |alert: &Alert| {
            let (standing, _) = Standing::default().next(Input::Fire);
            let episode = Episode { alert: alert.clone(), standing, muted_by: None, follows: None };
            (alert.id.clone(), episode)
        };
        Self { episodes: open.map(episode).collect(), ..Self::default() }
    }

    /// Takes in what was raised at the end of a window: also nothing, for silences end by time.
    pub fn take(&mut self, raised: Vec<Alert>, at: Timestamp, said: &mut Said) {
        let ended = self.silences.len();
        self.silences.retain(|_, silence| silence.until > at);
        if raised.is_empty() && self.silences.len() == ended {
            return;
        }
        // What mutes an alert may be raised after it in the same window.
        let began = |alert: &&Alert| alert.state == AlertState::Firing && is_rollback(alert);
        let rollbacks: Vec<Alert> = raised.iter().filter(began).cloned().collect();
        for alert in raised {
            match alert.state {
                AlertState::Resolved => self.resolve(&alert, said),
                _ => self.open(alert, None, &rollbacks, said),
            }
        }
        self.mute_and_unmute(at, said);
    }

    /// Does what a command says, at the end of the last window that was evaluated.
    pub fn obey(&mut self, command: &Command, evaluated_until: Option<Timestamp>, said: &mut Said) {
        self.next_command = command.number + 1;
        said.commands.push(command.clone());
        let at = evaluated_until.unwrap_or(command.at);
        match &command.order {
            Order::Acknowledge { alert } => self.acknowledge(alert, at, said),
            Order::Silence { matcher, until } => self.silence(command, matcher, *until),
            Order::EndSilence { silence } => drop(self.silences.remove(silence)),
            Order::Pause => {
                let (author, reason) = (command.author.clone(), command.reason.clone());
                self.paused = Some(Paused { author, reason, since: command.at });
            }
            Order::Resume => self.paused = None,
            // Its destination sees it in the chain.
            Order::Retry { .. } | Order::Unreadable => {}
            Order::DeliveryFailing { destination } => {
                let alert = notice::delivery_failing(destination, command);
                if self.open_with(&alert.fingerprint).is_none() {
                    self.open(alert, None, &[], said);
                }
            }
            Order::DeliveryWorks { destination } => {
                let open = self.open_with(&delivery_fingerprint(destination));
                if let Some(alert) = open.map(|alert| notice::over(alert, at)) {
                    self.resolve(&alert, said);
                }
            }
            Order::NotActed { alert, destination } => {
                // What somebody takes care of is not left undone.
                let firing = |episode: &&Episode| episode.standing.stage == Stage::Firing;
                let original = self.episodes.get(alert).filter(firing);
                let not_acted =
                    |episode: &Episode| notice::not_acted(&episode.alert, destination, command);
                if let Some(new) = original.map(not_acted)
                    && self.open_with(&new.fingerprint).is_none()
                {
                    self.open(new, Some(alert.clone()), &[], said);
                }
            }
        }
        self.mute_and_unmute(at, said);
    }

    /// The number of the next command to obey.
    pub const fn next_command(&self) -> u64 {
        self.next_command
    }

    /// Who has paused what acts; `None` while it may.
    pub const fn paused(&self) -> Option<&Paused> {
        self.paused.as_ref()
    }

    /// Silences that last, by their ids.
    pub const fn silences(&self) -> &BTreeMap<String, Silence> {
        &self.silences
    }

    /// Open alerts that are kept quiet, and by what.
    pub fn muted(&self) -> BTreeMap<String, String> {
        let muted =
            |(id, episode): (&String, &Episode)| Some((id.clone(), episode.muted_by.clone()?));
        self.episodes.iter().filter_map(muted).collect()
    }

    /// Alerts that stand firing or acknowledged and were told, in their last transition, and
    /// whether each is kept quiet now.
    pub fn told(&self) -> impl Iterator<Item = (&Alert, bool)> {
        let told = self.episodes.values().filter(|episode| episode.standing.told);
        told.map(|episode| (&episode.alert, episode.muted_by.is_some()))
    }

    fn open_with(&self, fingerprint: &str) -> Option<&Alert> {
        let mut open = self.episodes.values().map(|episode| &episode.alert);
        open.find(|alert| alert.fingerprint == fingerprint)
    }

    fn open(
        &mut self,
        alert: Alert,
        follows: Option<String>,
        raised_with: &[Alert],
        said: &mut Said,
    ) {
        if self.episodes.contains_key(&alert.id) {
            return;
        }
        let mut standing = Standing::default();
        let muted_by = self.muted_by(&alert, raised_with);
        if let Some(by) = muted_by.clone() {
            standing = standing.next(Input::Mute).0;
            said.muted.push(Muted { alert: alert.id.clone(), by });
        }
        let (standing, transition) = standing.next(Input::Fire);
        if let Some((_, volume)) = transition {
            said.push(alert.clone(), volume);
        }
        self.episodes.insert(alert.id.clone(), Episode { alert, standing, muted_by, follows });
    }

    /// Ends an episode, and those that follow it.
    fn resolve(&mut self, alert: &Alert, said: &mut Said) {
        let Some(episode) = self.episodes.remove(&alert.id) else { return };
        let (_, transition) = episode.standing.next(Input::Resolve);
        if let Some((_, volume)) = transition {
            let transition = episode.alert.transition + 1;
            said.push(Alert { transition, ..alert.clone() }, volume);
        }
        let followers = self.episodes.values();
        let followers = followers.filter(|other| other.follows.as_ref() == Some(&alert.id));
        let over = |other: &Episode| notice::over(&other.alert, alert.updated_at);
        for follower in followers.map(over).collect::<Vec<_>>() {
            self.resolve(&follower, said);
        }
    }

    fn acknowledge(&mut self, id: &str, at: Timestamp, said: &mut Said) {
        let Some(episode) = self.episodes.get_mut(id) else { return };
        episode.step(Input::Acknowledge, at, said);
    }

    fn silence(&mut self, command: &Command, matcher: &Matcher, until: Timestamp) {
        if self.silences.len() >= SILENCES_MAX || matcher.is_empty() {
            return metrics::silences_refused().increment(1);
        }
        let silence = Silence {
            matcher: matcher.clone(),
            author: command.author.clone(),
            reason: command.reason.clone(),
            since: command.at,
            until,
        };
        self.silences.insert(command.silence_id(), silence);
    }

    /// What keeps an alert quiet: an open rollback of the same change and ring, or a silence.
    fn muted_by(&self, alert: &Alert, raised_with: &[Alert]) -> Option<String> {
        if matches!(alert.decision, Decision::Hold | Decision::Watch) {
            let open = self.episodes.values().map(|episode| &episode.alert);
            let mut rollbacks = open.chain(raised_with).filter(|other| is_rollback(other));
            let same = |other: &&Alert| other.change == alert.change && other.ring == alert.ring;
            if let Some(rollback) = rollbacks.find(same) {
                return Some(rollback.id.clone());
            }
        }
        let mut silences = self.silences.iter();
        silences.find(|(_, silence)| silence.matcher.matches(alert)).map(|(id, _)| id.clone())
    }

    /// Looks again at every open alert, whatever has begun or ended.
    fn mute_and_unmute(&mut self, at: Timestamp, said: &mut Said) {
        let ids: BTreeSet<String> = self.episodes.keys().cloned().collect();
        for id in ids {
            let Some(by) = self.episodes.get(&id).map(|open| self.muted_by(&open.alert, &[]))
            else {
                continue;
            };
            let Some(episode) = self.episodes.get_mut(&id) else { continue };
            match (&episode.muted_by, &by) {
                (None, Some(by)) => {
                    said.muted.push(Muted { alert: id, by: by.clone() });
                    episode.step(Input::Mute, at, said);
                }
                (Some(_), None) => {
                    // What is told in the same commit is not quiet from there on.
                    said.muted.retain(|muted| muted.alert != id);
                    episode.step(Input::Unmute, at, said);
                }
                _ => {}
            }
            episode.muted_by = by;
        }
    }
}

impl Episode {
    fn step(&mut self, input: Input, at: Timestamp, said: &mut Said) {
        let (standing, transition) = self.standing.next(input);
        self.standing = standing;
        if let Some((state, volume)) = transition {
            self.alert.state = state;
            self.alert.transition += 1;
            // An operator may be quicker than the windows.
            self.alert.updated_at = at.max(self.alert.updated_at);
            said.push(self.alert.clone(), volume);
        }
    }
}

fn is_rollback(alert: &Alert) -> bool {
    alert.decision == Decision::Rollback
}

#[cfg(test)]
mod tests;
