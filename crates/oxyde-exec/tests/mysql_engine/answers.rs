//! Statements as the engine takes them, and the rows that come back.

use std::sync::{Arc, Mutex};

use oxyde_exec::mysql::rows::{Rows, TextFields};
use oxyde_exec::query::{
    Column, Encoded, Formats, Malformed, Params, Query, RawRows, RowReader, Statement,
};
use oxyde_exec::{Work, mysql};

/// The rows of a result, without their headers, and what they are.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Answer>>);

type Answer = (Vec<Column>, Vec<Vec<u8>>);

impl RowReader for Kept {
    fn columns(&mut self, columns: &Arc<[Column]>) {
        self.0.lock().unwrap().0 = columns.to_vec();
    }

    fn rows(&mut self, rows: RawRows<'_>) -> Result<(), Malformed> {
        for row in Rows::of(rows) {
            self.0.lock().unwrap().1.push(row?.to_vec());
        }
        Ok(())
    }
}

impl Kept {
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    /// All values, which are texts, numbers of eight bytes, or NULL.
    pub fn texts(&self) -> Vec<Vec<Option<String>>> {
        let kept = self.0.lock().unwrap();
        let (columns, rows) = &*kept;
        rows.iter().map(|row| texts(columns, row)).collect()
    }
}

fn texts(columns: &[Column], row: &[u8]) -> Vec<Option<String>> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if columns.iter().any(|column| !column.binary) {
        return TextFields::of(row)
            .map(|field| field.unwrap().map(shown))
            .collect();
    }
    let nulls = &row[1..1 + (columns.len() + 9) / 8];
    let mut rest = &row[1 + nulls.len()..];
    let mut values = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        if nulls[(at + 2) / 8] & (1 << ((at + 2) % 8)) != 0 {
            values.push(None);
        } else if column.type_oid == 8 {
            let (number, behind) = rest.split_first_chunk().unwrap();
            values.push(Some(i64::from_le_bytes(*number).to_string()));
            rest = behind;
        } else if column.type_oid == 3 {
            let (number, behind) = rest.split_first_chunk().unwrap();
            values.push(Some(i32::from_le_bytes(*number).to_string()));
            rest = behind;
        } else {
            // A length in front of the bytes is written as it is in a row of texts.
            let field = TextFields::of(rest).next().unwrap().unwrap().unwrap();
            let end = field.as_ptr() as usize - rest.as_ptr() as usize + field.len();
            values.push(Some(shown(field)));
            rest = &rest[end..];
        }
    }
    values
}

/// Parameters as texts.
fn encoded(values: &[&str]) -> Encoded {
    let mut bytes = vec![0; values.len().div_ceil(8)];
    if !values.is_empty() {
        bytes.push(1);
    }
    for _ in values {
        bytes.extend_from_slice(&[253, 0]);
    }
    for value in values {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        if value.len() < 251 {
            bytes.push(length[0]);
        } else {
            bytes.push(0xfd);
            bytes.extend_from_slice(&length[..3]);
        }
        bytes.extend_from_slice(value.as_bytes());
    }
    Encoded {
        count: u16::try_from(values.len()).unwrap(),
        formats: Formats::Binary,
        values: bytes,
    }
}

pub fn statement(sql: &str) -> Arc<Statement> {
    Statement::new(Arc::from(sql), Vec::new(), Formats::Binary)
}

pub fn query(statement: &Arc<Statement>, values: &[&str], pure_read: bool) -> (Work, Kept) {
    let kept = Kept::default();
    let work = Work::Query(Box::new(Query {
        statement: Arc::clone(statement),
        params: Params::Ready(encoded(values)),
        rows: Some(Box::new(kept.clone())),
        pure_read,
        taints: mysql::taint::taints(&statement.sql),
    }));
    (work, kept)
}

/// As raw SQL is run: the parameters are encoded when the server has said how many there are.
pub fn raw(sql: &str, values: &'static [&'static str]) -> (Work, Kept) {
    let kept = Kept::default();
    let work = Work::Query(Box::new(Query {
        statement: statement(sql),
        params: Params::AfterDescribe(Box::new(move |types, _| {
            assert_eq!(types.len(), values.len());
            Ok((encoded(values), Formats::Binary))
        })),
        rows: Some(Box::new(kept.clone())),
        pure_read: false,
        taints: mysql::taint::taints(sql),
    }));
    (work, kept)
}
