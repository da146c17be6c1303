//! The bodies of the server's messages: nothing is taken for granted, least of all a length or a count.

use std::borrow::Cow;
use std::sync::Arc;

use crate::engine::{Tag, TxStatus};
use crate::error::{Effect, ErrorKind, ExecError};
use crate::query::{Column, Formats, Malformed};
use crate::wire::events::{CopyFormat, Notice, Summary};

/// Takes a message's body apart from its front.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Malformed("a message that ends too early"))?;
        self.0 = rest;
        Ok(*value)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Up to a zero byte, which is consumed.
    pub(crate) fn cstr(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(Malformed("a text without its end"))?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        Ok(text)
    }

    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.cstr().map(String::from_utf8_lossy)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed("a message longer than its contents"))
        }
    }
}

/// An empty body.
pub(crate) fn nothing(body: &[u8]) -> Result<(), Malformed> {
    Reader::new(body).end()
}

/// RowDescription; `formats` are what Bind asks for, without them the message's own count.
pub(crate) fn columns(body: &[u8], formats: Option<&Formats>) -> Result<Arc<[Column]>, Malformed> {
    let mut reader = Reader::new(body);
    let count = reader.u16()?;
    // Each column takes 19 bytes at the least: a count beyond that must not cost memory.
    let mut columns = Vec::with_capacity(usize::from(count).min(body.len() / 19));
    for index in 0..usize::from(count) {
        let name = reader.text()?.into_owned();
        let _table = reader.u32()?;
        let _number = reader.u16()?;
        let type_oid = reader.u32()?;
        let _size = reader.u16()?;
        let modifier = reader.i32()?;
        let binary = match reader.u16()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("a column that is neither text nor binary")),
        };
        columns.push(Column {
            name,
            type_oid,
            modifier,
            binary: formats.map_or(binary, |formats| is_binary(formats, index)),
            flags: 0,
            charset: 0,
        });
    }
    reader.end()?;
    Ok(columns.into())
}

pub(crate) fn is_binary(formats: &Formats, index: usize) -> bool {
    match formats {
        Formats::Text => false,
        Formats::Binary => true,
        Formats::Each(each) => each.get(index).copied().unwrap_or(false),
    }
}

/// ParameterDescription.
pub(crate) fn parameters(body: &[u8]) -> Result<Arc<[u32]>, Malformed> {
    let mut reader = Reader::new(body);
    let count = reader.u16()?;
    let (oids, rest) = reader.rest().as_chunks::<4>();
    if oids.len() != usize::from(count) || !rest.is_empty() {
        return Err(Malformed("a list of parameters of another length"));
    }
    Ok(oids.iter().copied().map(u32::from_be_bytes).collect())
}

/// What a command tag says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) summary: Summary,
    /// DISCARD ALL, DEALLOCATE ALL: the server has forgotten our prepared statements.
    pub(crate) forgets: bool,
}

pub(crate) fn command(body: &[u8]) -> Result<Command, Malformed> {
    let mut reader = Reader::new(body);
    let tag = reader.cstr()?;
    reader.end()?;
    let last = tag.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let rows = last.iter().try_fold(0_u64, |rows, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        rows.checked_mul(10)?.checked_add(u64::from(digit))
    });
    Ok(Command {
        summary: Summary {
            tag: match tag {
                b"COMMIT" => Tag::Commit,
                b"ROLLBACK" => Tag::Rollback,
                _ => Tag::Other,
            },
            rows: rows.unwrap_or(0),
            ..Summary::default()
        },
        forgets: matches!(tag, b"DISCARD ALL" | b"DEALLOCATE ALL"),
    })
}

/// ReadyForQuery.
pub(crate) fn transaction(body: &[u8]) -> Result<TxStatus, Malformed> {
    match body {
        b"I" => Ok(TxStatus::Idle),
        b"T" => Ok(TxStatus::InTransaction),
        b"E" => Ok(TxStatus::Failed),
        _ => Err(Malformed("an unknown state of the transaction")),
    }
}

/// CopyInResponse, CopyOutResponse.
pub(crate) fn copy_format(body: &[u8]) -> Result<CopyFormat, Malformed> {
    let mut reader = Reader::new(body);
    let binary = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed("a COPY that is neither text nor binary")),
    };
    let columns = reader.u16()?;
    for _ in 0..columns {
        reader.u16()?;
    }
    reader.end()?;
    Ok(CopyFormat { binary, columns })
}

/// ErrorResponse and NoticeResponse: fields of a type byte and a text; unknown ones are skipped.
#[derive(Default)]
pub(crate) struct Report<'a> {
    severity: Cow<'a, str>,
    sqlstate: Cow<'a, str>,
    message: Cow<'a, str>,
    detail: Option<Cow<'a, str>>,
    hint: Option<Cow<'a, str>>,
    table: Option<Cow<'a, str>>,
    column: Option<Cow<'a, str>>,
    constraint: Option<Cow<'a, str>>,
}

impl<'a> Report<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut report = Self::default();
        let mut reader = Reader::new(body);
        loop {
            let kind = reader.u8()?;
            if kind == 0 {
                break;
            }
            let text = reader.text()?;
            match kind {
                // `S` is translated, `V` is not: the latter comes behind it since PostgreSQL 9.6.
                b'S' | b'V' => report.severity = text,
                b'C' => report.sqlstate = text,
                b'M' => report.message = text,
                b'D' => report.detail = Some(text),
                b'H' => report.hint = Some(text),
                b't' => report.table = Some(text),
                b'c' => report.column = Some(text),
                b'n' => report.constraint = Some(text),
                _ => {}
            }
        }
        reader.end()?;
        Ok(report)
    }

    /// The server ends the connection with this.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self.severity.as_ref(), "FATAL" | "PANIC")
    }

    pub(crate) fn error(self) -> ExecError {
        let message = if self.message.is_empty() {
            "the server reported an error without a message".into()
        } else {
            self.message.to_string()
        };
        let coded = self.sqlstate.len() == 5
            && self
                .sqlstate
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric());
        let fatal = self.is_fatal();
        let mut error = if coded {
            ExecError::from_sqlstate(&self.sqlstate, message)
        } else {
            ExecError::new(ErrorKind::Operational, message)
        };
        // As a plain error, 08P01 is about our message (too few parameters, …) and the connection goes on.
        if !fatal && error.kind == ErrorKind::ConnectionLost && self.sqlstate == "08P01" {
            error.kind = ErrorKind::Programming;
            error.outcome = Effect::NotApplied;
        }
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        error.hint = owned(self.hint);
        error.table = owned(self.table);
        error.column = owned(self.column);
        error.constraint = owned(self.constraint);
        error.take_detail(owned(self.detail));
        error
    }

    pub(crate) fn notice(self) -> Notice {
        Notice {
            severity: self.severity.into_owned(),
            sqlstate: self.sqlstate.into_owned(),
            message: self.message.into_owned(),
            detail: self.detail.map(Cow::into_owned),
            hint: self.hint.map(Cow::into_owned),
        }
    }
}
