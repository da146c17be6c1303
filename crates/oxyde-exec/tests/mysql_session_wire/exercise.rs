//! Feeds any bytes to a session whose caller goes along with everything the server says. Used by the tests with
//! hostile servers and by the fuzz target.

use std::sync::Arc;

use oxyde_exec::CursorId;
use oxyde_exec::mysql::rows::{Rows, TextFields};
use oxyde_exec::mysql::session::{
    Event, Fatal, Limits, Line, Password, Request, Session, SessionConfig,
};
use oxyde_exec::query::{Encoded, Formats, Statement};

/// What the caller asks for, one after the other.
#[derive(Clone, Debug)]
pub enum Action {
    /// With so many nulls as parameters.
    Query(Arc<Statement>, u16),
    Describe(Arc<Statement>),
    /// The same, but nothing is run afterwards.
    DescribeOnly(Arc<Statement>),
    Simple(&'static str),
    /// A cursor of this number.
    Open(u64, Arc<Statement>),
    Fetch(u64),
    CloseCursor(u64),
    Sync,
    Reset,
    Forget(Arc<Statement>),
    /// The server turns out to be behind a pooler.
    Unnamed,
    /// All at once.
    Together(Vec<Action>),
}

pub fn act(session: &mut Session, action: &Action) {
    // A session that has ended or is not ready refuses; that is all there is to see.
    let _: Result<Request, _> = match action {
        Action::Query(statement, count) => session.query(statement, &nulls(*count)),
        Action::Describe(statement) | Action::DescribeOnly(statement) => {
            session.describe(statement)
        }
        Action::Simple(sql) => session.simple(sql),
        Action::Open(cursor, statement) => {
            session.open_cursor(CursorId(*cursor), statement, &nulls(0))
        }
        Action::Fetch(cursor) => session.fetch(CursorId(*cursor), 2),
        Action::CloseCursor(cursor) => session.close_cursor(CursorId(*cursor)),
        Action::Sync => session.sync(),
        Action::Reset => session.reset(),
        Action::Forget(statement) => {
            session.forget(statement);
            session.sync()
        }
        Action::Unnamed => {
            session.set_unnamed();
            session.sync()
        }
        Action::Together(all) => {
            all.iter().for_each(|action| act(session, action));
            return;
        }
    };
}

/// Answers an event that waits for an answer. `run`: a described statement is run.
pub fn react(session: &mut Session, event: &Event<'_>, run: bool) {
    if let Event::Described(_, parameters, _) = event {
        let count = u16::try_from(parameters.len()).unwrap_or_default();
        if !run || session.execute_described(&nulls(count), None).is_err() {
            session.end_described();
        }
    }
}

/// Whether the caller may ask for the next thing.
pub fn is_free(session: &Session, event: &Event<'_>) -> bool {
    matches!(event, Event::Started | Event::Done(..)) && session.in_flight() == 0
}

pub fn nulls(count: u16) -> Encoded {
    let width = usize::from(count);
    let mut values = Vec::new();
    if count > 0 {
        values.resize(width.div_ceil(8), 0xff);
        values.push(1);
        values.extend([6, 0].repeat(width));
    }
    Encoded {
        count,
        formats: Formats::Binary,
        values,
    }
}

/// Feeds `bytes` in pieces of the lengths that `cut` names. Answers how many events came; `None` when the session
/// found that it cannot go on.
pub fn feed_all(
    session: &mut Session,
    bytes: &[u8],
    actions: &[Action],
    mut cut: impl FnMut() -> usize,
) -> Option<usize> {
    let mut actions = actions.iter();
    let mut rest = bytes;
    let mut events = 0_usize;
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
        rest = behind;
        loop {
            match session.next(&mut piece) {
                Ok(Some(event)) => {
                    events += 1;
                    let run =
                        !matches!(&event, Event::Described(_, _, columns) if columns.is_empty());
                    react(session, &event, run);
                    if let Event::Rows(_, rows) = &event {
                        let rows = rows.raw();
                        // Wrong lengths inside of a row are for its reader to find; the rows themselves are whole.
                        assert!(rows.count > 0);
                        assert_eq!(Rows::of(rows).count(), rows.count);
                        for row in Rows::of(rows) {
                            let row = row.unwrap_or_default();
                            let held: usize = TextFields::of(row)
                                .map(|field| field.ok().flatten().map_or(0, <[u8]>::len))
                                .sum();
                            assert!(held <= row.len());
                        }
                    }
                    if is_free(session, &event)
                        && let Some(action) = actions.next()
                    {
                        act(session, action);
                    }
                    session.output().clear();
                }
                Ok(None) => {
                    assert!(piece.is_empty(), "bytes were left lying");
                    break;
                }
                Err(Fatal(error)) => {
                    assert!(!error.message.is_empty());
                    assert!(
                        matches!(session.next(&mut piece), Err(Fatal(again)) if again == error)
                    );
                    assert!(session.simple("SELECT 1").is_err());
                    return None;
                }
            }
        }
        // Each packet takes five bytes at the least, and one that makes two events takes more.
        assert!(events <= bytes.len() / 3, "events out of nothing");
    }
    assert!(!session.end_of_file().0.message.is_empty());
    Some(events)
}

/// Small ones, so that they matter in short inputs.
pub fn limits() -> Limits {
    Limits {
        max_row: 1 << 16,
        max_packet: 1 << 16,
        max_definitions: 1 << 14,
    }
}

/// What a server says first that has these abilities (see `Capabilities`).
pub fn greeting(capabilities: u64, plugin: &str) -> Vec<u8> {
    let version: &[u8] = if capabilities & 1 == 0 {
        b"5.5.5-10.11.6-MariaDB\0"
    } else {
        b"8.4.2\0"
    };
    let capabilities = capabilities.to_le_bytes();
    let (low, high) = capabilities.split_at(4);
    let (first, second) = low.split_at(2);
    let (nonce, more) = NONCE.split_at(8);
    [
        &[10],
        version,
        &4711_u32.to_le_bytes(),
        nonce,
        &[0],
        first,
        &[255, 2, 0],
        second,
        &[21, 0, 0, 0, 0, 0, 0],
        high,
        more,
        &[0],
        plugin.as_bytes(),
        &[0],
    ]
    .concat()
}

pub const NONCE: &[u8; 20] = b"12345678abcdefghijkl";

/// What both sides have agreed on; this is what MySQL has and we want.
pub const MYSQL: u64 = 0x013e_a20f;
/// MariaDB 10.6 and later.
pub const MARIADB: u64 = (MYSQL & !1) | 1 << 36;
pub const DEPRECATE_EOF: u64 = 1 << 24;

/// Three bytes say how, the others are what the server sends.
pub fn exercise(input: &[u8]) {
    let Some(([how, size, first], bytes)) = input.split_first_chunk::<3>() else {
        return;
    };
    let mut session = Session::new(SessionConfig {
        user: "user".into(),
        database: (how & 0x80 != 0).then(|| "database".into()),
        application_name: None,
        statement_cache: 2,
        limits: limits(),
    });
    let line = match how & 3 {
        0 => Line::Tls,
        1 => Line::File,
        _ => Line::Network,
    };
    let capabilities = match how & 0xc {
        0 => MYSQL,
        4 => MYSQL & !DEPRECATE_EOF,
        _ => MARIADB,
    };
    let mut bytes = bytes;
    let password = Some(Password::new("secret"));
    let started = if how & 0x30 == 0 {
        // The greeting, too, is whatever the server likes.
        let (greeting, behind) = bytes.split_at(usize::from(*first).min(bytes.len()));
        bytes = behind;
        session.start(password, line, greeting)
    } else {
        let plugin = if how & 0x10 == 0 {
            "caching_sha2_password"
        } else {
            "mysql_native_password"
        };
        session.start(password, line, &greeting(capabilities, plugin))
    };
    if let Err(error) = started {
        assert!(how & 0x30 == 0 && !error.message.is_empty());
        assert!(session.output().is_empty());
        return;
    }
    let plain = statement("SELECT 1");
    let with = statement("SELECT ?");
    let call = statement("CALL p()");
    let all = [
        Action::Query(Arc::clone(&plain), 0),
        Action::Simple("SELECT 1"),
        Action::Query(Arc::clone(&with), 1),
        Action::Describe(Arc::clone(&plain)),
        Action::DescribeOnly(Arc::clone(&with)),
        Action::Together(vec![
            Action::Query(Arc::clone(&plain), 0),
            Action::Query(Arc::clone(&plain), 0),
            Action::Simple("UPDATE t SET a = 1"),
        ]),
        Action::Query(Arc::clone(&call), 0),
        Action::Query(call, 0),
        Action::Open(1, once("SELECT 1")),
        Action::Fetch(1),
        Action::CloseCursor(1),
        Action::Forget(plain),
        Action::Reset,
        Action::Sync,
        Action::Describe(with),
        Action::Simple("COMMIT"),
    ];
    let (behind, front) = all.split_at(usize::from(*first) % all.len());
    let mut actions = [front, behind].concat();
    if how & 0x40 != 0 {
        let number = if line == Line::Tls { 3 } else { 2 };
        let mut ok: &[u8] = &[7, 0, 0, number, 0, 0, 0, 2, 0, 0, 0];
        if !matches!(session.next(&mut ok), Ok(Some(Event::Started))) {
            return;
        }
        act(&mut session, &actions.remove(0));
    }
    feed_all(&mut session, bytes, &actions, || usize::from(*size));
}

fn once(sql: &str) -> Arc<Statement> {
    statement(sql).for_one_use()
}

fn statement(sql: &str) -> Arc<Statement> {
    Statement::new(sql.into(), Vec::new(), Formats::Binary)
}
