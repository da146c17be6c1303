//! `cargo +nightly fuzz run mysql_session` in crates/oxyde-exec. The tests with hostile servers call the same body.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the tests use more of it than one input needs")]
#[path = "../../tests/mysql_session_wire/exercise.rs"]
mod exercise;

fuzz_target!(|input: &[u8]| exercise::exercise(input));
