//! What a fleet calls the fields of its telemetry, where the contract calls them otherwise.
//!
//! In: names by the contract's, from the configuration. Out: which field a name stands for. It is
//! asked by the parser's path and when a shape is learned; a record whose shape is known has its
//! values in place whatever they are called.

use std::collections::BTreeMap;

use super::fields::Field;

/// Names of fields at the top of a telemetry record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames {
    renamed: Vec<(String, Field)>,
    /// One bit for each field that its own name no longer stands for.
    hidden: u64,
}

/// Why names cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldNamesError {
    #[error("has `{0}`, which is no field of telemetry; the fields are: {fields}", fields = all())]
    Unknown(String),
    #[error("gives `{0}` an empty name")]
    Empty(String),
    #[error("calls both `{0}` and `{1}` \"{2}\"; give each a name of its own")]
    Twice(String, String, String),
}

/// The contract's names, for a refusal that lists them.
fn all() -> String {
    let names: Vec<_> = Field::TELEMETRY.iter().map(|field| field.name()).collect();
    names.join(", ")
}

impl FieldNames {
    /// The contract's own.
    pub(super) const STANDARD: Self = Self { renamed: Vec::new(), hidden: 0 };

    /// The fleet's names by the contract's; fields that are not named keep theirs.
    pub fn new(names: &BTreeMap<String, String>) -> Result<Self, FieldNamesError> {
        let mut fields = Self::STANDARD;
        for (ours, theirs) in names {
            let field = Field::from_name(ours).filter(|field| Field::TELEMETRY.contains(field));
            let field = field.ok_or_else(|| FieldNamesError::Unknown(ours.clone()))?;
            if theirs.is_empty() {
                return Err(FieldNamesError::Empty(ours.clone()));
            }
            fields.hidden |= 1 << field as u32;
            fields.renamed.push((theirs.clone(), field));
        }
        for (at, (name, field)) in fields.renamed.iter().enumerate() {
            let renamed = fields.renamed[..at].iter().find(|(before, _)| before == name);
            let kept = Field::from_name(name).filter(|&kept| !fields.hides(kept));
            let other = renamed.map(|(_, other)| *other).or(kept);
            if let Some(other) = other {
                let [other, field] = [other, *field].map(|field| field.name().to_owned());
                return Err(FieldNamesError::Twice(other, field, name.clone()));
            }
        }
        Ok(fields)
    }

    /// The fleet's names by the contract's.
    pub fn renamed(&self) -> BTreeMap<&'static str, &str> {
        self.renamed.iter().map(|(theirs, field)| (field.name(), theirs.as_str())).collect()
    }

    const fn hides(&self, field: Field) -> bool {
        self.hidden >> field as u32 & 1 == 1
    }

    /// The field that a name stands for.
    #[inline]
    pub(super) fn field(&self, name: &str) -> Option<Field> {
        if self.renamed.is_empty() { Field::from_name(name) } else { self.own(name) }
    }

    fn own(&self, name: &str) -> Option<Field> {
        let renamed = self.renamed.iter().find(|(theirs, _)| theirs == name);
        let kept = || Field::from_name(name).filter(|&field| !self.hides(field));
        renamed.map(|(_, field)| *field).or_else(kept)
    }
}

#[cfg(test)]
mod tests {
    use schemas::Timestamp;

    use super::*;
    use crate::{Arrival, DecodeConfig, Decoder};

    const COMMON: &str = r#""v":1,"device":"d-1","ring":"first","time":"2026-07-14T10:00:00Z""#;
    const RECORDS: [&str; 5] = [
        r#""type":"heartbeat","seq":7,"build":"b","model":"m","uptime_s":6,"attrs":{"driver":"x"}"#,
        r#""type":"boot","boot_ms":9000,"signin_ms":800,"reason":"update","seq":18231"#,
        r#""type":"update","change":"kb1","state":"installed","code":"0x0","duration_ms":9"#,
        r#""type":"fault","kind":"os_crash","signature":"nv.sys!0x116","count":2,"seq":3"#,
        r#""type":"ticket","ticket":"T-1","severity":"B","category":"printing","seq":4"#,
    ];

    fn names(pairs: &[(&str, &str)]) -> Result<FieldNames, FieldNamesError> {
        let owned = pairs.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned()));
        FieldNames::new(&owned.collect())
    }

    fn decoder(fields: FieldNames) -> Decoder {
        let cohorts = ["model", "driver"].map(str::to_owned).to_vec();
        Decoder::new(DecodeConfig { cohorts, fields, ..DecodeConfig::default() })
    }

    /// With every field under another name it is the same record, by the parser and by shape.
    #[test]
    fn a_record_with_the_fleets_own_names_is_the_same_record() {
        let theirs = |field: &Field| format!("x-{}", field.name());
        let all = Field::TELEMETRY.iter().map(|field| (field.name().to_owned(), theirs(field)));
        let all: BTreeMap<_, _> = all.collect();
        let mut own = decoder(FieldNames::new(&all).expect("names"));
        let mut standard = decoder(FieldNames::default());
        let arrival = Arrival::At(Timestamp(1_784_023_200_000_000));
        for _ in 0..3 {
            for record in RECORDS.map(|rest| format!("{{{COMMON},{rest}}}")) {
                let mut renamed = record.clone();
                for field in Field::TELEMETRY {
                    let (ours, theirs) = (format!("\"{}\":", field.name()), theirs(field));
                    renamed = renamed.replace(&ours, &format!("\"{theirs}\":"));
                }
                let expected = standard.telemetry(record.as_bytes(), arrival).expect("accepted");
                assert_eq!(own.telemetry(renamed.as_bytes(), arrival), Ok(expected), "{renamed}");
                let refused = own.telemetry(record.as_bytes(), arrival).expect_err("no field");
                assert!(refused.error.contains("is missing"), "{refused:?}");
            }
        }
        assert_eq!(own.decoded_by_shape(), standard.decoded_by_shape());
        assert!(own.decoded_by_shape() >= 10, "{}", own.decoded_by_shape());
    }

    #[test]
    fn a_name_that_belongs_to_something_else_is_refused_and_a_swap_is_none() {
        use FieldNamesError::{Empty, Twice, Unknown};
        assert_eq!(names(&[("colour", "x")]), Err(Unknown("colour".to_owned())));
        assert_eq!(names(&[("status", "x")]), Err(Unknown("status".to_owned())));
        assert_eq!(names(&[("ring", "")]), Err(Empty("ring".to_owned())));
        let twice =
            |a: &str, b: &str, name: &str| Err(Twice(a.to_owned(), b.to_owned(), name.to_owned()));
        assert_eq!(names(&[("device", "id"), ("ring", "id")]), twice("device", "ring", "id"));
        assert_eq!(names(&[("ring", "state")]), twice("state", "ring", "state"));
        let swapped = names(&[("ring", "state"), ("state", "ring")]).expect("a swap");
        assert_eq!(swapped.field("ring"), Some(Field::State));
        assert_eq!(swapped.field("state"), Some(Field::Ring));
        let moved = names(&[("device", "deviceId")]).expect("a name");
        assert_eq!(moved.field("device"), None);
        assert_eq!(moved.field("deviceId"), Some(Field::Device));
        assert_eq!(moved.field("time"), Some(Field::Time));
    }
}
