//! What a point look-up costs on the calling thread, and what the way through a thread costs.
//!
//! `cargo run --release -p oxyde-exec --example inline_cost`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;
use std::time::Instant;

use oxyde_exec::dispatch::wait;
use oxyde_exec::{Cells, Database, Inline, Job, Rows, SqliteConfig, Work};

const ROUNDS: u32 = 200_000;

fn main() {
    let path = std::env::temp_dir().join(format!("oxyde-inline-{}.db", std::process::id()));
    let db = Database::sqlite(SqliteConfig {
        path: Some(path.clone()),
        ..SqliteConfig::default()
    })
    .unwrap();
    wait(|sink| db.connect(sink)).0.unwrap();
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
    wait(|sink| db.close(None, sink)).0.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}
