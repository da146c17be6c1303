//! An array for PostgreSQL that takes its items one by one: a column of a bulk insert.

use oxyde_sql::{BindSlot, SqlType, Transform};
use pyo3::prelude::*;

use super::{Target, array, wire};

pub struct Growing<'a> {
    item: &'a SqlType,
    form: Form,
    /// Length of the value, head, items.
    bytes: Vec<u8>,
    nulls: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Items in binary.
    Binary,
    /// Items as texts in binary frames.
    Texts,
    /// The whole array as one text.
    Braces,
}

/// Length, number of dimensions, flags, OID of the items, length and first index of the only dimension.
const HEAD: usize = 24;

impl<'a> Growing<'a> {
    /// `None` if the slot takes no list. The items of a slot are never lists, except as texts.
    pub fn new(slot: &'a BindSlot, items: usize) -> Option<Self> {
        let SqlType::Array(item) = &slot.ty else {
            return None;
        };
        let (form, oid) = match item.pg_oid() {
            _ if slot.texts => (Form::Texts, array::TEXT),
            Some(oid) if !slot.verbatim && !matches!(**item, SqlType::Array(_)) => {
                (Form::Binary, oid)
            }
            _ => (Form::Braces, 0),
        };
        let mut bytes = Vec::with_capacity(HEAD + items.saturating_mul(12));
        bytes.extend_from_slice(&[0; 4]);
        if form == Form::Braces {
            bytes.push(b'{');
        } else {
            array::header(&mut bytes, oid, &[1]);
        }
        Some(Self {
            item,
            form,
            bytes,
            nulls: false,
        })
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn push(&mut self, value: &Bound<'_, PyAny>, target: Target<'_>) -> PyResult<()> {
        self.nulls |= value.is_none();
        let out = &mut self.bytes;
        match self.form {
            Form::Binary => super::value_of(value, self.item, Transform::None, false, target, out),
            Form::Texts => array::text_item(value, self.item, target, out),
            Form::Braces => {
                if out.len() > 5 {
                    out.push(b',');
                }
                if value.is_none() {
                    out.extend_from_slice(b"NULL");
                    return Ok(());
                }
                let mut plain = Vec::new();
                super::plain::postgres(value, self.item, Transform::None, target, &mut plain)?;
                array::quote(&plain, out);
                Ok(())
            }
        }
    }

    /// Puts the length and the number of items in front and appends the array.
    pub fn finish(
        mut self,
        py: Python<'_>,
        count: usize,
        target: Target<'_>,
        out: &mut Vec<u8>,
    ) -> PyResult<()> {
        if self.form == Form::Braces {
            self.bytes.push(b'}');
        } else if count == 0 {
            // An array without items has no dimension.
            self.bytes.truncate(HEAD - 8);
            wire::patch(&mut self.bytes, 4, 0);
        } else {
            wire::patch(&mut self.bytes, 8, i32::from(self.nulls));
            wire::patch(
                &mut self.bytes,
                16,
                i32::try_from(count).unwrap_or(i32::MAX),
            );
        }
        let length = self.bytes.len() - 4;
        if length > wire::MAX_MESSAGE {
            return Err(target.refuse(
                py,
                "the values of the rows are larger than 1 GiB together; insert fewer rows at once",
            ));
        }
        wire::patch(
            &mut self.bytes,
            0,
            i32::try_from(length).unwrap_or(i32::MAX),
        );
        out.extend_from_slice(&self.bytes);
        Ok(())
    }
}
