//! The session against scripted servers: each message path, and the same events however the bytes are cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod postgres_session_wire;

use std::sync::Arc;

use oxyde_exec::postgres::session::{Event, Fatal, Session, SessionConfig};
use oxyde_exec::query::{Encoded, Formats, Malformed, RawRows, Statement};
use oxyde_exec::{Effect, ErrorKind, Tag, TxStatus};
use postgres_session_wire::exercise::{Action, act, react};
use postgres_session_wire::scenarios::{Scenario, letter, scenarios};
use postgres_session_wire::*;

/// Goes through a scenario with its bytes cut into pieces; the events and the types of the messages sent.
fn play(scenario: &Scenario, mut cut: impl FnMut() -> usize) -> (Vec<Seen>, String) {
    let mut session = open(config());
    let mut actions = scenario.actions.iter();
    for action in actions.by_ref().take(scenario.at_once) {
        act(&mut session, action);
    }
    let mut sent = kinds(&mut session);
    let mut events = Vec::new();
    let mut rest = scenario.bytes.as_slice();
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
        rest = behind;
        loop {
            let event = match session.next(&mut piece) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(Fatal(error)) => {
                    events.push(Seen::Fatal(error));
                    return (events, sent);
                }
            };
            let run = !scenario
                .actions
                .iter()
                .any(|action| matches!(action, Action::DescribeOnly(_)));
            react(&mut session, &event, run);
            if matches!(event, Event::Done(..))
                && let Some(action) = actions.next()
            {
                act(&mut session, action);
            }
            sent.push_str(&kinds(&mut session));
            push(&mut events, seen(event));
        }
    }
    (events, sent)
}

#[test]
fn each_message_path_gives_its_events() {
    for scenario in scenarios() {
        let (events, sent) = play(&scenario, || usize::MAX);
        let letters: String = events.iter().map(letter).collect();
        assert_eq!(letters, scenario.events, "{}: {events:?}", scenario.name);
        assert_eq!(sent, scenario.sent, "{}", scenario.name);
    }
}

#[test]
fn where_the_bytes_are_cut_makes_no_difference() {
    let mut dice = Dice(1);
    for scenario in scenarios() {
        let whole = play(&scenario, || usize::MAX);
        assert!(
            whole == play(&scenario, || 1),
            "{}: bytewise",
            scenario.name
        );
        for at in 1..scenario.bytes.len() {
            let mut first = Some(at);
            let cut = play(&scenario, || first.take().unwrap_or(usize::MAX));
            assert!(whole == cut, "{}: cut at {at}", scenario.name);
        }
        for _ in 0..50 {
            let cut = play(&scenario, || 1 + dice.below(40));
            assert!(whole == cut, "{}: random pieces", scenario.name);
        }
    }
}

#[test]
fn the_greeting_can_be_cut_anywhere() {
    let bytes = greeting();
    for at in 0..=bytes.len() {
        let mut session = Session::new(config());
        session.start(None, false).unwrap();
        let mut events = Vec::new();
        feed(&mut session, &bytes[..at], &mut events);
        feed(&mut session, &bytes[at..], &mut events);
        assert_eq!(events, [Seen::Started]);
        assert_eq!(session.backend_pid(), Some(4711));
        assert_eq!(session.parameter("server_version"), Some("17.5"));
        assert_eq!(session.transaction(), TxStatus::Idle);
        let packet = session.cancel_packet().unwrap();
        assert_eq!(
            packet,
            [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0x12, 0x67, 1, 2, 3, 4]
        );
    }
}

#[test]
fn the_startup_message_names_user_database_and_encoding() {
    let mut session = Session::new(SessionConfig {
        application_name: Some("shop".into()),
        ..config()
    });
    session.start(None, false).unwrap();
    let bytes = session.output().clone();
    assert_eq!(
        bytes[..4],
        u32::try_from(bytes.len()).unwrap().to_be_bytes()
    );
    assert_eq!(bytes[4..8], [0, 3, 0, 0]);
    let parts: Vec<&[u8]> = bytes[8..].split(|byte| *byte == 0).collect();
    let pairs = [
        "user",
        "anna",
        "database",
        "shop",
        "client_encoding",
        "UTF8",
        "DateStyle",
        "ISO",
        "TimeZone",
        "UTC",
        "application_name",
        "shop",
        "",
        "",
    ];
    assert_eq!(parts, pairs.map(str::as_bytes));
    let mut session = Session::new(SessionConfig {
        database: "shop\0user\0root".into(),
        ..config()
    });
    assert!(session.start(None, false).is_err());
    assert!(session.output().is_empty());
}

/// The bodies of the messages of one type.
fn bodies(session: &mut Session, kind: u8) -> Vec<Vec<u8>> {
    let messages = written(session).into_iter();
    messages
        .filter(|(of, _)| *of == kind)
        .map(|(_, body)| body)
        .collect()
}

#[test]
fn parse_and_bind_carry_types_formats_and_values() {
    let mut session = open(config());
    let statement = Statement::new(
        "SELECT $1, $2".into(),
        vec![23, 0],
        Formats::Each([true, false].into()),
    );
    let params = encoded(
        [Some(&b"\0\0\0\x07"[..]), None].into_iter(),
        Formats::Each([true, false].into()),
    );
    session.query(&statement, &params).unwrap();
    let messages = written(&mut session);
    let parse = &messages[0].1;
    let name_end = parse.iter().position(|byte| *byte == 0).unwrap() + 1;
    let name = &parse[..name_end];
    assert!(name.starts_with(b"oxyde_"));
    assert_eq!(
        &parse[name_end..],
        b"SELECT $1, $2\0\0\x02\0\0\0\x17\0\0\0\0"
    );
    assert_eq!(messages[1].1, [b"S", name].concat());
    let expected = [
        b"\0",
        name,
        b"\0\x02\0\x01\0\0",
        b"\0\x02",
        b"\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff",
        b"\0\x02\0\x01\0\0",
    ]
    .concat();
    assert_eq!(messages[2].1, expected);
    assert_eq!(messages[3].1, b"\0\0\0\0\0");
    assert_eq!(messages[4], (b'S', Vec::new()));
}

#[test]
fn what_cannot_be_sent_is_refused_and_leaves_nothing_behind() {
    let mut session = open(config());
    let none = texts(&[]);
    assert_eq!(
        session.simple("SELECT\0 1").unwrap_err().kind,
        ErrorKind::Programming
    );
    assert!(session.query(&statement("SELECT\0 1"), &none).is_err());
    assert!(session.describe(&statement("SELECT\0 1")).is_err());
    assert!(
        session
            .portal(&statement("SELECT 1"), &none, "a\0b", 1)
            .is_err()
    );
    assert!(session.fetch("unknown", 1).is_err());
    let many = Statement::new("SELECT 1".into(), vec![0; 70_000], Formats::Text);
    assert_eq!(
        session.query(&many, &none).unwrap_err().kind,
        ErrorKind::NotSupported
    );
    let wide = Statement::new(
        "SELECT 1".into(),
        vec![],
        Formats::Each(vec![true; 70_000].into()),
    );
    assert!(session.query(&wide, &none).is_err());
    assert!(
        session
            .execute_described(&none, &Formats::Text, None)
            .is_err()
    );
    session.end_described();
    assert!(!session.copy_data(b"x"));
    session.copy_done();
    session.copy_fail("x");
    assert!(session.output().is_empty());
    assert_eq!(session.in_flight(), 0);
    let early = Session::new(config()).simple("SELECT 1");
    assert!(early.is_err());
    session.terminate();
    assert_eq!(kinds(&mut session), "X");
    assert!(session.simple("SELECT 1").is_err());
}

#[test]
fn columns_are_one_object_per_prepared_statement_and_formats() {
    let mut session = open(config());
    let select = Statement::new("SELECT id".into(), vec![], Formats::Binary);
    let parsed = [message(b'1', &[]), parameter_description(&[])].concat();
    let table = row_description(&[("id", 23, 0)]);
    let end = [message(b'2', &[]), complete("SELECT 0"), ready(b'I')].concat();
    let columns = |session: &mut Session, bytes: &[u8]| {
        let mut bytes = bytes;
        let mut found = None;
        while let Some(event) = session.next(&mut bytes).unwrap() {
            if let Event::Columns(_, columns) = event {
                found = Some(columns);
            }
        }
        found.unwrap()
    };
    let none = texts(&[]);
    session.query(&select, &none).unwrap();
    let first = columns(&mut session, &[&parsed[..], &table, &end].concat());
    assert!(first[0].binary);
    session.query(&select, &none).unwrap();
    let second = columns(&mut session, &end);
    assert!(Arc::ptr_eq(&first, &second));
    session.query_as(&select, &none, &Formats::Text).unwrap();
    assert!(!columns(&mut session, &end)[0].binary);
}

#[test]
fn names_are_never_used_twice() {
    let mut names = Vec::new();
    for _ in 0..3 {
        let mut session = open(config());
        for number in 0..5 {
            let statement = statement(&format!("SELECT {number}"));
            session.query(&statement, &texts(&[])).unwrap();
            session.forget(&statement);
        }
        for parse in bodies(&mut session, b'P') {
            names.push(parse[..parse.iter().position(|byte| *byte == 0).unwrap()].to_vec());
        }
    }
    assert_eq!(names.len(), 15);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 15);
}

#[test]
fn statements_that_are_not_kept_have_no_name() {
    let once = Statement::once("SELECT 1".into(), Vec::new(), Formats::Binary);
    for (mut session, statement) in [
        (open(config()), &*once),
        (
            open(SessionConfig {
                statement_cache: 0,
                ..config()
            }),
            &*statement("SELECT 1"),
        ),
        (
            open(SessionConfig {
                unnamed: true,
                ..config()
            }),
            &*statement("SELECT 1"),
        ),
    ] {
        session.query(statement, &texts(&[])).unwrap();
        session.query(statement, &texts(&[])).unwrap();
        let parses = bodies(&mut session, b'P');
        assert_eq!(parses, [b"\0SELECT 1\0\0\0", b"\0SELECT 1\0\0\0"]);
        assert_eq!(session.prepared(), 0);
    }
}

#[test]
fn the_statement_used_longest_ago_goes_first() {
    let mut session = open(SessionConfig {
        statement_cache: 2,
        ..config()
    });
    let [a, b, c] = ["a", "b", "c"].map(statement);
    let none = texts(&[]);
    let first = [
        message(b'1', &[]),
        parameter_description(&[]),
        message(b'n', &[]),
        message(b'2', &[]),
        complete("DO"),
        ready(b'I'),
    ]
    .concat();
    let again = &first[first.len() - 19..];
    let mut events = Vec::new();
    for (statement, answer) in [(&a, &first[..]), (&b, &first), (&a, again)] {
        session.query(statement, &none).unwrap();
        assert!(feed(&mut session, answer, &mut events));
    }
    let parses = bodies(&mut session, b'P');
    let name_of_b = &parses[1][..=parses[1].iter().position(|byte| *byte == 0).unwrap()];
    session.query(&c, &none).unwrap();
    let messages = written(&mut session);
    assert_eq!(messages[0], (b'C', [b"S", name_of_b].concat()));
    assert!(feed(
        &mut session,
        &[&message(b'3', &[])[..], &first].concat(),
        &mut events
    ));
    assert!(session.is_prepared(&a).is_some());
    assert!(session.is_prepared(&b).is_none());
    assert!(session.is_prepared(&c).is_some());
}

#[test]
fn an_error_says_all_that_the_server_says() {
    let mut session = open(config());
    let request = session.simple("INSERT …").unwrap();
    let fields = [
        (b'S', "FEHLER"),
        (b'V', "ERROR"),
        (b'C', "23505"),
        (b'M', "duplicate key"),
        (b'D', "Key (id)=(1) already exists."),
        (b'H', "choose another"),
        (b's', "public"),
        (b't', "people"),
        (b'c', "id"),
        (b'n', "people_pkey"),
        (b'F', "nbtinsert.c"),
        (b'L', "666"),
        (b'R', "_bt_check_unique"),
        (b'z', "new"),
    ];
    let mut events = Vec::new();
    feed(&mut session, &report(b'E', &fields), &mut events);
    let [Seen::Failed(of, error)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!((*of, error.kind), (request, ErrorKind::Unique));
    assert_eq!(error.message, "duplicate key");
    let texts = [
        &error.detail,
        &error.hint,
        &error.table,
        &error.column,
        &error.constraint,
    ];
    assert_eq!(
        texts.map(|text| text.as_deref().unwrap()),
        [
            // Values end up in logs.
            "Key (id)",
            "choose another",
            "people",
            "id",
            "people_pkey"
        ]
    );
    // An error without anything in it, and one that is not UTF-8, are still errors.
    for body in [&b"\0"[..], b"Mwh\xffat\0Cx\0\0"] {
        let mut session = open(config());
        session.simple("SELECT 1").unwrap();
        let mut events = Vec::new();
        assert!(feed(&mut session, &message(b'E', body), &mut events));
        assert!(matches!(&events[0], Seen::Failed(_, error)
            if error.kind == ErrorKind::Operational && !error.message.is_empty() && error.sqlstate.is_none()));
    }
}

#[test]
fn the_end_of_the_stream_means_what_was_going_on() {
    let mut session = Session::new(config());
    session.start(None, false).unwrap();
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
    feed(&mut session, &complete("DELETE 1")[..6], &mut Vec::new());
    let middle = session.end_of_file().0;
    assert_ne!(middle.message, busy.message);
    assert_eq!(middle.outcome, Effect::Unknown);
}

#[test]
fn a_session_goes_on_with_what_is_in_flight_after_goodbye() {
    let mut session = open(config());
    session.simple("SELECT 1").unwrap();
    session.terminate();
    let mut events = Vec::new();
    assert!(feed(
        &mut session,
        &[complete("SELECT 1"), ready(b'I')].concat(),
        &mut events
    ));
    assert!(matches!(
        events[..],
        [Seen::Completed(_, Tag::Other, 1), Seen::Done(..)]
    ));
}

#[test]
fn command_tags_are_read() {
    for (text, tag, rows) in [
        ("SELECT 12", Tag::Other, 12),
        ("INSERT 0 1000", Tag::Other, 1000),
        ("MERGE 3", Tag::Other, 3),
        ("COMMIT", Tag::Commit, 0),
        ("ROLLBACK", Tag::Rollback, 0),
        ("CREATE TABLE", Tag::Other, 0),
        ("SELECT 18446744073709551615", Tag::Other, u64::MAX),
        ("SELECT 18446744073709551616", Tag::Other, 0),
        ("", Tag::Other, 0),
    ] {
        let mut session = open(config());
        let request = session.simple("…").unwrap();
        let mut events = Vec::new();
        feed(&mut session, &complete(text), &mut events);
        assert_eq!(events, [Seen::Completed(request, tag, rows)], "{text}");
    }
}

#[test]
fn big_results_come_in_pieces_without_a_copy() {
    let mut session = open(config());
    session.simple("SELECT …").unwrap();
    let one = row(&[Some(&[b'x'; 1000])]);
    let many = one.repeat(1000);
    let table = row_description(&[("x", 25, 0)]);
    assert!(feed(&mut session, &table, &mut Vec::new()));
    let mut data = many.as_slice();
    let mut count = 0;
    while let Some(event) = session.next(&mut data).unwrap() {
        let Event::Rows(_, rows) = event else {
            panic!("{event:?}");
        };
        let raw = rows.raw();
        assert!(raw.bytes.len() <= 256 * 1024);
        assert!(many.as_ptr_range().contains(&raw.bytes.as_ptr()), "copied");
        count += raw.count;
    }
    assert_eq!(count, 1000);
}

#[test]
fn rows_are_read_field_by_field() {
    let good = [
        row(&[Some(b"ab"), None, Some(b"")]),
        row(&[None, Some(b"x"), None]),
    ]
    .concat();
    let raw = RawRows {
        bytes: &good,
        count: 2,
    };
    let rows: Vec<Vec<Option<&[u8]>>> = raw
        .iter()
        .map(|row| row.unwrap().fields().map(Result::unwrap).collect())
        .collect();
    assert_eq!(
        rows,
        [
            [Some(&b"ab"[..]), None, Some(b"")],
            [None, Some(b"x"), None]
        ]
    );
    let mut fields = raw.iter().next().unwrap().unwrap().fields();
    for _ in 0..3 {
        fields.field().unwrap();
    }
    assert!(fields.field().is_err(), "past the last field");
}

#[test]
fn rows_with_wrong_lengths_are_malformed() {
    let read = |bytes: &[u8]| -> Result<usize, Malformed> {
        let mut fields = 0;
        for row in (RawRows { bytes, count: 1 }) {
            for field in row?.fields() {
                field?;
                fields += 1;
            }
        }
        Ok(fields)
    };
    let with = |body: &[u8]| read(&message(b'D', body));
    assert_eq!(with(b"\0\x01\0\0\0\x01x"), Ok(1));
    assert_eq!(with(b"\0\0"), Ok(0));
    assert!(with(b"").is_err(), "no count");
    assert!(with(b"\0\0x").is_err(), "bytes behind no fields");
    assert!(
        with(b"\0\x01\0\0\0\x01xy").is_err(),
        "bytes behind the last field"
    );
    assert!(
        with(b"\0\x01\0\0\0\x02x").is_err(),
        "a field beyond the end"
    );
    assert!(with(b"\0\x01\x7f\xff\xff\xffx").is_err(), "a huge field");
    assert!(
        with(b"\0\x01\xff\xff\xff\xfe").is_err(),
        "a negative length"
    );
    assert!(
        with(b"\0\x02\0\0\0\x01x").is_err(),
        "fewer fields than counted"
    );
    assert!(with(b"\xff\xff").is_err(), "many fields, no bytes");
    assert!(read(b"D\0\0\0\x20\0\0").is_err(), "a row beyond the end");
    assert!(read(b"D\0\0\0\x03").is_err(), "a length that is none");
    assert!(read(b"C\0\0\0\x06\0\0").is_err(), "no row");
}

#[test]
fn an_output_buffer_grown_large_is_given_back() {
    let mut session = open(config());
    let large = vec![b'x'; 1 << 20];
    let params: Encoded = encoded([Some(&large[..])].into_iter(), Formats::Text);
    session.query(&statement("SELECT $1"), &params).unwrap();
    session.output().clear();
    assert!(session.output().capacity() >= 1 << 20);
    let answer = [failure("42601", "no"), ready(b'I')].concat();
    assert!(feed(&mut session, &answer, &mut Vec::new()));
    assert!(session.output().capacity() < 1 << 20);
}
