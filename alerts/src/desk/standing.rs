//! What is told of one alert, given the detector, the operators and what keeps it quiet. Pure.
//!
//! ```text
//!            Fire                       Acknowledge                  Resolve
//!  Closed ───────► Firing ─────────────────────────► Acknowledged ─────────► Closed
//!                    └───────────────────── Resolve ───────────────────────────▲
//! ```
//! Muted, an alert begins in silence; if it is still firing when that ends it is told again. Once
//! people were told of an episode they are told of its end, muted or not.

use schemas::AlertState;
use serde::{Deserialize, Serialize};

/// Where an episode stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    #[default]
    Closed,
    Firing,
    Acknowledged,
}

/// An episode and who knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) stage: Stage,
    /// Something keeps it quiet.
    pub(crate) muted: bool,
    /// People were told of this episode.
    pub(crate) told: bool,
}

/// What happens to an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Fire,
    Resolve,
    Acknowledge,
    Mute,
    Unmute,
}

/// Who is to hear of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Volume {
    Told,
    Quiet,
}

/// A transition that enters the chain.
pub(crate) type Transition = (AlertState, Volume);

impl Standing {
    /// What becomes of it, and the transition that follows, if one does.
    #[must_use]
    pub(crate) const fn next(self, input: Input) -> (Self, Option<Transition>) {
        use AlertState as State;
        match (input, self.stage) {
            (Input::Fire, Stage::Closed) => {
                let told = !self.muted;
                let next = Self { stage: Stage::Firing, told, ..self };
                (next, Some((State::Firing, volume(told))))
            }
            (Input::Acknowledge, Stage::Firing) => {
                let next = Self { stage: Stage::Acknowledged, ..self };
                (next, Some((State::Acknowledged, volume(self.told))))
            }
            (Input::Resolve, Stage::Firing | Stage::Acknowledged) => {
                let next = Self { stage: Stage::Closed, told: false, ..self };
                (next, Some((State::Resolved, volume(self.told))))
            }
            (Input::Unmute, Stage::Firing) if self.muted => {
                let next = Self { muted: false, told: true, ..self };
                (next, Some((State::Firing, Volume::Told)))
            }
            (Input::Mute, _) => (Self { muted: true, ..self }, None),
            (Input::Unmute, _) => (Self { muted: false, ..self }, None),
            _ => (self, None),
        }
    }
}

const fn volume(told: bool) -> Volume {
    if told { Volume::Told } else { Volume::Quiet }
}

#[cfg(test)]
mod tests {
    use schemas::{Span, Timestamp};

    use super::*;
    use crate::lifecycle::{Flaps, Level, Move, Patience, Phase};

    /// Everything that can happen to an alert in a minute.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Evidence(Level),
        Told(Input),
    }

    const EVENTS: [Event; 7] = [
        Event::Evidence(Level::Above),
        Event::Evidence(Level::Between),
        Event::Evidence(Level::Below),
        Event::Evidence(Level::Withdrawn),
        Event::Told(Input::Acknowledge),
        Event::Told(Input::Mute),
        Event::Told(Input::Unmute),
    ];

    fn minute(at: usize) -> Timestamp {
        Timestamp::YEAR_2000 + Span::minutes(at as i64)
    }

    /// The whole life by the two machines.
    fn lived(events: &[Event], patience: Patience) -> Vec<(usize, Transition)> {
        let (mut phase, mut flaps) = (Phase::Clear, Flaps::default());
        let (mut standing, mut said) = (Standing::default(), Vec::new());
        for (at, &event) in events.iter().enumerate() {
            let input = match event {
                Event::Told(input) => Some(input),
                Event::Evidence(level) => {
                    let (next, moved) = phase.next(flaps, level, minute(at), patience);
                    (phase, flaps) = (next, flaps.after(moved, level, minute(at)));
                    moved.map(|moved| match moved {
                        Move::Fire => Input::Fire,
                        Move::Resolve => Input::Resolve,
                    })
                }
            };
            if let Some(input) = input {
                let (next, transition) = standing.next(input);
                standing = next;
                said.extend(transition.map(|transition| (at, transition)));
            }
        }
        said
    }

    /// The same from the whole history: where each episode began and ended, and what people knew.
    fn remembered(events: &[Event], harm: usize, calm: usize) -> Vec<(usize, Transition)> {
        let mut said: Vec<(usize, Transition)> = Vec::new();
        let mut flaps = 0_u32;
        for at in 0..events.len() {
            let begun = said.iter().rposition(|(_, (state, _))| *state == AlertState::Resolved);
            let episode = &said[begun.map_or(0, |end| end + 1)..];
            let told = episode.iter().any(|(_, (_, volume))| *volume == Volume::Told);
            let volume = |told| if told { Volume::Told } else { Volume::Quiet };
            let muted = events[..at].iter().rev().find_map(|event| match event {
                Event::Told(Input::Mute) => Some(true),
                Event::Told(Input::Unmute) => Some(false),
                _ => None,
            });
            let muted = muted == Some(true);
            let state = episode.last().map(|(_, (state, _))| *state);
            let from = episode.first().map_or(0, |(from, _)| *from);
            let evidence = |event: &&Event| matches!(event, Event::Evidence(_));
            // Minutes without evidence, here those of commands, are no minutes of calm or harm.
            let low = events[from..=at].iter().enumerate().rev().filter(|(_, e)| evidence(e));
            let low = low.take_while(|(_, event)| **event == Event::Evidence(Level::Below));
            let since = low.last().map(|(since, _)| from + since);
            let ended = begun.map_or(0, |end| said[end].0 + 1);
            let high = events[ended..=at].iter().enumerate().rev().filter(|(_, e)| evidence(e));
            let high = high.take_while(|(_, event)| **event == Event::Evidence(Level::Above));
            let harmed_since = high.last().map(|(since, _)| ended + since);
            let patience = calm << flaps.saturating_sub(1).min(2);
            match (events[at], state) {
                (Event::Evidence(Level::Above), None)
                    if harmed_since.is_some_and(|since| at - since >= harm) =>
                {
                    flaps += 1;
                    said.push((at, (AlertState::Firing, volume(!muted))));
                }
                (Event::Evidence(Level::Withdrawn), Some(_)) => {
                    flaps = 0;
                    said.push((at, (AlertState::Resolved, volume(told))));
                }
                (Event::Evidence(Level::Below), Some(_))
                    if since.is_some_and(|since| at - since >= patience) =>
                {
                    said.push((at, (AlertState::Resolved, volume(told))));
                }
                (Event::Told(Input::Acknowledge), Some(AlertState::Firing)) => {
                    said.push((at, (AlertState::Acknowledged, volume(told))));
                }
                (Event::Told(Input::Unmute), Some(AlertState::Firing)) if muted => {
                    said.push((at, (AlertState::Firing, Volume::Told)));
                }
                _ => {}
            }
        }
        said
    }

    #[test]
    fn every_life_of_seven_events_is_told_as_remembered() {
        for (harm, calm) in [(0, 0), (0, 2), (1, 1), (2, 0)] {
            let minutes = |count: usize| Span::minutes(count as i64);
            let patience = Patience { pending_for: minutes(harm), resolve_after: minutes(calm) };
            for number in 0..7_usize.pow(7) {
                let mut rest = number;
                let events = [(); 7].map(|()| {
                    let event = EVENTS[rest % 7];
                    rest /= 7;
                    event
                });
                let remembered = remembered(&events, harm, calm);
                assert_eq!(lived(&events, patience), remembered, "{events:?}");
            }
        }
    }

    /// From every state by every input: what can be reached, and what may never be.
    #[test]
    fn nobody_hears_of_the_end_of_what_nobody_heard_of() {
        let inputs = [Input::Fire, Input::Resolve, Input::Acknowledge, Input::Mute, Input::Unmute];
        for number in 0..5_usize.pow(7) {
            let (mut standing, mut rest) = (Standing::default(), number);
            let (mut known, mut open) = (false, false);
            for _ in 0..7 {
                let (next, said) = standing.next(inputs[rest % 5]);
                (standing, rest) = (next, rest / 5);
                let Some((state, volume)) = said else { continue };
                let was_open = std::mem::replace(&mut open, state != AlertState::Resolved);
                assert!(was_open || state == AlertState::Firing, "{number}");
                let told = volume == Volume::Told;
                assert!(state == AlertState::Firing || told == known, "{number}");
                known = (known || told) && open;
            }
        }
    }
}
