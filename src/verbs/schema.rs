//! `ringwatch schema`: the contracts as JSON Schema, the data dictionary, the metrics, the views.

use schemas::{dictionary, json_schema};

use crate::cli::{Common, SchemaArgs};
use crate::config::Config;
use crate::datafolder;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Prints one schema, the dictionary, the views, or the list of all.
pub fn run(common: &Common, args: &SchemaArgs) -> Result<Outcome, Failure> {
    let schemas = json_schema::all();
    match args.name.as_deref() {
        None => {
            for (name, _) in &schemas {
                output::line(name)?;
            }
            output::line("dictionary")?;
            output::line("metrics")?;
            output::line("views")?;
        }
        Some("dictionary") => output::line(dictionary::markdown().trim_end())?,
        Some("metrics") => output::line(crate::http::reference::markdown().trim_end())?,
        Some("views") => {
            let data = match &args.data {
                Some(data) => data.clone(),
                None => Config::load(common.config.as_deref(), std::env::vars())?.data,
            };
            let script =
                store::views::views_sql(&*datafolder::open_read_only(&data)?, &data.to_string())?;
            output::line(script.trim_end())?;
        }
        Some(name) => {
            let Some((_, schema)) = schemas.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                return Err(Failure::usage(format!(
                    "no schema `{name}`; there are {known}, dictionary, metrics and views"
                )));
            };
            output::line(&serde_json::to_string_pretty(schema)?)?;
        }
    }
    Ok(Outcome::Fine)
}
