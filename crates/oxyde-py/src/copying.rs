//! Many rows by PostgreSQL's COPY: the rows as text, the keys that they get, and the two put together.
//!
//! Text rather than binary: the server reads it as whatever the columns are, so that nothing has to be known of them.
//! Each row is text up to its end; its key is put in front when the keys have come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use oxyde_exec::cells::Cells;
use oxyde_exec::query::{
    self, Column, Encoded, Formats, Malformed, Params, Query, RawRows, RowReader,
};
use oxyde_exec::{Chunks, Rows, Work};
use oxyde_sql::{CopyForm, SqlType, Transform};
use pyo3::prelude::*;

use crate::bind::{Target, plain, text};
use crate::bulk::Fill;
use crate::completion::lock;

/// What a bulk insert by COPY keeps between its two statements.
#[pyclass(frozen, module = "oxyde_core._core")]
pub struct Copy {
    /// With a tab in front of each row, if keys go there.
    lines: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
    statement: Arc<CopyStatement>,
    table: String,
    keys: Arc<Mutex<Vec<i64>>>,
    fill: Mutex<Option<Fill>>,
}

/// The texts of a COPY, one object per plan.
#[derive(Debug)]
pub struct CopyStatement {
    form: CopyForm,
    keys: Arc<query::Statement>,
    pub sql: Arc<str>,
    /// The server has said that the table is not for COPY.
    unfit: AtomicBool,
}

/// Fewer rows are faster in one INSERT: COPY takes a round trip more.
const FROM: usize = 500;

const INT4: u32 = 23;

impl CopyStatement {
    pub fn new(form: &CopyForm) -> Arc<Self> {
        let types = if form.keyed { vec![INT4] } else { Vec::new() };
        Arc::new(Self {
            keys: query::Statement::new(Arc::from(form.keys.as_str()), types, Formats::Binary),
            sql: Arc::from(form.sql.as_str()),
            form: form.clone(),
            unfit: AtomicBool::new(false),
        })
    }

    pub fn is_for(&self, rows: usize) -> bool {
        rows >= FROM && !self.unfit.load(Ordering::Relaxed)
    }
}

/// The bytes that go together in one message of the protocol.
const CHUNK: usize = 64 * 1024;

#[pymethods]
impl Copy {
    /// The statement that stores the rows.
    #[getter(sql)]
    fn text(&self) -> &str {
        &self.statement.sql
    }

    #[getter]
    fn table(&self) -> &str {
        &self.table
    }

    /// The number of rows.
    fn __len__(&self) -> usize {
        self.ends.len()
    }
}

impl Copy {
    pub fn new(
        statement: &Arc<CopyStatement>,
        table: String,
        lines: Lines,
        fill: Option<Fill>,
    ) -> Self {
        Self {
            lines: lines.bytes,
            ends: lines.ends,
            statement: Arc::clone(statement),
            table,
            keys: Arc::default(),
            fill: Mutex::new(fill),
        }
    }

    pub fn sql(&self) -> &Arc<str> {
        &self.statement.sql
    }

    pub fn keys_sql(&self) -> &Arc<str> {
        &self.statement.keys.sql
    }

    pub fn keys(&self) -> Arc<Mutex<Vec<i64>>> {
        Arc::clone(&self.keys)
    }

    pub fn take_fill(&self) -> Option<Fill> {
        lock(&self.fill).take()
    }

    /// The statement that fetches keys for all rows.
    pub fn fetch(&self) -> Work {
        let keyed = self.statement.form.keyed;
        let count = i32::try_from(self.ends.len()).unwrap_or(i32::MAX);
        let mut params = Encoded::empty();
        if keyed {
            params.count = 1;
            params.values.extend_from_slice(&4i32.to_be_bytes());
            params.values.extend_from_slice(&count.to_be_bytes());
        }
        Work::Query(Box::new(Query {
            statement: Arc::clone(&self.statement.keys),
            params: Params::Ready(params),
            rows: Some(Box::new(Numbers(self.keys()))),
            // Keys that are fetched twice leave a gap, which sequences have anyway; but a sequence is written.
            pure_read: false,
            taints: false,
        }))
    }

    /// Whether the answer to `fetch` allows to go on.
    pub fn may_run(&self) -> bool {
        let keys = lock(&self.keys).len();
        let wanted = if self.statement.form.keyed {
            self.ends.len()
        } else {
            1
        };
        if keys != wanted {
            self.statement.unfit.store(true, Ordering::Relaxed);
        }
        keys == wanted
    }

    /// All rows with their keys.
    pub fn run(&self) -> Work {
        let mut chunks = Vec::new();
        if self.statement.form.keyed {
            let keys = lock(&self.keys);
            let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 8);
            let mut start = 0;
            for (key, end) in keys.iter().zip(&self.ends) {
                if chunk.len() >= CHUNK {
                    chunks.push(std::mem::replace(
                        &mut chunk,
                        Vec::with_capacity(CHUNK + CHUNK / 8),
                    ));
                }
                plain::integer(*key, &mut chunk);
                chunk.extend_from_slice(self.lines.get(start..*end).unwrap_or_default());
                start = *end;
            }
            chunks.push(chunk);
        } else {
            chunks.extend(self.lines.chunks(CHUNK).map(<[u8]>::to_vec));
        }
        Work::CopyIn {
            sql: Arc::clone(&self.statement.sql),
            from: Arc::new(Chunks::new(chunks)),
        }
    }

    /// The keys as rows of one column; none if there are no keys.
    pub fn rows(&self) -> Rows {
        let mut cells = Cells::new();
        if !self.statement.form.keyed {
            return Rows { cells, width: 0 };
        }
        for key in lock(&self.keys).iter() {
            cells.push_int(*key);
        }
        Rows { cells, width: 1 }
    }
}

/// Rows in COPY's text format, while they are written.
pub struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Something is in front of the first field.
    keyed: bool,
    first: bool,
}

impl Lines {
    pub fn new(statement: &CopyStatement, rows: usize, fields: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(rows.saturating_mul(fields).saturating_mul(16)),
            ends: Vec::with_capacity(rows),
            keyed: statement.form.keyed,
            first: true,
        }
    }

    pub fn push(
        &mut self,
        value: &Bound<'_, PyAny>,
        ty: &SqlType,
        target: Target<'_>,
    ) -> PyResult<()> {
        let out = &mut self.bytes;
        if self.keyed || !self.first {
            out.push(b'\t');
        }
        self.first = false;
        if value.is_none() {
            out.extend_from_slice(b"\\N");
            return Ok(());
        }
        let at = out.len();
        match ty {
            SqlType::String(length) => {
                text::postgres(value, Transform::None, *length, target, out)?;
            }
            _ => plain::postgres(value, ty, Transform::None, target, out)?,
        }
        match ty {
            // Digits, signs, letters: nothing to escape.
            SqlType::SmallInt
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::Real
            | SqlType::Double
            | SqlType::Bool
            | SqlType::Decimal { .. }
            | SqlType::Timestamp
            | SqlType::TimestampTz
            | SqlType::Date
            | SqlType::Time
            | SqlType::Duration
            | SqlType::Uuid => {}
            SqlType::Text
            | SqlType::String(_)
            | SqlType::Bytes
            | SqlType::Json
            | SqlType::Enum(_)
            | SqlType::Array(_) => escape(out, at),
        }
        Ok(())
    }

    pub fn end_row(&mut self) {
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
        self.first = true;
    }
}

/// Escapes what COPY's text format takes for something else, from `at` on.
fn escape(out: &mut Vec<u8>, at: usize) {
    let special = |byte: &u8| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r');
    let value = out.get(at..).unwrap_or_default();
    let Some(first) = value.iter().position(special) else {
        return;
    };
    let rest = out.split_off(at + first);
    out.reserve(rest.len() + rest.len() / 8);
    for byte in rest {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(other),
        }
    }
}

/// Collects the 64-bit integers of a result of one column. A NULL stands for no key.
struct Numbers(Arc<Mutex<Vec<i64>>>);

impl RowReader for Numbers {
    fn columns(&mut self, _columns: &Arc<[Column]>) {
        lock(&self.0).clear();
    }

    fn rows(&mut self, rows: RawRows<'_>) -> Result<(), Malformed> {
        let mut numbers = lock(&self.0);
        numbers.reserve(rows.count);
        for row in rows {
            let Some(bytes) = row?.fields().field()? else {
                continue;
            };
            let bytes = <[u8; 8]>::try_from(bytes)
                .map_err(|_| Malformed("a key that has not eight bytes"))?;
            numbers.push(i64::from_be_bytes(bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn only_what_copy_would_misread_is_escaped() {
        for (plain, escaped) in [
            ("", ""),
            ("plain \u{142} text", "plain \u{142} text"),
            (r"\N", r"\\N"),
            (r"\.", r"\\."),
            ("a\tb\nc\rd\\e", r"a\tb\nc\rd\\e"),
        ] {
            let mut out = b"before".to_vec();
            out.extend_from_slice(plain.as_bytes());
            escape(&mut out, 6);
            assert_eq!(out, [b"before", escaped.as_bytes()].concat());
        }
    }
}
