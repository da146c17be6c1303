//! What a real server says of columns, and how it is asked to forget, to stop and to begin anew.
//! `OXYDE_TEST_MYSQL_URL` names it (MySQL or MariaDB).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod mysql_session_wire;

use std::time::{Duration, Instant};

use mysql_session_wire::exercise::nulls;
use mysql_session_wire::socket::*;
use mysql_session_wire::*;
use oxyde_exec::{Effect, ErrorKind, ExecError, Tag, TxStatus};

const NOT_NULL: u16 = 1;
const PRIMARY_KEY: u16 = 1 << 1;
const UNIQUE_KEY: u16 = 1 << 2;
const BLOB: u16 = 1 << 4;
const UNSIGNED: u16 = 1 << 5;
const ZEROFILL: u16 = 1 << 6;
const BINARY: u16 = 1 << 7;
const ENUM: u16 = 1 << 8;
const AUTO_INCREMENT: u16 = 1 << 9;
const SET: u16 = 1 << 11;

/// The character set of what is no text.
const BYTES: u16 = 63;

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn every_type_of_column_is_told_from_the_others() {
    // How it is declared, its type, its flags, whether it is a text, its decimals.
    let columns: &[(&str, u32, u16, bool, i32)] = &[
        ("tinyint", 1, 0, false, 0),
        ("tinyint unsigned", 1, UNSIGNED, false, 0),
        ("bool NOT NULL DEFAULT 1", 1, NOT_NULL, false, 0),
        ("smallint", 2, 0, false, 0),
        ("smallint unsigned", 2, UNSIGNED, false, 0),
        ("mediumint", 9, 0, false, 0),
        ("mediumint unsigned", 9, UNSIGNED, false, 0),
        ("int", 3, 0, false, 0),
        ("int unsigned", 3, UNSIGNED, false, 0),
        ("int zerofill", 3, UNSIGNED | ZEROFILL, false, 0),
        ("bigint", 8, 0, false, 0),
        ("bigint unsigned", 8, UNSIGNED, false, 0),
        ("float", 4, 0, false, 31),
        ("double", 5, 0, false, 31),
        ("decimal(10,3)", 246, 0, false, 3),
        ("decimal(10,3) unsigned", 246, UNSIGNED, false, 3),
        ("bit(5)", 16, UNSIGNED, false, 0),
        ("date", 10, BINARY, false, 0),
        ("time(6)", 11, BINARY, false, 6),
        ("datetime(3)", 12, BINARY, false, 3),
        ("timestamp(6) NULL", 7, BINARY, false, 6),
        ("year", 13, UNSIGNED | ZEROFILL, false, 0),
        ("char(5)", 254, 0, true, 0),
        ("varchar(5)", 253, 0, true, 0),
        ("varchar(5) CHARACTER SET latin1", 253, 0, true, 0),
        ("varchar(5) COLLATE utf8mb4_bin", 253, BINARY, true, 0),
        ("binary(4)", 254, BINARY, false, 0),
        ("varbinary(5)", 253, BINARY, false, 0),
        ("tinytext", 252, BLOB, true, 0),
        ("text", 252, BLOB, true, 0),
        ("mediumtext", 252, BLOB, true, 0),
        ("longtext", 252, BLOB, true, 0),
        ("tinyblob", 252, BLOB | BINARY, false, 0),
        ("blob", 252, BLOB | BINARY, false, 0),
        ("mediumblob", 252, BLOB | BINARY, false, 0),
        ("longblob", 252, BLOB | BINARY, false, 0),
        ("enum('a','b')", 254, ENUM, true, 0),
        ("set('a','b')", 254, SET, true, 0),
        ("point", 255, BLOB | BINARY, false, 0),
    ];
    for mut wire in [connect(|_| {}), connect_with_eof()] {
        wire.run("SET NAMES utf8mb4");
        let mut ddl = vec!["id bigint unsigned AUTO_INCREMENT PRIMARY KEY".to_owned()];
        for (at, (declared, ..)) in columns.iter().enumerate() {
            ddl.push(format!("c{at} {declared}"));
        }
        ddl.push("j json".into());
        wire.run(&format!(
            "CREATE TEMPORARY TABLE every ({})",
            ddl.join(", ")
        ));
        let select = "SELECT * FROM every";
        let prepared = result(&wire.query(&statement(select), &params(&[]))).0;
        let simple = result(&wire.simple(select)).0;
        assert_eq!(
            (prepared.len(), simple.len()),
            (columns.len() + 2, columns.len() + 2)
        );
        for (column, simple) in prepared.iter().zip(&simple) {
            assert!(column.binary && !simple.binary);
            let mut same = simple.clone();
            same.binary = true;
            assert_eq!(*column, same, "however it is asked for");
        }
        let id = &prepared[0];
        assert_eq!(
            (id.name.as_str(), id.type_oid, id.charset),
            ("id", 8, BYTES)
        );
        let key = NOT_NULL | PRIMARY_KEY | AUTO_INCREMENT | UNSIGNED;
        assert_eq!(id.flags & key, key);
        // Keys and defaults have flags, too, that say nothing of a value.
        let telling = NOT_NULL | BLOB | UNSIGNED | ZEROFILL | BINARY | ENUM | AUTO_INCREMENT | SET;
        for (column, (declared, kind, flags, is_text, decimals)) in
            prepared[1..].iter().zip(columns)
        {
            // MariaDB takes times since 1970 for unsigned.
            let flags = match kind {
                7 if wire.is_mariadb() => flags | UNSIGNED,
                _ => *flags,
            };
            assert_eq!(
                (column.type_oid, column.flags & telling, column.modifier),
                (*kind, flags, *decimals),
                "{declared}"
            );
            assert_eq!(column.charset != BYTES, *is_text, "{declared}");
        }
        // JSON is a type of its own, or a text.
        let json = prepared.last().unwrap();
        let expected = if wire.is_mariadb() {
            (252, true)
        } else {
            (245, false)
        };
        assert_eq!((json.type_oid, json.charset != BYTES), expected);
        // What has no table.
        let select =
            "SELECT 1 AS a, 'x' AS b, NULL AS c, x'41' AS d, 1.5 AS e, 1e0 AS f, now(6) AS g";
        let events = wire.query(&statement(select), &params(&[]));
        let told: Vec<(u32, bool)> = result(&events)
            .0
            .iter()
            .map(|column| (column.type_oid, column.charset != BYTES))
            .collect();
        let number = if wire.is_mariadb() { 3 } else { 8 };
        let expected = [
            (number, false),
            (253, true),
            (6, false),
            (253, false),
            (246, false),
            (5, false),
            (12, false),
        ];
        assert_eq!(told, expected);
        assert_eq!(table(&events)[0][1].as_deref(), Some(&b"x"[..]));
        if wire.is_mariadb() {
            wire.run("CREATE TEMPORARY TABLE own (a uuid UNIQUE, b inet6)");
            for column in result(&wire.simple("SELECT * FROM own")).0 {
                assert_eq!((column.type_oid, column.charset != BYTES), (254, true));
                assert_eq!(column.flags & (UNSIGNED | BINARY), UNSIGNED | BINARY);
            }
        } else {
            wire.run("CREATE TEMPORARY TABLE own (a int NOT NULL UNIQUE)");
            let column = result(&wire.simple("SELECT * FROM own")).0.remove(0);
            assert!(column.flags & (UNIQUE_KEY | PRIMARY_KEY) != 0);
        }
    }
}

/// How many statements of this session the server holds.
fn held(wire: &mut Wire) -> i64 {
    let events = wire.simple(
        "SHOW SESSION STATUS WHERE variable_name IN ('Com_stmt_prepare', 'Com_stmt_close')",
    );
    let count = |name: &str| -> i64 {
        let rows = table(&events);
        let row = rows
            .iter()
            .find(|row| row[0].as_deref() == Some(name.as_bytes()))
            .unwrap();
        std::str::from_utf8(row[1].as_ref().unwrap())
            .unwrap()
            .parse()
            .unwrap()
    };
    count("Com_stmt_prepare") - count("Com_stmt_close")
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_server_holds_as_many_statements_as_the_session() {
    let mut wire = connect(|config| config.statement_cache = 3);
    let all: Vec<_> = (0..10)
        .map(|number| statement(&format!("SELECT {number} + ?")))
        .collect();
    for round in 0..3 {
        for statement in &all {
            assert_eq!(table(&wire.query(statement, &params(&[int(1)]))).len(), 1);
            assert!(held(&mut wire) <= 3, "round {round}");
        }
    }
    assert_eq!((held(&mut wire), wire.session.prepared()), (3, 3));
    // The last three are there, in the order in which they were used.
    for statement in [&all[7], &all[9], &all[8], &all[0]] {
        wire.query(statement, &params(&[int(1)]));
    }
    let there: Vec<usize> = (0..10)
        .filter(|at| wire.session.is_prepared(&all[*at]).is_some())
        .collect();
    assert_eq!(there, [0, 8, 9]);
    // What is not kept, of the wrong number of values or only described is not held, either.
    for _ in 0..5 {
        wire.query(&once("SELECT 1"), &params(&[]));
        failed(&wire.query(&once("SELECT ?"), &params(&[])));
        let request = wire.session.describe(&once("SELECT ?")).unwrap();
        wire.until(|event| matches!(event, Seen::Described(..)));
        wire.session.end_described();
        wire.answer(request);
    }
    assert_eq!(held(&mut wire), 3);
    wire.session.forget(&all[9]);
    assert_eq!(held(&mut wire), 2);
    wire.session.set_unnamed();
    assert_eq!((held(&mut wire), wire.session.prepared()), (0, 0));
    wire.query(&all[0], &params(&[int(1)]));
    assert_eq!(held(&mut wire), 0);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn described_statements_are_run_or_not() {
    for mut wire in [connect(|_| {}), connect_with_eof()] {
        wire.run("CREATE TEMPORARY TABLE things (id int PRIMARY KEY, word varchar(20))");
        let describe = |wire: &mut Wire, statement: &oxyde_exec::query::Statement| {
            let request = wire.session.describe(statement).unwrap();
            let events = wire.until(|event| matches!(event, Seen::Described(..) | Seen::Done(..)));
            (request, events)
        };
        let insert = statement("INSERT INTO things VALUES (?, ?)");
        for round in 0..3 {
            let (request, events) = describe(&mut wire, &insert);
            assert_eq!(events, [Seen::Described(request, 2, Vec::new())]);
            wire.session
                .execute_described(&params(&[int(round), text("x")]), None)
                .unwrap();
            let events = wire.answer(request);
            assert!(matches!(
                events[..],
                [Seen::Completed(_, Tag::Other, 1, 0), Seen::Done(..)]
            ));
        }
        let select = once("SELECT id, word FROM things WHERE id >= ?");
        let (request, events) = describe(&mut wire, &select);
        let [Seen::Described(_, 1, columns)] = &events[..] else {
            panic!("{events:?}");
        };
        let names: Vec<&str> = columns.iter().map(|column| &column.name[..]).collect();
        assert_eq!(names, ["id", "word"]);
        wire.session
            .execute_described(&params(&[int(1)]), None)
            .unwrap();
        assert_eq!(table(&wire.answer(request)).len(), 2);
        // Not run: nothing has happened.
        let (request, _) = describe(&mut wire, &insert);
        wire.session.end_described();
        assert_eq!(wire.answer(request), [Seen::Done(request, TxStatus::Idle)]);
        assert_eq!(wire.value("SELECT count(*) FROM things"), "3");
        // It can be run later without being described again.
        let events = wire.query(&insert, &params(&[int(7), text("y")]));
        assert!(matches!(events[0], Seen::Completed(..)));
        let (_, events) = describe(&mut wire, &statement("SELECT nothing FROM things"));
        assert_eq!(failed(&events).kind, ErrorKind::Programming);
        // In a transaction, an error as well.
        wire.run("BEGIN");
        let (_, events) = describe(&mut wire, &statement("SELECT nothing FROM things"));
        assert_eq!(last(&events), TxStatus::InTransaction);
        let (request, _) = describe(&mut wire, &statement("COMMIT"));
        wire.session.execute_described(&nulls(0), None).unwrap();
        assert!(matches!(
            wire.answer(request)[..],
            [
                Seen::Completed(_, Tag::Commit, ..),
                Seen::Done(_, TxStatus::Idle)
            ]
        ));
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn back_to_the_beginning() {
    let mut wire = connect(|_| {});
    let select = statement("SELECT @here AS here");
    wire.run("SET @here = 'x'");
    wire.run("CREATE TEMPORARY TABLE things (id int)");
    wire.run("BEGIN");
    wire.query(&select, &params(&[]));
    let reset = wire.session.reset().unwrap();
    assert_eq!(wire.session.prepared(), 0);
    assert_eq!(wire.answer(reset), [Seen::Done(reset, TxStatus::Idle)]);
    assert_eq!(
        failed(&wire.simple("SELECT * FROM things")).kind,
        ErrorKind::Programming
    );
    assert_eq!(table(&wire.query(&select, &params(&[]))), [[None]]);
    // With settings behind it, and more than one.
    let reset = wire.session.reset().unwrap();
    let set = wire.session.simple("SET @here = 'y'").unwrap();
    let again = wire.session.query(&select, &params(&[])).unwrap();
    let events = wire.answer(again);
    assert_eq!(events[0], Seen::Done(reset, TxStatus::Idle));
    assert_eq!(events[2], Seen::Done(set, TxStatus::Idle));
    assert_eq!(table(&events), [[Some(b"y".to_vec())]]);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_statement_that_the_server_has_forgotten_is_prepared_anew() {
    let mut wire = connect(|_| {});
    let [one, other] = ["SELECT 1 + ?", "SELECT 2 + ?"].map(statement);
    let go = params(&[int(1)]);
    for statement in [&one, &other] {
        wire.query(statement, &go);
    }
    // Behind the session's back: its number for it stays.
    wire.stream.write_all(&[1, 0, 0, 0, 0x1f]).unwrap();
    let length = wire.stream.read(&mut wire.read).unwrap();
    assert_eq!(
        wire.read[..5],
        [u8::try_from(length - 4).unwrap(), 0, 0, 1, 0]
    );
    let requests = [&one, &one].map(|statement| wire.session.query(statement, &go).unwrap());
    let events = wire.answer(requests[1]);
    let errors: Vec<&ExecError> = events
        .iter()
        .filter_map(|event| match event {
            Seen::Failed(_, error) => Some(error),
            _ => None,
        })
        .collect();
    assert_eq!(errors.len(), 2);
    for error in errors {
        assert_eq!(
            (error.kind, error.retryable, error.outcome),
            (ErrorKind::Programming, true, Effect::NotApplied)
        );
    }
    assert!(wire.session.is_prepared(&one).is_none());
    assert!(wire.session.is_prepared(&other).is_some());
    assert_eq!(table(&wire.query(&one, &go)).len(), 1);
    // In a transaction, too.
    wire.run("BEGIN");
    // The new one has the old number, so that only an answer tells them apart.
    let events = wire.query(&other, &go);
    if matches!(events[0], Seen::Failed(..)) {
        assert_eq!(last(&events), TxStatus::InTransaction);
        assert_eq!(table(&wire.query(&other, &go)).len(), 1);
    }
}

/// Sends and goes on without an answer; another connection stops it when it runs.
fn stopped(wire: &mut Wire, killer: &mut Wire, sql: &str, prepared: bool) -> Vec<Seen> {
    let request = if prepared {
        wire.session.query(&statement(sql), &params(&[]))
    } else {
        wire.session.simple(sql)
    };
    let request = request.unwrap();
    if prepared {
        // EXECUTE goes out when PREPARE has been answered.
        wire.flush();
        let length = wire.stream.read(&mut wire.read).unwrap();
        let bytes = wire.read[..length].to_vec();
        let mut events = Vec::new();
        assert!(feed(&mut wire.session, &bytes, &mut events));
        assert_eq!(events, []);
    }
    wire.flush();
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    killer.run(&wire.session.cancel_sql().unwrap());
    let events = wire.answer(request);
    assert!(start.elapsed() < Duration::from_secs(10));
    events
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn what_runs_too_long_is_stopped_by_another_connection() {
    let (mut wire, mut killer) = (connect(|_| {}), connect(|_| {}));
    wire.run("CREATE TEMPORARY TABLE numbers (id int)");
    wire.run("INSERT INTO numbers VALUES (1), (2), (3)");
    for prepared in [false, true] {
        // SLEEP tells that it was woken.
        let events = stopped(&mut wire, &mut killer, "SELECT SLEEP(30)", prepared);
        match &events[..] {
            [.., Seen::Failed(_, error), Seen::Done(..)] => {
                assert_eq!(error.kind, ErrorKind::Cancelled)
            }
            events => assert_eq!(table(events).len(), 1, "{events:?}"),
        }
        for sql in [
            "SELECT SLEEP(10) FROM numbers WHERE id > 0",
            "UPDATE numbers SET id = id + SLEEP(10)",
            "SELECT BENCHMARK(100000000000, SHA2('x', 512))",
        ] {
            let events = stopped(&mut wire, &mut killer, sql, prepared);
            let error = match &events[..] {
                [.., Seen::Failed(_, error), Seen::Done(..)] => error,
                // MySQL ends BENCHMARK() with a value.
                events if sql.contains("BENCHMARK") => {
                    assert_eq!(table(events).len(), 1, "{events:?}");
                    continue;
                }
                events => panic!("{sql}: {events:?}"),
            };
            assert_eq!(
                (error.kind, error.outcome),
                (ErrorKind::Cancelled, Effect::NotApplied)
            );
            assert_eq!(last(&events), TxStatus::Idle);
        }
        wire.run("BEGIN");
        let events = stopped(
            &mut wire,
            &mut killer,
            "UPDATE numbers SET id = id + SLEEP(10)",
            prepared,
        );
        assert_eq!(failed(&events).kind, ErrorKind::Cancelled);
        assert_eq!(last(&events), TxStatus::InTransaction);
        wire.run("ROLLBACK");
    }
    assert_eq!(wire.value("SELECT sum(id) FROM numbers"), "6");
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn rows_may_end_with_an_error() {
    let (mut wire, mut killer) = (connect(|_| {}), connect(|_| {}));
    wire.run("CREATE TEMPORARY TABLE numbers (id int PRIMARY KEY)");
    wire.run("INSERT INTO numbers WITH RECURSIVE n AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM n WHERE id < 1000) SELECT id FROM n");
    let sql = "SELECT id, REPEAT('x', 20000) AS b, SLEEP(0.01) AS c FROM numbers";
    for prepared in [false, true] {
        let request = if prepared {
            wire.session.query(&statement(sql), &params(&[]))
        } else {
            wire.session.simple(sql)
        };
        let request = request.unwrap();
        let mut rows = 0;
        let mut asked = false;
        let mut error = None;
        loop {
            wire.flush();
            let length = wire.stream.read(&mut wire.read).unwrap();
            let bytes = wire.read[..length].to_vec();
            let mut events = Vec::new();
            assert!(feed(&mut wire.session, &bytes, &mut events));
            for event in &events {
                match event {
                    Seen::Rows(_, more) => rows += more.len(),
                    Seen::Failed(_, failed) => error = Some(failed.clone()),
                    _ => {}
                }
            }
            if rows > 100 && !asked {
                asked = true;
                killer.run(&wire.session.cancel_sql().unwrap());
            }
            if events.contains(&Seen::Done(request, TxStatus::Idle)) {
                break;
            }
        }
        assert_eq!(error.expect("it was stopped").kind, ErrorKind::Cancelled);
        assert!(rows < 1000);
        assert_eq!(wire.value("SELECT 1"), "1");
    }
}

/// The session's last word, whether the server has one or just goes.
fn end_of(wire: &mut Wire) -> ExecError {
    loop {
        let length = wire.stream.read(&mut wire.read).unwrap_or(0);
        if length == 0 {
            return wire.session.end_of_file().0;
        }
        let bytes = wire.read[..length].to_vec();
        let mut events = Vec::new();
        if !feed(&mut wire.session, &bytes, &mut events) {
            match events.pop() {
                Some(Seen::Fatal(error)) => return error,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_killed_connection_is_lost() {
    let mut killer = connect(|_| {});
    let mut idle = connect(|_| {});
    killer.run(&format!("KILL {}", idle.session.thread_id().unwrap()));
    let error = end_of(&mut idle);
    assert_eq!(
        (error.kind, error.outcome),
        (ErrorKind::ConnectionLost, Effect::NotApplied),
        "{error}"
    );
    for sql in ["SELECT SLEEP(30)", "DO SLEEP(30)"] {
        let mut busy = connect(|_| {});
        busy.session.simple(sql).unwrap();
        busy.flush();
        std::thread::sleep(Duration::from_millis(300));
        killer.run(&format!(
            "KILL CONNECTION {}",
            busy.session.thread_id().unwrap()
        ));
        let error = end_of(&mut busy);
        assert_eq!(
            (error.kind, error.outcome),
            (ErrorKind::ConnectionLost, Effect::Unknown),
            "{error}"
        );
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn an_idle_connection_is_told_goodbye() {
    let mut wire = connect(|_| {});
    wire.run("SET wait_timeout = 1");
    let error = end_of(&mut wire);
    assert_eq!(
        (error.kind, error.outcome),
        (ErrorKind::ConnectionLost, Effect::NotApplied),
        "{error}"
    );
    // Whoever asks before it has heard of that does not know what has become of it.
    let mut wire = connect(|_| {});
    wire.run("SET wait_timeout = 1");
    std::thread::sleep(Duration::from_millis(2500));
    wire.session.simple("SELECT 1").unwrap();
    let _ = wire.stream.write_all(wire.session.output());
    let error = end_of(&mut wire);
    assert_eq!(error.kind, ErrorKind::ConnectionLost, "{error}");
}
