//! Why a record was refused.

use serde::{Deserialize, Serialize};

use crate::event::names;
use crate::time::Timestamp;

names! {
    /// The stage that refused a record.
    Stage { Frame = "FRAME", Decode = "DECODE", Validate = "VALIDATE" }
}

/// The verdict on one record: which stage refused it, over which field, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub stage: Stage,
    /// The field at fault, as it stands in the record; `None` where the whole record is at fault.
    pub field: Option<&'static str>,
    /// One lower-case clause with what is needed to act.
    pub error: String,
}

/// First bytes of a refused record that its row keeps.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// One row of the dataset `rejected`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    pub offset: i64,
    /// Kafka timestamp; `None` where the record has none.
    pub time: Option<Timestamp>,
    pub stage: Stage,
    pub error: String,
    pub field: Option<String>,
    /// The first [`VALUE_BYTES_MAX`] bytes of the value.
    pub value: Vec<u8>,
    /// Bytes of the whole value.
    pub size: i64,
}
