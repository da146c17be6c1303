//! Every target with its seeds, with the inputs that once failed, and with mutations of both: the same in each run.
//!
//! `OXYDE_FUZZ_MUTATIONS` and `OXYDE_FUZZ_SEED` choose more and others.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{env, fs};

use oxyde_fuzz::mutation::{Chance, mutated};
use oxyde_fuzz::{TARGETS, Target, target};

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The inputs that once failed, each in a file that is called by what was wrong.
fn failed_once(target: Target) -> Vec<Vec<u8>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let Ok(files) = fs::read_dir(home) else {
        return Vec::new();
    };
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

fn replay(name: &str) {
    let target = target(name);
    let mut inputs = (target.seeds)();
    assert!(!inputs.is_empty());
    inputs.extend(failed_once(target));
    inputs.push(Vec::new());
    let run = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
            panic!(
                "{name} fails on {:?}",
                String::from_utf8_lossy(&input.escape_ascii().to_string().into_bytes())
            );
        }
    };
    for input in &inputs {
        run(input);
    }
    let words = (target.words)();
    let mut chance = Chance::new(number("OXYDE_FUZZ_SEED").unwrap_or(1));
    let wanted = number("OXYDE_FUZZ_MUTATIONS").map_or(target.mutations, |n| n.try_into().unwrap());
    for _ in 0..wanted {
        run(&mutated(&inputs, &words, &mut chance));
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn no_target_is_left_out() {
            let here = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|target| target.name).eq(here));
            let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
            let list = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
            for name in here {
                assert!(list.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
                let source = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
                assert!(source.contains(&format!("target(\"{name}\")")), "{name}");
            }
        }
    };
}

replays! {
    postgres_session
    mysql_session
    postgres_cells
    mysql_cells
    sqlite_cells
    queries
    schemas
    identifiers
}
