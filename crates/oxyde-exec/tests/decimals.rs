//! The decimal functions against Python's `decimal`, through SQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::*;
use oxyde_exec::{CellRef, Cells, Database, Returning, Work};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?[0-9]{1,12}(\\.[0-9]{1,8})?",
        3 => "-?[0-9]{1,40}\\.[0-9]{1,38}",
        1 => "-?0\\.0{0,20}[0-9]{1,5}",
        1 => "-?[1-9]0{0,30}",
        1 => "-?[0-9]{1,4}(\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,2}",
        1 => Just("0".to_owned()),
        1 => Just("-0.00".to_owned()),
        1 => "-?\\.[0-9]{1,5}",
        1 => "-?[0-9]{1,5}\\.",
    ]
}

fn samples(count: usize) -> Vec<(String, String)> {
    let mut runner = TestRunner::deterministic();
    let pairs = (number(), number());
    (0..count)
        .map(|_| pairs.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// Runs a Python program that reads one JSON list per line and prints one JSON value per line.
fn python(program: &str, lines: &[String]) -> Vec<String> {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn texts(db: &Arc<Database>, sql: &str, params: &[&str]) -> Vec<String> {
    let mut cells = Cells::new();
    for param in params {
        cells.push_text(param);
    }
    let outcome = run(db, write_work(sql, cells)).unwrap();
    (0..outcome.rows.width)
        .map(|column| match outcome.rows.get(0, column) {
            Some(CellRef::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            Some(CellRef::Null) => "NULL".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn arithmetic_agrees_with_python() {
    let program = r"
import sys
from decimal import *
getcontext().prec = 400
getcontext().rounding = ROUND_HALF_UP
def show(d):
    t = format(d, 'f')
    if '.' in t: t = t.rstrip('0').rstrip('.')
    return '0' if t in ('-0', '') else t
def scaled(d, n):
    t = format(d.quantize(Decimal(1).scaleb(-n)), 'f')
    return t[1:] if d.quantize(Decimal(1).scaleb(-n)) == 0 and t[0] == '-' else t
for line in sys.stdin:
    a, b = map(Decimal, line.split())
    r = [show(a + b), show(a - b), show(a * b), show(-a), show(abs(a)), show(a.quantize(Decimal('0.01'))),
         scaled(a + b, 3), scaled(a * b, 0)]
    if b:
        r += [show(a // b), show(a % b), scaled(a / b, 10)]
    print(' '.join(r))
";
    let db = memory_db();
    let samples = samples(3000);
    let lines: Vec<String> = samples.iter().map(|(a, b)| format!("{a} {b}")).collect();
    let expected = python(program, &lines);
    assert_eq!(expected.len(), samples.len());
    for ((a, b), expected) in samples.iter().zip(expected) {
        let expected: Vec<&str> = expected.split(' ').collect();
        let mut found = texts(
            &db,
            "SELECT oxyde_decimal_add(?1, ?2), oxyde_decimal_sub(?1, ?2), oxyde_decimal_mul(?1, ?2), oxyde_decimal_neg(?1), \
             oxyde_decimal_abs(?1), oxyde_decimal_round(?1, 2), oxyde_decimal_add(?1, ?2, 3), oxyde_decimal_mul(?1, ?2, 0)",
            &[a, b],
        );
        if expected.len() > found.len() {
            found.extend(texts(
                &db,
                "SELECT oxyde_decimal_floordiv(?1, ?2), oxyde_decimal_mod(?1, ?2), oxyde_decimal_div(?1, ?2, 10)",
                &[a, b],
            ));
        }
        assert_eq!(found, expected, "{a} and {b}");
    }
}

#[test]
fn division_keeps_38_digits() {
    let program = r"
import sys
from decimal import *
getcontext().prec = 60
for line in sys.stdin:
    a, b, q = map(Decimal, line.split())
    exact = a / b
    # Not further off than half a unit of the 38th digit.
    limit = Decimal(5).scaleb(exact.adjusted() - 38) if exact else Decimal(0)
    print(abs(exact - q) <= limit)
";
    let db = memory_db();
    let is_zero = |number: &str| {
        !number
            .split(['e', 'E'])
            .next()
            .unwrap()
            .contains(|digit| ('1'..='9').contains(&digit))
    };
    let samples: Vec<(String, String)> = samples(1500)
        .into_iter()
        .filter(|(_, b)| !is_zero(b))
        .collect();
    let lines: Vec<String> = samples
        .iter()
        .map(|(a, b)| {
            format!(
                "{a} {b} {}",
                texts(&db, "SELECT oxyde_decimal_div(?, ?)", &[a, b])[0]
            )
        })
        .collect();
    for (line, verdict) in lines.iter().zip(python(program, &lines)) {
        assert_eq!(verdict, "True", "{line}");
    }
    assert_eq!(
        texts(
            &db,
            "SELECT oxyde_decimal_div(1, 4), oxyde_decimal_div(10, 5), oxyde_decimal_div(1, 3)",
            &[]
        ),
        ["0.25", "2", "0.33333333333333333333333333333333333333"]
    );
}

#[test]
fn keys_sort_like_the_numbers() {
    let db = memory_db();
    exec(&db, "CREATE TABLE d (x)").unwrap();
    let mut params = Cells::new();
    let mut count = 0;
    for (a, b) in samples(1500) {
        params.push_text(&a);
        params.push_text(&b);
        count += 2;
    }
    for value in [0, 1, -1, 10, 99, 100, 101, -100, i64::MAX, i64::MIN] {
        params.push_int(value);
        count += 1;
    }
    for value in [0.1, -0.1, 1e300, -1e300, 1e-300, 99.5, 2.0] {
        params.push_real(value);
        count += 1;
    }
    let work = Work::Bulk {
        sql: "INSERT INTO d VALUES (?)".into(),
        params,
        width: 1,
        returning: Returning::Nothing,
    };
    assert_eq!(run(&db, work).unwrap().affected, count);
    let outcome = run(&db, read_work("SELECT CAST(x AS TEXT), hex(oxyde_decimal_key(x)) FROM d ORDER BY oxyde_decimal_key(x)", Cells::new()))
        .unwrap();
    let text = |row, column| match outcome.rows.get(row, column) {
        Some(CellRef::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    let lines: Vec<String> = (0..outcome.rows.rows())
        .map(|row| format!("{} {}", text(row, 0), text(row, 1)))
        .collect();
    let program = r"
import sys
from decimal import *
rows = [line.split() for line in sys.stdin]
last = None
for number, key in rows:
    number = Decimal(number)
    if last is not None:
        assert last[0] <= number, (last, number)
        assert (last[0] == number) == (last[1] == key), (last, number, key)
    last = (number, key)
print(len(rows))
";
    assert_eq!(python(program, &lines), [count.to_string()]);
}

#[test]
fn aggregates_agree_with_python_and_hostile_input_is_refused() {
    let db = memory_db();
    exec(&db, "CREATE TABLE d (x TEXT)").unwrap();
    let mut params = Cells::new();
    let mut lines = Vec::new();
    for (a, b) in samples(300) {
        params.push_text(&a);
        params.push_text(&b);
        lines.extend([a, b]);
    }
    run(
        &db,
        Work::Bulk {
            sql: "INSERT INTO d VALUES (?)".into(),
            params,
            width: 1,
            returning: Returning::Nothing,
        },
    )
    .unwrap();
    let found = texts(
        &db,
        "SELECT oxyde_decimal_sum(x), oxyde_decimal_min(x), oxyde_decimal_max(x) FROM d",
        &[],
    );
    let program = r"
import sys
from decimal import *
getcontext().prec = 400
numbers = [Decimal(line) for line in sys.stdin]
for number in (sum(numbers), min(numbers), max(numbers)): print(number)
";
    let mut lines_and_found = python(program, &lines);
    lines_and_found.extend(found);
    let same = r"
import sys
from decimal import *
numbers = [Decimal(line) for line in sys.stdin]
print(numbers[:3] == numbers[3:])
";
    assert_eq!(python(same, &lines_and_found), ["True"]);

    for text in [
        "",
        "abc",
        "1.2.3",
        "NaN",
        "Infinity",
        "1e",
        "--1",
        "0x10",
        "1 2",
        "1e999999999999",
        "1e-999999999",
        ".",
    ] {
        let mut cells = Cells::new();
        cells.push_text(text);
        let error = run(&db, write_work("SELECT oxyde_decimal_add(?, 1)", cells)).unwrap_err();
        assert_eq!(error.kind, oxyde_exec::ErrorKind::Data, "{text}: {error:?}");
        assert!(
            !error.message.contains("abc"),
            "values stay out of messages"
        );
    }
}
