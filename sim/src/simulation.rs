//! The story itself: devices live through a scenario and report it, record by record.
//!
//! ```text
//! steps (heartbeat, boot, fault, install, ...) ─► record ─► under way ─► out, by arrival
//!   each step queues the next of its kind          late and duplicate records wait here
//! ```
//! A fault rate is constant between two changes of exposure, so its next event is drawn anew at
//! each change (the exponential distribution has no memory) and the old draw is void.

use schemas::registry::ChangeRecord;
use schemas::{Signal, Span, Stream, StreamKind, Timestamp};

use crate::device::{self, Device, Traits};
use crate::line::Line;
use crate::queue::Queue;
use crate::scenario::{ChangePlan, Scenario};
use crate::{Rng, registry};

mod rates;
mod report;
mod rollout;

use rates::Hours;

const DAY_US: f64 = 86_400e6;
/// A device has caught up with what it slept through within this.
const WAKING_US: f64 = 600e6;

/// One record as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimRecord {
    pub stream: Stream,
    pub arrival: Timestamp,
    pub key: String,
    pub value: Vec<u8>,
}

/// What a device does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Heartbeat,
    /// The boot of every day.
    Boot,
    CrashBoot,
    /// One of several boots of an installation.
    UpdateBoot,
    /// The next boot of a device that does nothing else.
    LoopBoot {
        change: u8,
    },
    /// Another event of an incident, or the harm of an installation.
    Again {
        signal: Signal,
        left: u32,
    },
    /// Void if the device's rates have been drawn anew since.
    Fault {
        rates_drawn: u32,
    },
    Offer {
        change: u8,
    },
    Install {
        change: u8,
    },
    Finish {
        change: u8,
    },
    ShutDown {
        change: u8,
    },
    RollBack {
        change: u8,
    },
    /// A support case tied to no device.
    Case {
        number: u32,
    },
}

/// An iterator over the records of a scenario in order of arrival.
#[derive(Debug)]
pub struct Simulation {
    scenario: Scenario,
    rng: Rng,
    devices: Vec<Device>,
    /// Signals with a base rate, in events per microsecond.
    rates: Vec<(Signal, f64)>,
    /// By change, what each of `rates` is multiplied by.
    effects: Vec<Vec<f64>>,
    hours: Hours,
    steps: Queue<(u32, Step)>,
    under_way: Queue<SimRecord>,
    line: Line,
}

/// The records of `changes` and `support` alone, in order of arrival.
pub fn small_topics(scenario: &Scenario) -> Vec<SimRecord> {
    let is_small = |record: &SimRecord| record.stream.kind != StreamKind::Telemetry;
    if scenario.support_cases_per_day > 0.0 {
        // Chance is one stream: when cases come depends on all that happens before.
        return Simulation::new(scenario).filter(is_small).collect();
    }
    let plans = scenario.changes.iter().flat_map(|plan| registry::story(scenario, plan));
    let mut records: Vec<SimRecord> = plans.map(announcement).collect();
    records.sort_by_key(|record| record.arrival);
    records
}

fn announcement((arrival, record): (Timestamp, ChangeRecord)) -> SimRecord {
    let value = registry::to_json(&record);
    let stream = Stream { kind: StreamKind::Changes, partition: 0 };
    SimRecord { stream, arrival, key: record.change, value }
}

impl Simulation {
    /// The story of that scenario, from its start.
    pub fn new(scenario: &Scenario) -> Self {
        let reported =
            |(kind, rate): (&String, &f64)| Some((Signal::from_name(kind)?, rate / DAY_US));
        let rates: Vec<_> = scenario.faults_per_day.iter().filter_map(reported).collect();
        let factor = |plan: &ChangePlan, signal: Signal| {
            plan.effect.get(signal.name()).copied().unwrap_or(1.0)
        };
        let effects = scenario
            .changes
            .iter()
            .map(|plan| rates.iter().map(|(signal, _)| factor(plan, *signal)).collect())
            .collect();
        let mut simulation = Self {
            rng: Rng::new(scenario.seed),
            devices: Vec::with_capacity(scenario.devices as usize),
            rates,
            effects,
            hours: Hours::of(scenario),
            steps: Queue::new(),
            under_way: Queue::new(),
            line: Line::default(),
            scenario: scenario.clone(),
        };
        simulation.announce();
        simulation.populate();
        simulation.after(scenario.start, 0.0, 0, Step::Case { number: 0 });
        simulation
    }

    fn announce(&mut self) {
        let plans = self.scenario.changes.iter();
        let said: Vec<SimRecord> = plans
            .flat_map(|plan| registry::story(&self.scenario, plan))
            .map(announcement)
            .collect();
        for record in said {
            self.under_way.push(record.arrival, record);
        }
    }

    /// Rings take the shares of the fleet in order; what is first in each device's life is queued.
    fn populate(&mut self) {
        let interval_us = f64::from(self.scenario.heartbeat_interval_s) * 1e6;
        let start = self.scenario.start;
        for number in 0..self.scenario.devices {
            let ring = self.ring_of(number);
            let device = self.device(number, ring);
            self.devices.push(device);
            let (first_heartbeat, first_boot) = (self.rng.unit(), self.rng.unit());
            self.after(start, first_heartbeat * interval_us, number, Step::Heartbeat);
            self.after(start, first_boot * self.boot_gap_us(), number, Step::Boot);
            self.draw_fault(start, number);
            self.plan_installs(number);
        }
    }

    fn device(&self, number: u32, ring: u8) -> Device {
        let traits = Traits::of(self.scenario.seed, number);
        let value_of = |dimension: &str| match dimension {
            "build" => Some(traits.build.to_owned()),
            "model" => Some(traits.model.to_owned()),
            "driver" => Some(traits.driver.to_owned()),
            "region" => Some(traits.region.to_owned()),
            _ => device::role(&self.scenario.roles, self.scenario.seed, number).map(str::to_owned),
        };
        let changes = self.scenario.changes.iter().enumerate();
        let harmful = changes.filter(|(_, plan)| rates::can_harm(plan, value_of));
        Device {
            ring,
            seq: 1,
            exposed: 0,
            rates_drawn: 0,
            gone: false,
            looping: false,
            frailty: self.frailty(number, ring),
            prone: harmful.fold(0, |prone, (change, _)| prone | (1 << change)),
            away_until: Timestamp::MIN,
        }
    }

    fn ring_of(&self, number: u32) -> u8 {
        let position = (f64::from(number) + 0.5) / f64::from(self.scenario.devices);
        let mut below = 0.0;
        let ring = self.scenario.rings.iter().position(|ring| {
            below += ring.share;
            position < below
        });
        ring.unwrap_or(self.scenario.rings.len() - 1) as u8
    }

    fn boot_gap_us(&self) -> f64 {
        DAY_US / self.scenario.boots_per_day
    }

    /// Queues a step unless the story is over by then.
    fn after(&mut self, from: Timestamp, wait_us: f64, device: u32, step: Step) {
        let left_us = (self.scenario.end() - from).0 as f64;
        if wait_us < left_us {
            self.steps.push(from + Span(wait_us as i64), (device, step));
        }
    }

    fn live(&mut self, now: Timestamp, device: u32, step: Step) {
        if let Step::Case { number } = step {
            return self.case(now, number);
        }
        if self.devices[device as usize].gone {
            return;
        }
        if let Some(wakes) = self.sleeps_until(now, device) {
            return self.put_off(wakes, device, step);
        }
        let looping = self.devices[device as usize].looping;
        match step {
            Step::Heartbeat | Step::Boot | Step::CrashBoot | Step::Fault { .. } if looping => {}
            Step::Heartbeat => self.heartbeat(now, device),
            Step::Boot => {
                self.boot(now, device, "user");
                let wait_us = self.boot_gap_us() * self.rng.between(0.5, 1.5);
                self.after(now, wait_us, device, Step::Boot);
            }
            Step::CrashBoot => self.boot(now, device, "crash"),
            Step::UpdateBoot => self.boot(now, device, "update"),
            Step::LoopBoot { change } => self.loop_boot(now, device, change),
            Step::Again { signal, left } => self.again(now, device, signal, left),
            Step::Fault { rates_drawn } => {
                if rates_drawn == self.devices[device as usize].rates_drawn {
                    self.fault(now, device);
                    self.draw_fault(now, device);
                }
            }
            Step::Offer { change } if !self.is_withdrawn(now, change) => {
                self.update(now, device, change, "offered");
            }
            Step::Install { change } if !self.is_withdrawn(now, change) => {
                self.install(now, device, change);
            }
            Step::Offer { .. } | Step::Install { .. } | Step::Case { .. } => {}
            Step::Finish { change } => self.finish(now, device, change),
            Step::ShutDown { change } => self.shut_down(now, device, change),
            Step::RollBack { change } => self.roll_back(now, device, change),
        }
    }

    /// When a device that is shut down or asleep is there again.
    fn sleeps_until(&self, now: Timestamp, device: u32) -> Option<Timestamp> {
        let away_until = self.devices[device as usize].away_until;
        let away = (now < away_until).then_some(away_until);
        let asleep = || self.scenario.life.sleep?.wakes(self.scenario.seed, device, now);
        away.or_else(asleep)
    }

    /// What was to be done while the device slept is done soon after it wakes; faults are not.
    fn put_off(&mut self, wakes: Timestamp, device: u32, step: Step) {
        match step {
            Step::Fault { rates_drawn } => {
                if rates_drawn == self.devices[device as usize].rates_drawn {
                    self.draw_fault(wakes, device);
                }
            }
            step => {
                let wait_us = self.rng.unit() * WAKING_US;
                self.after(wakes, wait_us, device, step);
            }
        }
    }
}

impl Iterator for Simulation {
    type Item = SimRecord;

    fn next(&mut self) -> Option<SimRecord> {
        loop {
            let step_at = self.steps.next_at();
            let record_at = self.under_way.next_at();
            if record_at.is_some_and(|record_at| step_at.is_none_or(|step_at| record_at <= step_at))
            {
                return self.under_way.pop().map(|(_, record)| record);
            }
            let (now, (device, step)) = self.steps.pop()?;
            self.live(now, device, step);
        }
    }
}
