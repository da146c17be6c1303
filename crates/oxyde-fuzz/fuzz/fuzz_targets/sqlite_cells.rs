#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (oxyde_fuzz::target("sqlite_cells").run)(input));
