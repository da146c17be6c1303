//! What a session takes of memory, above all from a server that sends anything at all: recordings with something
//! changed, and messages made up. There are events or an end, within the memory that the bytes themselves take.
//!
//! `OXYDE_HOSTILE_CASES` and `OXYDE_HOSTILE_SEED` choose how many and which.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod postgres_session_wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use oxyde_exec::postgres::session::{Password, Session, SessionConfig};
use postgres_session_wire::exercise::{act, exercise, feed_all, limits};
use postgres_session_wire::scenarios::{Scenario, scenarios};
use postgres_session_wire::*;
use proptest::prelude::*;

/// Counts what the running thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
    if bytes > 0 {
        TAKEN.set(TAKEN.get() + 1);
    }
}

// SAFETY: everything is the system allocator's; counting touches two thread-local numbers and allocates nothing.
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

/// The most that `run` holds at once beyond what was held before.
fn peak(run: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    run();
    usize::try_from(PEAK.get() - before).unwrap()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().expect("a number"))
}

const KINDS: &[u8] = b"123ACDEGHIKNRSTVWZcdnstv\0\xffX";

const LENGTHS: [u32; 14] = [
    0,
    1,
    3,
    4,
    5,
    6,
    7,
    0x7f,
    0xffff,
    0x4000,
    1 << 20,
    0x4001_0000,
    0x7fff_ffff,
    0xffff_ffff,
];

/// Where the messages of `bytes` begin.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 5 <= bytes.len() {
        starts.push(at);
        let length = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap());
        at = at.saturating_add(1 + usize::try_from(length).unwrap());
    }
    starts
}

/// Some message: its type, its length and its contents may be at odds.
fn made_up(dice: &mut Dice) -> Vec<u8> {
    let kind = KINDS[dice.below(KINDS.len())];
    let mut body: Vec<u8> = (0..dice.below(24))
        .map(|_| dice.roll().to_be_bytes()[0])
        .collect();
    if dice.below(2) == 0 {
        // Counts and lengths are near zero more often than not.
        body.iter_mut().for_each(|byte| *byte %= 4);
    }
    let mut bytes = message(kind, &body);
    if dice.below(4) == 0 {
        let length = LENGTHS[dice.below(LENGTHS.len())];
        bytes[1..5].copy_from_slice(&length.to_be_bytes());
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
    match dice.below(11) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.roll().to_be_bytes()[0],
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
        7 if start + 5 <= bytes.len() => {
            let length = LENGTHS[dice.below(LENGTHS.len())];
            bytes[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        }
        8 if start + 7 <= bytes.len() => {
            // A count of columns, fields or parameters.
            let count = [0, 1, 2, 3, 0x7fff, 0x8000, 0xffff][dice.below(7)];
            bytes[start + 5..start + 7].copy_from_slice(&u16::to_be_bytes(count));
        }
        9 if start + 11 <= bytes.len() => {
            // The length of a first field.
            let length = LENGTHS[dice.below(LENGTHS.len())];
            bytes[start + 7..start + 11].copy_from_slice(&length.to_be_bytes());
        }
        _ => {
            let from = dice.below(other.len());
            let to = (from + dice.below(60)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
    }
}

/// A session that is being let in, or has been.
fn session(open: bool, dice: &mut Dice) -> Session {
    let mut session = Session::new(SessionConfig {
        unnamed: dice.below(4) == 0,
        statement_cache: dice.below(3),
        limits: limits(),
        ..config()
    });
    session
        .start(Some(Password::new("secret")), dice.below(2) == 0)
        .unwrap();
    if open {
        feed(&mut session, &greeting(), &mut Vec::new());
    }
    session
}

fn case(all: &[Scenario], dice: &mut Dice) -> (usize, usize, bool) {
    let scenario = &all[dice.below(all.len())];
    let other = &all[dice.below(all.len())];
    let open = dice.below(5) > 0;
    let mut bytes = match dice.below(8) {
        0 => (0..1 + dice.below(12))
            .flat_map(|_| made_up(dice))
            .collect(),
        _ => scenario.bytes.clone(),
    };
    if !open {
        let front = match dice.below(3) {
            0 => greeting(),
            1 => [
                auth(10, b"SCRAM-SHA-256\0\0"),
                auth(11, b"r=abc,s=QQ==,i=3"),
                auth(12, b"v=QQ=="),
            ]
            .concat(),
            _ => [auth(5, &[1, 2, 3, 4]), greeting()].concat(),
        };
        bytes.splice(..0, front);
    }
    for _ in 0..dice.below(5) {
        mutate(&mut bytes, &other.bytes, dice);
    }
    let actions = if dice.below(8) == 0 { other } else { scenario };
    let at_once = if open { actions.at_once } else { 0 };
    let (first, later) = actions.actions.split_at(at_once);
    let same = dice.roll();
    let run = |size: usize| {
        let mut session = session(open, &mut Dice(same));
        for action in first {
            act(&mut session, action);
        }
        feed_all(&mut session, &bytes, later, || size).is_some()
    };
    let mut lived = false;
    let size = [1, 2, 7, 30, usize::MAX][dice.below(5)];
    let held = peak(|| lived = run(size));
    if dice.below(8) == 0 {
        assert_eq!(lived, run(5), "the end depends on how the bytes are cut");
    }
    (bytes.len(), held, lived)
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
        let (length, held, alive) = played.unwrap_or_else(|_| panic!("a panic: {again}"));
        assert!(
            held <= 64 * 1024 + 16 * length,
            "{held} bytes of memory for {length} from the server: {again}"
        );
        lived += u64::from(alive);
    }
    lived
}

#[test]
fn a_prepared_statement_runs_without_allocating() {
    let mut session = open(config());
    let select = statement("SELECT 1");
    let params = texts(&[Some("1")]);
    let answer = [
        message(b'2', &[]),
        row(&[Some(b"1")]),
        complete("SELECT 1"),
        ready(b'I'),
    ]
    .concat();
    let first = [
        message(b'1', &[]),
        parameter_description(&[25]),
        row_description(&[("a", 25, 0)]),
        answer.clone(),
    ]
    .concat();
    let mut run = |bytes: &[u8]| {
        session.query(&select, &params).unwrap();
        session.output().clear();
        let mut bytes = bytes;
        while let Some(event) = session.next(&mut bytes).unwrap() {
            drop(event);
        }
    };
    run(&first);
    let before = TAKEN.get();
    for _ in 0..100 {
        run(&answer);
    }
    assert_eq!(TAKEN.get(), before);
}

#[test]
fn announced_lengths_take_no_memory() {
    for (open, front) in [
        (true, row(&[Some(b"x"), None])),
        (true, report(b'E', &[(b'M', "x")])),
        (true, row_description(&[("a", 23, 0)])),
        (false, auth(10, b"SCRAM-SHA-256\0\0")),
    ] {
        for length in [0x4000_0000_u32, 0x7fff_ffff, 0xffff_ffff, 1 << 24, 1 << 20] {
            let held = peak(|| {
                let mut session = Session::new(config());
                session.start(None, false).unwrap();
                if open {
                    feed(&mut session, &greeting(), &mut Vec::new());
                    session.simple("SELECT 1").unwrap();
                    let columns = row_description(&[("a", 23, 0), ("b", 25, 0)]);
                    if front[0] == b'D' {
                        feed(&mut session, &columns, &mut Vec::new());
                    }
                }
                let mut bytes = front.clone();
                bytes[1..5].copy_from_slice(&length.to_be_bytes());
                bytes.resize(100, 0);
                feed(&mut session, &bytes, &mut Vec::new());
            });
            assert!(
                held < 32 * 1024,
                "{held} bytes held for a length of {length}"
            );
        }
    }
}

#[test]
fn announced_counts_take_no_memory() {
    for (kind, body) in [
        (b'T', &b"\xff\xffa\0"[..]),
        (b't', b"\xff\xff"),
        (b'G', b"\0\xff\xff"),
        (b'T', b"\x7f\xff"),
    ] {
        let held = peak(|| {
            let mut session = open(config());
            session.query(&statement("SELECT 1"), &texts(&[])).unwrap();
            let bytes = [
                message(b'1', &[]),
                parameter_description(&[]),
                message(kind, body),
            ]
            .concat();
            assert!(!feed(&mut session, &bytes, &mut Vec::new()));
        });
        assert!(held < 32 * 1024, "{held} bytes held");
    }
}

#[test]
fn a_split_message_takes_at_most_twice_its_size() {
    const SIZE: usize = 8 << 20;
    let big = row(&[Some(&vec![1; SIZE])]);
    let held = peak(|| {
        let mut session = open(config());
        session.simple("SELECT 1").unwrap();
        feed(
            &mut session,
            &row_description(&[("a", 25, 0)]),
            &mut Vec::new(),
        );
        for piece in big.chunks(64 * 1024) {
            let mut piece = piece;
            while let Some(event) = session.next(&mut piece).unwrap() {
                drop(event);
            }
        }
    });
    assert!(held <= 2 * SIZE + SIZE / 8, "{held} bytes held for {SIZE}");
}

#[test]
fn settings_without_end_are_refused() {
    let mut session = open(config());
    let mut alive = true;
    let held = peak(|| {
        for number in 0..100_000 {
            let bytes = setting(&format!("setting{number}"), "x");
            alive = feed(&mut session, &bytes, &mut Vec::new());
            if !alive {
                break;
            }
        }
        let mut other = open(config());
        for number in 0..100 {
            feed(
                &mut other,
                &setting(&format!("setting{number}"), &"x".repeat(100_000)),
                &mut Vec::new(),
            );
        }
    });
    assert!(!alive);
    assert!(held < 3 << 20, "{held} bytes held");
}

#[test]
fn messages_out_of_their_order_end_the_session() {
    let table = row_description(&[("a", 23, 0)]);
    let parsed = [message(b'1', &[]), parameter_description(&[])].concat();
    let one = row(&[Some(b"1")]);
    let idle: &[&[u8]] = &[
        &one,
        &table,
        &complete("SELECT 1"),
        &ready(b'I'),
        &message(b'1', &[]),
        &message(b'2', &[]),
        &message(b'3', &[]),
        &message(b'n', &[]),
        &message(b's', &[]),
        &message(b'd', b"x"),
        &message(b'c', &[]),
        &auth(0, &[]),
        &key(1, &[1; 4]),
        &message(b'V', &[]),
        &message(b'W', &[]),
        &message(b'?', &[]),
        &failure("42601", "why?"),
        &copy_response(b'G', false, 0),
        &message(b'v', &[0; 8]),
        b"N\0\0\0\0",
        b"S\0\0\0\x03",
    ];
    for bytes in idle {
        let mut session = open(config());
        assert!(!feed(&mut session, bytes, &mut Vec::new()), "{bytes:?}");
    }
    let wide = row(&[Some(b"1"), Some(b"2")]);
    let running: &[&[&[u8]]] = &[
        &[&ready(b'I')],
        &[&message(b'2', &[])],
        &[&table],
        &[&message(b'1', b"x")],
        &[&parsed, &message(b'2', &[])],
        &[&parsed, &parsed],
        &[&parsed, &table, &one],
        &[&parsed, &table, &table],
        &[&parsed, &table, &message(b'2', &[]), &wide],
        &[&parsed, &table, &message(b'2', &[]), &row(&[])],
        &[&parsed, &table, &message(b'2', &[]), b"D\0\0\0\x05\0"],
        &[&parsed, &table, &message(b'2', &[]), b"D\0\0\0\x06\xff\xff"],
        &[&parsed, &table, &message(b'2', &[]), &message(b's', &[])],
        &[&parsed, &table, &message(b'2', &[]), &one, &ready(b'I')],
        &[&parsed, &message(b'n', &[]), &message(b'2', &[]), &one],
        &[
            &parsed,
            &table,
            &message(b'2', &[]),
            &complete("SELECT 0"),
            &one,
        ],
        &[
            &parsed,
            &table,
            &message(b'2', &[]),
            &complete("SELECT 0"),
            &complete("SELECT 0"),
        ],
        &[
            &parsed,
            &table,
            &message(b'2', &[]),
            &complete("SELECT 0"),
            &ready(b'?'),
        ],
        &[
            &parsed,
            &table,
            &message(b'2', &[]),
            &complete("SELECT 0"),
            &message(b'Z', b""),
        ],
        &[&failure("42601", "no"), &failure("42601", "no")],
        &[&failure("42601", "no"), &one],
        &[
            &parsed,
            &message(
                b'T',
                b"\0\x01a\0\0\0\0\x01\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x02",
            ),
        ],
        &[&parsed, &message(b'T', b"\0\x01a")],
        &[&message(b'1', &[]), &message(b't', b"\0\x02\0\0\0\x17")],
        &[&message(b'C', b"SELECT 1")],
        &[&message(b'A', b"\0\0\0\x01channel")],
        &[&message(b'E', b"Mwithout an end")],
        &[&message(b'S', b"name\0value")],
    ];
    for parts in running {
        let mut session = open(config());
        session.query(&statement("SELECT 1"), &texts(&[])).unwrap();
        assert!(
            !feed(&mut session, &parts.concat(), &mut Vec::new()),
            "{parts:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The body of the fuzz target.
    #[test]
    fn any_bytes_at_all(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(&input);
    }
}
