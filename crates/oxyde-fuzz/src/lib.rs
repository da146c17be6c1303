//! What is fed any bytes at all, and must answer with a result or an error.
//!
//! A [`Target`] is one function of bytes that panics when something does not hold which has to hold for every input.
//! libFuzzer drives it with new inputs (`python3 noxfile.py -s fuzz`, nightly compiler, see `fuzz/`); `tests/replay.rs`
//! drives it on the stable compiler with its seeds, the inputs that once failed (`corpus/`), and a fixed number of
//! mutations of both, so that every test run goes through all of them.
//!
//! URLs are read by Python; their tests are `packages/oxyde-orm/tests/db/test_url_properties.py`.

// Failing loudly is what all of this is for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod cells;
mod identifiers;
mod lexer;
pub mod mutation;
mod queries;
mod schemas;
mod sessions;
mod trees;

/// Something that takes any bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of the libFuzzer target, and of the folder with inputs that once failed.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
    /// Inputs that get far: what is found by changing them is worth more than what begins with nothing.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that mean something inside of an input.
    pub words: fn() -> Vec<Vec<u8>>,
    /// How many mutations the replay runs: about half a second of them in a debug build.
    pub mutations: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "postgres_session",
        run: sessions::postgres::exercise,
        seeds: sessions::postgres::seeds,
        words: sessions::postgres::words,
        mutations: 10_000,
    },
    Target {
        name: "mysql_session",
        run: sessions::mysql::exercise,
        seeds: sessions::mysql::seeds,
        words: sessions::mysql::words,
        mutations: 10_000,
    },
    Target {
        name: "postgres_cells",
        run: oxyde_py::exercise::postgres,
        seeds: cells::postgres,
        words: cells::words,
        mutations: 10_000,
    },
    Target {
        name: "mysql_cells",
        run: oxyde_py::exercise::mysql,
        seeds: cells::mysql,
        words: cells::words,
        mutations: 10_000,
    },
    Target {
        name: "sqlite_cells",
        run: oxyde_py::exercise::sqlite,
        seeds: cells::sqlite,
        words: cells::words,
        mutations: 10_000,
    },
    Target {
        name: "queries",
        run: queries::exercise,
        seeds: queries::seeds,
        words: queries::words,
        mutations: 1_000,
    },
    Target {
        name: "schemas",
        run: schemas::exercise,
        seeds: schemas::seeds,
        words: schemas::words,
        mutations: 1_000,
    },
    Target {
        name: "identifiers",
        run: identifiers::exercise,
        seeds: identifiers::seeds,
        words: identifiers::words,
        mutations: 300,
    },
];

/// The target of this name.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|target| target.name == name);
    *found.unwrap_or_else(|| panic!("no target is called {name}"))
}
