//! The session against scripted servers: each packet's path, and the same events however the bytes are cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod mysql_session_wire;

use std::sync::Arc;

use mysql_session_wire::exercise::{Action, act, is_free, nulls, react};
use mysql_session_wire::scenarios::{SERVERS, Scenario, letter, scenarios, start};
use mysql_session_wire::*;
use oxyde_exec::mysql::rows::{Rows, TextFields};
use oxyde_exec::mysql::session::{Event, Fatal, Limits, Line, Session, SessionConfig};
use oxyde_exec::query::{Column, RawRows};
use oxyde_exec::{CursorId, Effect, ErrorKind, Tag, TxStatus};

/// Goes through a scenario with its bytes cut into pieces; the events and the types of the commands sent.
fn play(scenario: &Scenario, mut cut: impl FnMut() -> usize) -> (Vec<Seen>, String) {
    let mut session = start(scenario);
    let mut actions = scenario.actions.iter();
    act(&mut session, actions.next().unwrap());
    let mut sent = kinds(&mut session);
    let mut events = Vec::new();
    let mut rest = scenario.bytes.as_slice();
    let run = !scenario
        .actions
        .iter()
        .any(|action| matches!(action, Action::DescribeOnly(_)));
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
        rest = behind;
        loop {
            let event = match session.next(&mut piece) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(Fatal(error)) => {
                    events.push(Seen::Fatal(error));
                    sent.push_str(&kinds(&mut session));
                    return (events, sent);
                }
            };
            react(&mut session, &event, run);
            if is_free(&session, &event)
                && let Some(action) = actions.next()
            {
                act(&mut session, action);
            }
            push(&mut events, seen(event));
        }
        sent.push_str(&kinds(&mut session));
    }
    (events, sent)
}

#[test]
fn each_packet_s_path_gives_its_events() {
    for scenario in scenarios() {
        let (events, sent) = play(&scenario, || usize::MAX);
        let letters: String = events.iter().map(letter).collect();
        let name = format!("{} ({:x})", scenario.name, scenario.capabilities);
        assert_eq!(letters, scenario.events, "{name}: {events:?}");
        assert_eq!(sent, scenario.sent, "{name}");
    }
}

#[test]
fn where_the_bytes_are_cut_makes_no_difference() {
    let mut dice = Dice(1);
    for scenario in scenarios() {
        let whole = play(&scenario, || usize::MAX);
        let name = format!("{} ({:x})", scenario.name, scenario.capabilities);
        assert!(whole == play(&scenario, || 1), "{name}: bytewise");
        for at in 1..scenario.bytes.len() {
            let mut first = Some(at);
            let cut = play(&scenario, || first.take().unwrap_or(usize::MAX));
            assert!(whole == cut, "{name}: cut at {at}");
        }
        for _ in 0..50 {
            let cut = play(&scenario, || 1 + dice.below(40));
            assert!(whole == cut, "{name}: random pieces");
        }
    }
}

#[test]
fn a_packet_out_of_its_order_ends_the_session() {
    for scenario in scenarios() {
        let mut start = 0;
        while start < scenario.bytes.len() {
            let head = &scenario.bytes[start..start + 4];
            let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
            for change in [1, 7, 255] {
                let mut bytes = scenario.bytes.clone();
                bytes[start + 3] = bytes[start + 3].wrapping_add(change);
                let changed = Scenario {
                    bytes,
                    actions: scenario.actions.clone(),
                    ..scenario
                };
                for size in [3, usize::MAX] {
                    let (events, _) = play(&changed, || size);
                    assert!(
                        matches!(events.last(), Some(Seen::Fatal(_))),
                        "{}: {start} {events:?}",
                        scenario.name
                    );
                }
            }
            start += 4 + usize::try_from(length).unwrap();
        }
    }
}

/// All events of `bytes`, which the session must live through.
fn hear(session: &mut Session, bytes: &[u8]) -> Vec<Seen> {
    let mut events = Vec::new();
    assert!(feed(session, bytes, &mut events), "{events:?}");
    events
}

fn letters(events: &[Seen]) -> String {
    events.iter().map(letter).collect()
}

const TABLE: &[(&str, u8)] = &[("a", 0xfd)];

/// A session on which `SELECT ?` is prepared as number 9, and that statement.
fn prepared(capabilities: u64) -> (Session, Arc<oxyde_exec::query::Statement>) {
    let mut session = open_with(config(), capabilities);
    let select = statement("SELECT ?");
    session.query(&select, &nulls(1)).unwrap();
    let say = || Answer::new(capabilities);
    hear(&mut session, &say().prepared(9, 1, TABLE).bytes);
    let answer = say().known_columns(TABLE).end(AUTOCOMMIT);
    let events = hear(&mut session, &answer.bytes);
    assert_eq!(letters(&events), "CTZ");
    session.output().clear();
    (session, select)
}

#[test]
fn the_introduction_says_who_we_are_and_what_we_can() {
    let mut session = Session::new(SessionConfig {
        application_name: Some("shop".into()),
        ..config()
    });
    session
        .start(None, Line::Tls, &greeting(MYSQL, "caching_sha2_password"))
        .unwrap();
    let bytes = session.output().clone();
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    assert_eq!(usize::try_from(length).unwrap(), bytes.len() - 4);
    assert_eq!(bytes[3], 2, "behind the request for TLS");
    let abilities = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    let has = |bit: u32| abilities & (1 << bit) != 0;
    // Found rows, a database, protocol 4.1, TLS, transactions, several results, plugins, attributes, no EOF.
    for bit in [1, 3, 9, 11, 13, 17, 18, 19, 20, 21, 24] {
        assert!(has(bit), "{bit}");
    }
    // Files of ours, several statements in one text.
    assert!(!has(7) && !has(16));
    assert_eq!(bytes[8..12], (1_u32 << 30).to_le_bytes());
    assert_eq!(bytes[12], 45, "utf8mb4");
    assert_eq!(bytes[13..36], [0; 23]);
    let attributes = b"\x0c_client_name\x05oxyde\x0cprogram_name\x04shop";
    let expected = [
        &b"anna\0\0shop\0caching_sha2_password\0"[..],
        &[u8::try_from(attributes.len()).unwrap()],
        attributes,
    ]
    .concat();
    assert_eq!(bytes[36..], expected);
    assert_eq!(session.thread_id(), Some(4711));
    assert_eq!(session.server_version(), Some("8.4.2"));
    assert_eq!(session.cancel_sql().as_deref(), Some("KILL QUERY 4711"));

    // MariaDB has abilities of its own behind those of everybody; here nothing is encrypted, and no database wanted.
    let mut session = Session::new(SessionConfig {
        database: None,
        ..config()
    });
    session
        .start(
            None,
            Line::Network,
            &greeting(MARIADB, "mysql_native_password"),
        )
        .unwrap();
    let bytes = session.output().clone();
    assert_eq!(bytes[3], 1);
    assert_eq!(bytes[4] & (1 | 8), 0);
    assert_eq!(bytes[32..36], 16_u32.to_le_bytes());
    assert!(bytes[36..].starts_with(b"anna\0\0mysql_native_password\0"));
    assert_eq!(session.server_version(), Some("10.11.6-MariaDB"));
    assert!(session.is_mariadb());
    assert!(session.start(None, Line::Network, &[]).is_err(), "twice");

    for (user, database) in [
        ("an\0na", "shop"),
        ("anna", "shop\0"),
        (&"a".repeat(5000), ""),
    ] {
        let mut session = Session::new(SessionConfig {
            user: user.into(),
            database: Some(database.into()),
            ..config()
        });
        let greeting = greeting(MYSQL, "caching_sha2_password");
        assert!(session.start(None, Line::Network, &greeting).is_err());
        assert!(session.output().is_empty());
    }
}

#[test]
fn execute_carries_the_server_s_number_types_and_values() {
    let mut session = open(config());
    let select = statement("SELECT ?, ?, ?");
    let given = params(&[int(7), null(), text("x")]);
    session.query(&select, &given).unwrap();
    assert_eq!(written(&mut session), [(0x16, b"SELECT ?, ?, ?".to_vec())]);
    let expected = [
        // The number, no cursor, once; nulls, types follow.
        &b"\x04\x03\x02\x01\0\x01\0\0\0\x02\x01"[..],
        b"\x08\0\x06\0\xfd\0",
        &7_i64.to_le_bytes(),
        b"\x01x",
    ]
    .concat();
    let say = || Answer::new(MYSQL);
    hear(&mut session, &say().prepared(0x0102_0304, 3, TABLE).bytes);
    assert_eq!(written(&mut session), [(0x17, expected.clone())]);
    hear(&mut session, &say().columns(TABLE).end(AUTOCOMMIT).bytes);
    session.query(&select, &given).unwrap();
    assert_eq!(written(&mut session), [(0x17, expected)]);
}

#[test]
fn a_cursor_is_asked_for_and_fetched_by_the_server_s_number() {
    let mut session = open(config());
    let select = once("SELECT ?");
    session
        .open_cursor(CursorId(5), &select, &params(&[int(7)]))
        .unwrap();
    written(&mut session);
    let say = || Answer::new(MYSQL);
    hear(&mut session, &say().prepared(0x0102_0304, 1, TABLE).bytes);
    let expected = [
        // The number, a read-only cursor, once; nulls, types follow.
        &b"\x04\x03\x02\x01\x01\x01\0\0\0\0\x01\x08\0"[..],
        &7_i64.to_le_bytes(),
    ]
    .concat();
    assert_eq!(written(&mut session), [(0x17, expected)]);
    assert!(session.fetch(CursorId(5), 10).is_err(), "not open yet");
    hear(&mut session, &say().waiting(TABLE, IN_TRANSACTION).bytes);
    session.fetch(CursorId(5), 300).unwrap();
    let fetch = b"\x04\x03\x02\x01\x2c\x01\0\0".to_vec();
    assert_eq!(written(&mut session), [(0x1c, fetch)]);
    let end = say().end(IN_TRANSACTION | LAST_ROW_SENT);
    hear(&mut session, &end.bytes);
    assert!(session.fetch(CursorId(6), 10).is_err(), "another one");
}

#[test]
fn what_cannot_be_sent_is_refused_and_leaves_nothing_behind() {
    let none = nulls(0);
    let early = Session::new(config()).simple("SELECT 1").unwrap_err();
    assert_eq!(early.kind, ErrorKind::Internal);
    let (mut session, select) = prepared(MYSQL);
    assert_eq!(
        session.query(&select, &none).unwrap_err().kind,
        ErrorKind::Programming
    );
    let mut short = nulls(1);
    short.values.truncate(2);
    assert!(session.query(&select, &short).is_err());
    session.set_max_packet(2000);
    let long = format!("SELECT '{}'", "x".repeat(2000));
    let big = params(&[bytes(0xfc, &[1; 2000])]);
    for error in [
        session.simple(&long).unwrap_err(),
        session.describe(&statement(&long)).unwrap_err(),
        session.query(&statement(&long), &none).unwrap_err(),
        session.query(&select, &big).unwrap_err(),
        session.query(&statement("SELECT ?"), &big).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Data);
        assert_eq!(error.outcome, Effect::NotApplied);
        assert!(error.message.contains("2000") && error.hint.is_some());
    }
    assert!(session.execute_described(&none, None).is_err());
    session.end_described();
    assert!(session.output().is_empty());
    assert_eq!(session.in_flight(), 0);
    // Described, it takes as many values as it says, and can still be ended.
    session.describe(&statement("SELECT ?, 2")).unwrap();
    let answer = Answer::new(MYSQL).prepared(10, 1, TABLE);
    assert_eq!(letters(&hear(&mut session, &answer.bytes)), "X");
    session.output().clear();
    assert!(session.execute_described(&none, None).is_err());
    assert!(session.execute_described(&big, None).is_err());
    assert!(session.output().is_empty());
    session.end_described();
    session.end_described();
    assert_eq!(kinds(&mut session), "i");
    let answer = Answer::new(MYSQL).ok(0, 0, AUTOCOMMIT);
    assert_eq!(letters(&hear(&mut session, &answer.bytes)), "Z");
    session.terminate();
    assert_eq!(kinds(&mut session), ".");
    assert!(session.simple("SELECT 1").is_err());
}

#[test]
fn nothing_goes_behind_what_is_being_prepared_and_everything_behind_what_runs() {
    let (mut session, known) = prepared(MYSQL);
    let fresh = statement("SELECT 2");
    assert!(session.can_follow(&known) && session.can_follow(&fresh));
    session.query(&known, &nulls(1)).unwrap();
    assert!(session.can_follow(&known));
    assert!(!session.can_follow(&fresh), "it has to be prepared first");
    // The caller may do it all the same: it comes last.
    let request = session.query(&fresh, &nulls(0)).unwrap();
    for statement in [&known, &fresh] {
        assert!(!session.can_follow(statement));
    }
    assert!(session.query(&known, &nulls(1)).is_err());
    assert!(session.simple("SELECT 1").is_err() && session.sync().is_err());
    assert!(session.describe(&known).is_err() && session.reset().is_err());
    assert_eq!(kinds(&mut session), "xp");
    let say = || Answer::new(MYSQL);
    let ended = |capabilities| {
        Answer::new(capabilities)
            .columns(TABLE)
            .end(AUTOCOMMIT)
            .bytes
    };
    hear(&mut session, &ended(MYSQL));
    assert_eq!(session.head(), Some(request));
    hear(&mut session, &say().prepared(10, 0, TABLE).bytes);
    // EXECUTE is on its way: others go behind it.
    assert!(session.can_follow(&known) && session.can_follow(&fresh));
    session.query(&known, &nulls(1)).unwrap();
    session.query(&fresh, &nulls(0)).unwrap();
    session.simple("UPDATE t SET a = 1").unwrap();
    assert_eq!(kinds(&mut session), "xxxq");
    let answers = [
        ended(MYSQL),
        ended(MYSQL),
        ended(MYSQL),
        say().ok(1, 0, AUTOCOMMIT).bytes,
    ];
    assert_eq!(
        letters(&hear(&mut session, &answers.concat())),
        "CTZCTZCTZTZ"
    );
    // Between Described and what the caller decides nothing can be asked for, either.
    session.describe(&statement("SELECT 3")).unwrap();
    hear(&mut session, &say().prepared(11, 0, TABLE).bytes);
    assert!(session.simple("SELECT 1").is_err());
    assert!(!session.can_follow(&known));
    session.end_described();
    assert!(session.can_follow(&known));
}

#[test]
fn what_is_submitted_behind_a_ping_keeps_its_own_answer() {
    let say = || Answer::new(MYSQL);
    for interrupted in [false, true] {
        let (mut session, known) = prepared(MYSQL);
        let call = session.simple("CALL p()").unwrap();
        hear(
            &mut session,
            &say().error(1317, "Query execution was interrupted").bytes,
        );
        assert_eq!(kinds(&mut session), "qi");
        let update = session.simple("UPDATE t SET a = 1").unwrap();
        let select = session.query(&known, &nulls(1)).unwrap();
        assert_eq!(kinds(&mut session), "qx");
        let pong = if interrupted {
            say().error(1317, "Query execution was interrupted")
        } else {
            say().ok(0, 0, IN_TRANSACTION)
        };
        let answers = [
            pong.bytes,
            say().ok(5, 0, IN_TRANSACTION).bytes,
            say().columns(TABLE).end(IN_TRANSACTION).bytes,
        ];
        let events = hear(&mut session, &answers.concat());
        assert_eq!(kinds(&mut session), "", "no ping in between");
        let told = if interrupted {
            TxStatus::Unknown
        } else {
            TxStatus::InTransaction
        };
        assert!(matches!(&events[0], Seen::Failed(of, error)
            if *of == call && error.kind == ErrorKind::Cancelled));
        assert_eq!(events[1], Seen::Done(call, told));
        assert_eq!(events[2], Seen::Completed(update, Tag::Other, 5, 0));
        assert_eq!(events[3], Seen::Done(update, TxStatus::InTransaction));
        assert_eq!(
            *events.last().unwrap(),
            Seen::Done(select, TxStatus::InTransaction)
        );
    }
}

#[test]
fn a_file_is_never_sent() {
    let asked = |session: &mut Session, name: &[u8]| {
        let answer = Answer::new(MYSQL).packet(&[&[0xfb], name].concat());
        let mut events = Vec::new();
        assert!(!feed(session, &answer.bytes, &mut events));
        assert!(session.output().is_empty());
        match events.as_slice() {
            [Seen::Fatal(error)] => error.clone(),
            _ => panic!("{events:?}"),
        }
    };
    for name in [&b"/etc/passwd"[..], b""] {
        let mut session = open(config());
        session
            .simple("LOAD DATA LOCAL INFILE 'x' INTO TABLE t")
            .unwrap();
        session.output().clear();
        let error = asked(&mut session, name);
        assert_eq!(
            (error.kind, error.outcome),
            (ErrorKind::ConnectionLost, Effect::Unknown)
        );
        assert!(error.message.contains("file"), "{error}");
        assert!(!error.message.contains("passwd"));
        // Nor when something else was asked.
        let (mut session, select) = prepared(MYSQL);
        session.query(&select, &nulls(1)).unwrap();
        session.output().clear();
        asked(&mut session, name);
        let mut session = open(config());
        session.sync().unwrap();
        session.output().clear();
        asked(&mut session, name);
        let mut session = open(config());
        session.query(&statement("SELECT 1"), &nulls(0)).unwrap();
        session.output().clear();
        asked(&mut session, name);
    }
}

#[test]
fn rows_over_several_packets_are_one() {
    let texts_of = |length: usize| (texts(&[Some(&vec![b'x'; length])]), false);
    let binary_of = |length: usize| (binary(&[Some(&vec![b'x'; length])]), true);
    for (row, is_binary) in [
        // Around the longest that fits in one packet, without and with the length in front, and several.
        texts_of(FULL - 5),
        texts_of(FULL - 4),
        texts_of(FULL - 3),
        texts_of(FULL),
        texts_of(2 * FULL - 9),
        binary_of(FULL - 6),
        binary_of(FULL - 5),
        binary_of(FULL + 1),
        binary_of(2 * FULL + 77),
    ] {
        let short = if is_binary {
            binary(&[Some(b"y")])
        } else {
            texts(&[Some(b"y")])
        };
        let answer = Answer::new(MYSQL)
            .columns(TABLE)
            .rows(&[&short, &row, &short, &row, &short])
            .end(AUTOCOMMIT);
        for size in [1_000_003, usize::MAX] {
            let mut session = if is_binary {
                let (mut session, select) = prepared(MYSQL);
                session.query(&select, &nulls(1)).unwrap();
                session
            } else {
                let mut session = open(config());
                session.simple("SELECT 1").unwrap();
                session
            };
            let mut events = Vec::new();
            for piece in answer.bytes.chunks(size) {
                assert!(feed(&mut session, piece, &mut events));
            }
            assert_eq!(letters(&events), "CRTZ");
            let Seen::Rows(_, rows) = &events[1] else {
                panic!("{events:?}");
            };
            assert_eq!(rows.len(), 5);
            for (at, row_sent) in [&short, &row, &short, &row, &short].into_iter().enumerate() {
                assert!(rows[at] == *row_sent, "row {at} of {} bytes", row.len());
            }
        }
    }
}

#[test]
fn a_row_of_several_packets_needs_each_of_them() {
    let row = texts(&[Some(&vec![b'x'; FULL])]);
    let whole = Answer::new(MYSQL).columns(TABLE).rows(&[&row]).bytes;
    let second = whole.len() - (row.len() - FULL) - 4;
    for number in [0, 2, 3, 5] {
        let mut bytes = whole.clone();
        bytes[second + 3] = number;
        let mut session = open(config());
        session.simple("SELECT 1").unwrap();
        assert!(!feed(&mut session, &bytes, &mut Vec::new()), "{number}");
    }
    let mut session = open(config());
    session.simple("SELECT 1").unwrap();
    hear(&mut session, &whole[..second]);
    assert!(session.end_of_file().0.message.contains("middle"));
}

#[test]
fn answers_to_long_commands_go_on_with_their_numbers() {
    let long = format!("SELECT '{}'", "x".repeat(2 * FULL));
    let fresh = statement(&long);
    let mut session = open(config());
    session.simple(&long).unwrap();
    let commands = written(&mut session);
    assert!(commands.len() == 1 && commands[0].1 == long.as_bytes());
    // The last packet that was sent has number 2.
    let answer = Answer::behind(3, MYSQL).columns(TABLE).end(AUTOCOMMIT);
    assert_eq!(letters(&hear(&mut session, &answer.bytes)), "CTZ");
    session.query(&fresh, &nulls(0)).unwrap();
    let answer = Answer::behind(3, MYSQL).prepared(1, 0, TABLE);
    hear(&mut session, &answer.bytes);
    session.output().clear();
    let answer = Answer::new(MYSQL).columns(TABLE).end(AUTOCOMMIT);
    assert_eq!(letters(&hear(&mut session, &answer.bytes)), "CTZ");

    // In front of the value are 18 bytes.
    for (length, numbers) in [(FULL - 19, 1), (FULL - 18, 2), (FULL, 2), (2 * FULL, 3)] {
        let value = bytes(0xfc, &vec![b'x'; length]);
        let sent = params(&[value]);
        let (mut session, known) = prepared(MYSQL);
        session.query(&known, &sent).unwrap();
        let commands = written(&mut session);
        assert_eq!(commands[0].0, 0x17);
        assert!(commands[0].1[9..] == sent.values[..], "{length}");
        let answer = Answer::behind(numbers, MYSQL)
            .columns(TABLE)
            .end(AUTOCOMMIT);
        assert_eq!(
            letters(&hear(&mut session, &answer.bytes)),
            "CTZ",
            "{length}"
        );
        // The same of a statement that is prepared first, and of one that is described first.
        let fresh = statement("SELECT ?");
        session.query(&fresh, &sent).unwrap();
        session.output().clear();
        let say = || Answer::new(MYSQL);
        hear(&mut session, &say().prepared(0x0506_0708, 1, TABLE).bytes);
        let commands = written(&mut session);
        assert_eq!(commands[0].1[..4], [8, 7, 6, 5]);
        assert!(commands[0].1[9..] == sent.values[..], "{length}");
        assert_eq!(
            letters(&hear(&mut session, &answer.bytes)),
            "CTZ",
            "{length}"
        );
        session.describe(&statement("SELECT ?")).unwrap();
        hear(&mut session, &say().prepared(4, 1, TABLE).bytes);
        session.execute_described(&sent, None).unwrap();
        session.output().clear();
        assert_eq!(
            letters(&hear(&mut session, &answer.bytes)),
            "CTZ",
            "{length}"
        );
    }
}

#[test]
fn numbers_of_packets_begin_again_behind_255() {
    for capabilities in SERVERS {
        let names: Vec<String> = (0..300).map(|at| format!("column{at}")).collect();
        let names: Vec<(&str, u8)> = names.iter().map(|name| (&name[..], 0xfd)).collect();
        let row = binary(&vec![Some(&b"x"[..]); 300]);
        let rows = vec![&row[..]; 1000];
        let say = || Answer::new(capabilities);
        let mut session = open_with(config(), capabilities);
        let select = statement("SELECT *");
        for round in 0..3 {
            session.query(&select, &nulls(300)).unwrap();
            if round == 0 {
                hear(&mut session, &say().prepared(1, 300, &names).bytes);
            }
            let answer = say().known_columns(&names).rows(&rows).end(AUTOCOMMIT);
            let mut events = Vec::new();
            for piece in answer.bytes.chunks([usize::MAX, 1000, 77][round]) {
                assert!(feed(&mut session, piece, &mut events));
            }
            assert_eq!(letters(&events), "CRTZ");
            assert!(matches!(&events[1], Seen::Rows(_, rows) if rows.len() == 1000));
            session.output().clear();
        }
    }
}

/// The columns that `bytes` bring, as the object that the caller gets.
fn columns_of(session: &mut Session, bytes: &[u8]) -> Vec<Arc<[Column]>> {
    let mut bytes = bytes;
    let mut found = Vec::new();
    while let Some(event) = session.next(&mut bytes).unwrap() {
        if let Event::Columns(_, columns) = event {
            found.push(columns);
        }
    }
    found
}

#[test]
fn columns_are_one_object_until_they_change() {
    for capabilities in SERVERS {
        let (mut session, select) = prepared(capabilities);
        let say = || Answer::new(capabilities);
        let first = session.is_prepared(&select).unwrap().1;
        let run = |session: &mut Session, answer: Answer, cut: usize| {
            session.query(&select, &nulls(1)).unwrap();
            session.output().clear();
            let (front, rest) = answer.bytes.split_at(cut.min(answer.bytes.len()));
            let mut found = columns_of(session, front);
            found.extend(columns_of(session, rest));
            found.pop().unwrap()
        };
        let same = || say().known_columns(TABLE).end(AUTOCOMMIT);
        let told = || say().columns(TABLE).end(AUTOCOMMIT);
        for cut in [0, 3, 5, 20, 1000] {
            assert!(Arc::ptr_eq(&first, &run(&mut session, same(), cut)));
            assert!(Arc::ptr_eq(&first, &run(&mut session, told(), cut)));
        }
        // A name, a type: another object from then on.
        for changed in [("b", 0xfd), ("b", 0x03)] {
            let changed: &[(&str, u8)] = &[changed];
            let new = run(&mut session, say().columns(changed).end(AUTOCOMMIT), 1000);
            assert!(!Arc::ptr_eq(&first, &new));
            assert_eq!(
                (new[0].name.as_str(), new[0].type_oid),
                ("b", changed[0].1.into())
            );
            let again = say().known_columns(changed).end(AUTOCOMMIT);
            assert!(Arc::ptr_eq(&new, &run(&mut session, again, 1000)));
            let known = session.is_prepared(&select).unwrap().1;
            assert!(Arc::ptr_eq(&new, &known));
        }
    }
}

#[test]
fn definitions_that_are_not_sent_have_to_be_known() {
    let unknown = |session: &mut Session, count: usize| {
        let head = [&length_encoded(count)[..], &[0]].concat();
        let answer = Answer::new(MARIADB).packet(&head);
        assert!(!feed(session, &answer.bytes, &mut Vec::new()), "{count}");
    };
    let mut session = open_with(config(), MARIADB);
    session.simple("SELECT 1").unwrap();
    unknown(&mut session, 1);
    for count in [0, 2, 255, 70_000] {
        let (mut session, select) = prepared(MARIADB);
        session.query(&select, &nulls(1)).unwrap();
        unknown(&mut session, count);
    }
    // A procedure had no columns when it was prepared.
    let mut session = open_with(config(), MARIADB);
    session.query(&statement("CALL p()"), &nulls(0)).unwrap();
    hear(
        &mut session,
        &Answer::new(MARIADB).prepared(1, 0, &[]).bytes,
    );
    unknown(&mut session, 1);
    // One that is not kept is known as long as it runs.
    let mut session = open_with(config(), MARIADB);
    session.query(&once("SELECT 1"), &nulls(0)).unwrap();
    hear(
        &mut session,
        &Answer::new(MARIADB).prepared(1, 0, TABLE).bytes,
    );
    let answer = Answer::new(MARIADB).known_columns(TABLE).end(AUTOCOMMIT);
    assert_eq!(letters(&hear(&mut session, &answer.bytes)), "CTZ");
}

#[test]
fn several_results_are_drained_and_named() {
    let two = |capabilities, last: u16| {
        Answer::new(capabilities)
            .columns(TABLE)
            .rows(&[&texts(&[Some(b"1")])])
            .end(MORE_RESULTS)
            .columns(&[("b", 3), ("c", 3)])
            .rows(&[&texts(&[Some(b"2"), None])])
            .end(MORE_RESULTS)
            .ok(3, 0, last)
    };
    for capabilities in SERVERS {
        let mut session = open_with(config(), capabilities);
        let request = session.simple("CALL p()").unwrap();
        let events = hear(&mut session, &two(capabilities, IN_TRANSACTION).bytes);
        let [
            Seen::Columns(..),
            Seen::Rows(_, rows),
            Seen::Failed(_, error),
            Seen::Done(done, TxStatus::InTransaction),
        ] = events.as_slice()
        else {
            panic!("{events:?}");
        };
        assert_eq!((*done, rows.len()), (request, 1));
        assert_eq!(error.kind, ErrorKind::Programming);
        assert!(error.hint.is_some());
        // What follows is not touched by it.
        session.simple("SELECT 1").unwrap();
        let answer = Answer::new(capabilities).columns(TABLE).end(AUTOCOMMIT);
        assert_eq!(letters(&hear(&mut session, &answer.bytes)), "CTZ");
    }
}

#[test]
fn tags_are_what_text_and_transaction_say() {
    for (sql, status, tag) in [
        ("COMMIT", AUTOCOMMIT, Tag::Commit),
        ("commit and chain", IN_TRANSACTION, Tag::Other),
        ("ROLLBACK", AUTOCOMMIT, Tag::Rollback),
        ("ROLLBACK TO a", IN_TRANSACTION, Tag::Other),
        ("CREATE TABLE t (id int)", AUTOCOMMIT, Tag::Other),
        ("UPDATE t SET a = 'COMMIT'", AUTOCOMMIT, Tag::Other),
    ] {
        let mut session = open(config());
        let request = session.simple(sql).unwrap();
        let answer = Answer::new(MYSQL).ok(300, 70_000, status);
        let events = hear(&mut session, &answer.bytes);
        assert_eq!(
            events[0],
            Seen::Completed(request, tag, 300, 70_000),
            "{sql}"
        );
    }
    // What follows the numbers is for people.
    let mut session = open(config());
    let request = session.simple("UPDATE t SET a = 1").unwrap();
    let words = [
        &ok(0, u64::from(u32::MAX), 0, AUTOCOMMIT)[..],
        b"Rows matched: 2",
    ]
    .concat();
    let events = hear(&mut session, &packets(1, &words));
    assert_eq!(
        events[0],
        Seen::Completed(request, Tag::Other, u32::MAX.into(), 0)
    );
}

#[test]
fn a_server_that_goes_says_why() {
    let answer = |number: u8, code| Answer::behind(number, MYSQL).error(code, "Goodbye");
    let end = |session: &mut Session, bytes: &[u8]| {
        let mut events = Vec::new();
        assert!(!feed(session, bytes, &mut events));
        assert!(session.simple("SELECT 1").is_err());
        match events.pop() {
            Some(Seen::Fatal(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    // While nothing runs, whatever it says means that the connection is gone, and nothing with it.
    for (number, code) in [(0, 4031), (1, 1053), (0, 1927), (5, 1064)] {
        let error = end(&mut open(config()), &answer(number, code).bytes);
        assert_eq!(
            (error.kind, error.outcome),
            (ErrorKind::ConnectionLost, Effect::NotApplied)
        );
        assert_eq!(error.message, "Goodbye");
    }
    // Instead of an answer, or as something else than that.
    for (number, code) in [(1, 1053), (1, 1927), (0, 1053), (7, 1062), (0, 1064)] {
        let mut session = open(config());
        session.simple("DELETE FROM t").unwrap();
        let error = end(&mut session, &answer(number, code).bytes);
        assert_eq!(
            (error.kind, error.outcome),
            (ErrorKind::ConnectionLost, Effect::Unknown),
            "{code}"
        );
    }
    // A command that was not read to its end was not run.
    let mut session = open(config());
    session.simple("DELETE FROM t").unwrap();
    let error = end(&mut session, &answer(7, 1153).bytes);
    assert_eq!(
        (error.kind, error.outcome),
        (ErrorKind::Operational, Effect::NotApplied)
    );
    assert!(error.hint.is_some());
}

#[test]
fn the_end_of_the_stream_means_what_was_going_on() {
    let mut session = Session::new(config());
    assert_eq!(session.end_of_file().0.kind, ErrorKind::Connect);
    session
        .start(
            None,
            Line::Network,
            &greeting(MYSQL, "caching_sha2_password"),
        )
        .unwrap();
    assert_eq!(session.end_of_file().0.kind, ErrorKind::Connect);
    let mut session = open(config());
    let idle = session.end_of_file().0;
    assert_eq!(
        (idle.kind, idle.outcome),
        (ErrorKind::ConnectionLost, Effect::NotApplied)
    );
    session.simple("DELETE FROM t").unwrap();
    let busy = session.end_of_file().0;
    assert_eq!(
        (busy.kind, busy.outcome),
        (ErrorKind::ConnectionLost, Effect::Unknown)
    );
    hear(
        &mut session,
        &Answer::new(MYSQL).ok(1, 0, AUTOCOMMIT).bytes[..6],
    );
    let middle = session.end_of_file().0;
    assert_ne!(middle.message, busy.message);
    assert_eq!(middle.outcome, Effect::Unknown);
    let mut session = open(config());
    session.terminate();
    assert_ne!(session.end_of_file().0.message, idle.message);
}

#[test]
fn a_session_goes_on_with_what_is_in_flight_after_goodbye() {
    let (mut session, select) = prepared(MYSQL);
    session.query(&select, &nulls(1)).unwrap();
    session.terminate();
    assert_eq!(kinds(&mut session), "x.");
    let answer = Answer::new(MYSQL).columns(TABLE).end(AUTOCOMMIT);
    assert_eq!(letters(&hear(&mut session, &answer.bytes)), "CTZ");
    // Nothing is sent behind a goodbye, also not what the answer would have called for.
    for describe in [false, true] {
        let mut session = open(config());
        if describe {
            session.describe(&statement("SELECT 1")).unwrap();
        } else {
            session.query(&statement("SELECT 1"), &nulls(0)).unwrap();
        }
        session.terminate();
        assert_eq!(kinds(&mut session), "p.");
        let mut events = Vec::new();
        feed(
            &mut session,
            &Answer::new(MYSQL).prepared(1, 0, TABLE).bytes,
            &mut events,
        );
        assert!(session.execute_described(&nulls(0), None).is_err());
        session.end_described();
        assert_eq!(kinds(&mut session), "", "{events:?}");
    }
}

#[test]
fn big_results_come_in_pieces_without_a_copy() {
    let mut session = open(config());
    session.simple("SELECT 1").unwrap();
    let row = texts(&[Some(&[b'x'; 1000])]);
    let answer = Answer::new(MYSQL).columns(TABLE);
    let front = answer.bytes.len();
    let answer = answer.rows(&vec![&row[..]; 1000]).bytes;
    hear(&mut session, &answer[..front]);
    let mut data = &answer[front..];
    let mut count = 0;
    while let Some(event) = session.next(&mut data).unwrap() {
        let Event::Rows(_, rows) = event else {
            panic!("{event:?}");
        };
        let raw = rows.raw();
        assert!(raw.bytes.len() <= 256 * 1024);
        assert!(
            answer.as_ptr_range().contains(&raw.bytes.as_ptr()),
            "copied"
        );
        count += raw.count;
    }
    assert_eq!(count, 1000);
}

#[test]
fn an_output_buffer_grown_large_is_given_back() {
    let (mut session, select) = prepared(MYSQL);
    let large = params(&[bytes(0xfc, &vec![b'x'; 1 << 20])]);
    session.query(&select, &large).unwrap();
    session.output().clear();
    assert!(session.output().capacity() >= 1 << 20);
    let answer = Answer::new(MYSQL).columns(TABLE).end(AUTOCOMMIT);
    hear(&mut session, &answer.bytes);
    assert!(session.output().capacity() < 1 << 20);
}

#[test]
fn rows_are_read_one_by_one_and_field_by_field() {
    let good = [
        texts(&[Some(b"ab"), None, Some(b"")]),
        texts(&[Some(&[b'x'; 300])]),
    ];
    let bytes = [packets(3, &good[0]), packets(4, &good[1])].concat();
    let raw = RawRows {
        bytes: &bytes,
        count: 2,
    };
    let rows: Vec<&[u8]> = Rows::of(raw).map(Result::unwrap).collect();
    assert_eq!(rows, [&good[0], &good[1]]);
    let fields: Vec<_> = TextFields::of(rows[0]).map(Result::unwrap).collect();
    assert_eq!(fields, [Some(&b"ab"[..]), None, Some(b"")]);
    for (bytes, good) in [
        (&b"\x01\0"[..], 0),
        (b"\x02\0\0\0x", 0),
        (b"\x01\0\0\0x\x05\0\0\0y", 1),
        (b"\x01\0\0\0x\0", 1),
    ] {
        let raw = RawRows { bytes, count: 1 };
        let rows: Vec<bool> = Rows::of(raw).map(|row| row.is_ok()).collect();
        assert_eq!(rows, [vec![true; good], vec![false]].concat());
    }
    for row in [
        &b"\x02x"[..],
        b"\xfc\x01",
        b"\xff",
        b"\x01x\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let fields: Vec<bool> = TextFields::of(row).map(|field| field.is_ok()).collect();
        assert_eq!(fields.last(), Some(&false));
        assert!(fields.len() <= 2);
    }
}

#[test]
fn limits_hold_for_texts_of_the_server_too() {
    let limits = Limits {
        max_packet: 1000,
        ..Limits::default()
    };
    for (length, lives) in [(900, true), (1000, false)] {
        let mut session = open(SessionConfig { limits, ..config() });
        session.simple("SELECT 1").unwrap();
        let answer = Answer::new(MYSQL).error(1064, &"x".repeat(length));
        assert_eq!(feed(&mut session, &answer.bytes, &mut Vec::new()), lives);
    }
}
