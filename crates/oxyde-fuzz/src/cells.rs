//! Stored values of each type, as servers and SQLite give them. Where a byte names a type by its place in a list, the list
//! is in `oxyde_py::exercise`; each value is put under every field type, most of which refuse it.

/// How many field types there are, and the one for raw SQL.
const WANTED: u8 = 27;
const BINARY: u8 = 0x80;

/// Values in PostgreSQL's texts, by the place of their type.
const POSTGRES_TEXTS: &[(u8, &str)] = &[
    (0, "t"),
    (1, "\\x00ff27"),
    (4, "-9223372036854775808"),
    (7, "zwölf"),
    (9, r#"{"a": [1, null, 1e400]}"#),
    (11, "1e-05"),
    (12, "-Infinity"),
    (15, "2024-02-29"),
    (15, "infinity"),
    (15, "4714-11-24 BC"),
    (16, "24:00:00"),
    (17, "2024-02-29 01:02:03.000004"),
    (18, "2024-02-29 01:02:03.5+05:30"),
    (18, "294276-12-31 23:59:59.999999+00"),
    (19, "1 year 2 mons -3 days +04:05:06.789"),
    (20, "01:02:03.5-15:59:59"),
    (21, "-123456789012345678901234567890.0987654321"),
    (21, "NaN"),
    (22, "01234567-89ab-cdef-0123-456789abcdef"),
    (23, r#""it's""#),
    (30, "{1,NULL,-3}"),
    (30, "[0:1]={1,2}"),
    (31, r#"{{a,"b \"c\" \\"},{NULL,"NULL"}}"#),
    (45, "{1.50,NaN}"),
    (46, "{01234567-89ab-cdef-0123-456789abcdef}"),
    (52, "10.0.0.1/8"),
    (59, "[1,5)"),
];

/// The same as the server sends them in binary, in hexadecimal digits.
const POSTGRES_BINARY: &[(u8, &str)] = &[
    (0, "01"),
    (1, "00ff27"),
    (4, "8000000000000000"),
    (5, "8000"),
    (6, "00000005"),
    (8, "ffffffff"),
    (11, "3fc00000"),
    (12, "7ff8000000000000"),
    (15, "7fffffff"),
    (15, "ffda97a7"),
    (15, "00002275"),
    (16, "000000141dd76000"),
    (17, "7fffffffffffffff"),
    (17, "0002b5c0c1e41304"),
    (18, "7fffff5bb3b29fff"),
    (18, "ff1fe2ffc59c6000"),
    (19, "00000001f4add3f0fffffffd0000000e"),
    (20, "00000000d693a400ffffe3e0"),
    (21, "00020000000000020001 1388"),
    (21, "00030001400000041388 0001 04d2"),
    (21, "00000000c0000000"),
    (22, "0123456789abcdef0123456789abcdef"),
    (23, "017b7d"),
    (
        30,
        "00000001 00000001 00000017 00000002 00000001 00000004 00000005 ffffffff",
    ),
    (
        30,
        "00000001 00000000 00000017 00000001 00000000 00000004 00000005",
    ),
    (30, "00000000 00000000 00000017"),
    (
        31,
        "00000002 00000000 00000019 00000001 00000001 00000001 00000001 00000001 61",
    ),
    (
        42,
        "00000001 00000000 000004a0 00000001 00000001 00000008 0002b5c0c1e41304",
    ),
    (
        46,
        "00000001 00000000 00000b86 00000001 00000001 00000010 0123456789abcdef0123456789abcdef",
    ),
];

/// Texts of MySQL, by the place of their type.
const MYSQL_TEXTS: &[(u8, &str)] = &[
    (1, "-5"),
    (8, "18446744073709551615"),
    (4, "1.5"),
    (5, "-1.7976931348623157e308"),
    (10, "2024-02-29"),
    (10, "0000-00-00"),
    (11, "-838:59:59.999999"),
    (11, "23:59:59"),
    (12, "2024-02-31 00:00:00.000"),
    (12, "9999-12-31 23:59:59.999999"),
    (13, "2155"),
    (17, r#"{"a": [1, null]}"#),
    (18, "1.500000000000000000000000000000"),
    (25, "zwölf"),
    (26, "01234567-89ab-cdef-0123-456789abcdef"),
    (26, "[\"a\", null]"),
];

/// Values of binary rows, each of its whole length.
const MYSQL_BINARY: &[(u8, &str)] = &[
    (1, "fb"),
    (2, "0080"),
    (3, "00000080"),
    (4, "0000c03f"),
    (5, "9a9999999999b9bf"),
    (7, "f6070113030e0701000000"),
    (8, "0000000000000080"),
    (10, "e807021d"),
    (10, ""),
    (11, "0000000000173b3b3f420f00"),
    (11, "0122000000163b3b"),
    (12, "e807021d010203"),
    (12, "0f270c1f173b3b3f420f00"),
    (13, "6b08"),
    (15, "ffffffffffffffff"),
    (18, "2d312e3530"),
    (24, "010203"),
];

/// Rows: the head of an input and what follows it.
const POSTGRES_ROWS: &str = "82 0602 0707 44 00000013 0002 00000004 00000005 00000001 61 44 0000000e 0002 ffffffff ffffffff";
const MYSQL_TEXT_ROWS: &str = "02 010002 190007 04000000 012d fb 61";
const MYSQL_BINARY_ROWS: &str = "82 030002 190007 0800000900 00 05000000 0161";

const SQLITE_TEXTS: &[&str] = &[
    "zwölf",
    "2024-02-29 01:02:03.400000",
    "2024-02-29T01:02:03.4+05:30",
    "0001-01-01 00:00+23:59",
    "2024-02-29",
    "23:59:59.999999",
    "-1.50",
    "1e99999",
    "123456789012345678901234567890.5",
    "01234567-89ab-cdef-0123-456789abcdef",
    r#"{"a": [1, null]}"#,
    r#"[1, null, -3]"#,
    r#"[["a", "b"], []]"#,
    r#"["2024-02-29 01:02:03+00:00"]"#,
    r#"["00ff", "0g"]"#,
    r#"[1.50, 18446744073709551615]"#,
];

pub fn postgres() -> Vec<Vec<u8>> {
    let texts = POSTGRES_TEXTS
        .iter()
        .map(|(ty, text)| (0, *ty, text.as_bytes().to_vec()));
    let binary = POSTGRES_BINARY
        .iter()
        .map(|(ty, digits)| (BINARY, *ty, bytes(digits)));
    let mut seeds = vec![bytes(POSTGRES_ROWS)];
    for (how, ty, value) in texts.chain(binary) {
        seeds.extend((0..WANTED).map(|wanted| [&[how, ty, wanted][..], &value].concat()));
    }
    seeds
}

pub fn mysql() -> Vec<Vec<u8>> {
    let texts = MYSQL_TEXTS
        .iter()
        .map(|(ty, text)| (0, *ty, text.as_bytes().to_vec()));
    let binary = MYSQL_BINARY
        .iter()
        .map(|(ty, digits)| (BINARY, *ty, bytes(digits)));
    let mut seeds = vec![bytes(MYSQL_TEXT_ROWS), bytes(MYSQL_BINARY_ROWS)];
    for (how, ty, value) in texts.chain(binary) {
        for attributes in [0, 1, 8, 16] {
            let under = |wanted| [&[how, ty, attributes, wanted][..], &value].concat();
            seeds.extend((0..WANTED).map(under));
        }
    }
    seeds
}

pub fn sqlite() -> Vec<Vec<u8>> {
    let mut values: Vec<(u8, Vec<u8>)> = Vec::new();
    for number in [0, 1, -1, 5_000_000_000, i64::MAX, i64::MIN, (1 << 53) + 1] {
        values.push((0, number.to_le_bytes().to_vec()));
    }
    for number in [
        0.0,
        -0.0,
        0.1,
        1e308,
        f64::INFINITY,
        9_007_199_254_740_993.0,
    ] {
        values.push((1, f64::to_le_bytes(number).to_vec()));
    }
    values.extend(
        SQLITE_TEXTS
            .iter()
            .map(|text| (2, text.as_bytes().to_vec())),
    );
    values.push((3, (0..16).collect()));
    let under = |(class, value): (u8, Vec<u8>)| {
        (0..WANTED).map(move |wanted| [&[wanted, class][..], &value].concat())
    };
    values.into_iter().flat_map(under).collect()
}

pub fn words() -> Vec<Vec<u8>> {
    let texts = [
        "NULL",
        "NaN",
        "Infinity",
        "-Infinity",
        "infinity",
        "BC",
        "+05:30",
        "T",
        "Z",
        "0000-00-00",
        "9999-12-31",
        "24:00:00",
        "838:59:59",
        "year",
        "mons",
        "days",
        "[0:1]=",
        "{",
        "}",
        "\\\"",
        "e99999",
        "null",
        "true",
        "[[[[[[[[",
        "\u{fffd}",
    ];
    let numbers = [
        "7fffffff",
        "80000000",
        "ffffffff",
        "7fffffffffffffff",
        "8000000000000000",
        "c000",
        "d000",
        "f000",
        "fc0001",
        "fe",
    ];
    let texts = texts.iter().map(|text| text.as_bytes().to_vec());
    texts
        .chain(numbers.iter().map(|digits| bytes(digits)))
        .collect()
}

/// Of hexadecimal digits, with blanks between them.
fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    assert!(digits.len().is_multiple_of(2));
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
    digits.chunks(2).map(byte).collect()
}
