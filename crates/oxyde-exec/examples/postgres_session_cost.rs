//! What the protocol costs without a server: a query of a prepared statement, its answer, rows and their fields.
//!
//! `cargo run --release -p oxyde-exec --example postgres_session_cost`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::hint::black_box;
use std::time::Instant;

use oxyde_exec::postgres::session::{Event, Limits, Session, SessionConfig};
use oxyde_exec::query::{Encoded, Formats, Statement};

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
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

fn main() {
    let mut session = Session::new(SessionConfig {
        user: "user".into(),
        database: "database".into(),
        application_name: None,
        statement_cache: 100,
        unnamed: false,
        limits: Limits::default(),
    });
    session.start(None, false).unwrap();
    feed(&mut session, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
    let statement = Statement::new("SELECT …".into(), vec![23], Formats::Binary);
    let params = Encoded {
        count: 1,
        formats: Formats::Binary,
        values: vec![0, 0, 0, 4, 0, 0, 0, 7],
    };
    const WIDTH: u8 = 10;
    let column = b"name\0\0\0\0\x01\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
    let columns = [&[0, WIDTH], &column.repeat(WIDTH.into())[..]].concat();
    let row = message(
        b'D',
        &[&[0, WIDTH], &b"\0\0\0\x04abcd".repeat(WIDTH.into())[..]].concat(),
    );
    let front = [
        message(b'1', &[]),
        message(b't', &[0, 1, 0, 0, 0, 23]),
        message(b'T', &columns),
    ]
    .concat();
    let bound = message(b'2', &[]);
    let end = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    let answer = [&bound[..], &row, &end].concat();
    session.query(&statement, &params).unwrap();
    feed(&mut session, &[&front[..], &answer].concat());
    session.output().clear();

    const QUERIES: u32 = 1600;
    time(
        "query of a prepared statement and its answer, one row",
        QUERIES,
        || {
            for _ in 0..QUERIES {
                session.query(&statement, &params).unwrap();
                black_box(session.output()).clear();
                feed(&mut session, &answer);
            }
        },
    );
    let answers = answer.repeat(16);
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
    let many = row.repeat(usize::try_from(ROWS).unwrap());
    for piece in [64 * 1024, 256 * 1024, usize::MAX] {
        time(
            &format!("a row of ten columns, reads of {piece} bytes"),
            ROWS,
            || {
                session.query(&statement, &params).unwrap();
                session.output().clear();
                feed(&mut session, &bound);
                let mut rows = 0;
                for piece in many.chunks(piece) {
                    rows += feed(&mut session, piece);
                }
                assert_eq!(rows, many.len() / row.len());
                feed(&mut session, &end);
            },
        );
    }
    time("reading the ten fields of a row", ROWS, || {
        let raw = oxyde_exec::query::RawRows {
            bytes: &many,
            count: many.len() / row.len(),
        };
        let mut sum = 0;
        for row in raw {
            for field in row.unwrap().fields() {
                sum += field.unwrap().map_or(0, <[u8]>::len);
            }
        }
        black_box(sum);
    });
}
