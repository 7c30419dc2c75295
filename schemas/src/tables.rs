//! The six output datasets (contracts.md 3): columns with type, unit and meaning.
//!
//! One table of [`Column`]s per dataset; the Arrow schema, its field metadata and the data
//! dictionary all follow from it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

mod columns;

use crate::event::names;

names! {
    /// A folder under `tables/`.
    Dataset {
        RingHealth = "ring_health", RingSignals = "ring_signals", RingDevices = "ring_devices",
        DeviceUpdates = "device_updates", Alerts = "alerts", Rejected = "rejected",
    }
}

/// The physical kind of a column. No unsigned ones: not every reader has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// BIGINT.
    Count,
    Real,
    /// TIMESTAMP WITH TIME ZONE, microseconds, UTC.
    Time,
    /// Dictionary-encoded UTF-8: few distinct values.
    Name,
    /// UTF-8.
    Text,
    Bytes,
    Truth,
    /// List of BIGINT.
    Counts,
}

/// How a column may be combined over rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adds {
    /// Part of the row's key, or a property: not for adding.
    No,
    /// `SUM` is right over any rows.
    Sum,
    /// A level at the window's start: adds up over rings and partitions; over time to
    /// device-windows.
    Level,
}

/// One column of a dataset.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    pub adds: Adds,
    /// `""` where the value has no unit.
    pub unit: &'static str,
    pub meaning: &'static str,
}

impl Dataset {
    /// The columns, in file order.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::RingHealth => columns::RING_HEALTH,
            Self::RingSignals => columns::RING_SIGNALS,
            Self::RingDevices => columns::RING_DEVICES,
            Self::DeviceUpdates => columns::DEVICE_UPDATES,
            Self::Alerts => columns::ALERTS,
            Self::Rejected => columns::REJECTED,
        }
    }

    /// What one row is, in words.
    pub const fn row(self) -> &'static str {
        match self {
            Self::RingHealth => "window x change x ring x arm; change NULL = the whole ring",
            Self::RingSignals => {
                "window x change x ring x arm x signal x cohort (NULL = all), where something \
                 happened"
            }
            Self::RingDevices => {
                "hour x change x ring x arm x cohort (NULL = all), written when the hour is over"
            }
            Self::DeviceUpdates => "one device x change transition",
            Self::Alerts => "one alert transition",
            Self::Rejected => "one rejected record",
        }
    }

    /// The Arrow schema, meaning and unit in the field metadata.
    pub fn schema(self) -> SchemaRef {
        let fields: Vec<Field> = self.columns().iter().map(Column::field).collect();
        Arc::new(Schema::new(fields))
    }
}

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Count => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Name => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Truth => DataType::Boolean,
            Self::Counts => DataType::List(Arc::new(Field::new("item", DataType::Int64, false))),
        }
    }

    /// The SQL name that readers show.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Count => "BIGINT",
            Self::Real => "DOUBLE",
            Self::Time => "TIMESTAMP WITH TIME ZONE",
            Self::Name | Self::Text => "VARCHAR",
            Self::Bytes => "BINARY",
            Self::Truth => "BOOLEAN",
            Self::Counts => "BIGINT[]",
        }
    }
}

impl Adds {
    /// The word in the data dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Sum => "sum",
            Self::Level => "level",
        }
    }
}

impl Column {
    fn field(&self) -> Field {
        let metadata = HashMap::from([
            ("meaning".to_owned(), self.meaning.to_owned()),
            ("unit".to_owned(), self.unit.to_owned()),
            ("additive".to_owned(), self.adds.name().to_owned()),
        ]);
        Field::new(self.name, self.kind.data_type(), self.nullable).with_metadata(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_meaning_and_a_name_of_its_own() {
        for dataset in Dataset::ALL {
            let mut seen = std::collections::HashSet::new();
            for column in dataset.columns() {
                assert!(!column.meaning.is_empty(), "{}.{}", dataset.name(), column.name);
                assert!(seen.insert(column.name), "{}.{} twice", dataset.name(), column.name);
            }
        }
    }
}
