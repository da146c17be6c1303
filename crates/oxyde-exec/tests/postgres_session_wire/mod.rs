//! Events in a form that can be kept and compared, the messages of a server, and parameters.
#![allow(dead_code)]

pub mod exercise;
pub mod scenarios;

use std::sync::Arc;

use oxyde_exec::postgres::session::{
    CopyFormat, Event, Fatal, Limits, Notice, Request, Session, SessionConfig,
};
use oxyde_exec::query::{Column, Encoded, Formats, Statement};
use oxyde_exec::{ExecError, Tag, TxStatus};

pub type Row = Vec<Option<Vec<u8>>>;

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Started,
    Described(Request, Vec<u32>, Vec<Column>),
    Columns(Request, Vec<Column>),
    /// All rows that came one behind the other, however many events those were.
    Rows(Request, Vec<Row>),
    Completed(Request, Tag, u64),
    Suspended(Request),
    CopyIn(Request, CopyFormat),
    CopyOut(Request, CopyFormat),
    CopyData(Request, Vec<u8>),
    Failed(Request, ExecError),
    Done(Request, TxStatus),
    Notification(i32, String, String),
    Notice(Notice),
    Parameter(String),
    Fatal(ExecError),
}

pub fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Started => Seen::Started,
        Event::Described(request, types, columns) => {
            Seen::Described(request, types.to_vec(), columns.to_vec())
        }
        Event::Columns(request, columns) => Seen::Columns(request, columns.to_vec()),
        Event::Rows(request, rows) => {
            let raw = rows.raw();
            let rows: Vec<Row> = raw
                .iter()
                .map(|row| {
                    let fields = row.unwrap().fields();
                    fields
                        .map(|field| field.unwrap().map(<[u8]>::to_vec))
                        .collect()
                })
                .collect();
            assert_eq!(rows.len(), raw.count);
            Seen::Rows(request, rows)
        }
        Event::Completed(request, summary) => Seen::Completed(request, summary.tag, summary.rows),
        Event::Suspended(request) => Seen::Suspended(request),
        Event::CopyIn(request, format) => Seen::CopyIn(request, format),
        Event::CopyOut(request, format) => Seen::CopyOut(request, format),
        Event::CopyData(request, data) => Seen::CopyData(request, data.to_vec()),
        Event::Failed(request, error) => Seen::Failed(request, error),
        Event::Done(request, status) => Seen::Done(request, status),
        Event::Notification {
            pid,
            channel,
            payload,
        } => Seen::Notification(pid, channel, payload),
        Event::Notice(notice) => Seen::Notice(*notice),
        Event::Parameter(name) => Seen::Parameter(name),
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
        database: "shop".into(),
        application_name: None,
        statement_cache: 100,
        unnamed: false,
        limits: Limits::default(),
    }
}

pub fn statement(sql: &str) -> Arc<Statement> {
    Statement::new(sql.into(), Vec::new(), Formats::Text)
}

pub fn texts(values: &[Option<&str>]) -> Encoded {
    encoded(
        values.iter().map(|value| value.map(str::as_bytes)),
        Formats::Text,
    )
}

pub fn encoded<'a>(values: impl Iterator<Item = Option<&'a [u8]>>, formats: Formats) -> Encoded {
    let mut count = 0;
    let mut bytes = Vec::new();
    for value in values {
        count += 1;
        match value {
            None => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(value) => {
                bytes.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(value);
            }
        }
    }
    Encoded {
        count,
        formats,
        values: bytes,
    }
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

pub fn auth(code: i32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes(), data].concat())
}

pub fn setting(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0").as_bytes())
}

pub fn key(pid: i32, key: &[u8]) -> Vec<u8> {
    message(b'K', &[&pid.to_be_bytes(), key].concat())
}

pub fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

pub fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

/// Name, type, format.
pub fn row_description(columns: &[(&str, u32, u16)]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for (name, oid, format) in columns {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(&[0, 0, 0, 1, 0, 2]);
        body.extend_from_slice(&oid.to_be_bytes());
        body.extend_from_slice(&[0, 4, 255, 255, 255, 255]);
        body.extend_from_slice(&format.to_be_bytes());
    }
    message(b'T', &body)
}

pub fn parameter_description(oids: &[u32]) -> Vec<u8> {
    let mut body = u16::try_from(oids.len()).unwrap().to_be_bytes().to_vec();
    for oid in oids {
        body.extend_from_slice(&oid.to_be_bytes());
    }
    message(b't', &body)
}

pub fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let values = encoded(fields.iter().copied(), Formats::Text);
    message(
        b'D',
        &[&values.count.to_be_bytes()[..], &values.values].concat(),
    )
}

/// Fields by their type bytes.
pub fn report(kind: u8, fields: &[(u8, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, text) in fields {
        body.push(*field);
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    message(kind, &body)
}

pub fn failure(sqlstate: &str, text: &str) -> Vec<u8> {
    report(
        b'E',
        &[
            (b'S', "ERREUR"),
            (b'V', "ERROR"),
            (b'C', sqlstate),
            (b'M', text),
        ],
    )
}

pub fn notification(pid: i32, channel: &str, payload: &str) -> Vec<u8> {
    let text = format!("{channel}\0{payload}\0");
    message(b'A', &[&pid.to_be_bytes(), text.as_bytes()].concat())
}

pub fn copy_response(kind: u8, binary: bool, columns: u16) -> Vec<u8> {
    let mut body = vec![u8::from(binary)];
    body.extend_from_slice(&columns.to_be_bytes());
    for _ in 0..columns {
        body.extend_from_slice(&[0, u8::from(binary)]);
    }
    message(kind, &body)
}

/// What a server that trusts us says first.
pub fn greeting() -> Vec<u8> {
    [
        auth(0, &[]),
        setting("server_version", "17.5"),
        setting("client_encoding", "UTF8"),
        setting("integer_datetimes", "on"),
        key(4711, &[1, 2, 3, 4]),
        ready(b'I'),
    ]
    .concat()
}

/// A session that the server has let in, its output empty.
pub fn open(config: SessionConfig) -> Session {
    let mut session = Session::new(config);
    session.start(None, false).unwrap();
    let mut events = Vec::new();
    assert!(feed(&mut session, &greeting(), &mut events));
    assert_eq!(events, [Seen::Started]);
    session.output().clear();
    session
}

/// Types and bodies of the messages that a session has written (after the login).
pub fn written(session: &mut Session) -> Vec<(u8, Vec<u8>)> {
    let bytes = std::mem::take(session.output());
    let mut rest = bytes.as_slice();
    let mut messages = Vec::new();
    while let Some((kind, more)) = rest.split_first() {
        let length = u32::from_be_bytes(more[..4].try_into().unwrap()) as usize;
        messages.push((*kind, more[4..length].to_vec()));
        rest = &more[length..];
    }
    messages
}

/// The types of those messages.
pub fn kinds(session: &mut Session) -> String {
    written(session)
        .iter()
        .map(|(kind, _)| char::from(*kind))
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
