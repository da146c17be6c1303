//! What servers say, with what was asked and what should come of it.

use std::sync::Arc;

use oxyde_exec::mysql::session::{Session, SessionConfig};

use super::exercise::Action;
use super::*;

pub struct Scenario {
    pub name: &'static str,
    /// What both sides have agreed on.
    pub capabilities: u64,
    /// Asked one after the other, each when the one before is done.
    pub actions: Vec<Action>,
    /// What the server sends after it has let us in.
    pub bytes: Vec<u8>,
    /// The events: X described, C columns, R rows, T completed, w rows wait, F failed, Z done outside of a transaction, z in one,
    /// ? where nobody knows, ! the end.
    pub events: &'static str,
    /// The commands that are sent, see [`kinds`].
    pub sent: &'static str,
}

pub fn letter(event: &Seen) -> char {
    match event {
        Seen::Started => 'S',
        Seen::Described(..) => 'X',
        Seen::Columns(..) => 'C',
        Seen::Rows(..) => 'R',
        Seen::Completed(..) => 'T',
        Seen::Suspended(..) => 'w',
        Seen::Failed(..) => 'F',
        Seen::Done(_, TxStatus::Idle) => 'Z',
        Seen::Done(_, TxStatus::InTransaction) => 'z',
        Seen::Done(..) => '?',
        Seen::Fatal(_) => '!',
    }
}

/// What the scenarios are played with.
pub fn small_cache() -> SessionConfig {
    SessionConfig {
        statement_cache: 2,
        ..config()
    }
}

pub fn start(scenario: &Scenario) -> Session {
    open_with(small_cache(), scenario.capabilities)
}

pub const SERVERS: [u64; 4] = [
    MYSQL,
    MYSQL & !DEPRECATE_EOF,
    MARIADB,
    MARIADB & !DEPRECATE_EOF,
];

/// All that a server of each kind may say.
pub fn scenarios() -> Vec<Scenario> {
    SERVERS.into_iter().flat_map(with).collect()
}

fn with(capabilities: u64) -> Vec<Scenario> {
    let select = statement("SELECT id, word FROM t");
    let find = statement("SELECT id, word FROM t WHERE id = ?");
    let insert = statement("INSERT INTO t () VALUES ()");
    let call = statement("CALL p()");
    let single = once("SELECT id, word FROM t LIMIT 1");
    let query = |statement: &Arc<Statement>| Action::Query(Arc::clone(statement), 0);

    let table: &[(&str, u8)] = &[("id", 0xfd), ("word", 0xfc)];
    let wider: &[(&str, u8)] = &[("id", 0xfd), ("word", 0xfc), ("more", 0xfd)];
    let row_1 = binary(&[Some(b"1"), Some("zwölf".as_bytes())]);
    let row_2 = binary(&[Some(b""), None]);
    let row_3 = binary(&[None, Some(&[7; 300])]);
    let rows: &[&[u8]] = &[&row_1, &row_2, &row_3];
    let wide_row = binary(&[Some(b"1"), None, Some(b"x")]);
    let text_1 = texts(&[Some(b"1"), None]);
    let text_2 = texts(&[None, Some(&[0xff; 300])]);
    let text_rows: &[&[u8]] = &[&text_1, &text_2];

    let say = || Answer::new(capabilities);
    let prepared = |id| say().prepared(id, 0, table);
    let first = |status| say().known_columns(table).rows(rows).end(status);
    let text = |status| say().columns(table).rows(text_rows).end(status);
    let done = |status| say().ok(1, 0, status);
    let pong = |status| say().ok(0, 0, status);
    let idle = AUTOCOMMIT;
    let within = IN_TRANSACTION;
    let refused = || say().error(1064, "You have an error in your SQL syntax");
    let interrupted = || say().error(1317, "Query execution was interrupted");
    let failing = || {
        say()
            .known_columns(table)
            .rows(rows)
            .error(1264, "Out of range value for column 'word' at row 1")
    };

    let mut all = Vec::new();
    let mut add = |name, actions, answers: &[Answer], events, sent| {
        all.push(Scenario {
            name,
            capabilities,
            actions,
            bytes: answers
                .iter()
                .flat_map(|answer| answer.bytes.clone())
                .collect(),
            events,
            sent,
        });
    };
    add(
        "a statement is prepared once",
        vec![query(&select), query(&select), query(&insert)],
        &[
            prepared(1),
            first(idle),
            first(idle),
            say().prepared(2, 0, &[]),
            done(idle),
        ],
        "CRTZCRTZTZ",
        "pxxpx",
    );
    add(
        "parameters",
        vec![
            Action::Query(Arc::clone(&find), 1),
            Action::Query(Arc::clone(&find), 1),
        ],
        &[say().prepared(7, 1, table), first(idle), first(idle)],
        "CRTZCRTZ",
        "pxx",
    );
    add(
        "a number of values that is not the statement's",
        vec![
            query(&find),
            Action::Query(Arc::clone(&find), 1),
            Action::Query(Arc::clone(&single), 1),
            Action::Sync,
        ],
        &[
            say().prepared(7, 1, table),
            first(idle),
            prepared(8),
            pong(idle),
        ],
        "FZCRTZFZZ",
        "pxpci",
    );
    add(
        "several at once",
        vec![
            query(&select),
            Action::Together(vec![
                query(&select),
                query(&select),
                Action::Simple("UPDATE t SET word = id"),
                query(&select),
            ]),
        ],
        &[
            prepared(1),
            first(idle),
            first(idle),
            first(idle),
            done(idle),
            first(idle),
        ],
        "CRTZCRTZCRTZTZCRTZ",
        "pxxxqx",
    );
    add(
        "several at once, of which some fail",
        vec![
            query(&select),
            Action::Together(vec![query(&select), query(&select), query(&select)]),
        ],
        &[
            prepared(1),
            first(idle),
            failing(),
            first(idle),
            interrupted(),
        ],
        "CRTZCRFZCRTZFZ",
        "pxxxx",
    );
    add(
        "several at once in a transaction, of which some fail",
        vec![
            query(&select),
            Action::Together(vec![
                Action::Simple("BEGIN"),
                query(&select),
                query(&select),
                query(&select),
            ]),
        ],
        &[
            prepared(1),
            first(idle),
            done(within),
            failing(),
            first(within),
            failing(),
            pong(within),
        ],
        "CRTZTzCRF?CRTzCRFz",
        "pxqxxxi",
    );
    add(
        "an error in a transaction",
        vec![
            Action::Simple("START TRANSACTION"),
            query(&insert),
            query(&insert),
            Action::Simple("COMMIT"),
        ],
        &[
            done(within),
            refused(),
            pong(within),
            say().prepared(1, 0, &[]),
            say().error(1213, "Deadlock found when trying to get lock"),
            pong(idle),
            done(idle),
        ],
        "TzFzFZTZ",
        "qpipxiq",
    );
    add(
        "a late KILL hits the ping",
        vec![Action::Simple("CALL p()"), Action::Sync],
        &[
            interrupted(),
            interrupted(),
            interrupted(),
            pong(idle),
            pong(idle),
        ],
        "FZZ",
        "qiiii",
    );
    add(
        "and again, without end",
        vec![Action::Simple("CALL p()")],
        &[
            interrupted(),
            interrupted(),
            interrupted(),
            interrupted(),
            pong(idle),
        ],
        "!",
        "qiii",
    );
    add(
        "an error outside of a transaction needs no ping",
        vec![query(&select), query(&select), query(&select)],
        &[refused(), prepared(1), failing(), first(idle)],
        "FZCRFZCRTZ",
        "ppxx",
    );
    add(
        "described, run, run again",
        vec![Action::Describe(Arc::clone(&select)), query(&select)],
        &[prepared(1), first(idle), first(idle)],
        "XCRTZCRTZ",
        "pxx",
    );
    add(
        "described and not run",
        vec![
            Action::DescribeOnly(Arc::clone(&select)),
            query(&select),
            Action::DescribeOnly(Arc::clone(&single)),
            Action::Sync,
        ],
        &[
            prepared(1),
            pong(idle),
            first(idle),
            prepared(2),
            pong(idle),
            pong(idle),
        ],
        "XZCRTZXZZ",
        "pixpcii",
    );
    add(
        "describing fails",
        vec![
            Action::Describe(Arc::clone(&select)),
            Action::Simple("BEGIN"),
            Action::Describe(Arc::clone(&select)),
            Action::Sync,
        ],
        &[
            refused(),
            done(within),
            refused(),
            pong(within),
            pong(within),
        ],
        "FZTzFzz",
        "pqpii",
    );
    add(
        "what cannot be prepared is sent as a text",
        vec![
            query(&select),
            query(&select),
            Action::Describe(Arc::clone(&single)),
            Action::Describe(Arc::clone(&find)),
            query(&find),
        ],
        &[
            say().error(
                1295,
                "This command is not supported in the prepared statement protocol yet",
            ),
            text(idle),
            text(idle),
            say().error(1295, "not yet"),
            text(idle),
            say().error(1295, "not yet"),
            text(idle),
            text(idle),
        ],
        "CRTZCRTZXCRTZXCRTZCRTZ",
        "pqqpqpqq",
    );
    add(
        "what cannot be prepared, described and not run",
        vec![Action::DescribeOnly(Arc::clone(&select)), query(&select)],
        &[say().error(1295, "not yet"), pong(idle), text(idle)],
        "XZCRTZ",
        "piq",
    );
    add(
        "what cannot be prepared takes no values",
        vec![Action::Query(Arc::clone(&find), 1), Action::Sync],
        &[say().error(1295, "not yet"), pong(idle)],
        "FZZ",
        "pi",
    );
    add(
        "a statement that is not kept",
        vec![query(&single), query(&single)],
        &[prepared(1), first(idle), prepared(2), first(idle)],
        "CRTZCRTZ",
        "pxcpxc",
    );
    add(
        "the statement used longest ago goes",
        vec![
            query(&select),
            query(&call),
            query(&select),
            query(&insert),
            query(&call),
            query(&insert),
        ],
        &[
            prepared(1),
            first(idle),
            say().prepared(2, 0, &[]),
            done(idle),
            first(idle),
            say().prepared(3, 0, &[]),
            done(idle),
            say().prepared(4, 0, &[]),
            done(idle),
            done(idle),
        ],
        "CRTZTZCRTZTZTZTZ",
        "pxpxxcpxcpxx",
    );
    add(
        "a statement is forgotten",
        vec![
            query(&select),
            Action::Forget(Arc::clone(&select)),
            query(&select),
            Action::Unnamed,
            query(&select),
        ],
        &[
            prepared(1),
            first(idle),
            pong(idle),
            prepared(2),
            first(idle),
            pong(idle),
            prepared(3),
            first(idle),
        ],
        "CRTZZCRTZZCRTZ",
        "pxcipxcipxc",
    );
    add(
        "the server forgets a statement",
        vec![query(&select), query(&select), query(&select)],
        &[
            prepared(1),
            first(idle),
            say().error(1243, "Unknown prepared statement handler (1)"),
            prepared(2),
            first(idle),
        ],
        "CRTZFZCRTZ",
        "pxxpx",
    );
    add(
        "back to the beginning",
        vec![query(&select), Action::Reset, query(&select)],
        &[
            prepared(1),
            first(idle),
            pong(idle),
            prepared(1),
            first(idle),
        ],
        "CRTZZCRTZ",
        "pxrpx",
    );
    add(
        "texts",
        vec![
            Action::Simple("SELECT id, word FROM t"),
            Action::Simple("SELECT id, word FROM t LIMIT 0"),
            Action::Simple("UPDATE t SET word = id"),
        ],
        &[
            text(idle),
            say().columns(table).end(idle),
            say().ok(300, 70_000, idle),
        ],
        "CRTZCTZTZ",
        "qqq",
    );
    add(
        "a table that has changed",
        vec![query(&select), query(&select), query(&select)],
        &[
            prepared(1),
            first(idle),
            say().columns(wider).rows(&[&wide_row]).end(idle),
            say()
                .known_columns(wider)
                .rows(&[&wide_row, &wide_row])
                .end(idle),
        ],
        "CRTZCRTZCRTZ",
        "pxxx",
    );
    add(
        "a table that changes under several",
        vec![
            query(&select),
            Action::Together(vec![query(&select), query(&select)]),
        ],
        &[
            prepared(1),
            first(idle),
            say().columns(wider).rows(&[&wide_row]).end(idle),
            say().known_columns(wider).rows(&[&wide_row]).end(idle),
        ],
        "CRTZCRTZCRTZ",
        "pxxx",
    );
    add(
        "procedures",
        vec![query(&call), query(&call), query(&call), query(&call)],
        &[
            say().prepared(1, 0, &[]),
            // No rows, one result, one and an error, two.
            done(idle),
            say()
                .columns(table)
                .rows(rows)
                .end(MORE_RESULTS)
                .ok(0, 0, idle),
            say()
                .columns(table)
                .rows(rows)
                .end(MORE_RESULTS)
                .error(1644, "Unhandled user-defined exception condition"),
            pong(within),
            say()
                .columns(table)
                .rows(rows)
                .end(MORE_RESULTS)
                .ok(0, 0, MORE_RESULTS)
                .columns(wider)
                .rows(&[&wide_row])
                .end(MORE_RESULTS)
                .ok(0, 0, idle),
        ],
        "TZCRTZCRFzCRFZ",
        "pxxxix",
    );
    add(
        "a procedure by its text",
        vec![Action::Simple("CALL p()"), Action::Sync],
        &[
            say()
                .columns(table)
                .rows(text_rows)
                .end(MORE_RESULTS)
                .columns(wider)
                .end(MORE_RESULTS)
                .ok(0, 0, within),
            pong(within),
        ],
        "CRFzz",
        "qi",
    );
    let piece = |rows: &[&[u8]], status| say().rows(rows).end(status);
    add(
        "a cursor",
        vec![
            Action::Open(1, Arc::clone(&single)),
            Action::Fetch(1),
            Action::Simple("UPDATE t SET word = id"),
            Action::Fetch(1),
            Action::Fetch(1),
            Action::CloseCursor(1),
        ],
        &[
            prepared(3),
            say().waiting(table, within),
            piece(&[&row_1, &row_2], within | CURSOR_EXISTS),
            done(within),
            piece(&[&row_3], within | CURSOR_EXISTS),
            piece(&[], within | LAST_ROW_SENT),
            pong(within),
        ],
        "CwzRwzTzRwzTzz",
        "pxfqffci",
    );
    add(
        "cursors end with their transaction",
        vec![
            Action::Open(1, Arc::clone(&single)),
            Action::Open(2, Arc::clone(&single)),
            Action::Simple("ROLLBACK"),
            Action::Sync,
        ],
        &[
            prepared(3),
            say().waiting(table, within),
            prepared(4),
            say().waiting(table, within),
            done(idle),
            pong(idle),
        ],
        "CwzCwzTZZ",
        "pxpxqcci",
    );
    add(
        "a statement that no cursor is made for",
        vec![
            Action::Open(1, Arc::clone(&single)),
            Action::Open(2, once("SET @a = 1")),
            Action::CloseCursor(2),
        ],
        &[
            prepared(3),
            first(within),
            say().prepared(4, 0, &[]),
            done(within),
            pong(within),
        ],
        "CRTzTzz",
        "pxcpxci",
    );
    add(
        "a fetch that fails",
        vec![
            Action::Open(1, Arc::clone(&single)),
            Action::Fetch(1),
            Action::CloseCursor(1),
        ],
        &[
            prepared(3),
            say().waiting(table, within),
            interrupted(),
            pong(within),
            pong(within),
        ],
        "CwzFzz",
        "pxfici",
    );
    add(
        "the server asks for a file",
        vec![Action::Simple(
            "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t",
        )],
        &[say().packet(b"\xfb/etc/passwd"), pong(idle)],
        "!",
        "q",
    );
    add(
        "the server says goodbye unasked",
        vec![Action::Sync],
        &[
            pong(idle),
            Answer::behind(0, capabilities).error(4031, "The client was disconnected"),
        ],
        "Z!",
        "i",
    );
    add(
        "the server says goodbye instead of an answer",
        vec![query(&select)],
        &[
            prepared(1),
            say().error(1053, "Server shutdown in progress"),
        ],
        "!",
        "px",
    );
    all
}
