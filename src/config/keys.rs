//! Lays a configuration file and the environment over the example, and finds unknown keys.
//!
//! ```text
//! config/example.toml  ◄── file ◄── RINGWATCH__SECTION__KEY
//! ```

use toml::{Table, Value};

use super::ConfigError;

/// The example, which is also the list of the known keys and their defaults.
const EXAMPLE: &str = include_str!("../../config/example.toml");

/// What stands before every variable of ours.
const ENV_PREFIX: &str = "RINGWATCH__";

/// The one key without a default: the example's value is only an example.
const NO_DEFAULT: (&str, &str) = ("kafka", "brokers");

/// Keys of a `[[destination]]`, whose example is commented out.
const DESTINATION_KEYS: &[&str] = alerts::delivery::CONFIG_KEYS;

/// The example with `file` and `environment` laid over it.
pub(super) fn merged(
    file: Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Table, ConfigError> {
    let example: Table = toml::from_str(EXAMPLE).map_err(ConfigError::Syntax)?;
    let mut table = example.clone();
    if let Some(Value::Table(section)) = table.get_mut(NO_DEFAULT.0) {
        section.remove(NO_DEFAULT.1);
    }
    refuse_unknown(&file, &example, "")?;
    lay_over(&mut table, file);
    for (name, text) in environment {
        if let Some(path) = name.strip_prefix(ENV_PREFIX) {
            set(&mut table, &example, &name, &path.to_lowercase(), text)?;
        }
    }
    Ok(table)
}

fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Whether the keys of the table at `path` are the user's own.
fn is_free_form(path: &str) -> bool {
    path == "kafka.properties" || path == "telemetry.fields"
}

fn refuse_unknown(given: &Table, known: &Table, path: &str) -> Result<(), ConfigError> {
    for (key, value) in given {
        let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if here == "destination" {
            refuse_unknown_in_destinations(value)?;
            continue;
        }
        let Some(example) = known.get(key) else {
            return Err(unknown(&here, key, path, known.keys().map(String::as_str)));
        };
        match (value, example) {
            (Value::Table(_), _) if is_free_form(&here) => {}
            (Value::Table(given), Value::Table(known)) => refuse_unknown(given, known, &here)?,
            (Value::Array(given), Value::Array(known)) => {
                let Some(known) = known.first().and_then(Value::as_table) else { continue };
                for table in given.iter().filter_map(Value::as_table) {
                    refuse_unknown(table, known, &here)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn refuse_unknown_in_destinations(value: &Value) -> Result<(), ConfigError> {
    let tables = value.as_array().into_iter().flatten().filter_map(Value::as_table);
    let is_unknown = |key: &&String| !DESTINATION_KEYS.contains(&key.as_str());
    match tables.flat_map(|table| table.keys()).find(is_unknown) {
        None => Ok(()),
        Some(key) => {
            let here = format!("destination.{key}");
            Err(unknown(&here, key, "destination", DESTINATION_KEYS.iter().copied()))
        }
    }
}

fn unknown<'a>(
    here: &str,
    key: &str,
    path: &str,
    known: impl Iterator<Item = &'a str>,
) -> ConfigError {
    let nearest = known.min_by_key(|name| strsim::osa_distance(name, key)).unwrap_or_default();
    let nearest = if path.is_empty() { nearest.to_owned() } else { format!("{path}.{nearest}") };
    ConfigError::UnknownKey { key: here.to_owned(), nearest }
}

/// Sets one key from the environment; its type is that of the example's value.
fn set(
    table: &mut Table,
    example: &Table,
    variable: &str,
    path: &str,
    text: String,
) -> Result<(), ConfigError> {
    let (head, rest) = path.split_once("__").unwrap_or((path, ""));
    let Some(known) = example.get(head) else {
        let error = unknown(head, head, "", example.keys().map(String::as_str));
        return Err(ConfigError::Variable { name: variable.to_owned(), source: Box::new(error) });
    };
    if let (Value::Table(known), false) = (known, rest.is_empty()) {
        let below = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
        return match below {
            Value::Table(below) => set(below, known, variable, rest, text),
            _ => Ok(()),
        };
    }
    let value = if known.is_str() {
        Value::String(text)
    } else {
        let line = format!("value = {text}");
        let mut parsed: Table = toml::from_str(&line).map_err(|source| ConfigError::Variable {
            name: variable.to_owned(),
            source: Box::new(ConfigError::Syntax(source)),
        })?;
        parsed.remove("value").unwrap_or(Value::Boolean(false))
    };
    table.insert(head.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, environment: &[(&str, &str)]) -> Result<Table, String> {
        let pairs = environment.iter().map(|(name, text)| ((*name).into(), (*text).into()));
        merged(toml::from_str(file).expect("test input"), pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = check("[kafka]\nbroker = 'x'", &[]).expect_err("unknown");
        assert_eq!(error, "unknown key `kafka.broker`; did you mean `kafka.brokers`?");
        let error = check("[detektion]\nalpha = 1", &[]).expect_err("unknown");
        assert_eq!(error, "unknown key `detektion`; did you mean `detection`?");
        let error = check("[[ring]]\nnaem = 'x'", &[]).expect_err("unknown");
        assert_eq!(error, "unknown key `ring.naem`; did you mean `ring.name`?");
    }

    #[test]
    fn the_environment_wins_and_has_the_examples_types() {
        let table = check(
            "[kafka]\nbrokers = 'file'",
            &[("RINGWATCH__KAFKA__BROKERS", "env"), ("RINGWATCH__DETECTION__ALPHA", "0.05")],
        )
        .expect("valid");
        assert_eq!(table["kafka"]["brokers"].as_str(), Some("env"));
        assert_eq!(table["detection"]["alpha"].as_float(), Some(0.05));
    }

    #[test]
    fn brokers_have_no_default() {
        assert!(check("", &[]).expect("valid")["kafka"].get("brokers").is_none());
    }

    #[test]
    fn properties_are_the_users_own() {
        let table = check("[kafka.properties]\n'sasl.username' = 'x'", &[]).expect("valid");
        assert_eq!(table["kafka"]["properties"]["sasl.username"].as_str(), Some("x"));
    }
}
