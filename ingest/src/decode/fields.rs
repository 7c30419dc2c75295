//! The fields of one JSON object: found in one pass over the parser's tape, then read by name.
//!
//! In: the tape of an object. Out: values of the right type and range, or a [`Rejection`] that
//! names the field. A field that stands twice is refused when it is read, so a name that this
//! type of record does not have is ignored whatever it holds.

use std::fmt;
use std::ops::RangeInclusive;

use schemas::event::{AuditKind, BootReason, TicketSeverity, UpdateState};
use schemas::registry::{ChangeStatus, EmergencyReason};
use schemas::{Rejection, Stage, Timestamp};
use simd_json::{Node, StaticNode};

use super::names::FieldNames;
use super::telemetry::{Cohort, Kind, Rules};
use super::values::{CohortValues, Values, check_integer, check_key, check_time};

macro_rules! fields {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// Every name that any record of the three topics gives a meaning to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Field { $($variant),+ }

        impl Field {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant),+];
            pub(super) const COUNT: usize = Self::ALL.len();

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

fields! {
    V = "v", Type = "type", Device = "device", Ring = "ring", Time = "time", Seq = "seq",
    Build = "build", Model = "model", Attrs = "attrs", ArrivedAt = "_ts",
    IntervalS = "interval_s", UptimeS = "uptime_s", CertExpires = "cert_expires",
    BootMs = "boot_ms", SigninMs = "signin_ms", Reason = "reason",
    Change = "change", State = "state", Code = "code", DurationMs = "duration_ms",
    Kind = "kind", Signature = "signature", Count = "count",
    Ticket = "ticket", Severity = "severity", Category = "category",
    Actor = "actor", Detail = "detail", From = "from",
    Title = "title", Reversible = "reversible", Status = "status", Announced = "announced",
    RequiresAction = "requires_action", AcknowledgedAt = "acknowledged_at",
    ActionDue = "action_due", MitigatedAt = "mitigated_at", Supersedes = "supersedes",
    Rings = "rings", Starts = "starts", Deleted = "deleted",
}

impl Field {
    /// Those of a telemetry record: they stand first.
    pub(super) const TELEMETRY: &'static [Self] = Self::ALL.split_at(Self::Title as usize).0;
}

const _: () = assert!(Field::COUNT <= 64, "`Fields::twice` has one bit a field");

/// A closed set of names, so that a refusal can list them.
pub(super) trait Named: Copy + 'static {
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
    fn from_name(name: &str) -> Option<Self>;
}

macro_rules! named {
    ($($set:ty),+) => {$(
        impl Named for $set {
            const ALL: &'static [Self] = <$set>::ALL;
            fn name(self) -> &'static str { <$set>::name(self) }
            fn from_name(name: &str) -> Option<Self> { <$set>::from_name(name) }
        }
    )+};
}
named!(BootReason, UpdateState, TicketSeverity, AuditKind, ChangeStatus, EmergencyReason);

/// A refusal by the stage VALIDATE over one field; `problem` follows its name.
#[cold]
pub(super) fn invalid(field: Field, problem: impl fmt::Display) -> Rejection {
    let name = field.name();
    Rejection { stage: Stage::Validate, field: Some(name), error: format!("`{name}` {problem}") }
}

/// Nodes that a value takes on the tape, its own included.
pub(super) fn extent(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        Node::String(_) | Node::Static(_) => 1,
    }
}

/// Where the known names of one object stand.
pub(super) struct Fields<'t, 'a> {
    nodes: &'t [Node<'a>],
    /// Index of each field's value; 0, which is the object itself, where it is missing.
    at: [u32; Field::COUNT],
    /// One bit a field: it stands more than once.
    twice: u64,
}

impl<'t, 'a> Fields<'t, 'a> {
    /// The fields of the object that begins `nodes`; `None` if it begins with anything else.
    #[inline] // else its 170 bytes are copied from frame to frame, 7 % of a record
    pub(super) fn of(nodes: &'t [Node<'a>], names: &FieldNames) -> Option<Self> {
        let Some(&Node::Object { len, .. }) = nodes.first() else { return None };
        let mut fields = Self { nodes, at: [0; Field::COUNT], twice: 0 };
        let mut index = 1;
        for _ in 0..len {
            if let Node::String(key) = nodes[index]
                && let Some(field) = names.field(key)
            {
                let slot = &mut fields.at[field as usize];
                fields.twice |= u64::from(*slot != 0) << (field as u32);
                *slot = index as u32 + 1;
            }
            index += 1 + extent(&nodes[index + 1]);
        }
        Some(fields)
    }

    /// The tape from the field's value on; `None` where the field is missing.
    fn value(&self, field: Field) -> Result<Option<&'t [Node<'a>]>, Rejection> {
        if self.twice >> (field as u32) & 1 == 1 {
            return Err(invalid(field, "stands more than once"));
        }
        let at = self.at[field as usize] as usize;
        Ok(if at == 0 { None } else { Some(&self.nodes[at..]) })
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, field: Field) -> Result<Option<bool>, Rejection> {
        match self.value(field)? {
            None => Ok(None),
            Some([Node::Static(StaticNode::Bool(truth)), ..]) => Ok(Some(*truth)),
            Some(_) => Err(invalid(field, "must be true or false")),
        }
    }

    /// The tape of an object, from the object on.
    pub(super) fn object(&self, field: Field) -> Result<Option<&'t [Node<'a>]>, Rejection> {
        match self.value(field)? {
            object @ (None | Some([Node::Object { .. }, ..])) => Ok(object),
            Some(_) => Err(invalid(field, "must be an object")),
        }
    }

    /// The tape of an array, from the array on.
    pub(super) fn array(&self, field: Field) -> Result<Option<&'t [Node<'a>]>, Rejection> {
        match self.value(field)? {
            array @ (None | Some([Node::Array { .. }, ..])) => Ok(array),
            Some(_) => Err(invalid(field, "must be an array")),
        }
    }
}

impl<'a> Values<'a> for Fields<'_, 'a> {
    type Refusal = Rejection;

    #[cold]
    fn invalid(field: Field, problem: impl fmt::Display) -> Rejection {
        invalid(field, problem)
    }

    fn key(&self, field: Field) -> Result<Option<&'a str>, Rejection> {
        let key = |text| check_key(text).map_err(|problem| invalid(field, problem));
        self.string(field)?.map(key).transpose()
    }

    fn kind(&self) -> Result<Kind, Rejection> {
        let name = Self::need(Field::Type, self.string(Field::Type)?)?;
        let found = Kind::ALL.iter().copied().find(|kind| kind.name() == name);
        let names = || NotOneOf(Kind::ALL.iter().map(|kind| kind.name()));
        found.ok_or_else(|| invalid(Field::Type, names()))
    }

    fn string(&self, field: Field) -> Result<Option<&'a str>, Rejection> {
        match self.value(field)? {
            None => Ok(None),
            Some([Node::String(text), ..]) => Ok(Some(text)),
            Some(_) => Err(invalid(field, "must be a string")),
        }
    }

    fn integer(&self, field: Field, range: RangeInclusive<u64>) -> Result<Option<u64>, Rejection> {
        let number = match self.value(field)? {
            None => return Ok(None),
            Some([Node::Static(StaticNode::U64(number)), ..]) => Some(*number),
            Some([Node::Static(StaticNode::I64(number)), ..]) => u64::try_from(*number).ok(),
            Some(_) => None,
        };
        check_integer(number, range).map(Some).map_err(|problem| invalid(field, problem))
    }

    fn time(&self, field: Field) -> Result<Option<Timestamp>, Rejection> {
        let time = match self.value(field)? {
            None => return Ok(None),
            Some([Node::String(text), ..]) => Timestamp::parse_rfc3339(text.as_bytes()),
            Some([Node::Static(StaticNode::I64(millis)), ..]) => Timestamp::from_millis(*millis),
            Some([Node::Static(StaticNode::U64(millis)), ..]) => {
                i64::try_from(*millis).ok().and_then(Timestamp::from_millis)
            }
            Some(_) => None,
        };
        check_time(time).map(Some).map_err(|problem| invalid(field, problem))
    }

    fn cohorts(
        &self,
        rules: &Rules,
        [model, build]: [Option<&'a str>; 2],
    ) -> Result<CohortValues<'a>, Rejection> {
        let mut values = CohortValues::default();
        for (cohort, value) in rules.cohorts.iter().zip(&mut values) {
            match cohort {
                Cohort::Model => *value = model,
                Cohort::Build => *value = build,
                Cohort::Attr(_) => {}
            }
        }
        let Some(object) = self.object(Field::Attrs)? else { return Ok(values) };
        let Some(&Node::Object { len, .. }) = object.first() else { return Ok(values) };
        let attrs_max = rules.attrs_max;
        if len > attrs_max {
            return Err(invalid(Field::Attrs, format_args!("must have at most {attrs_max} keys")));
        }
        let mut index = 1;
        for _ in 0..len {
            let (Node::String(name), Node::String(text)) = (object[index], object[index + 1])
            else {
                return Err(invalid(Field::Attrs, "must be an object of strings"));
            };
            if let Some(position) = rules.cohort_of_attr(name) {
                let refuse = |problem| invalid(Field::Attrs, problem);
                let value = check_key(text).map_err(refuse)?;
                if values[position].replace(value).is_some() {
                    return Err(invalid(Field::Attrs, "names a cohort dimension more than once"));
                }
            }
            index += 1 + extent(&object[index + 1]);
        }
        Ok(values)
    }
}

/// That a name is outside a closed set, which it lists.
pub(super) struct NotOneOf<I>(pub(super) I);

impl<I: Iterator<Item = &'static str> + Clone> fmt::Display for NotOneOf<I> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be one of ")?;
        for (position, name) in self.0.clone().enumerate() {
            formatter.write_str(if position == 0 { "" } else { ", " })?;
            formatter.write_str(name)?;
        }
        Ok(())
    }
}
