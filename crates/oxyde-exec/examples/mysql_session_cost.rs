//! What the protocol costs without a server: a query of a prepared statement, its answer, rows and their fields.
//!
//! `cargo run --release -p oxyde-exec --example mysql_session_cost`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::hint::black_box;
use std::time::Instant;

use oxyde_exec::mysql::rows::{Rows, TextFields};
use oxyde_exec::mysql::session::{Event, Limits, Line, Session, SessionConfig};
use oxyde_exec::query::{Encoded, Formats, RawRows, Statement};

/// Packets of one answer, numbered.
struct Answer {
    bytes: Vec<u8>,
    number: u8,
}

fn answer() -> Answer {
    Answer {
        bytes: Vec::new(),
        number: 1,
    }
}

impl Answer {
    fn packet(mut self, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        self.bytes.extend_from_slice(&length[..3]);
        self.bytes.push(self.number);
        self.bytes.extend_from_slice(payload);
        self.number = self.number.wrapping_add(1);
        self
    }

    fn definitions(self, count: u8) -> Self {
        (0..count).fold(self, |answer, _| answer.packet(DEFINITION))
    }

    /// How many columns; MariaDB also says whether their definitions follow.
    fn columns(self, count: u8, mariadb: bool) -> Self {
        if mariadb {
            self.packet(&[count, 0])
        } else {
            self.packet(&[count]).definitions(count)
        }
    }

    fn end(self) -> Vec<u8> {
        self.packet(&[0xfe, 0, 0, 2, 0, 0, 0]).bytes
    }
}

const DEFINITION: &[u8] =
    b"\x03def\x04shop\x06people\x06people\x04name\x04name\x0c\x2d\0\x0b\0\0\0\xfd\x01\0\0\0\0";

/// What a server of today can do; MariaDB: definitions are not sent again.
fn greeting(mariadb: bool) -> Vec<u8> {
    let (low, own) = if mariadb { (0x0e, 0x10) } else { (0x0f, 0) };
    [
        &b"\x0a8.4.2\0\x01\0\0\0abcdefgh\0"[..],
        &[
            low, 0xa2, 255, 2, 0, 0x3e, 0x01, 21, 0, 0, 0, 0, 0, 0, own, 0, 0, 0,
        ],
        b"ijklmnopqrst\0mysql_native_password\0",
    ]
    .concat()
}

fn feed(session: &mut Session, mut bytes: &[u8]) -> usize {
    let mut rows = 0;
    while let Some(event) = session.next(&mut bytes).unwrap() {
        if let Event::Rows(_, chunk) = &event {
            rows += chunk.raw().count;
        }
        black_box(&event);
    }
    rows
}

/// Nanoseconds for one of `count`: the best of many short runs, because other programs want the processor, too.
fn time(what: &str, count: u32, mut run: impl FnMut()) {
    let best = (0..300)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!("{what:<60} {:>8.1} ns", best * 1e9 / f64::from(count));
}

const WIDTH: u8 = 10;

fn main() {
    for mariadb in [false, true] {
        println!("{}", if mariadb { "MariaDB" } else { "MySQL" });
        costs(mariadb);
    }
}

fn costs(mariadb: bool) {
    let mut session = Session::new(SessionConfig {
        user: "user".into(),
        database: Some("database".into()),
        application_name: None,
        statement_cache: 100,
        limits: Limits::default(),
    });
    session
        .start(None, Line::Network, &greeting(mariadb))
        .unwrap();
    feed(&mut session, &[7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
    let statement = Statement::new("SELECT …".into(), Vec::new(), Formats::Binary);
    let params = Encoded {
        count: 1,
        formats: Formats::Binary,
        values: vec![0, 1, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0],
    };
    let row = [&[0; 3][..], &b"\x04abcd".repeat(WIDTH.into())].concat();
    let prepared = answer()
        .packet(&[0, 1, 0, 0, 0, WIDTH, 0, 1, 0, 0, 0, 0])
        .definitions(1 + WIDTH)
        .bytes;
    let one = answer().columns(WIDTH, mariadb).packet(&row).end();
    session.query(&statement, &params).unwrap();
    feed(&mut session, &prepared);
    feed(&mut session, &one);
    session.output().clear();

    const QUERIES: u32 = 1600;
    time(
        "query of a prepared statement and its answer, one row",
        QUERIES,
        || {
            for _ in 0..QUERIES {
                session.query(&statement, &params).unwrap();
                black_box(session.output()).clear();
                feed(&mut session, &one);
            }
        },
    );
    let answers = one.repeat(16);
    time("the same, 16 at once", QUERIES, || {
        for _ in 0..QUERIES / 16 {
            for _ in 0..16 {
                session.query(&statement, &params).unwrap();
            }
            black_box(session.output()).clear();
            feed(&mut session, &answers);
        }
    });

    const ROWS: u32 = 10_000;
    let many = (0..ROWS).fold(answer().columns(WIDTH, mariadb), |answer, _| {
        answer.packet(&row)
    });
    let many = many.end();
    for piece in [64 * 1024, 256 * 1024, usize::MAX] {
        time(
            &format!("a row of ten columns, reads of {piece} bytes"),
            ROWS,
            || {
                session.query(&statement, &params).unwrap();
                session.output().clear();
                let pieces = many.chunks(piece);
                let rows: usize = pieces.map(|piece| feed(&mut session, piece)).sum();
                assert_eq!(rows, usize::try_from(ROWS).unwrap());
            },
        );
    }
    let texts = (0..ROWS).fold(answer(), |answer, _| answer.packet(&row[3..]));
    time("reading the ten fields of a row of texts", ROWS, || {
        let raw = RawRows {
            bytes: &texts.bytes,
            count: usize::try_from(ROWS).unwrap(),
        };
        let mut sum = 0;
        for row in Rows::of(raw) {
            for field in TextFields::of(row.unwrap()) {
                sum += field.unwrap().map_or(0, <[u8]>::len);
            }
        }
        black_box(sum);
    });
}
