#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (oxyde_fuzz::target("schemas").run)(input));
