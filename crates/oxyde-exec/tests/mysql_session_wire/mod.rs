//! Events in a form that can be kept and compared, the packets of a server, and parameters.
#![allow(dead_code)]

pub mod exercise;
pub mod scenarios;
pub mod socket;

use std::sync::Arc;

pub use exercise::{DEPRECATE_EOF, MARIADB, MYSQL, greeting};

use oxyde_exec::mysql::rows::{Rows, TextFields};
use oxyde_exec::mysql::session::{Event, Fatal, Limits, Line, Request, Session, SessionConfig};
use oxyde_exec::query::{Column, Encoded, Formats, Statement};
use oxyde_exec::{ExecError, Tag, TxStatus};

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Started,
    Described(Request, usize, Vec<Column>),
    Columns(Request, Vec<Column>),
    /// All rows that came one behind the other, however many events those were; each without its header.
    Rows(Request, Vec<Vec<u8>>),
    /// With the number of rows and the first key that was made up.
    Completed(Request, Tag, u64, u64),
    Suspended(Request),
    Failed(Request, ExecError),
    Done(Request, TxStatus),
    Fatal(ExecError),
}

pub fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Started => Seen::Started,
        Event::Described(request, types, columns) => {
            assert!(types.iter().all(|kind| *kind == 0));
            Seen::Described(request, types.len(), columns.to_vec())
        }
        Event::Columns(request, columns) => Seen::Columns(request, columns.to_vec()),
        Event::Rows(request, rows) => {
            let raw = rows.raw();
            let rows: Vec<Vec<u8>> = Rows::of(raw).map(|row| row.unwrap().to_vec()).collect();
            assert_eq!(rows.len(), raw.count);
            Seen::Rows(request, rows)
        }
        Event::Completed(request, summary) => {
            Seen::Completed(request, summary.tag, summary.rows, summary.last_insert_id)
        }
        Event::Suspended(request) => Seen::Suspended(request),
        Event::Failed(request, error) => Seen::Failed(request, error),
        Event::Done(request, status) => Seen::Done(request, status),
        other => panic!("{other:?}"),
    }
}

/// Adds an event; rows that continue others are put with them.
pub fn push(events: &mut Vec<Seen>, event: Seen) {
    if let (Some(Seen::Rows(request, rows)), Seen::Rows(more_of, more)) =
        (events.last_mut(), &event)
        && request == more_of
    {
        rows.extend(more.iter().cloned());
        return;
    }
    events.push(event);
}

/// All events that `bytes` bring, up to a fatal one; true as long as the session lives.
pub fn feed(session: &mut Session, mut bytes: &[u8], events: &mut Vec<Seen>) -> bool {
    loop {
        match session.next(&mut bytes) {
            Ok(Some(event)) => push(events, seen(event)),
            Ok(None) => {
                assert!(bytes.is_empty(), "bytes were left lying");
                return true;
            }
            Err(Fatal(error)) => {
                push(events, Seen::Fatal(error));
                return false;
            }
        }
    }
}

pub fn config() -> SessionConfig {
    SessionConfig {
        user: "anna".into(),
        database: Some("shop".into()),
        application_name: None,
        statement_cache: 100,
        limits: Limits::default(),
    }
}

pub fn statement(sql: &str) -> Arc<Statement> {
    Statement::new(sql.into(), Vec::new(), Formats::Binary)
}

/// A statement that is not worth keeping.
pub fn once(sql: &str) -> Arc<Statement> {
    Statement::once(sql.into(), Vec::new(), Formats::Binary)
}

/// A parameter: its type (the second byte is 0x80 for unsigned) and how its value lies in the command.
pub struct Param {
    pub kind: [u8; 2],
    pub value: Option<Vec<u8>>,
}

pub fn int(value: i64) -> Param {
    Param {
        kind: [8, 0],
        value: Some(value.to_le_bytes().to_vec()),
    }
}

pub fn text(value: &str) -> Param {
    bytes(0xfd, value.as_bytes())
}

pub fn bytes(kind: u8, value: &[u8]) -> Param {
    let mut out = length_encoded(value.len());
    out.extend_from_slice(value);
    Param {
        kind: [kind, 0],
        value: Some(out),
    }
}

pub fn null() -> Param {
    Param {
        kind: [6, 0],
        value: None,
    }
}

pub fn params(params: &[Param]) -> Encoded {
    let mut nulls = vec![0; params.len().div_ceil(8)];
    for (at, _) in params.iter().enumerate().filter(|(_, p)| p.value.is_none()) {
        nulls[at / 8] |= 1 << (at % 8);
    }
    let mut values = nulls;
    if !params.is_empty() {
        values.push(1);
    }
    values.extend(params.iter().flat_map(|param| param.kind));
    for param in params {
        values.extend(param.value.iter().flatten());
    }
    Encoded {
        count: u16::try_from(params.len()).unwrap(),
        formats: Formats::Binary,
        values,
    }
}

pub fn length_encoded(length: usize) -> Vec<u8> {
    let bytes = u64::try_from(length).unwrap().to_le_bytes();
    match length {
        0..251 => vec![bytes[0]],
        251..0x1_0000 => [&[0xfc], &bytes[..2]].concat(),
        0x1_0000..0x100_0000 => [&[0xfd], &bytes[..3]].concat(),
        _ => [&[0xfe], &bytes[..]].concat(),
    }
}

/// The fields of a row, however it was sent: texts as they are, the rest of binary ones as their bytes.
pub fn cells(columns: &[Column], row: &[u8]) -> Vec<Option<Vec<u8>>> {
    if columns.iter().all(|column| !column.binary) {
        let fields = TextFields::of(row).map(|field| field.unwrap().map(<[u8]>::to_vec));
        let fields: Vec<_> = fields.collect();
        assert_eq!(fields.len(), columns.len());
        return fields;
    }
    assert_eq!(row[0], 0);
    let nulls = columns.len().div_ceil(8).max((columns.len() + 9) / 8);
    let mut rest = &row[1 + nulls..];
    let mut take = |count: usize| {
        let (taken, behind) = rest.split_at(count);
        rest = behind;
        taken.to_vec()
    };
    let mut fields = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let bit = at + 2;
        if row[1 + bit / 8] & (1 << (bit % 8)) != 0 {
            fields.push(None);
            continue;
        }
        let field = match column.type_oid {
            1 => take(1),
            2 | 13 => take(2),
            3 | 4 | 9 => take(4),
            5 | 8 => take(8),
            // Dates and times: a length of one byte.
            7 | 10 | 11 | 12 => {
                let length = usize::from(take(1)[0]);
                take(length)
            }
            _ => {
                let length = match take(1)[0] {
                    0xfc => usize::from(u16::from_le_bytes(take(2).try_into().unwrap())),
                    0xfd => {
                        let three = take(3);
                        usize::from(three[0])
                            | usize::from(three[1]) << 8
                            | usize::from(three[2]) << 16
                    }
                    0xfe => {
                        usize::try_from(u64::from_le_bytes(take(8).try_into().unwrap())).unwrap()
                    }
                    small => usize::from(small),
                };
                take(length)
            }
        };
        fields.push(Some(field));
    }
    assert!(rest.is_empty(), "{rest:?}");
    fields
}

pub const FULL: usize = 0xff_ffff;

/// A payload in as many packets as it takes, numbered from `number` on.
pub fn packets(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 8);
    let mut number = number;
    let mut rest = payload;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(FULL));
        out.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_le_bytes()[..3]);
        out.push(number);
        out.extend_from_slice(piece);
        number = number.wrapping_add(1);
        rest = behind;
        if piece.len() < FULL {
            return out;
        }
    }
}

/// Packets of one answer, which begins with number 1 unless its command took several packets.
#[derive(Clone)]
pub struct Answer {
    pub bytes: Vec<u8>,
    number: u8,
    /// Lists end with EOF, because OK there was not agreed on.
    eof: bool,
    /// A result says whether its definitions follow.
    cached: bool,
}

pub const AUTOCOMMIT: u16 = 2;
pub const IN_TRANSACTION: u16 = 3;
pub const MORE_RESULTS: u16 = 8 | 2;
pub const CURSOR_EXISTS: u16 = 64;
pub const LAST_ROW_SENT: u16 = 128;

impl Answer {
    pub fn new(capabilities: u64) -> Self {
        Self::behind(1, capabilities)
    }

    /// To a command that took so many packets.
    pub fn behind(packets: u8, capabilities: u64) -> Self {
        Self {
            bytes: Vec::new(),
            number: packets,
            eof: capabilities & DEPRECATE_EOF == 0,
            cached: capabilities & 1 == 0,
        }
    }

    pub fn packet(mut self, payload: &[u8]) -> Self {
        let packets = packets(self.number, payload);
        let count = payload.len() / FULL + 1;
        self.number = self.number.wrapping_add(count.to_le_bytes()[0]);
        self.bytes.extend_from_slice(&packets);
        self
    }

    pub fn ok(self, affected: u64, id: u64, status: u16) -> Self {
        self.packet(&ok(0, affected, id, status))
    }

    /// The end of rows.
    pub fn end(self, status: u16) -> Self {
        if self.eof {
            self.eof(status)
        } else {
            self.packet(&ok(0xfe, 0, 0, status))
        }
    }

    fn eof(self, status: u16) -> Self {
        self.packet(&[&[0xfe, 0, 0], &status.to_le_bytes()[..]].concat())
    }

    pub fn error(self, number: u16, message: &str) -> Self {
        self.packet(&error(number, message))
    }

    /// How many columns a result has, and their definitions.
    pub fn columns(self, names: &[(&str, u8)]) -> Self {
        let follow: &[u8] = if self.cached { &[1] } else { &[] };
        let head = [&length_encoded(names.len()), follow].concat();
        self.packet(&head).definitions(names)
    }

    /// The same as the last time, so that nothing is said again if both sides have agreed on that.
    pub fn known_columns(self, names: &[(&str, u8)]) -> Self {
        if !self.cached {
            return self.columns(names);
        }
        let head = [&length_encoded(names.len())[..], &[0]].concat();
        let answer = self.packet(&head);
        if answer.eof {
            answer.eof(AUTOCOMMIT)
        } else {
            answer
        }
    }

    /// The answer to a statement whose rows wait to be fetched: one end for definitions and rows.
    pub fn waiting(self, names: &[(&str, u8)], status: u16) -> Self {
        let status = status | CURSOR_EXISTS;
        if !self.eof {
            return self.known_columns(names).end(status);
        }
        let head = if self.cached { &[0][..] } else { &[] };
        let head = [&length_encoded(names.len())[..], head].concat();
        let mut answer = self.packet(&head);
        if !answer.cached {
            for (name, kind) in names {
                answer = answer.packet(&definition(name, *kind));
            }
        }
        answer.eof(status)
    }

    fn definitions(self, names: &[(&str, u8)]) -> Self {
        let mut answer = self;
        for (name, kind) in names {
            answer = answer.packet(&definition(name, *kind));
        }
        if answer.eof && !names.is_empty() {
            answer.eof(AUTOCOMMIT)
        } else {
            answer
        }
    }

    pub fn rows(self, rows: &[&[u8]]) -> Self {
        rows.iter().fold(self, |answer, row| answer.packet(row))
    }

    /// A statement that was prepared.
    pub fn prepared(self, id: u32, parameters: u16, names: &[(&str, u8)]) -> Self {
        let mut head = vec![0];
        head.extend_from_slice(&id.to_le_bytes());
        head.extend_from_slice(&u16::try_from(names.len()).unwrap().to_le_bytes());
        head.extend_from_slice(&parameters.to_le_bytes());
        head.extend_from_slice(&[0, 0, 0]);
        let marks = vec![("?", 0xfd); usize::from(parameters)];
        self.packet(&head).definitions(&marks).definitions(names)
    }
}

pub fn ok(head: u8, affected: u64, id: u64, status: u16) -> Vec<u8> {
    let mut out = vec![head];
    out.extend(length_encoded(usize::try_from(affected).unwrap()));
    out.extend(length_encoded(usize::try_from(id).unwrap()));
    out.extend_from_slice(&status.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

pub fn error(number: u16, message: &str) -> Vec<u8> {
    [
        &[0xff],
        &number.to_le_bytes()[..],
        b"#HY000",
        message.as_bytes(),
    ]
    .concat()
}

pub fn definition(name: &str, kind: u8) -> Vec<u8> {
    let mut out = Vec::new();
    for part in ["def", "shop", "t", "t", name, name] {
        out.extend(length_encoded(part.len()));
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&[0x0c, 45, 0, 11, 0, 0, 0, kind, 1, 0, 0, 0, 0]);
    out
}

/// A row of texts.
pub fn texts(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        match field {
            None => out.push(0xfb),
            Some(field) => {
                out.extend(length_encoded(field.len()));
                out.extend_from_slice(field);
            }
        }
    }
    out
}

/// A row of texts in the binary format.
pub fn binary(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = vec![0; 1 + (fields.len() + 9) / 8];
    for (at, field) in fields.iter().enumerate() {
        match field {
            None => out[1 + (at + 2) / 8] |= 1 << ((at + 2) % 8),
            Some(field) => {
                out.extend(length_encoded(field.len()));
                out.extend_from_slice(field);
            }
        }
    }
    out
}

/// A session that the server has let in, its output empty.
pub fn open_with(config: SessionConfig, capabilities: u64) -> Session {
    let mut session = Session::new(config);
    let greeting = greeting(capabilities, "mysql_native_password");
    session.start(None, Line::Network, &greeting).unwrap();
    let mut events = Vec::new();
    assert!(feed(
        &mut session,
        &packets(2, &ok(0, 0, 0, AUTOCOMMIT)),
        &mut events
    ));
    assert_eq!(events, [Seen::Started]);
    session.output().clear();
    session
}

pub fn open(config: SessionConfig) -> Session {
    open_with(config, MYSQL)
}

/// The commands that a session has written: their first bytes and the rest, packets put together.
pub fn written(session: &mut Session) -> Vec<(u8, Vec<u8>)> {
    let bytes = std::mem::take(session.output());
    let mut rest = bytes.as_slice();
    let mut commands = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    while let Some((head, behind)) = rest.split_at_checked(4) {
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let (payload, behind) = behind.split_at(usize::try_from(length).unwrap());
        rest = behind;
        let mut whole = open.take().unwrap_or_else(|| {
            assert_eq!(head[3], 0, "a command begins with number 0");
            Vec::new()
        });
        whole.extend_from_slice(payload);
        if payload.len() == FULL {
            open = Some(whole);
        } else {
            commands.push((whole[0], whole[1..].to_vec()));
        }
    }
    assert!(rest.is_empty() && open.is_none());
    commands
}

/// One letter for each command: p prepare, x execute, f fetch, q query, c close, i ping, r reset, . quit
pub fn kinds(session: &mut Session) -> String {
    written(session)
        .iter()
        .map(|(kind, _)| match kind {
            0x16 => 'p',
            0x17 => 'x',
            0x03 => 'q',
            0x1c => 'f',
            0x19 => 'c',
            0x0e => 'i',
            0x1f => 'r',
            0x01 => '.',
            other => panic!("command {other}"),
        })
        .collect()
}

/// Small numbers that look random; the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}
