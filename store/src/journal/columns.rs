//! Rows to an Arrow batch and back, column by column; and the bytes a batch is hashed by.
//!
//! A section of an entry is read by this code only, so columns are found by name and checked for
//! their type, and a column that a later version adds is passed over.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int64Array, Int64Builder, ListArray, ListBuilder,
    RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Int64Type};
use schemas::ChangeSet;

use crate::hash::Hasher;

/// Why a section cannot be read.
pub(super) type Fault = String;

/// A batch while it is made.
#[derive(Default)]
pub(super) struct Columns(Vec<(&'static str, ArrayRef)>);

impl Columns {
    pub(super) fn ints(self, name: &'static str, values: impl Iterator<Item = i64>) -> Self {
        self.with(name, Int64Array::from_iter_values(values))
    }

    pub(super) fn optional_ints(
        self,
        name: &'static str,
        values: impl Iterator<Item = Option<i64>>,
    ) -> Self {
        self.with(name, values.collect::<Int64Array>())
    }

    pub(super) fn texts<'a>(
        self,
        name: &'static str,
        values: impl Iterator<Item = &'a str>,
    ) -> Self {
        self.with(name, StringArray::from_iter_values(values))
    }

    pub(super) fn optional_texts<'a>(
        self,
        name: &'static str,
        values: impl Iterator<Item = Option<&'a str>>,
    ) -> Self {
        self.with(name, values.collect::<StringArray>())
    }

    pub(super) fn bytes<'a>(
        self,
        name: &'static str,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        self.with(name, BinaryArray::from_iter_values(values))
    }

    pub(super) fn optional_sets<'a>(
        self,
        name: &'static str,
        values: impl Iterator<Item = Option<&'a ChangeSet>>,
    ) -> Self {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for value in values {
            match value {
                Some(set) => builder.append_value(set.iter().map(|change| Some(&**change))),
                None => builder.append_null(),
            }
        }
        self.with(name, builder.finish())
    }

    pub(super) fn int_lists<'a>(
        self,
        name: &'static str,
        values: impl Iterator<Item = &'a [i64]>,
    ) -> Self {
        let mut builder = ListBuilder::new(Int64Builder::new());
        values.for_each(|list| builder.append_value(list.iter().copied().map(Some)));
        self.with(name, builder.finish())
    }

    fn with(mut self, name: &'static str, array: impl Array + 'static) -> Self {
        self.0.push((name, Arc::new(array)));
        self
    }

    pub(super) fn batch(self) -> RecordBatch {
        #[expect(clippy::expect_used, reason = "every column is made from the same rows")]
        RecordBatch::try_from_iter_with_nullable(
            self.0.into_iter().map(|(name, array)| (name, array, true)),
        )
        .expect("columns of one length")
    }
}

/// A batch while it is read.
pub(super) struct Table<'a>(pub(super) &'a RecordBatch);

impl<'a> Table<'a> {
    fn column(&self, name: &str) -> Result<&'a ArrayRef, Fault> {
        self.0.column_by_name(name).ok_or_else(|| format!("column {name} is missing"))
    }

    fn typed<T: 'static>(&self, name: &str) -> Result<&'a T, Fault> {
        let array = self.column(name)?.as_any().downcast_ref();
        array.ok_or_else(|| format!("column {name} has another type"))
    }

    /// A column in which no value is missing.
    fn full<T: Array + 'static>(&self, name: &str) -> Result<&'a T, Fault> {
        let array: &T = self.typed(name)?;
        if array.null_count() == 0 { Ok(array) } else { Err(format!("column {name} has NULLs")) }
    }

    pub(super) fn ints(&self, name: &str) -> Result<&'a [i64], Fault> {
        Ok(self.full::<Int64Array>(name)?.values())
    }

    pub(super) fn optional_ints(&self, name: &str) -> Result<&'a Int64Array, Fault> {
        self.typed(name)
    }

    pub(super) fn texts(&self, name: &str) -> Result<&'a StringArray, Fault> {
        self.full(name)
    }

    pub(super) fn optional_texts(&self, name: &str) -> Result<&'a StringArray, Fault> {
        self.typed(name)
    }

    pub(super) fn bytes(&self, name: &str) -> Result<&'a BinaryArray, Fault> {
        self.full(name)
    }

    pub(super) fn lists(&self, name: &str) -> Result<&'a ListArray, Fault> {
        self.full(name)
    }

    pub(super) fn optional_sets(&self, name: &str) -> Result<&'a ListArray, Fault> {
        let lists: &ListArray = self.typed(name)?;
        match lists.values().as_string_opt::<i32>() {
            Some(names) if names.null_count() == 0 => Ok(lists),
            _ => Err(format!("column {name} has another type")),
        }
    }
}

/// The numbers of one list of a column of lists.
pub(super) fn ints_at(lists: &ListArray, row: usize) -> Result<Int64Array, Fault> {
    let items = lists.value(row);
    match items.as_primitive_opt::<Int64Type>() {
        Some(ints) if ints.null_count() == 0 && lists.is_valid(row) => Ok(ints.clone()),
        _ => Err(format!("row {row} has another list than one of numbers")),
    }
}

/// Shares the names and sets that stand in many rows of an entry.
///
/// Bounded by the entry it reads; the map's own hasher is seeded.
#[derive(Default)]
pub(super) struct Names {
    names: HashMap<String, Arc<str>>,
    /// Rows are sorted, so the set of a row is mostly that of the row before.
    last: Option<ChangeSet>,
}

impl Names {
    pub(super) fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return Arc::clone(name);
        }
        let name: Arc<str> = Arc::from(text);
        self.names.insert(text.to_owned(), Arc::clone(&name));
        name
    }

    pub(super) fn set(&mut self, changes: &StringArray) -> ChangeSet {
        let same = |set: &&ChangeSet| {
            set.len() == changes.len() && (0..set.len()).all(|at| *set[at] == *changes.value(at))
        };
        if let Some(set) = self.last.as_ref().filter(same) {
            return Arc::clone(set);
        }
        let set: ChangeSet =
            (0..changes.len()).map(|at| self.name(changes.value(at))).collect::<Vec<_>>().into();
        self.last = Some(Arc::clone(&set));
        set
    }
}

/// The value at `row`, or `None` for NULL.
pub(super) fn text_at(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

pub(super) fn int_at(array: &Int64Array, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}

/// Hands on the values of a batch in a form that no release of the Arrow library changes.
///
/// A checksum over it says whether two deltas are equal, not whether two encodings are.
pub(super) fn canonical(batch: &RecordBatch, out: &mut Hasher) {
    out.put(&(batch.num_rows() as u64).to_le_bytes());
    for column in batch.columns() {
        canonical_array(column, out);
    }
}

/// Each value behind a byte that says whether it is there; texts and lists behind their length.
fn canonical_array(array: &ArrayRef, out: &mut Hasher) {
    match array.data_type() {
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>();
            each(values, out, |out, row| out.put(&values.value(row).to_le_bytes()));
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            each(values, out, |out, row| out.put_sized(values.value(row).as_bytes()));
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            each(values, out, |out, row| out.put_sized(values.value(row)));
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>();
            each(values, out, |out, row| {
                let items = values.value(row);
                out.put(&(items.len() as u64).to_le_bytes());
                canonical_array(&items, out);
            });
        }
        other => unreachable!("no section has a column of type {other}"),
    }
}

fn each(array: &impl Array, out: &mut Hasher, value: impl Fn(&mut Hasher, usize)) {
    for row in 0..array.len() {
        let is_valid = array.is_valid(row);
        out.put(&[u8::from(is_valid)]);
        if is_valid {
            value(out, row);
        }
    }
}
