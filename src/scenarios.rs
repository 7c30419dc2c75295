//! The scenarios that come with the binary, and those in files.

use sim::{Scenario, ScenarioError};

use crate::failure::Failure;

/// Name, one line about it, text.
pub const BUILT_IN: &[(&str, &str, &str)] = &[
    (
        "demo",
        "20,000 devices, one good and one bad change rolling out ring by ring",
        include_str!("../sim/scenarios/demo.toml"),
    ),
    (
        "os-crash-10x",
        "10,000 devices, a change that makes os_crash ten times as likely",
        include_str!("../sim/scenarios/os-crash-10x.toml"),
    ),
    (
        "no-op",
        "10,000 devices, a change that does nothing",
        include_str!("../sim/scenarios/no-op.toml"),
    ),
];

/// A scenario by its name or its file.
pub fn load(name: &str) -> Result<Scenario, Failure> {
    let built_in = BUILT_IN.iter().find(|(known, ..)| *known == name);
    let parsed: Result<Scenario, ScenarioError> = if let Some((.., text)) = built_in {
        Scenario::parse(text)
    } else {
        let text = std::fs::read_to_string(name).map_err(|source| {
            Failure::usage(format!(
                "no scenario `{name}`: it is no built-in one (simulate --list) and no file can be \
                 read there ({source})"
            ))
        })?;
        Scenario::parse(&text)
    };
    parsed.map_err(Failure::usage)
}
