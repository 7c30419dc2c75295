//! A broker and its consumer group, as far as a member can see them.
//!
//! Partitions move as a cooperative group moves them: an owner that is there gives back first, one
//! that is not there (stopped past its session) is passed over, and hears of it when it wakes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ingest::{
    Headers, Lane, Membership, Next, Record, Run, Source, SourceError, SourceEvent, Start,
};
use schemas::Stream;

use super::clock::Time;
use super::rng::Rng;
use super::world::{Fleet, Repeats, Sent, streams};

/// Shared by all members of one run.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) fleet: Fleet,
    members: BTreeMap<usize, Member>,
    /// Who owns each partition; `None` between two owners.
    owners: BTreeMap<Stream, Option<usize>>,
    /// Who is to own a partition once its owner has given it back.
    wanted: BTreeMap<Stream, usize>,
    /// Of telemetry.
    pub(super) partitions: i32,
}

#[derive(Debug, Default)]
struct Member {
    events: VecDeque<Moved>,
    positions: BTreeMap<Stream, i64>,
    paused: BTreeSet<Stream>,
    /// Partitions whose end has been said.
    ended: BTreeSet<Stream>,
    /// It has missed its session: the group does not count it any more.
    is_expired: bool,
}

#[derive(Debug)]
enum Moved {
    Assigned(Vec<Stream>),
    Revoked(Vec<Stream>),
    Lost(Vec<Stream>),
}

impl Cluster {
    /// A cluster whose telemetry has so many partitions.
    pub(super) fn new(partitions: i32, repeats: Repeats) -> Self {
        let owners = streams(partitions).into_iter().map(|stream| (stream, None)).collect();
        let (members, wanted) = (BTreeMap::new(), BTreeMap::new());
        Self { fleet: Fleet::new(repeats), members, owners, wanted, partitions }
    }

    /// Telemetry has so many partitions from now on.
    pub(super) fn grow(&mut self, partitions: i32, rng: &mut Rng) {
        self.partitions = partitions;
        for stream in streams(partitions) {
            self.owners.entry(stream).or_default();
        }
        self.rebalance(rng);
    }

    pub(super) fn join(&mut self, member: usize, rng: &mut Rng) {
        self.members.insert(member, Member::default());
        self.rebalance(rng);
    }

    /// A member is gone: it said so, or its session is over.
    pub(super) fn leave(&mut self, member: usize, rng: &mut Rng) {
        self.members.remove(&member);
        self.disown(member);
        self.rebalance(rng);
    }

    /// A member sleeps past its session: its partitions go to others without it.
    pub(super) fn expire(&mut self, member: usize, rng: &mut Rng) {
        if let Some(member) = self.members.get_mut(&member) {
            member.is_expired = true;
        }
        self.disown(member);
        self.rebalance(rng);
    }

    /// An expired member is heard again: it learns what it has lost, later or sooner.
    pub(super) fn wake(&mut self, number: usize, rng: &mut Rng) {
        let Some(member) = self.members.get_mut(&number).filter(|member| member.is_expired) else {
            return;
        };
        member.is_expired = false;
        member.events.clear();
        let lost = member.positions.keys().copied().collect();
        member.events.push_back(Moved::Lost(lost));
        self.rebalance(rng);
    }

    fn disown(&mut self, member: usize) {
        for (stream, owner) in self.owners.iter_mut().filter(|(_, owner)| **owner == Some(member)) {
            *owner = None;
            self.wanted.remove(stream);
        }
        self.wanted.retain(|_, wanted| *wanted != member);
    }

    /// Deals the partitions out afresh, most of them as they were.
    pub(super) fn rebalance(&mut self, rng: &mut Rng) {
        let able = self.members.iter().filter(|(_, member)| !member.is_expired);
        let able: Vec<usize> = able.map(|(number, _)| *number).collect();
        for stream in streams(self.partitions) {
            let owner = self.owners[&stream];
            let stays = owner.is_some_and(|owner| able.contains(&owner)) && !rng.in_thousand(400);
            if stays {
                continue;
            }
            let Some(to) = rng.pick(&able) else { continue };
            match owner {
                Some(from) if from != to => {
                    if self.wanted.insert(stream, to).is_none() {
                        self.tell(from, Moved::Revoked(vec![stream]));
                    }
                }
                Some(_) => {}
                None => self.give(stream, to),
            }
        }
    }

    fn give(&mut self, stream: Stream, to: usize) {
        self.owners.insert(stream, Some(to));
        self.tell(to, Moved::Assigned(vec![stream]));
    }

    fn tell(&mut self, member: usize, moved: Moved) {
        if let Some(member) = self.members.get_mut(&member) {
            member.events.push_back(moved);
        }
    }

    fn released(&mut self, member: usize, streams: &[Stream]) {
        for stream in streams {
            if let Some(member) = self.members.get_mut(&member) {
                // A pause outlives the assignment, as it does at the real client.
                member.positions.remove(stream);
                member.ended.remove(stream);
            }
            if self.owners[stream] == Some(member) {
                self.owners.insert(*stream, None);
                if let Some(to) = self.wanted.remove(stream) {
                    self.give(*stream, to);
                }
            }
        }
    }
}

/// One member's view of the cluster: what the group says.
#[derive(Debug)]
pub(super) struct ScriptedSource {
    pub(super) cluster: Rc<RefCell<Cluster>>,
    pub(super) member: usize,
    pub(super) time: Time,
    pub(super) rng: Rng,
}

/// The records of those of its partitions that one of its workers has.
#[derive(Debug)]
pub(super) struct ScriptedLane {
    cluster: Rc<RefCell<Cluster>>,
    member: usize,
    time: Time,
    rng: Rng,
    streams: BTreeSet<Stream>,
    /// The record handed out last, until it is dealt with.
    held: Option<Sent>,
}

/// Takes the member out for a moment, so that both can be changed.
fn with<T>(
    cluster: &RefCell<Cluster>,
    number: usize,
    act: impl FnOnce(&mut Cluster, &mut Member) -> T,
) -> Option<T> {
    let mut cluster = cluster.borrow_mut();
    let mut member = cluster.members.remove(&number)?;
    let done = act(&mut cluster, &mut member);
    cluster.members.insert(number, member);
    Some(done)
}

impl Lane for ScriptedLane {
    fn next(&mut self, timeout: Duration) -> Result<Next, SourceError> {
        if let Some(held) = &self.held {
            return Ok(Next::Run(held.stream));
        }
        let Self { rng, streams, held, .. } = self;
        let next = with(&self.cluster, self.member, |cluster, member| {
            let readable =
                |stream: &&Stream| !member.paused.contains(stream) && streams.contains(stream);
            let readable: Vec<Stream> = member.positions.keys().filter(readable).copied().collect();
            let start = rng.below(readable.len());
            for at in 0..readable.len() {
                let stream = readable[(start + at) % readable.len()];
                let position = member.positions[&stream];
                if let Some(sent) = cluster.fleet.at(stream, position).cloned() {
                    member.positions.insert(stream, sent.offset + 1);
                    member.ended.remove(&stream);
                    *held = Some(sent);
                    return Some(Next::Run(stream));
                }
                let end = cluster.fleet.end(stream);
                if member.ended.insert(stream) || position < end {
                    member.positions.insert(stream, end);
                    return Some(Next::EndOfPartition { stream, offset: end });
                }
            }
            None
        });
        Ok(next.flatten().unwrap_or_else(|| {
            self.time.pass(timeout);
            Next::Quiet
        }))
    }

    fn run(&self) -> Run<'_> {
        let mut run = Run::new();
        if let Some(sent) = &self.held {
            run.push(Record {
                stream: sent.stream,
                offset: sent.offset,
                timestamp: Some(sent.time),
                key: Some(&sent.key),
                value: Some(&sent.value),
                size: sent.value.len(),
                headers: Headers::None,
            });
        }
        run
    }

    fn done(&mut self, count: usize) {
        self.held.take_if(|_| count > 0);
    }

    fn begin(&mut self, stream: Stream, _start: Start) -> Result<(), SourceError> {
        self.held.take_if(|held| held.stream == stream);
        self.streams.insert(stream);
        Ok(())
    }

    fn stop(&mut self, streams: &[Stream]) {
        self.held.take_if(|held| streams.contains(&held.stream));
        self.streams.retain(|stream| !streams.contains(stream));
    }
}

impl ScriptedSource {
    fn with<T>(&self, act: impl FnOnce(&mut Cluster, &mut Member) -> T) -> Option<T> {
        with(&self.cluster, self.member, act)
    }

    fn resume(&self, streams: &[Stream]) {
        self.with(|_, member| member.paused.retain(|stream| !streams.contains(stream)));
    }
}

impl Source for ScriptedSource {
    type Lane = ScriptedLane;

    fn lanes(&mut self, count: usize) -> Result<Vec<ScriptedLane>, SourceError> {
        let mut lane = || ScriptedLane {
            cluster: Rc::clone(&self.cluster),
            member: self.member,
            time: self.time.clone(),
            rng: Rng::new(self.rng.word()),
            streams: BTreeSet::new(),
            held: None,
        };
        Ok((0..count).map(|_| lane()).collect())
    }

    fn next(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        // A zombie works for a while on what it fetched before it hears of its loss.
        if self.rng.in_thousand(300) {
            return Ok(None);
        }
        let event = self.with(|_, member| member.events.pop_front()).flatten();
        Ok(event.map(|event| match event {
            Moved::Assigned(streams) => SourceEvent::Assigned(streams),
            Moved::Revoked(streams) => SourceEvent::Revoked(streams),
            Moved::Lost(streams) => SourceEvent::Lost(streams),
        }))
    }

    fn end_offsets(&self) -> Result<BTreeMap<Stream, i64>, SourceError> {
        let cluster = self.cluster.borrow();
        Ok(streams(cluster.partitions)
            .into_iter()
            .map(|stream| (stream, cluster.fleet.end(stream)))
            .collect())
    }

    fn identity(&self) -> String {
        "simulated".to_owned()
    }

    fn start(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        self.with(|_, member| {
            for (stream, start) in starts {
                let offset = match start {
                    Start::Earliest => 0,
                    Start::At(offset) => *offset,
                };
                member.positions.insert(*stream, offset);
                member.ended.remove(stream);
            }
        });
        Ok(())
    }

    fn release(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.resume(streams);
        self.cluster.borrow_mut().released(self.member, streams);
        Ok(())
    }

    fn restart(&mut self, starts: &[(Stream, Start)]) -> Result<(), SourceError> {
        self.resume(&starts.iter().map(|(stream, _)| *stream).collect::<Vec<_>>());
        self.start(starts)
    }

    fn confirm(&mut self, stream: Stream, _offset: i64) -> Membership {
        let ours = self.cluster.borrow().owners[&stream] == Some(self.member);
        if ours { Membership::Confirmed } else { Membership::Doubtful }
    }

    fn commit(&mut self, _offsets: &[(Stream, i64)]) {}

    fn pause(&mut self, streams: &[Stream]) -> Result<(), SourceError> {
        self.with(|_, member| member.paused.extend(streams));
        Ok(())
    }
}
