//! What a point look-up and single-row writes cost on the calling thread, and what the way through a thread costs.
//!
//! `cargo run --release -p oxyde-exec --example inline_cost [OFF|NORMAL|FULL]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;
use std::time::Instant;

use oxyde_exec::dispatch::wait;
use oxyde_exec::{Cells, Database, Inline, Job, Outcome, Rows, SqliteConfig, Work};

const ROUNDS: u32 = 200_000;

/// With `synchronous` OFF and NORMAL the commit itself costs the same.
fn writes(db: &Arc<Database>, columns: &[String]) {
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!(
        "INSERT INTO \"users\" ({}) VALUES ({marks})",
        columns.join(", ")
    );
    let returning = format!("{insert} RETURNING \"users\".\"id\"");
    let texts = |params: &mut Cells, round: u32| {
        for column in columns {
            params.push_text(&format!("{column} of {round}"));
        }
    };
    let update = "UPDATE \"users\" SET \"c3\" = ? WHERE \"users\".\"id\" = ?";
    let change = |params: &mut Cells, round: u32| {
        params.push_text("another text");
        params.push_int(i64::from(round % 10_000 + 1));
    };
    measure(db, "insert", &insert, texts);
    measure(db, "insert returning id", &returning, texts);
    measure(db, "update by key", update, change);
    measure(
        db,
        "delete by key",
        "DELETE FROM \"users\" WHERE \"users\".\"id\" = ?",
        |params, round| params.push_int(i64::from(20_000 + round)),
    );
}

fn measure(db: &Arc<Database>, what: &str, sql: &str, fill: impl Fn(&mut Cells, u32)) {
    let sql: Arc<str> = sql.into();
    let thread = |round| {
        let mut params = Cells::new();
        fill(&mut params, round);
        let work = Work::Statement {
            sql: Arc::clone(&sql),
            params,
            read_only: false,
            names: false,
        };
        wait(|sink| db.run(Job::new(work), None, sink)).0.unwrap();
    };
    let (mut params, mut out, mut times) = (Cells::new(), Outcome::default(), Vec::new());
    let mut elsewhere = 0;
    let start = Instant::now();
    for round in 0..ROUNDS / 2 {
        params.clear();
        fill(&mut params, round);
        let start = Instant::now();
        let inline = db
            .inline_write_lock()
            .map(|mut guard| guard.run(&sql, &params, &mut out));
        match inline {
            Some(Inline::Done) => {}
            None | Some(Inline::Busy | Inline::OverBudget) => {
                elsewhere += 1;
                thread(round);
            }
            other => panic!("{other:?}"),
        }
        times.push(start.elapsed());
    }
    let mean = start.elapsed().as_nanos() / u128::from(ROUNDS / 2);
    times.sort_unstable();
    println!(
        "{what:<20} {mean:>6} ns inline; median {:?}, 99.9 % {:?}, longest {:?}; {elsewhere} not inline",
        times[times.len() / 2],
        times[times.len() * 999 / 1000],
        times[times.len() - 1],
    );
    let start = Instant::now();
    for round in 0..ROUNDS / 20 {
        thread(ROUNDS / 2 + round);
    }
    let mean = start.elapsed().as_nanos() / u128::from(ROUNDS / 20);
    println!("{:<20} {mean:>6} ns through a thread", "");
}

fn main() {
    let path = std::env::temp_dir().join(format!("oxyde-inline-{}.db", std::process::id()));
    let db = Database::sqlite(SqliteConfig {
        path: Some(path.clone()),
        synchronous: std::env::args().nth(1).unwrap_or("NORMAL".into()),
        ..SqliteConfig::default()
    })
    .unwrap();
    wait(|sink| db.connect(oxyde_exec::LoopId::ANY, sink))
        .0
        .unwrap();
    let columns: Vec<String> = (0..9).map(|n| format!("c{n}")).collect();
    let text = columns.join(" TEXT, ");
    let fill = format!(
        "INSERT INTO users WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
         SELECT i, {} FROM n",
        columns
            .iter()
            .map(|c| format!("'{c} of ' || i"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let script = vec![
        format!("CREATE TABLE users (id INTEGER PRIMARY KEY, {text} TEXT)"),
        fill,
    ];
    wait(|sink| db.run(Job::new(Work::Script(script)), None, sink))
        .0
        .unwrap();

    let names: Vec<String> = columns
        .iter()
        .map(|c| format!("\"users\".\"{c}\""))
        .collect();
    let sql: Arc<str> = format!(
        "SELECT \"users\".\"id\", {} FROM \"users\" WHERE \"users\".\"id\" = ? LIMIT ?",
        names.join(", ")
    )
    .into();
    let mut params = Cells::new();
    let mut rows = Rows::new();
    for measured in [false, true] {
        let start = Instant::now();
        for round in 0..ROUNDS {
            params.clear();
            params.push_int(i64::from(round % 10_000 + 1));
            params.push_int(1);
            let mut guard = db.inline_lock().expect("free");
            match guard.run(&sql, &params, &mut rows) {
                Inline::Done => assert_eq!(rows.rows(), 1),
                other => panic!("{other:?}"),
            }
        }
        if measured {
            println!(
                "inline, 10 columns:  {:>6} ns",
                start.elapsed().as_nanos() / u128::from(ROUNDS)
            );
        }
    }
    let start = Instant::now();
    for round in 0..ROUNDS / 10 {
        let mut params = Cells::new();
        params.push_int(i64::from(round % 10_000 + 1));
        params.push_int(1);
        let work = Work::Statement {
            sql: Arc::clone(&sql),
            params,
            read_only: true,
            names: false,
        };
        assert_eq!(
            wait(|sink| db.run(Job::new(work), None, sink))
                .0
                .unwrap()
                .rows
                .rows(),
            1
        );
    }
    println!(
        "through a thread:    {:>6} ns",
        start.elapsed().as_nanos() / u128::from(ROUNDS / 10)
    );
    writes(&db, &columns);
    wait(|sink| db.close(None, sink)).0.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}
