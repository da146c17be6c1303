//! Sessions with a real server, over a blocking socket: `OXYDE_TEST_POSTGRES_URL` names it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod postgres_session_wire;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oxyde_exec::postgres::session::{Event, Password, Request, Session, SessionConfig};
use oxyde_exec::query::{Encoded, Formats, Statement};
use oxyde_exec::{Effect, ErrorKind, Tag, TxStatus};
use postgres_session_wire::*;

const INT4: u32 = 23;
const TEXT: u32 = 25;

/// A session and its socket.
struct Wire {
    session: Session,
    stream: TcpStream,
    read: Vec<u8>,
}

fn connect(change: impl FnOnce(&mut SessionConfig)) -> Wire {
    let url =
        std::env::var("OXYDE_TEST_POSTGRES_URL").expect("OXYDE_TEST_POSTGRES_URL names a server");
    let rest = url.split_once("://").expect("a URL").1;
    let (login, place) = rest.rsplit_once('@').unwrap_or(("postgres", rest));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (address, database) = place.split_once('/').expect("a database");
    let database = database.split('?').next().unwrap();
    let address = match address.rsplit_once(':') {
        Some(_) => address.to_owned(),
        None => format!("{address}:5432"),
    };
    let mut config = SessionConfig {
        user: user.into(),
        database: database.into(),
        application_name: Some("oxyde session tests".into()),
        ..config()
    };
    change(&mut config);
    let stream = TcpStream::connect(address).expect("the server that was named");
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut wire = Wire {
        session: Session::new(config),
        stream,
        read: vec![0; 64 * 1024],
    };
    let password = (!password.is_empty()).then(|| Password::new(password));
    wire.session.start(password, false).unwrap();
    wire.until(|event| *event == Seen::Started);
    wire
}

impl Wire {
    fn flush(&mut self) {
        self.stream.write_all(self.session.output()).unwrap();
        self.session.output().clear();
    }

    /// Reads until `last` says so of an event; all events so far.
    fn until(&mut self, last: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut events = Vec::new();
        loop {
            self.flush();
            let length = self.stream.read(&mut self.read).expect("an answer");
            assert!(length > 0, "{:?}", self.session.end_of_file());
            let mut data = &self.read[..length];
            let mut over = false;
            while let Some(event) = self.session.next(&mut data).unwrap() {
                let event = seen(event);
                over |= last(&event);
                push(&mut events, event);
            }
            if over {
                self.flush();
                return events;
            }
        }
    }

    /// The events of one request, without notices and the like.
    fn answer(&mut self, request: Request) -> Vec<Seen> {
        let mut events =
            self.until(|event| matches!(event, Seen::Done(done, _) if *done == request));
        events.retain(|event| {
            !matches!(
                event,
                Seen::Notice(_) | Seen::Parameter(_) | Seen::Notification(..)
            )
        });
        events
    }

    fn simple(&mut self, sql: &str) -> Vec<Seen> {
        let request = self.session.simple(sql).unwrap();
        self.answer(request)
    }

    fn query(&mut self, statement: &Statement, params: &Encoded) -> Vec<Seen> {
        let request = self.session.query(statement, params).unwrap();
        self.answer(request)
    }

    /// The only value of the only row.
    fn value(&mut self, sql: &str) -> String {
        let events = self.simple(sql);
        let rows = events.iter().find_map(|event| match event {
            Seen::Rows(_, rows) => Some(rows),
            _ => None,
        });
        let rows = rows.unwrap_or_else(|| panic!("{events:?}"));
        String::from_utf8(rows[0][0].clone().unwrap()).unwrap()
    }
}

fn int(value: i32) -> Encoded {
    encoded(
        [Some(&value.to_be_bytes()[..])].into_iter(),
        Formats::Binary,
    )
}

fn binary(sql: &str, types: &[u32]) -> Arc<Statement> {
    Statement::new(sql.into(), types.to_vec(), Formats::Binary)
}

fn one(value: &[u8]) -> Vec<Row> {
    vec![vec![Some(value.to_vec())]]
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_statement_is_prepared_once_and_answers_the_same_again() {
    let mut wire = connect(|_| {});
    assert!(wire.session.parameter("server_version").is_some());
    assert_eq!(wire.session.parameter("TimeZone"), Some("UTC"));
    let statement = binary("SELECT $1 + 1 AS next, 'é'::text AS word", &[INT4]);
    let mut columns = Vec::new();
    for number in [1, 7, 41] {
        let events = wire.query(&statement, &int(number));
        let [
            Seen::Columns(request, described),
            Seen::Rows(_, rows),
            Seen::Completed(_, Tag::Other, 1),
            Seen::Done(done, TxStatus::Idle),
        ] = events.as_slice()
        else {
            panic!("{events:?}");
        };
        assert_eq!(request, done);
        assert_eq!(described[0].name, "next");
        assert_eq!((described[0].type_oid, described[1].type_oid), (INT4, TEXT));
        assert!(described[0].binary && described[1].binary);
        assert_eq!(rows[0][0].as_deref(), Some(&(number + 1).to_be_bytes()[..]));
        assert_eq!(rows[0][1].as_deref(), Some("é".as_bytes()));
        columns.push(described.clone());
    }
    assert_eq!(columns[0], columns[2]);
    assert_eq!(
        wire.value("SELECT count(*) FROM pg_prepared_statements"),
        "1"
    );
    let name = wire.value("SELECT name FROM pg_prepared_statements");
    assert!(name.starts_with("oxyde_"), "{name}");
    wire.session.forget(&statement);
    wire.query(&statement, &int(1));
    assert_eq!(
        wire.value("SELECT count(*) FROM pg_prepared_statements"),
        "1"
    );
    assert_ne!(wire.value("SELECT name FROM pg_prepared_statements"), name);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn requests_sent_at_once_are_answered_in_order_and_fail_alone() {
    let mut wire = connect(|_| {});
    let divide = binary("SELECT 100 / $1", &[INT4]);
    let requests: Vec<Request> = [5, 0, 2, 0, 1]
        .iter()
        .map(|number| wire.session.query(&divide, &int(*number)).unwrap())
        .collect();
    assert_eq!(wire.session.in_flight(), 5);
    assert_eq!(wire.session.head(), Some(requests[0]));
    let mut events = wire.answer(requests[4]);
    assert_eq!(wire.session.in_flight(), 0);
    let mut answers = Vec::new();
    for request in &requests {
        let end = events
            .iter()
            .position(|event| *event == Seen::Done(*request, TxStatus::Idle))
            .unwrap();
        let mine: Vec<Seen> = events.drain(..=end).collect();
        answers.push(mine.iter().find_map(|event| match event {
            Seen::Rows(of, rows) => {
                assert_eq!(of, request);
                Some(i32::from_be_bytes(
                    rows[0][0].clone().unwrap().try_into().unwrap(),
                ))
            }
            Seen::Failed(of, error) => {
                assert_eq!((of, error.kind), (request, ErrorKind::Data));
                Some(-1)
            }
            _ => None,
        }));
    }
    assert_eq!(answers, [Some(20), Some(-1), Some(50), Some(-1), Some(100)]);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn errors_carry_what_the_server_says_about_them() {
    let mut wire = connect(|_| {});
    wire.simple("CREATE TEMP TABLE people (id int PRIMARY KEY, name text NOT NULL, CONSTRAINT adult CHECK (id > 17))");
    let insert = Statement::new(
        "INSERT INTO people VALUES ($1, $2)".into(),
        vec![INT4, TEXT],
        Formats::Text,
    );
    let failed = |events: &[Seen]| match events {
        [.., Seen::Failed(_, error), Seen::Done(..)] => error.clone(),
        _ => panic!("{events:?}"),
    };
    wire.query(&insert, &texts(&[Some("20"), Some("x")]));
    let unique = failed(&wire.query(&insert, &texts(&[Some("20"), Some("y")])));
    assert_eq!(unique.kind, ErrorKind::Unique);
    assert_eq!(unique.sqlstate.as_deref(), Some("23505"));
    assert_eq!(unique.constraint.as_deref(), Some("people_pkey"));
    assert_eq!(unique.table.as_deref(), Some("people"));
    assert_eq!(unique.detail.as_deref(), Some("Key (id)"), "no values");
    assert_eq!(unique.column.as_deref(), Some("id"));
    let null = failed(&wire.query(&insert, &texts(&[Some("21"), None])));
    assert_eq!(
        (null.kind, null.column.as_deref()),
        (ErrorKind::NotNull, Some("name"))
    );
    let check = failed(&wire.query(&insert, &texts(&[Some("3"), Some("y")])));
    assert_eq!(
        (check.kind, check.constraint.as_deref()),
        (ErrorKind::Check, Some("adult"))
    );
    // A number of parameters that is not the statement's is the caller's mistake, not the connection's end.
    let few = failed(&wire.query(&insert, &texts(&[Some("3")])));
    assert_eq!(
        (few.kind, few.outcome),
        (ErrorKind::Programming, Effect::NotApplied)
    );
    let syntax = failed(&wire.query(&statement("SELEC 1"), &texts(&[])));
    assert_eq!(syntax.kind, ErrorKind::Programming);
    assert_eq!(wire.value("SELECT count(*) FROM people"), "1");
    // A constraint that is checked at the end fails after the statement has completed.
    wire.simple("CREATE TEMP TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    wire.simple("INSERT INTO late VALUES (1)");
    let events = wire.query(&statement("INSERT INTO late VALUES (1)"), &texts(&[]));
    assert!(
        matches!(events.as_slice(), [Seen::Completed(..), Seen::Failed(_, error), Seen::Done(..)]
            if error.kind == ErrorKind::Unique),
        "{events:?}"
    );
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn done_tells_the_state_of_the_transaction_and_completed_its_end() {
    let mut wire = connect(|_| {});
    let last = |events: &[Seen]| match events.last() {
        Some(Seen::Done(_, status)) => *status,
        _ => panic!("{events:?}"),
    };
    assert_eq!(last(&wire.simple("BEGIN")), TxStatus::InTransaction);
    let select = statement("SELECT 1");
    assert_eq!(
        last(&wire.query(&select, &texts(&[]))),
        TxStatus::InTransaction
    );
    assert_eq!(
        last(&wire.query(&statement("SELECT 1/0"), &texts(&[]))),
        TxStatus::Failed
    );
    let refused = wire.query(&select, &texts(&[]));
    assert!(
        matches!(&refused[..], [Seen::Failed(_, error), Seen::Done(_, TxStatus::Failed)]
            if error.kind == ErrorKind::TransactionBroken),
        "{refused:?}"
    );
    let commit = wire.simple("COMMIT");
    assert!(
        matches!(
            commit[..],
            [
                Seen::Completed(_, Tag::Rollback, 0),
                Seen::Done(_, TxStatus::Idle)
            ]
        ),
        "{commit:?}"
    );
    assert_eq!(wire.session.transaction(), TxStatus::Idle);
    let several = wire.simple("BEGIN; SELECT 1; COMMIT");
    let tags: Vec<Tag> = several
        .iter()
        .filter_map(|event| match event {
            Seen::Completed(_, tag, _) => Some(*tag),
            _ => None,
        })
        .collect();
    assert_eq!(tags, [Tag::Other, Tag::Other, Tag::Commit]);
    let empty = wire.simple("");
    assert!(matches!(
        empty[..],
        [Seen::Completed(_, Tag::Other, 0), Seen::Done(..)]
    ));
    let request = wire.session.sync().unwrap();
    assert_eq!(wire.answer(request), [Seen::Done(request, TxStatus::Idle)]);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn copy_moves_a_hundred_thousand_rows_in_and_out() {
    const ROWS: u64 = 100_000;
    let mut wire = connect(|_| {});
    wire.simple("CREATE TEMP TABLE big (id int, word text)");
    let request = wire.session.copy_in("COPY big FROM STDIN").unwrap();
    let started = wire.until(|event| matches!(event, Seen::CopyIn(..)));
    assert!(
        matches!(started.last(), Some(Seen::CopyIn(_, format)) if format.columns == 2 && !format.binary)
    );
    assert!(
        wire.session.simple("SELECT 1").is_err(),
        "a copy has the line for itself"
    );
    let mut sent = Vec::new();
    for id in 0..ROWS {
        sent.extend_from_slice(format!("{id}\tword {id}\n").as_bytes());
    }
    for chunk in sent.chunks(100_000) {
        assert!(wire.session.copy_data(chunk));
        wire.flush();
    }
    wire.session.copy_done();
    let events = wire.answer(request);
    assert!(
        matches!(
            events[..],
            [Seen::Completed(_, Tag::Other, ROWS), Seen::Done(..)]
        ),
        "{events:?}"
    );
    let request = wire
        .session
        .copy_out("COPY (SELECT * FROM big ORDER BY id) TO STDOUT")
        .unwrap();
    let events = wire.answer(request);
    let mut received = Vec::new();
    for event in &events {
        if let Seen::CopyData(_, data) = event {
            received.extend_from_slice(data);
        }
    }
    assert!(received == sent, "what came out is not what went in");
    assert!(matches!(
        events[events.len() - 2],
        Seen::Completed(_, Tag::Other, ROWS)
    ));
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_copy_can_be_given_up_fail_or_come_unasked() {
    let mut wire = connect(|_| {});
    wire.simple("CREATE TEMP TABLE small (id int)");
    let failed = |events: &[Seen]| match events {
        [.., Seen::Failed(_, error), Seen::Done(_, TxStatus::Idle)] => error.clone(),
        _ => panic!("{events:?}"),
    };
    let request = wire.session.copy_in("COPY small FROM STDIN").unwrap();
    wire.until(|event| matches!(event, Seen::CopyIn(..)));
    wire.session.copy_data(b"1\n2\n");
    wire.session.copy_fail("changed our mind");
    assert!(
        failed(&wire.answer(request))
            .message
            .contains("changed our mind")
    );

    let request = wire.session.copy_in("COPY small FROM STDIN").unwrap();
    wire.until(|event| matches!(event, Seen::CopyIn(..)));
    wire.session.copy_data(b"1\nno number\n");
    assert_eq!(
        failed(&{
            wire.session.copy_done();
            wire.answer(request)
        })
        .kind,
        ErrorKind::Data
    );
    assert!(!wire.session.copy_data(b"2\n"));

    let request = wire.session.copy_in("COPY nowhere FROM STDIN").unwrap();
    assert_eq!(failed(&wire.answer(request)).kind, ErrorKind::Programming);

    for sql in [
        "COPY small FROM STDIN",
        "COPY (SELECT generate_series(1, 1000)) TO STDOUT",
    ] {
        assert_eq!(failed_first(&wire.simple(sql)), ErrorKind::NotSupported);
        let copy = statement(sql);
        assert_eq!(
            failed_first(&wire.query(&copy, &texts(&[]))),
            ErrorKind::NotSupported
        );
    }
    assert_eq!(wire.value("SELECT count(*) FROM small"), "0");
}

fn failed_first(events: &[Seen]) -> ErrorKind {
    match events {
        [Seen::Failed(_, error), Seen::Done(..)] => error.kind,
        _ => panic!("{events:?}"),
    }
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_portal_gives_its_rows_in_pieces() {
    let mut wire = connect(|config| config.statement_cache = 2);
    let series = binary("SELECT generate_series(1, $1)", &[INT4]);
    wire.simple("BEGIN");
    let request = wire
        .session
        .portal(&series, &int(25), "stream", 10)
        .unwrap();
    let mut events = wire.answer(request);
    assert!(wire.session.portal(&series, &int(1), "stream", 10).is_err());
    let mut pieces = Vec::new();
    loop {
        let rows = events.iter().find_map(|event| match event {
            Seen::Rows(_, rows) => Some(rows.len()),
            _ => None,
        });
        pieces.push(rows.unwrap_or(0));
        if !events
            .iter()
            .any(|event| matches!(event, Seen::Suspended(_)))
        {
            break;
        }
        // Statements that push the stream's one out of the cache do not touch it.
        for number in 0..5 {
            wire.query(&statement(&format!("SELECT {number}")), &texts(&[]));
        }
        let request = wire.session.fetch("stream", 10).unwrap();
        events = wire.answer(request);
    }
    assert_eq!(pieces, [10, 10, 5]);
    let request = wire.session.close_portal("stream").unwrap();
    assert_eq!(
        wire.answer(request),
        [Seen::Done(request, TxStatus::InTransaction)]
    );
    let request = wire
        .session
        .portal(&series, &int(25), "stream", 10)
        .unwrap();
    wire.answer(request);
    wire.simple("COMMIT");
    let gone = wire.session.fetch("stream", 10).unwrap_err();
    assert_eq!(gone.kind, ErrorKind::Transaction);
    assert_eq!(wire.value("SELECT 1"), "1");
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn notifications_and_notices_and_settings_are_told() {
    let mut wire = connect(|_| {});
    let channel = format!("oxyde_session_{}", std::process::id());
    wire.simple(&format!("LISTEN {channel}"));
    let request = wire.session.simple(&format!(
        "NOTIFY {channel}, 'ünï'; DO $$BEGIN RAISE WARNING 'careful' USING HINT = 'look'; END$$; SET TimeZone = 'Asia/Tokyo'"
    ));
    let request = request.unwrap();
    let events = wire.until(|event| matches!(event, Seen::Done(done, _) if *done == request));
    let pid = wire.session.backend_pid().unwrap();
    let notified = Seen::Notification(pid, channel, "ünï".into());
    let more = if events.contains(&notified) {
        Vec::new()
    } else {
        wire.until(|event| matches!(event, Seen::Notification(..)))
    };
    assert!(
        events.contains(&notified) || more.contains(&notified),
        "{events:?} {more:?}"
    );
    assert!(events.iter().any(|event| matches!(event, Seen::Notice(notice)
        if notice.message == "careful" && notice.severity == "WARNING" && notice.hint.as_deref() == Some("look"))));
    assert!(events.contains(&Seen::Parameter("TimeZone".into())));
    assert_eq!(wire.session.parameter("TimeZone"), Some("Asia/Tokyo"));
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn the_cache_of_statements_is_bounded_also_on_the_server() {
    let mut wire = connect(|config| config.statement_cache = 10);
    let statements: Vec<Arc<Statement>> = (0..300)
        .map(|number| binary(&format!("SELECT {number} + $1"), &[INT4]))
        .collect();
    for round in 0..2 {
        for (number, statement) in statements.iter().enumerate() {
            let events = wire.query(statement, &int(round));
            let expected = i32::try_from(number).unwrap() + round;
            assert!(
                matches!(&events[1], Seen::Rows(_, rows) if *rows == one(&expected.to_be_bytes())),
                "{events:?}"
            );
        }
        // One that is pushed out is closed with the next flight, which the simple protocol is not.
        let count: usize = wire
            .value("SELECT count(*) FROM pg_prepared_statements")
            .parse()
            .unwrap();
        assert_eq!(count, 10);
    }
    // The ten used last are there: nothing has to be parsed.
    for statement in &statements[290..] {
        assert!(wire.session.is_prepared(statement).is_some());
    }
    assert!(wire.session.is_prepared(&statements[289]).is_none());
    // All at once: none is closed while another still needs it.
    let requests: Vec<Request> = statements
        .iter()
        .cycle()
        .take(600)
        .map(|statement| wire.session.query(statement, &int(1)).unwrap())
        .collect();
    let events = wire.answer(requests[599]);
    assert!(!events.iter().any(|event| matches!(event, Seen::Failed(..))));
    assert_eq!(wire.session.prepared(), 10);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn what_the_server_forgets_is_prepared_again() {
    let mut wire = connect(|_| {});
    let select = statement("SELECT 1");
    wire.query(&select, &texts(&[]));
    wire.simple("DISCARD ALL");
    assert!(wire.session.is_prepared(&select).is_none());
    assert_eq!(wire.query(&select, &texts(&[])).len(), 4);
    // Behind our back it is an error that says so, once.
    wire.simple("DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$");
    let events = wire.query(&select, &texts(&[]));
    assert!(
        matches!(&events[0], Seen::Failed(_, error) if error.is_stale_plan()),
        "{events:?}"
    );
    wire.session.forget(&select);
    assert_eq!(wire.query(&select, &texts(&[])).len(), 4);
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_described_statement_runs_with_the_types_the_server_infers() {
    let mut wire = connect(|_| {});
    wire.simple("CREATE TEMP TABLE things (id int, word text)");
    wire.simple("INSERT INTO things VALUES (1, 'a'), (2, 'b')");
    let raw = statement("SELECT id, word FROM things WHERE id = $1 AND word <> $2");
    let request = wire.session.describe(&raw).unwrap();
    assert!(wire.session.simple("SELECT 1").is_err());
    let events = wire.until(|event| matches!(event, Seen::Described(..)));
    let [Seen::Described(_, types, columns)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(types, &[INT4, TEXT]);
    assert_eq!(columns.len(), 2);
    let two = 2_i32.to_be_bytes();
    let params = encoded(
        [Some(&two[..]), Some(b"x")].into_iter(),
        Formats::Each([true, false].into()),
    );
    wire.session
        .execute_described(&params, &Formats::Each([false, true].into()), None)
        .unwrap();
    let events = wire.answer(request);
    assert!(
        matches!(&events[0], Seen::Columns(_, columns) if !columns[0].binary && columns[1].binary)
    );
    assert!(
        matches!(&events[1], Seen::Rows(_, rows) if rows[0] == [Some(b"2".to_vec()), Some(b"b".to_vec())])
    );
    // Now it is known: no second question.
    let (types, columns) = wire.session.is_prepared(&raw).unwrap();
    assert_eq!((types.len(), columns.len()), (2, 2));
    let request = wire
        .session
        .query_as(&raw, &params, &Formats::Binary)
        .unwrap();
    let events = wire.answer(request);
    assert!(matches!(&events[1], Seen::Rows(_, rows) if rows[0][0].as_deref() == Some(&two[..])));

    // A statement without rows, one that is not run after all, one that is wrong.
    let insert = statement("INSERT INTO things VALUES ($1)");
    let request = wire.session.describe(&insert).unwrap();
    let events = wire.until(|event| matches!(event, Seen::Described(..)));
    assert!(
        matches!(&events[0], Seen::Described(_, types, columns) if *types == [INT4] && columns.is_empty())
    );
    wire.session.end_described();
    assert_eq!(wire.answer(request), [Seen::Done(request, TxStatus::Idle)]);
    let request = wire.session.describe(&statement("SELECT nothing")).unwrap();
    assert_eq!(failed_first(&wire.answer(request)), ErrorKind::Programming);
    assert_eq!(wire.value("SELECT count(*) FROM things"), "2");
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn unnamed_mode_leaves_nothing_prepared() {
    let mut wire = connect(|config| config.unnamed = true);
    let statement = binary("SELECT $1 + 1", &[INT4]);
    for number in 0..20 {
        let events = wire.query(&statement, &int(number));
        assert!(
            matches!(&events[1], Seen::Rows(_, rows) if *rows == one(&(number + 1).to_be_bytes()))
        );
    }
    let request = wire.session.describe(&statement).unwrap();
    wire.until(|event| matches!(event, Seen::Described(..)));
    wire.session
        .execute_described(&int(1), &Formats::Text, None)
        .unwrap();
    let events = wire.answer(request);
    assert!(matches!(&events[1], Seen::Rows(_, rows) if *rows == one(b"2")));
    assert_eq!(
        wire.value("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"),
        "0"
    );
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_cancel_packet_stops_what_runs() {
    let mut wire = connect(|_| {});
    let started = Instant::now();
    let sleep = statement("SELECT pg_sleep(50)");
    let request = wire.session.query(&sleep, &texts(&[])).unwrap();
    wire.flush();
    std::thread::sleep(Duration::from_millis(200));
    let mut side = TcpStream::connect(wire.stream.peer_addr().unwrap()).unwrap();
    side.write_all(&wire.session.cancel_packet().unwrap())
        .unwrap();
    assert_eq!(
        side.read(&mut [0; 1]).unwrap_or(0),
        0,
        "the server says nothing and closes"
    );
    let events = wire.answer(request);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Seen::Failed(_, error)
            if error.sqlstate.as_deref() == Some("57014"))),
        "{events:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(wire.value("SELECT 1"), "1");
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn large_values_go_both_ways() {
    const SIZE: usize = 64 << 20;
    let mut wire = connect(|_| {});
    let sent: Vec<u8> = (0..SIZE)
        .map(|at| b'a' + u8::try_from(at % 23).unwrap())
        .collect();
    let echo = binary("SELECT $1::text", &[TEXT]);
    let params = encoded([Some(&sent[..])].into_iter(), Formats::Binary);
    let events = wire.query(&echo, &params);
    let Seen::Rows(_, rows) = &events[1] else {
        panic!("{:?}", events[1]);
    };
    assert!(rows[0][0].as_ref() == Some(&sent));
    assert_eq!(wire.value("SELECT 1"), "1");
    assert!(
        wire.session.output().capacity() < SIZE,
        "the buffer was given back"
    );
}

#[test]
#[ignore = "needs a server: nox -s tests-postgres"]
fn a_server_that_ends_the_connection_says_why() {
    let (mut wire, mut other) = (connect(|_| {}), connect(|_| {}));
    let pid = wire.session.backend_pid().unwrap();
    wire.session
        .query(&statement("SELECT pg_sleep(50)"), &texts(&[]))
        .unwrap();
    wire.flush();
    std::thread::sleep(Duration::from_millis(100));
    other.value(&format!("SELECT pg_terminate_backend({pid})"));
    let mut all = Vec::new();
    wire.stream.read_to_end(&mut all).unwrap();
    let mut data = all.as_slice();
    let fatal = loop {
        match wire.session.next(&mut data) {
            Ok(Some(Event::Done(..))) | Ok(None) => panic!("the connection goes on"),
            Ok(Some(_)) => {}
            Err(fatal) => break fatal.0,
        }
    };
    assert_eq!(
        (fatal.kind, fatal.outcome),
        (ErrorKind::ConnectionLost, Effect::Unknown)
    );
    assert_eq!(fatal.sqlstate.as_deref(), Some("57P01"));
    assert_eq!(wire.session.end_of_file().0, fatal);
    assert!(wire.session.simple("SELECT 1").is_err());
}
