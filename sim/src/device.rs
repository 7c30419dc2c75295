//! One device of a simulated fleet: what it is, and what it has lived through so far.

use std::collections::BTreeMap;

use schemas::Timestamp;

use crate::rng::{Rng, mix};

const BUILDS: [&str; 6] = [
    "10.0.22631.3880",
    "10.0.22631.3737",
    "10.0.22631.3593",
    "10.0.26100.1150",
    "10.0.19045.4651",
    "10.0.19045.4529",
];
const BUILD_WEIGHTS: [f64; 6] = [40.0, 20.0, 10.0, 15.0, 10.0, 5.0];
const MODELS: [&str; 5] =
    ["Latitude-5440", "EliteBook-840-G10", "ThinkPad-T14-G4", "Surface-Laptop-5", "OptiPlex-7010"];
const MODEL_WEIGHTS: [f64; 5] = [30.0, 25.0, 25.0, 10.0, 10.0];
const DRIVERS: [&str; 4] = ["nv-551.23", "nv-546.17", "intel-31.0.101", "amd-24.5.1"];
const DRIVER_WEIGHTS: [f64; 4] = [20.0, 15.0, 50.0, 15.0];
const REGIONS: [&str; 4] = ["eu-west", "us-east", "ap-south", "sa-east"];
const REGION_WEIGHTS: [f64; 4] = [40.0, 35.0, 15.0, 10.0];

/// What never changes about a device; it follows from the seed and the device's number.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    pub build: &'static str,
    pub model: &'static str,
    pub driver: &'static str,
    pub region: &'static str,
}

impl Traits {
    /// The traits of device `number` in the fleet of that seed.
    pub fn of(seed: u64, number: u32) -> Self {
        let mut rng = Rng::new(mix(seed ^ 0x7261_6974) ^ u64::from(number));
        Self {
            build: BUILDS[rng.pick(&BUILD_WEIGHTS)],
            model: MODELS[rng.pick(&MODEL_WEIGHTS)],
            driver: DRIVERS[rng.pick(&DRIVER_WEIGHTS)],
            region: REGIONS[rng.pick(&REGION_WEIGHTS)],
        }
    }
}

/// The role of device `number`, where the scenario has roles.
pub(crate) fn role(roles: &BTreeMap<String, f64>, seed: u64, number: u32) -> Option<&str> {
    let weights: Vec<f64> = roles.values().copied().collect();
    let mut rng = Rng::new(mix(seed ^ 0x0072_6f6c_6500) ^ u64::from(number));
    roles.keys().nth(rng.pick(&weights)).map(String::as_str)
}

/// The id of device `number`.
pub fn name(number: u32) -> String {
    format!("d-{number:010}")
}

/// What changes.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Position in the scenario's rings.
    pub(crate) ring: u8,
    /// Of the next record.
    pub(crate) seq: u64,
    /// Changes it is exposed to, one bit each.
    pub(crate) exposed: u64,
    /// Counts the changes of its fault rates: faults drawn before the last one are void.
    pub(crate) rates_drawn: u32,
    /// Bricked: never heard again.
    pub(crate) gone: bool,
    /// It does nothing but boot, again and again.
    pub(crate) looping: bool,
    /// Its own factor on all rates: frailty, and its ring's.
    pub(crate) frailty: f64,
    /// Changes that can harm it, one bit each.
    pub(crate) prone: u64,
    /// Shut down until then.
    pub(crate) away_until: Timestamp,
}
