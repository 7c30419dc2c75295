//! `ringwatch schema`: the contracts, as JSON Schema, and the data dictionary.

use schemas::{dictionary, json_schema};

use crate::cli::{Common, SchemaArgs};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Prints one schema, the dictionary, or the list of both.
pub fn run(_common: &Common, args: &SchemaArgs) -> Result<Outcome, Failure> {
    let schemas = json_schema::all();
    match args.name.as_deref() {
        None => {
            for (name, _) in &schemas {
                output::line(name)?;
            }
            output::line("dictionary")?;
        }
        Some("dictionary") => output::line(dictionary::markdown().trim_end())?,
        Some(name) => {
            let Some((_, schema)) = schemas.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                return Err(Failure::usage(format!(
                    "no schema `{name}`; there are {known} and dictionary"
                )));
            };
            output::line(&serde_json::to_string_pretty(schema)?)?;
        }
    }
    Ok(Outcome::Fine)
}
