//! A statement in a server's own wire format: how parameters get in and rows get out without a copy.
//!
//! The caller encodes the parameters straight into the body of the server's message and hands in a [`RowReader`] that
//! is shown the server's bytes as they arrive. The engine knows neither the types of the one nor of the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::ExecError;

/// Names one [`Statement`] in this process; never reused.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A statement's text with what it declares; one object per compiled plan, so that an engine can keep it prepared.
#[derive(Debug)]
pub struct Statement {
    /// Process-unique: the key of an engine's prepared statements.
    pub id: u64,
    pub sql: Arc<str>,
    /// OIDs of the parameters; 0 lets the server infer one. May be shorter than the list of parameters.
    pub param_types: Box<[u32]>,
    /// How rows are asked for; not used with [`Params::AfterDescribe`].
    pub results: Formats,
    /// A statement that is used once is not worth keeping prepared.
    pub keep: bool,
    /// How often in a row it took long, as far as that matters.
    long: AtomicU8,
}

impl Statement {
    pub fn new(sql: Arc<str>, param_types: Vec<u32>, results: Formats) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            sql,
            param_types: param_types.into(),
            results,
            keep: true,
            long: AtomicU8::new(0),
        })
    }

    /// One that is not worth keeping prepared.
    pub fn once(sql: Arc<str>, param_types: Vec<u32>, results: Formats) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            sql,
            param_types: param_types.into(),
            results,
            keep: false,
            long: AtomicU8::new(0),
        })
    }
}

/// What takes longer than this makes others wait that share its connection.
const LONG: Duration = Duration::from_millis(5);

impl Statement {
    /// It has run so long, without a wait for others before it.
    pub fn took(&self, time: Duration) {
        let before = self.long.load(Ordering::Relaxed);
        let now = if time >= LONG {
            before.saturating_add(1)
        } else {
            0
        };
        if now != before {
            self.long.store(now, Ordering::Relaxed);
        }
    }

    /// Whether it took long the last two times: once may be the program's own hiccup.
    pub fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed) > 1
    }

    /// The same statement for one use: nothing that was prepared before can be stale for it.
    pub fn for_one_use(&self) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            sql: Arc::clone(&self.sql),
            param_types: self.param_types.clone(),
            results: self.results.clone(),
            keep: false,
            long: AtomicU8::new(0),
        })
    }
}

/// Text or binary, for each of a list of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formats {
    Text,
    Binary,
    /// True: binary.
    Each(Box<[bool]>),
}

/// Parameter values as the server takes them. PostgreSQL: for each a 32-bit length (-1: NULL) and its bytes, as in its
/// Bind message. MySQL: what follows `new_params_bind_flag` in COM_STMT_EXECUTE, headed by the bitmap of NULLs: bitmap
/// (`(count + 7) / 8` bytes), the flag 1, two bytes of type for each, the values.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub count: u16,
    pub formats: Formats,
    pub values: Vec<u8>,
}

impl Encoded {
    pub fn empty() -> Self {
        Self {
            count: 0,
            formats: Formats::Binary,
            values: Vec::new(),
        }
    }
}

/// Encodes when the server has said what it expects; answers the values and the formats of the rows. Called again if
/// the statement has to be prepared again.
pub type Encode = Box<dyn FnMut(&[u32], &[Column]) -> Result<(Encoded, Formats), ExecError> + Send>;

pub enum Params {
    Ready(Encoded),
    /// For raw SQL: the server infers the types of the parameters, so they are encoded after it has said so.
    AfterDescribe(Encode),
}

/// One column of a result as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// OID of its type; MySQL: the byte that the protocol has for it.
    pub type_oid: u32,
    /// `atttypmod`: length, precision and scale; -1 for none. MySQL: the number of decimals.
    pub modifier: i32,
    pub binary: bool,
    /// MySQL's flags (unsigned, binary, enum, set …); 0 elsewhere.
    pub flags: u16,
    /// MySQL's number of the collation, 63 for bytes; 0 elsewhere.
    pub charset: u16,
}

/// Takes a result's rows while they arrive, on the thread that drives the connection.
pub trait RowReader: Send {
    /// Comes once before any row, also when there will be none.
    fn columns(&mut self, columns: &Arc<[Column]>);
    /// Some of the rows, in order. An error means that the bytes were no rows: the connection is given up. What the
    /// reader itself has against a value, it keeps for the one who reads the result.
    fn rows(&mut self, rows: RawRows<'_>) -> Result<(), Malformed>;
}

impl fmt::Debug for dyn RowReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowReader")
    }
}

/// Whole rows as the server sends them, one behind the other.
///
/// MySQL: each has its packet's four bytes of header in front (24-bit length, little-endian; a number to ignore). A row
/// of 2²⁴ − 1 bytes or more comes alone, put together behind one header that says 2²⁴ − 1.
#[derive(Clone, Copy)]
pub struct RawRows<'a> {
    /// PostgreSQL, each: `D`, 32-bit length (itself included), 16-bit number of fields, then for each field a 32-bit length (-1:
    /// NULL) and its bytes. The message lengths have been checked, the fields have not.
    pub bytes: &'a [u8],
    pub count: usize,
}

impl<'a> RawRows<'a> {
    /// The rows one by one; ends after the first error.
    #[inline]
    pub fn iter(&self) -> RowIter<'a> {
        RowIter { bytes: self.bytes }
    }
}

impl<'a> IntoIterator for RawRows<'a> {
    type Item = Result<RawRow<'a>, Malformed>;
    type IntoIter = RowIter<'a>;

    #[inline]
    fn into_iter(self) -> RowIter<'a> {
        self.iter()
    }
}

#[derive(Clone, Debug)]
pub struct RowIter<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for RowIter<'a> {
    type Item = Result<RawRow<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let row = RawRow::first(self.bytes);
        self.bytes = match row {
            Ok((_, rest)) => rest,
            Err(_) => &[],
        };
        Some(row.map(|(row, _)| row))
    }
}

/// One DataRow message.
#[derive(Clone, Copy, Debug)]
pub struct RawRow<'a> {
    width: u16,
    fields: &'a [u8],
}

impl<'a> RawRow<'a> {
    #[inline]
    fn first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let Some(([b'D', a, b, c, d], _)) = bytes.split_first_chunk::<5>() else {
            return Err(Malformed("a message other than a row"));
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let (message, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(1))
            .and_then(|total| bytes.split_at_checked(total))
            .ok_or(Malformed("a row beyond the end of its message"))?;
        let Some(([_, _, _, _, _, high, low], fields)) = message.split_first_chunk::<7>() else {
            return Err(Malformed("a row without its number of fields"));
        };
        let width = u16::from_be_bytes([*high, *low]);
        if width == 0 && !fields.is_empty() {
            return Err(Malformed("bytes behind the last field of a row"));
        }
        Ok((Self { width, fields }, rest))
    }

    /// The number of fields.
    #[inline]
    pub fn width(&self) -> u16 {
        self.width
    }

    #[inline]
    pub fn fields(&self) -> RawFields<'a> {
        RawFields {
            left: self.width,
            bytes: self.fields,
        }
    }
}

/// The fields of a row: `None` for NULL. Ends after the first error.
#[derive(Clone, Debug)]
pub struct RawFields<'a> {
    left: u16,
    bytes: &'a [u8],
}

impl<'a> RawFields<'a> {
    /// The next field; past the last one an error.
    #[inline]
    pub fn field(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(Malformed("fewer fields in a row than columns"));
        };
        let Some((length, rest)) = self.bytes.split_first_chunk::<4>() else {
            return self.fail("a field beyond the end of its row");
        };
        let length = i32::from_be_bytes(*length);
        let (value, rest) = match usize::try_from(length) {
            Ok(length) => match rest.split_at_checked(length) {
                Some((value, rest)) => (Some(value), rest),
                None => return self.fail("a field beyond the end of its row"),
            },
            Err(_) if length == -1 => (None, rest),
            Err(_) => return self.fail("a field of negative length"),
        };
        if left == 0 && !rest.is_empty() {
            return self.fail("bytes behind the last field of a row");
        }
        self.left = left;
        self.bytes = rest;
        Ok(value)
    }

    #[cold]
    fn fail<T>(&mut self, what: &'static str) -> Result<T, Malformed> {
        self.left = 0;
        Err(Malformed(what))
    }
}

impl<'a> Iterator for RawFields<'a> {
    type Item = Result<Option<&'a [u8]>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        Some(self.field())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.left)))
    }
}

/// Bytes that are not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// One statement with its parameters.
pub struct Query {
    pub statement: Arc<Statement>,
    pub params: Params,
    /// `None`: rows are counted and dropped.
    pub rows: Option<Box<dyn RowReader>>,
    /// Compiled, reads only, takes no locks and calls nothing volatile: it may share a connection, and run twice.
    pub pure_read: bool,
    /// It may change the state of its session (SET, temporary tables, advisory locks, …).
    pub taints: bool,
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("sql", &self.statement.sql)
            .field("pure_read", &self.pure_read)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_twice_is_long_until_it_is_short_once() {
        let statement = Statement::new("SELECT".into(), Vec::new(), Formats::Text);
        let mut seen = Vec::new();
        for milliseconds in [1, 9, 1, 9, 9, 9, 1, 9] {
            statement.took(Duration::from_millis(milliseconds));
            seen.push(statement.is_long());
        }
        let long = [false, false, false, false, true, true, false, false];
        assert_eq!(seen, long);
    }
}
