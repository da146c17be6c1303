//! What a session takes of memory, above all from a server that sends anything at all: recordings with something
//! changed, and packets made up. There are events or an end, within the memory that the bytes themselves take.
//!
//! `OXYDE_HOSTILE_CASES` and `OXYDE_HOSTILE_SEED` choose how many and which.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod mysql_session_wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mysql_session_wire::exercise::{NONCE, act, exercise, feed_all, limits};
use mysql_session_wire::scenarios::{SERVERS, Scenario, scenarios};
use mysql_session_wire::*;
use oxyde_exec::mysql::session::{Event, Limits, Line, Password, Session, SessionConfig};
use proptest::prelude::*;

/// Counts what the running thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    static ALL: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
    if bytes > 0 {
        TAKEN.set(TAKEN.get() + 1);
        ALL.set(ALL.get() + bytes.unsigned_abs());
    }
}

// SAFETY: everything is the system allocator's; counting touches thread-local numbers and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while the contents move.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `run` holds at once beyond what was held before, and all that it takes one after the other: with
/// copies of copies that would be much more.
fn memory(run: impl FnOnce()) -> (usize, usize) {
    let (before, all) = (HELD.get(), ALL.get());
    PEAK.set(before);
    run();
    let peak = usize::try_from(PEAK.get() - before).unwrap();
    (peak, ALL.get() - all)
}

fn peak(run: impl FnOnce()) -> usize {
    memory(run).0
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().expect("a number"))
}

/// What packets begin with: OK, a row, more of the login, NULL or a file, numbers of two, three and eight bytes, the
/// end, an error.
const FIRST: &[u8] = &[0, 0, 1, 2, 3, 0xfb, 0xfc, 0xfd, 0xfe, 0xfe, 0xff, b'x'];

const LENGTHS: [u32; 12] = [
    0, 1, 2, 3, 5, 7, 0x7f, 0xff, 0xffff, 0x1_0000, 0xff_fffe, 0xff_ffff,
];

/// Where the packets of `bytes` begin.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 4 <= bytes.len() {
        starts.push(at);
        let length = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]);
        at = at.saturating_add(4 + usize::try_from(length).unwrap());
    }
    starts
}

/// Numbers packets one after the other, anew where an answer begins: what has been changed would be found out by that
/// at once.
fn renumber(bytes: &mut [u8]) {
    let mut last = 0_u8;
    for start in starts(bytes) {
        let number = &mut bytes[start + 3];
        if *number != 1 {
            *number = last.wrapping_add(1);
        }
        last = *number;
    }
}

/// Some packet: its number, its length and its contents may be at odds.
fn made_up(dice: &mut Dice) -> Vec<u8> {
    let mut body: Vec<u8> = (0..dice.below(24))
        .map(|_| dice.roll().to_le_bytes()[0])
        .collect();
    if dice.below(2) == 0 {
        // Counts and lengths are near zero more often than not.
        body.iter_mut().for_each(|byte| *byte %= 4);
    }
    body.insert(0, FIRST[dice.below(FIRST.len())]);
    let body = match dice.below(12) {
        0 => ok(0, dice.roll() % 300, 0, dice.roll().to_le_bytes()[0].into()),
        1 => error(
            1000 + u16::from(dice.roll().to_le_bytes()[0]),
            "no: 'x' for y",
        ),
        2 => definition("word", dice.roll().to_le_bytes()[0]),
        3 => vec![0xfe, 0, 0, dice.roll().to_le_bytes()[0], 0],
        _ => body,
    };
    let number = [1, 1, 2, 3, 0xff][dice.below(5)];
    let mut bytes = packets(number, &body);
    if dice.below(4) == 0 {
        let length = LENGTHS[dice.below(LENGTHS.len())];
        bytes[..3].copy_from_slice(&length.to_le_bytes()[..3]);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len());
    let starts = starts(bytes);
    let start = starts.get(dice.below(starts.len())).copied().unwrap_or(0);
    let next = starts
        .iter()
        .copied()
        .find(|next| *next > start)
        .unwrap_or(bytes.len());
    match dice.below(12) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.roll().to_le_bytes()[0],
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(start..next)),
        4 => {
            let again = bytes[start..next].to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            let again = bytes[start..next].to_vec();
            bytes.splice(start..start, again);
        }
        6 => drop(bytes.splice(start..start, made_up(dice))),
        7 if start + 4 <= bytes.len() => {
            let length = LENGTHS[dice.below(LENGTHS.len())];
            bytes[start..start + 3].copy_from_slice(&length.to_le_bytes()[..3]);
        }
        8 if start + 4 < bytes.len() => bytes[start + 4] = FIRST[dice.below(FIRST.len())],
        9 if start + 13 <= bytes.len() => {
            // How many columns and parameters a prepared statement has.
            let count = u16::to_le_bytes([0, 1, 2, 3, 0x7fff, 0xffff][dice.below(6)]);
            let at = start + 9 + 2 * dice.below(2);
            bytes[at..at + 2].copy_from_slice(&count);
        }
        10 if start + 9 <= bytes.len() => {
            // What follows an OK: more results, a transaction.
            bytes[start + 7] = dice.roll().to_le_bytes()[0];
        }
        _ => {
            let from = dice.below(other.len());
            let to = (from + dice.below(60)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
    }
}

/// A key for these tests only.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCfKbBoq9WSupoN/RywndxU1yKh
HFPEGrMPtGpHIJY1oW3UpNdDrf3G3DjnL2MMrdVR1LhXD8DgZBUkc8Sk4gvWtRqL
wrTqo3eD+zLnsk9kGjS/mW08sV9amN+lNMuiCk7nF03n1YB2qxAGdQMXO2IxkPXb
z5DwhcP+eEYIsVFWDwIDAQAB
-----END PUBLIC KEY-----
";

/// A session that is being let in, or has been.
fn session(open: bool, capabilities: u64, dice: &mut Dice) -> Session {
    let mut session = Session::new(SessionConfig {
        statement_cache: dice.below(3),
        limits: limits(),
        ..config()
    });
    let line = [Line::Network, Line::Network, Line::File][dice.below(3)];
    let plugin = ["caching_sha2_password", "mysql_native_password"][dice.below(2)];
    let greeting = greeting(capabilities, plugin);
    session
        .start(Some(Password::new("secret")), line, &greeting)
        .unwrap();
    if open {
        let welcome = packets(2, &ok(0, 0, 0, AUTOCOMMIT));
        assert!(feed(&mut session, &welcome, &mut Vec::new()));
    }
    session
}

/// A server's side of a login.
fn login(dice: &mut Dice) -> Vec<u8> {
    let welcome = |number| packets(number, &ok(0, 0, 0, AUTOCOMMIT));
    let switch = |plugin: &str, nonce: &[u8]| {
        packets(2, &[&[0xfe], plugin.as_bytes(), &[0], nonce, &[0]].concat())
    };
    let parts = match dice.below(16) {
        0..4 => vec![welcome(2)],
        4..7 => vec![packets(2, &[1, 3]), welcome(3)],
        7..10 => vec![switch("mysql_native_password", NONCE), welcome(4)],
        10 => vec![switch("client_ed25519", &[7; 32]), welcome(4)],
        11 => vec![
            switch("sha256_password", NONCE),
            packets(4, &[&[1], KEY.as_bytes()].concat()),
            welcome(6),
        ],
        12 => vec![
            packets(2, &[1, 4]),
            packets(4, &[&[1], KEY.as_bytes()].concat()),
            welcome(6),
        ],
        13 => vec![switch("mysql_clear_password", b""), welcome(4)],
        14 => vec![switch("dialog", b"Password: "), welcome(4)],
        _ => vec![packets(2, &error(1045, "Access denied for user 'anna'"))],
    };
    parts.concat()
}

fn case(all: &[Scenario], dice: &mut Dice) -> (usize, (usize, usize), bool) {
    let scenario = &all[dice.below(all.len())];
    let other = &all[dice.below(all.len())];
    let open = dice.below(5) > 0;
    let mut bytes = match dice.below(8) {
        0 => (0..1 + dice.below(12))
            .flat_map(|_| made_up(dice))
            .collect(),
        _ => scenario.bytes.clone(),
    };
    let numbered = dice.below(3) > 0;
    for _ in 0..dice.below(5) {
        mutate(&mut bytes, &other.bytes, dice);
        if numbered {
            renumber(&mut bytes);
        }
    }
    if !open {
        let mut front = login(dice);
        if dice.below(2) == 0 {
            mutate(&mut front, &other.bytes, dice);
        }
        bytes.splice(..0, front);
    }
    let actions = if dice.below(8) == 0 { other } else { scenario };
    let (first, later) = actions.actions.split_at(usize::from(open));
    let same = dice.roll();
    let run = |size: usize| {
        let mut session = session(open, scenario.capabilities, &mut Dice(same));
        for action in first {
            act(&mut session, action);
        }
        session.output().clear();
        feed_all(&mut session, &bytes, later, || size).is_some()
    };
    let mut lived = false;
    let size = [1, 2, 7, 30, usize::MAX][dice.below(5)];
    let taken = memory(|| lived = run(size));
    if dice.below(8) == 0 {
        assert_eq!(lived, run(5), "the end depends on how the bytes are cut");
    }
    (bytes.len(), taken, lived)
}

#[test]
fn whatever_a_server_sends_there_are_events_or_an_end() {
    let seed = number("OXYDE_HOSTILE_SEED", 20_260_101);
    let cases = number("OXYDE_HOSTILE_CASES", 100_000);
    // Some cases per thread: each counts its own memory.
    let lived: u64 = std::thread::scope(|scope| {
        let part = |first| scope.spawn(move || play(seed, (first..cases).step_by(4)));
        let parts: Vec<_> = (0..4).map(part).collect();
        let joined = parts.into_iter().map(|part| part.join().unwrap());
        joined.sum()
    });
    eprintln!("seed {seed}: {lived} of {cases} sessions lived on");
    // Both ends are reached, or the cases would show little.
    assert!(
        cases < 1000 || (lived > cases / 20 && lived < cases - cases / 20),
        "{lived} of {cases}"
    );
}

/// How many sessions were alive after their bytes.
fn play(seed: u64, cases: impl Iterator<Item = u64>) -> u64 {
    let all = scenarios();
    let mut lived = 0;
    for number in cases {
        let seed = seed.wrapping_add(number);
        let again = format!("OXYDE_HOSTILE_SEED={seed} OXYDE_HOSTILE_CASES=1 shows it again");
        let played = std::panic::catch_unwind(|| case(&all, &mut Dice(seed)));
        let (length, (held, taken), alive) = played.unwrap_or_else(|_| panic!("a panic: {again}"));
        assert!(
            held <= 64 * 1024 + 16 * length && taken <= 128 * 1024 + 64 * length,
            "{held} bytes of memory, {taken} one after the other, for {length} from the server: {again}"
        );
        lived += u64::from(alive);
    }
    lived
}

#[test]
fn a_prepared_statement_runs_without_allocating() {
    for capabilities in SERVERS {
        let mut session = open_with(config(), capabilities);
        let select = statement("SELECT ?");
        let params = params(&[int(1)]);
        let columns = &[("a", 0xfd)];
        let row = binary(&[Some(b"1")]);
        let say = || Answer::new(capabilities);
        let prepared = say().prepared(1, 1, columns);
        let answer = say().known_columns(columns).rows(&[&row]).end(AUTOCOMMIT);
        let mut run = |answers: &[&[u8]]| {
            session.query(&select, &params).unwrap();
            session.output().clear();
            for answer in answers {
                let mut answer = *answer;
                while let Some(event) = session.next(&mut answer).unwrap() {
                    drop(event);
                }
                session.output().clear();
            }
        };
        run(&[&prepared.bytes, &answer.bytes]);
        let before = TAKEN.get();
        for _ in 0..100 {
            run(&[&answer.bytes]);
        }
        assert_eq!(TAKEN.get(), before);
    }
}

/// A packet with another length in its header, and as much behind it as fits into `size` bytes.
fn announced(number: u8, length: u32, front: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = packets(number, front);
    bytes[..3].copy_from_slice(&length.to_le_bytes()[..3]);
    bytes.resize(size.min(4 + usize::try_from(length).unwrap()), 0);
    bytes
}

#[test]
fn announced_lengths_take_no_memory() {
    let table: &[(&str, u8)] = &[("a", 0xfd), ("b", 0xfd)];
    for length in [0xff_ffff, 0xff_fffe, 1 << 20, 1 << 16, 0xffff] {
        for front in [
            &b"\xff\x48\x04#"[..],
            b"\x00",
            b"\x02",
            b"\xfe",
            b"\x01\x04",
        ] {
            let held = peak(|| {
                let mut session = Session::new(config());
                session
                    .start(
                        Some(Password::new("secret")),
                        Line::Network,
                        &greeting(MYSQL, "caching_sha2_password"),
                    )
                    .unwrap();
                let bytes = announced(2, length, front, 100);
                feed(&mut session, &bytes, &mut Vec::new());
            });
            assert!(held < 32 * 1024, "{held} bytes for a length of {length}");
            for rows in [false, true] {
                let held = peak(|| {
                    let mut session = open(config());
                    session.simple("SELECT 1").unwrap();
                    let mut number = 1;
                    if rows {
                        let columns = Answer::new(MYSQL).columns(table);
                        feed(&mut session, &columns.bytes, &mut Vec::new());
                        number = 4;
                    }
                    let bytes = announced(number, length, front, 100);
                    feed(&mut session, &bytes, &mut Vec::new());
                });
                assert!(held < 32 * 1024, "{held} bytes for a length of {length}");
            }
        }
    }
}

#[test]
fn announced_counts_take_no_memory() {
    for payload in [
        &b"\0\x01\0\0\0\xff\xff\xff\xff\0\0\0"[..],
        b"\0\x01\0\0\0\xff\xff\0\0\0\0\0",
        b"\0\x01\0\0\0\0\0\xff\xff\0\0\0",
        b"\xfc\xff\xff",
        b"\xfd\xff\xff\xff",
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let held = peak(|| {
            let mut session = open(config());
            match payload {
                [0, ..] => session.query(&statement("SELECT 1"), &params(&[])),
                _ => session.simple("SELECT 1"),
            }
            .unwrap();
            feed(&mut session, &packets(1, payload), &mut Vec::new());
        });
        assert!(held < 32 * 1024, "{held} bytes held");
    }
}

#[test]
fn a_split_row_takes_at_most_twice_its_size() {
    const SIZE: usize = 40 << 20;
    let row = texts(&[Some(&vec![1; SIZE])]);
    let answer = Answer::new(MYSQL).columns(&[("a", 0xfc)]).rows(&[&row]);
    for piece in [1000, 64 * 1024, 20 << 20, usize::MAX] {
        let mut session = open(config());
        session.simple("SELECT 1").unwrap();
        let mut rows = 0;
        let (held, taken) = memory(|| {
            for mut piece in answer.bytes.chunks(piece) {
                while let Some(event) = session.next(&mut piece).unwrap() {
                    rows += usize::from(matches!(event, Event::Rows(..)));
                }
            }
        });
        assert_eq!(rows, 1);
        assert!(held <= 3 * SIZE, "{held} bytes held for {SIZE}");
        assert!(taken <= 4 * SIZE, "{taken} bytes taken for {SIZE}");
    }
}

#[test]
fn what_comes_byte_by_byte_is_not_copied_again_and_again() {
    let row = texts(&[Some(&[1; 200_000])]);
    let words = "x".repeat(50_000);
    let names: Vec<(String, u8)> = (0..600).map(|at| (format!("column{at}"), 0xfd)).collect();
    let names: Vec<(&str, u8)> = names.iter().map(|(name, at)| (&name[..], *at)).collect();
    let wide = binary(&vec![Some(&b"x"[..]); 600]);
    let say = || Answer::new(MYSQL);
    for (answers, sql) in [
        (
            vec![say().columns(&[("a", 0xfc)]).rows(&[&row, &row])],
            true,
        ),
        (vec![say().error(1064, &words)], true),
        (
            vec![
                say().prepared(1, 500, &names),
                say().columns(&names).rows(&[&wide]).end(AUTOCOMMIT),
            ],
            false,
        ),
    ] {
        let mut session = open(config());
        let length: usize = answers.iter().map(|answer| answer.bytes.len()).sum();
        let (_, taken) = memory(|| {
            if sql {
                session.simple("SELECT 1").unwrap();
            } else {
                let params: Vec<Param> = (0..500).map(|_| null()).collect();
                session
                    .query(&statement("SELECT 1"), &mysql_session_wire::params(&params))
                    .unwrap();
            }
            for byte in answers.iter().flat_map(|answer| &answer.bytes) {
                let mut byte = std::slice::from_ref(byte);
                while let Some(event) = session.next(&mut byte).unwrap() {
                    drop(event);
                }
            }
        });
        assert!(
            taken < 128 * 1024 + 16 * length,
            "{taken} bytes taken for {length}"
        );
    }
}

#[test]
fn what_a_server_may_make_us_hold_is_limited() {
    let config = || SessionConfig {
        limits: limits(),
        ..config()
    };
    let table: &[(&str, u8)] = &[("a", 0xfc)];
    let refused = |answer: &[u8], size: usize| {
        let mut session = open(config());
        session.simple("SELECT 1").unwrap();
        let mut pieces = answer.chunks(size);
        pieces.any(|piece| !feed(&mut session, piece, &mut Vec::new()))
    };
    let say = || Answer::new(MYSQL);
    let row = |length: usize| texts(&[Some(&vec![1; length])]);
    let most = limits().max_row - 3;
    let names: Vec<(String, u8)> = (0..600).map(|at| (format!("column{at}"), 0xfd)).collect();
    let names: Vec<(&str, u8)> = names.iter().map(|(name, at)| (&name[..], *at)).collect();
    for size in [100, 1000, usize::MAX] {
        for (answer, is_refused) in [
            (say().columns(table).rows(&[&row(most)]), false),
            (say().columns(table).rows(&[&row(most), &row(most)]), false),
            (say().columns(table).rows(&[&row(most + 1)]), true),
            (
                say()
                    .columns(table)
                    .rows(&[&row(5), &row(most + 1), &row(5)]),
                true,
            ),
            (say().columns(&names[..200]), false),
            (say().columns(&names), true),
            (say().error(1064, &"x".repeat(60_000)), false),
            (say().error(1064, &"x".repeat(70_000)), true),
        ] {
            assert_eq!(refused(&answer.bytes, size), is_refused, "{size}");
        }
    }
    // A row over several packets counts as a whole, and so does anything else.
    for (max_row, max_packet) in [(20 << 20, 1 << 16), (1 << 16, 20 << 20)] {
        let mut session = open(SessionConfig {
            limits: Limits {
                max_row,
                max_packet,
                ..limits()
            },
            ..config()
        });
        session.simple("SELECT 1").unwrap();
        let front = if max_row > max_packet {
            say().columns(table)
        } else {
            say()
        };
        let answer = front.packet(&vec![b'x'; 40 << 20]);
        let held = peak(|| {
            let mut pieces = answer.bytes.chunks(1 << 20);
            assert!(pieces.any(|piece| !feed(&mut session, piece, &mut Vec::new())));
        });
        assert!(held < 48 << 20, "{held} bytes held");
    }
}

#[test]
fn packets_out_of_their_order_end_the_session() {
    let table: &[(&str, u8)] = &[("a", 0xfd)];
    let one = binary(&[Some(b"1")]);
    let text = texts(&[Some(b"1")]);
    for capabilities in SERVERS {
        let say = || Answer::new(capabilities);
        let idle = [
            say().ok(0, 0, AUTOCOMMIT),
            say().columns(table),
            say().rows(&[&one]),
            say().end(AUTOCOMMIT),
            say().error(1064, "why?"),
            say().packet(b""),
            say().packet(b"\xfb/etc/passwd"),
            say().packet(b"\x01\x04"),
            say().packet(&greeting(capabilities, "mysql_native_password")),
        ];
        for answer in &idle {
            let mut session = open_with(config(), capabilities);
            assert!(!feed(&mut session, &answer.bytes, &mut Vec::new()));
        }
        let prepare = || say().prepared(1, 0, table).bytes;
        let mut cases: Vec<Vec<u8>> = [
            say().packet(b""),
            say().packet(b"\0\x01\0\0"),
            say().packet(b"\xfb"),
            say().packet(b"\x01"),
            say().packet(b"\xff\x01"),
            say().end(AUTOCOMMIT),
            say().ok(0, 0, AUTOCOMMIT).rows(&[&one]),
        ]
        .into_iter()
        .map(|answer| answer.bytes)
        .collect();
        for behind in [
            say().packet(b""),
            say().packet(b"\0"),
            say().packet(b"\0\0\0\x02\0"),
            say().packet(b"\xfe"),
            say().packet(b"\xfb/etc/passwd"),
            say().columns(table).packet(b""),
            say().columns(table).packet(b"\x01\x01"),
            say().columns(table).rows(&[&text]),
            say().columns(table).rows(&[&one, &text]),
            say().columns(table).rows(&[&one[..1]]),
            say().columns(table).rows(&[&one]).packet(b"\xfe"),
            say().columns(table).rows(&[&one]).packet(b"\xfe\0\0"),
            say().columns(table).columns(table),
            say().columns(&[]),
            say()
                .columns(&[("a", 0xfd), ("b", 0xfd)])
                .rows(&[&one[..1]]),
            say().columns(table).end(AUTOCOMMIT).rows(&[&one]),
            say().columns(table).end(MORE_RESULTS).rows(&[&one]),
            say().columns(table).end(AUTOCOMMIT).end(AUTOCOMMIT),
            say().error(1064, "no").error(1064, "no"),
            say().packet(&[&definition("a", 0xfd)[..], b"x"].concat()),
            Answer::behind(2, capabilities).columns(table),
            Answer::behind(0, capabilities).ok(0, 0, AUTOCOMMIT),
            Answer::behind(2, capabilities).error(1064, "no"),
        ] {
            cases.push([prepare(), behind.bytes].concat());
        }
        for (at, bytes) in cases.iter().enumerate() {
            for size in [1, 5, usize::MAX] {
                let mut session = open_with(config(), capabilities);
                session.query(&statement("SELECT 1"), &params(&[])).unwrap();
                let mut pieces = bytes.chunks(size);
                assert!(
                    pieces.any(|piece| !feed(&mut session, piece, &mut Vec::new())),
                    "{at} {capabilities:x}: {bytes:?}"
                );
            }
        }
        // Definitions of a column that end early, or too late.
        let whole = definition("a", 0xfd);
        for length in 0..whole.len() {
            let mut session = open_with(config(), capabilities);
            session.simple("SELECT 1").unwrap();
            let front = say().columns(table).bytes;
            let head = &front[..front.len() - say().packet(&whole).bytes.len()];
            let head = if capabilities & DEPRECATE_EOF == 0 {
                &head[..head.len() - 9]
            } else {
                head
            };
            let bytes = [head, &packets(2, &whole[..length])].concat();
            assert!(!feed(&mut session, &bytes, &mut Vec::new()), "{length}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The body of the fuzz target.
    #[test]
    fn any_bytes_at_all(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(&input);
    }
}
