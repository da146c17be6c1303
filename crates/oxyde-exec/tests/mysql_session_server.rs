//! Sessions with a real server, over a blocking socket: `OXYDE_TEST_MYSQL_URL` names it (MySQL or MariaDB).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod mysql_session_wire;

use std::sync::Arc;
use std::time::Duration;

use mysql_session_wire::socket::*;
use mysql_session_wire::*;
use oxyde_exec::mysql::session::{Event, Password, Request, SessionConfig};
use oxyde_exec::{Effect, ErrorKind, ExecError, Tag, TxStatus};

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_statement_is_prepared_once_and_answers_the_same_again() {
    for mut wire in [connect(|_| {}), connect_with_eof()] {
        assert!(wire.session.server_version().is_some());
        let statement = statement("SELECT ? + 1 AS next, 'é' AS word");
        let mut columns = Vec::new();
        for number in [1, 7, 41] {
            let events = wire.query(&statement, &params(&[int(number)]));
            let [
                Seen::Columns(request, described),
                Seen::Rows(_, rows),
                Seen::Completed(_, Tag::Other, 1, 0),
                Seen::Done(done, TxStatus::Idle),
            ] = events.as_slice()
            else {
                panic!("{events:?}");
            };
            assert_eq!(request, done);
            assert_eq!(described[0].name, "next");
            assert!(described[0].binary && described[1].binary);
            let cells = cells(described, &rows[0]);
            assert_eq!(cells[0], Some((number + 1).to_le_bytes().to_vec()));
            assert_eq!(cells[1].as_deref(), Some("é".as_bytes()));
            columns.push(described.clone());
        }
        assert_eq!(columns[1], columns[2]);
        assert_eq!(wire.session.prepared(), 1);
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn columns_are_the_same_object_as_long_as_they_do_not_change() {
    for mut wire in [connect(|_| {}), connect_with_eof()] {
        wire.run("CREATE TEMPORARY TABLE things (id int, word varchar(20))");
        wire.run("INSERT INTO things VALUES (1, 'a')");
        let select = statement("SELECT * FROM things WHERE id = ?");
        let mut seen = Vec::new();
        for round in 0..6 {
            if round == 4 {
                wire.run("ALTER TABLE things ADD COLUMN more double NOT NULL DEFAULT 2.5");
            }
            let request = wire.session.query(&select, &params(&[int(1)])).unwrap();
            let mut done = false;
            while !done {
                wire.flush();
                let length = wire.stream.read(&mut wire.read).unwrap();
                // In small pieces, which take another way than what comes as a whole.
                let size = if round == 3 { 7 } else { length };
                for mut data in wire.read[..length].chunks(size) {
                    while let Some(event) = wire.session.next(&mut data).unwrap() {
                        match event {
                            Event::Columns(_, columns) => seen.push(columns),
                            Event::Rows(_, rows) => assert_eq!(rows.raw().count, 1),
                            Event::Done(other, _) => done = other == request,
                            Event::Completed(..) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
            }
        }
        assert_eq!(seen.len(), 6);
        assert!(Arc::ptr_eq(&seen[1], &seen[2]) && Arc::ptr_eq(&seen[2], &seen[3]));
        assert_eq!((seen[3].len(), seen[4].len()), (2, 3));
        assert!(Arc::ptr_eq(&seen[4], &seen[5]));
        let known = wire.session.is_prepared(&select).unwrap();
        assert!(Arc::ptr_eq(&seen[5], &known.1));
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn requests_sent_at_once_are_answered_in_order_and_fail_alone() {
    let mut wire = connect(|_| {});
    let insert = statement("INSERT INTO numbers VALUES (?)");
    wire.run("CREATE TEMPORARY TABLE numbers (id int PRIMARY KEY)");
    assert!(wire.session.can_follow(&insert));
    wire.query(&insert, &params(&[int(1)]));
    let requests: Vec<Request> = [5, 1, 2, 5, 3]
        .iter()
        .map(|number| {
            assert!(wire.session.can_follow(&insert));
            wire.session
                .query(&insert, &params(&[int(*number)]))
                .unwrap()
        })
        .collect();
    assert!(!wire.session.can_follow(&statement("SELECT 1")));
    assert_eq!(wire.session.in_flight(), 5);
    assert_eq!(wire.session.head(), Some(requests[0]));
    let events = wire.answer(requests[4]);
    assert_eq!(wire.session.in_flight(), 0);
    let mut answers = Vec::new();
    for request in &requests {
        answers.push(events.iter().find_map(|event| match event {
            Seen::Completed(of, _, rows, _) if of == request => Some(*rows),
            Seen::Failed(of, error) if of == request => {
                assert_eq!(error.kind, ErrorKind::Unique);
                Some(0)
            }
            _ => None,
        }));
        assert!(events.contains(&Seen::Done(*request, TxStatus::Idle)));
    }
    assert_eq!(answers, [Some(1), Some(0), Some(1), Some(0), Some(1)]);
    // Behind one that is being prepared nothing can go.
    let request = wire
        .session
        .query(&statement("SELECT 1"), &params(&[]))
        .unwrap();
    assert!(!wire.session.can_follow(&insert));
    assert!(wire.session.simple("SELECT 1").is_err());
    wire.answer(request);
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn errors_carry_what_the_server_says_about_them() {
    let mut wire = connect(|_| {});
    // In the schema called `mysql`, which a URL may name, no foreign key is looked at.
    wire.run("DROP DATABASE IF EXISTS oxyde_session_errors");
    wire.run("CREATE DATABASE oxyde_session_errors");
    wire.run("USE oxyde_session_errors");
    wire.run("CREATE TABLE session_people (id int PRIMARY KEY, name varchar(5) NOT NULL, CONSTRAINT session_adult CHECK (id > 17))");
    wire.run("CREATE TABLE session_children (id int PRIMARY KEY, parent int, CONSTRAINT session_parent FOREIGN KEY (parent) REFERENCES session_people (id))");
    let insert = statement("INSERT INTO session_people VALUES (?, ?)");
    let add =
        |wire: &mut Wire, id: i64, name: Param| wire.query(&insert, &params(&[int(id), name]));
    let done = add(&mut wire, 20, text("x"));
    assert!(matches!(done[0], Seen::Completed(_, Tag::Other, 1, 0)));
    let unique = failed(&add(&mut wire, 20, text("y")));
    assert_eq!(
        (unique.kind, unique.sqlstate.as_deref()),
        (ErrorKind::Unique, Some("23000"))
    );
    assert_eq!(unique.constraint.as_deref(), Some("PRIMARY"));
    assert!(!unique.message.contains("20"), "no values: {unique}");
    if !wire.is_mariadb() {
        assert_eq!(unique.table.as_deref(), Some("session_people"));
    }
    let missing = failed(&add(&mut wire, 21, null()));
    assert_eq!(
        (missing.kind, missing.column.as_deref()),
        (ErrorKind::NotNull, Some("name"))
    );
    let check = failed(&add(&mut wire, 3, text("y")));
    assert_eq!(
        (check.kind, check.constraint.as_deref()),
        (ErrorKind::Check, Some("session_adult"))
    );
    let long = failed(&add(&mut wire, 22, text("much too long")));
    assert_eq!(
        (long.kind, long.column.as_deref()),
        (ErrorKind::Data, Some("name"))
    );
    let wrong = failed(&wire.query(
        &statement("INSERT INTO session_people VALUES (?, 'x')"),
        &params(&[text("secret")]),
    ));
    assert_eq!(wrong.kind, ErrorKind::Data);
    assert_eq!(wrong.column.as_deref(), Some("id"), "{wrong}");
    assert!(!format!("{wrong:?}").contains("secret"), "{wrong:?}");
    for sql in [
        "INSERT INTO session_children VALUES (1, 99)",
        "DELETE FROM session_people WHERE id = 20",
    ] {
        wire.simple("INSERT INTO session_children VALUES (2, 20)");
        let foreign = failed(&wire.query(&statement(sql), &params(&[])));
        assert_eq!(foreign.kind, ErrorKind::ForeignKey);
        assert_eq!(foreign.table.as_deref(), Some("session_children"));
        assert_eq!(foreign.column.as_deref(), Some("parent"));
        assert_eq!(foreign.constraint.as_deref(), Some("session_parent"));
    }
    // A number of parameters that is not the statement's is found before anything is run.
    let few = wire.session.query(&insert, &params(&[int(1)])).unwrap_err();
    assert_eq!(
        (few.kind, few.outcome),
        (ErrorKind::Programming, Effect::NotApplied)
    );
    let fresh = statement("INSERT INTO session_people VALUES (?, ?)");
    assert_eq!(
        failed(&wire.query(&fresh, &params(&[int(1)]))).kind,
        ErrorKind::Programming
    );
    let syntax = failed(&wire.query(&statement("SELEC 1"), &params(&[])));
    assert_eq!(syntax.kind, ErrorKind::Programming);
    // One text is one statement.
    assert_eq!(
        failed(&wire.simple("SELECT 1; SELECT 2")).kind,
        ErrorKind::Programming
    );
    assert_eq!(wire.value("SELECT count(*) FROM session_people"), "1");
    wire.run("DROP DATABASE oxyde_session_errors");
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn done_tells_the_state_of_the_transaction_and_completed_its_end() {
    for mut wire in [connect(|_| {}), connect_with_eof()] {
        wire.run("CREATE TEMPORARY TABLE numbers (id int PRIMARY KEY)");
        assert_eq!(
            last(&wire.simple("START TRANSACTION")),
            TxStatus::InTransaction
        );
        let select = statement("SELECT 1");
        assert_eq!(
            last(&wire.query(&select, &params(&[]))),
            TxStatus::InTransaction
        );
        // Errors leave the transaction open, and nobody has to guess.
        for sql in [
            "SELECT nothing",
            "INSERT INTO nowhere VALUES (1)",
            "RELEASE SAVEPOINT nowhere",
            "COMMIT nonsense",
        ] {
            let events = wire.query(&statement(sql), &params(&[]));
            failed(&events);
            assert_eq!(last(&events), TxStatus::InTransaction, "{sql}");
        }
        let commit = wire.simple(" /* the end */ commit");
        assert!(
            matches!(
                commit[..],
                [
                    Seen::Completed(_, Tag::Commit, 0, 0),
                    Seen::Done(_, TxStatus::Idle)
                ]
            ),
            "{commit:?}"
        );
        wire.run("BEGIN");
        wire.run("SAVEPOINT a");
        let to = wire.simple("ROLLBACK TO a");
        assert!(matches!(
            to[..],
            [
                Seen::Completed(_, Tag::Other, ..),
                Seen::Done(_, TxStatus::InTransaction)
            ]
        ));
        let chain = wire.query(&statement("COMMIT AND CHAIN"), &params(&[]));
        assert!(matches!(
            chain[..],
            [
                Seen::Completed(_, Tag::Other, ..),
                Seen::Done(_, TxStatus::InTransaction)
            ]
        ));
        let rollback = wire.query(&statement("ROLLBACK"), &params(&[]));
        assert!(matches!(
            rollback[..],
            [
                Seen::Completed(_, Tag::Rollback, ..),
                Seen::Done(_, TxStatus::Idle)
            ]
        ));
        // A statement that commits on the way, also one that fails.
        wire.run("BEGIN");
        let ddl = wire.simple("CREATE TABLE IF NOT EXISTS session_ddl (id int)");
        assert_eq!(last(&ddl), TxStatus::Idle);
        wire.run("BEGIN");
        let again = wire.simple("CREATE TABLE session_ddl (id int)");
        failed(&again);
        assert_eq!(last(&again), TxStatus::Idle, "an implicit commit");
        wire.run("DROP TABLE IF EXISTS session_ddl");
        // What an error leaves open although nobody began it.
        wire.run("DROP PROCEDURE IF EXISTS session_opens");
        wire.run("CREATE PROCEDURE session_opens() BEGIN START TRANSACTION; SIGNAL SQLSTATE '45000'; END");
        let events = wire.query(&statement("CALL session_opens()"), &params(&[]));
        failed(&events);
        assert_eq!(last(&events), TxStatus::InTransaction);
        wire.run("ROLLBACK");
        wire.run("DROP PROCEDURE session_opens");
        wire.run("SET autocommit = 0");
        let events = wire.simple("INSERT INTO numbers VALUES (1), (1)");
        assert_eq!(last(&events), TxStatus::InTransaction);
        assert_eq!(wire.session.transaction(), TxStatus::InTransaction);
        let request = wire.session.sync().unwrap();
        assert_eq!(
            wire.answer(request),
            [Seen::Done(request, TxStatus::InTransaction)]
        );
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_deadlock_ends_the_transaction_and_a_lock_wait_does_not() {
    let (mut one, mut two) = (connect(|_| {}), connect(|_| {}));
    one.run("DROP TABLE IF EXISTS session_locks");
    one.run("CREATE TABLE session_locks (id int PRIMARY KEY, n int) ENGINE = InnoDB");
    one.run("INSERT INTO session_locks VALUES (1, 0), (2, 0)");
    for wire in [&mut one, &mut two] {
        wire.run("SET innodb_lock_wait_timeout = 1");
        wire.run("BEGIN");
    }
    one.run("UPDATE session_locks SET n = 1 WHERE id = 1");
    let waits = two.simple("UPDATE session_locks SET n = 2 WHERE id = 1");
    assert_eq!(failed(&waits).kind, ErrorKind::LockTimeout);
    assert_eq!(last(&waits), TxStatus::InTransaction);
    two.run("SET innodb_lock_wait_timeout = 50");
    one.run("SET innodb_lock_wait_timeout = 50");
    two.run("UPDATE session_locks SET n = 2 WHERE id = 2");
    let request = one
        .session
        .simple("UPDATE session_locks SET n = 1 WHERE id = 2")
        .unwrap();
    one.flush();
    std::thread::sleep(Duration::from_millis(200));
    let events = two.simple("UPDATE session_locks SET n = 2 WHERE id = 1");
    let (victim, other) = if matches!(events[0], Seen::Failed(..)) {
        two.run("ROLLBACK");
        let other = one.answer(request);
        (events, other)
    } else {
        (one.answer(request), events)
    };
    assert_eq!(failed(&victim).kind, ErrorKind::Deadlock);
    assert_eq!(last(&victim), TxStatus::Idle);
    assert_eq!(last(&other), TxStatus::InTransaction);
    one.run("ROLLBACK");
    two.run("ROLLBACK");
    one.run("DROP TABLE session_locks");
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn what_cannot_be_prepared_is_sent_as_a_text() {
    let mut wire = connect(|_| {});
    // Neither server prepares these.
    let sql = "BEGIN NOT ATOMIC SELECT 1; END";
    let lock = if wire.is_mariadb() {
        statement(sql)
    } else {
        statement("LOCK INSTANCE FOR BACKUP")
    };
    for _ in 0..2 {
        let events = wire.query(&lock, &params(&[]));
        assert!(
            matches!(events[..], [.., Seen::Completed(..), Seen::Done(..)]),
            "{events:?}"
        );
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn a_procedure_may_return_one_result_with_rows() {
    for mut wire in [connect(|_| {}), connect_with_eof()] {
        for name in ["session_none", "session_one", "session_two"] {
            wire.run(&format!("DROP PROCEDURE IF EXISTS {name}"));
        }
        wire.run("CREATE PROCEDURE session_none() BEGIN SET @x = 1; END");
        wire.run(
            "CREATE PROCEDURE session_one(a int) BEGIN SELECT a AS n UNION ALL SELECT a + 1; END",
        );
        wire.run(
            "CREATE PROCEDURE session_two(a int) BEGIN SELECT a AS n; SELECT 'b' AS w, 2 AS x; END",
        );
        let none = statement("CALL session_none()");
        let one = statement("CALL session_one(?)");
        let two = statement("CALL session_two(?)");
        for round in 0..3 {
            let events = wire.query(&none, &params(&[]));
            assert!(matches!(
                events[..],
                [Seen::Completed(..), Seen::Done(_, TxStatus::Idle)]
            ));
            let events = wire.query(&one, &params(&[int(round)]));
            let rows = table(&events);
            assert_eq!(rows.len(), 2, "{events:?}");
            assert_eq!(
                rows[1][0].as_ref().unwrap()[0],
                u8::try_from(round + 1).unwrap()
            );
            assert!(matches!(
                events[..],
                [
                    Seen::Columns(..),
                    Seen::Rows(..),
                    Seen::Completed(..),
                    Seen::Done(..)
                ]
            ));
            let events = wire.query(&two, &params(&[int(round)]));
            let error = failed(&events);
            assert_eq!(error.kind, ErrorKind::Programming);
            assert!(error.message.contains("more than one result"), "{error}");
            assert!(matches!(
                failed(&wire.simple("CALL session_two(1)")).kind,
                ErrorKind::Programming
            ));
            assert_eq!(wire.value("SELECT 1"), "1");
        }
        for name in ["session_none", "session_one", "session_two"] {
            wire.run(&format!("DROP PROCEDURE {name}"));
        }
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn an_insert_tells_the_first_key_that_was_made_up() {
    let mut wire = connect(|_| {});
    wire.run("CREATE TEMPORARY TABLE keyed (id bigint AUTO_INCREMENT PRIMARY KEY, n int) AUTO_INCREMENT = 70");
    let insert = statement("INSERT INTO keyed (n) VALUES (?), (?)");
    let events = wire.query(&insert, &params(&[int(1), int(1)]));
    assert!(
        matches!(events[0], Seen::Completed(_, Tag::Other, 2, 70)),
        "{events:?}"
    );
    // An update counts what it finds.
    let events = wire.simple("UPDATE keyed SET n = 1");
    assert!(
        matches!(events[0], Seen::Completed(_, Tag::Other, 2, _)),
        "{events:?}"
    );
    if wire.is_mariadb() {
        let returning = statement("INSERT INTO keyed (n) VALUES (?), (?) RETURNING id");
        let events = wire.query(&returning, &params(&[int(1), int(1)]));
        assert_eq!(table(&events).len(), 2);
        assert!(
            matches!(events[2], Seen::Completed(_, Tag::Other, 2, _)),
            "{events:?}"
        );
    }
}

/// A login as another user; the error is the session's last word.
fn login(user: &str, password: &str, socket: Option<&str>) -> Result<Wire, ExecError> {
    let change = |config: &mut SessionConfig| {
        config.user = user.into();
        config.database = None;
    };
    // An empty password is one, too.
    try_connect(change, |_| {}, Some(Password::new(password)), socket)
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn every_plugin_lets_in_who_knows_the_password() {
    let mut root = connect(|_| {});
    let mariadb = root.is_mariadb();
    // Where it is on this machine, its socket file is another way in: a password may be sent in clear there.
    let socket = root.value("SELECT @@socket");
    let socket = std::path::Path::new(&socket).exists().then_some(socket);
    let plugins: &[(&str, bool)] = if mariadb {
        &[("mysql_native_password", true), ("ed25519", false)]
    } else {
        &[
            ("caching_sha2_password", true),
            ("sha256_password", true),
            ("mysql_native_password", true),
        ]
    };
    for (plugin, empty) in plugins {
        for password in ["secret", "pä'wörd ♥", ""] {
            if password.is_empty() && !empty {
                continue;
            }
            let user = format!("session_{plugin}");
            root.run(&format!("DROP USER IF EXISTS {user}"));
            let quoted = password.replace('\'', "''");
            let created = root.simple(&if mariadb {
                format!("CREATE USER {user} IDENTIFIED VIA {plugin} USING PASSWORD('{quoted}')")
            } else {
                format!("CREATE USER {user} IDENTIFIED WITH {plugin} BY '{quoted}'")
            });
            if let Some(Seen::Failed(_, error)) = created.first() {
                // MySQL 9 has no mysql_native_password; MariaDB only knows plugins that are installed.
                eprintln!("{plugin} is not tried: {error}");
                continue;
            }
            // Cold and warm: MySQL keeps hashes of those who came once.
            for way in [None, None, socket.as_deref()] {
                for cold in [true, false] {
                    if cold {
                        root.run("FLUSH PRIVILEGES");
                    }
                    let mut wire = login(&user, password, way).unwrap();
                    let who = wire.value("SELECT CURRENT_USER()");
                    assert!(who.starts_with(&user), "{who}");
                }
            }
            let error = login(&user, "wrong", None).err().expect("an error");
            assert_eq!(error.kind, ErrorKind::Connect);
            assert!(error.message.contains("Access denied"), "{error}");
            assert!(!format!("{error:?}").contains("wrong"));
            root.run(&format!("DROP USER {user}"));
        }
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-mysql"]
fn large_values_go_both_ways() {
    let mut wire = connect(|_| {});
    let limit: usize = wire.value("SELECT @@max_allowed_packet").parse().unwrap();
    let echo = statement("SELECT ? AS a, 1 AS b");
    for size in [
        (1 << 24) - 20,
        FULL - 5,
        FULL,
        FULL + 1,
        20 << 20,
        2 * FULL - 30,
    ] {
        if size + 1024 > limit {
            continue;
        }
        let sent = b"abcdefghijklmnopqrstuvw".repeat(size / 23 + 1)[..size].to_vec();
        for round in 0..2 {
            let events = wire.query(&echo, &params(&[bytes(0xfc, &sent)]));
            let rows = table(&events);
            assert!(
                rows[0][0].as_ref() == Some(&sent),
                "{size} in round {round}"
            );
            assert!(rows[0][1].is_some());
        }
    }
    // Rows of every length around the one that a packet holds, in both formats.
    let repeat = statement("SELECT REPEAT('x', ?) AS a");
    for size in (FULL - 7..FULL - 2).chain([FULL, limit - 1024]) {
        if size + 1024 > limit {
            continue;
        }
        let number = i64::try_from(size).unwrap();
        for events in [
            wire.query(&repeat, &params(&[int(number)])),
            wire.simple(&format!("SELECT REPEAT('x', {size}) AS a")),
        ] {
            let rows = table(&events);
            let value = rows[0][0].as_ref().unwrap();
            assert!(*value == vec![b'x'; size]);
        }
    }
    assert_eq!(wire.value("SELECT 1"), "1");
    // What the server would not take is refused before it is sent.
    wire.session.set_max_packet(limit);
    let error = wire
        .session
        .query(&echo, &params(&[bytes(0xfc, &vec![b'x'; limit])]))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Data);
    assert!(error.message.contains(&limit.to_string()), "{error}");
    assert_eq!(wire.value("SELECT 1"), "1");
    // The longest that it takes.
    let rest = 10 + 1 + 1 + 2 + length_encoded(limit).len();
    let longest = bytes(0xfc, &vec![b'x'; limit - rest - 1]);
    let events = wire.query(&statement("SELECT LENGTH(?) AS a"), &params(&[longest]));
    assert_eq!(table(&events).len(), 1);
    let long = format!("SELECT 1 /* {} */", "x".repeat(limit - 16));
    assert!(wire.session.simple(&long).is_err());
    assert_eq!(wire.value(&long.replacen('x', "", 1)), "1");
}
