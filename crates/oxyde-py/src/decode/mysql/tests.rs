//! Rows as the servers sent them: one of every type, for prepared statements (binary) and plain queries (text).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use oxyde_exec::query::{Column, RawRows};
use oxyde_sql::SqlType;

use super::Decoder;
use crate::decode::Unreadable;
use crate::decode::wire::{Decode, Wanted};

/// Of each column of a table in MySQL 9.7: type, decimals, flags, character set, and the value as an error shows it.
const ZOO: &[(u32, i32, u16, u16, &str)] = &[
    (3, 0, 0, 63, "INT NULL"),
    (1, 0, 0, 63, "TINYINT -5"),
    (1, 0, 32, 63, "TINYINT UNSIGNED 255"),
    (2, 0, 0, 63, "SMALLINT -32768"),
    (9, 0, 32, 63, "MEDIUMINT UNSIGNED 16777215"),
    (3, 0, 0, 63, "INT -2147483648"),
    (3, 0, 32, 63, "INT UNSIGNED 4294967295"),
    (8, 0, 0, 63, "BIGINT -9223372036854775808"),
    (8, 0, 32, 63, "BIGINT UNSIGNED 18446744073709551615"),
    (4, 31, 0, 63, "FLOAT 1.5"),
    (5, 31, 0, 63, "DOUBLE -0.1"),
    (246, 2, 0, 63, "DECIMAL -1.50"),
    (246, 30, 0, 63, "DECIMAL 1.500000000000000000000000000000"),
    (10, 0, 128, 63, "DATE 2024-02-29"),
    (10, 0, 128, 63, "DATE 0000-00-00"),
    (12, 0, 128, 63, "DATETIME 2024-02-29 01:02:03"),
    (12, 6, 128, 63, "DATETIME 9999-12-31 23:59:59.999999"),
    (12, 3, 128, 63, "DATETIME 2024-02-31 00:00:00"),
    (7, 6, 128, 63, "TIMESTAMP 2038-01-19 03:14:07.000001"),
    (11, 6, 128, 63, "TIME 23:59:59.999999"),
    (11, 0, 128, 63, "TIME -838:59:59"),
    (11, 0, 128, 63, "TIME 00:00:00"),
    (13, 0, 96, 63, "YEAR 2155"),
    (254, 0, 128, 255, r#"CHAR "a""#),
    (253, 0, 128, 255, r#"VARCHAR "𝔘""#),
    (
        252,
        0,
        144,
        255,
        r#"TEXT "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"…"#,
    ),
    (253, 0, 128, 63, "VARBINARY of 2 bytes"),
    (252, 0, 144, 63, "BLOB of 0 bytes"),
    (16, 0, 32, 63, "BIT 1"),
    (16, 0, 32, 63, "BIT 18446744073709551615"),
    (254, 0, 384, 255, r#"ENUM "b""#),
    (254, 0, 2176, 255, r#"SET "a,b""#),
    (245, 0, 144, 63, "JSON of 16 bytes"),
    (255, 0, 144, 63, "GEOMETRY of 25 bytes"),
    (242, 31, 144, 63, "VECTOR of 4 bytes"),
];

/// The letter x, 300 times, is in the middle.
const BINARY: (&str, &str) = (
    "\
    000400000000fbff0080ffffff0000000080ffffffff0000000000000080ffffffffffffffff0000c03f9a9999999999b9bf052d\
    312e353020312e35303030303030303030303030303030303030303030303030303030303004e807021d0007e807021d0102030b\
    0f270c1f173b3b3f420f0004e807021f0bf6070113030e07010000000c0000000000173b3b3f420f00080122000000163b3b006b\
    08016104f09d9498fc2c01\
    ",
    "\
    0200ff00010108ffffffffffffffff016203612c62107b2261223a205b312c206e756c6c5d7d1900000000010100000000000000\
    0000f03f0000000000000040040000803f\
    ",
);
const TEXT: (&str, &str) = (
    "\
    fb022d3503323535062d33323736380831363737373231350b2d323134373438333634380a34323934393637323935142d393232\
    3333373230333638353437373538303814313834343637343430373337303935353136313503312e35042d302e31052d312e3530\
    20312e3530303030303030303030303030303030303030303030303030303030300a323032342d30322d32390a303030302d3030\
    2d303013323032342d30322d32392030313a30323a30331a393939392d31322d33312032333a35393a35392e3939393939391732\
    3032342d30322d33312030303a30303a30302e3030301a323033382d30312d31392030333a31343a30372e3030303030310f3233\
    3a35393a35392e3939393939390a2d3833383a35393a35390830303a30303a30300432313535016104f09d9498fc2c01\
    ",
    "\
    0200ff00010108ffffffffffffffff016203612c62107b2261223a205b312c206e756c6c5d7d1900000000010100000000000000\
    0000f03f0000000000000040040000803f\
    ",
);

/// `SELECT` of a UUID, an INET6, a JSON and six INT columns in MariaDB 10.11.
const MARIADB: &[(u32, i32, u16, u16, &str)] = &[
    (
        254,
        0,
        160,
        45,
        r#"CHAR "c9bf9e57-1685-4c89-bafb-ff5af830be8a""#,
    ),
    (254, 0, 160, 45, r#"CHAR "::1""#),
    (252, 0, 144, 45, r#"TEXT "[1]""#),
    (3, 0, 0, 63, "INT NULL"),
    (3, 0, 0, 63, "INT 5"),
    (3, 0, 0, 63, "INT 6"),
    (3, 0, 0, 63, "INT NULL"),
    (3, 0, 0, 63, "INT 8"),
    (3, 0, 0, 63, "INT NULL"),
];
const MARIADB_BINARY: &str = "\
    0020052463396266396535372d313638352d346338392d626166622d666635616638333062653861033a3a31035b315d05000000\
    0600000008000000\
    ";
const MARIADB_TEXT: &str = "\
    2463396266396535372d313638352d346338392d626166622d666635616638333062653861033a3a31035b315dfb01350136fb01\
    38fb\
    ";

type Described = (u32, i32, u16, u16, &'static str);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16).unwrap()).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).unwrap())
        .collect()
}

fn joined((before, after): (&str, &str)) -> Vec<u8> {
    bytes(&format!("{before}{}{after}", "78".repeat(300)))
}

/// The row as the engine hands it over.
fn framed(row: &[u8]) -> Vec<u8> {
    let length = u32::try_from(row.len()).unwrap().to_le_bytes();
    let mut out = vec![length[0], length[1], length[2], 9];
    out.extend_from_slice(row);
    out
}

fn column((kind, decimals, flags, charset, _): &Described, binary: bool) -> Column {
    Column {
        name: "v".to_owned(),
        type_oid: *kind,
        modifier: *decimals,
        binary,
        flags: *flags,
        charset: *charset,
    }
}

fn decoders(columns: &[Described], binary: bool) -> Vec<Decoder> {
    let new = |described| Decoder::new(&column(described, binary), Wanted::Natural);
    columns.iter().map(new).collect()
}

/// What the rows hold, or what is wrong with them.
fn shown(rows: &[u8], decoders: &[Decoder]) -> Result<Vec<Vec<String>>, &'static str> {
    let rows = RawRows {
        bytes: rows,
        count: 1,
    };
    let mut all = Vec::new();
    for row in Decoder::rows(rows) {
        let mut fields = vec![None; decoders.len()];
        Decoder::split(row.map_err(|e| e.0)?, decoders, &mut fields).map_err(|e| e.0)?;
        let values = decoders
            .iter()
            .zip(&fields)
            .map(|(decoder, field)| match field {
                None => format!("{} NULL", decoder.name()),
                Some(bytes) => match decoder.refuse(&decoder.value(bytes), "another") {
                    Unreadable::Value(text) => text
                        .strip_prefix("expected another, found the ")
                        .unwrap()
                        .to_owned(),
                    Unreadable::Python(_) => panic!("no Python here"),
                },
            });
        all.push(values.collect());
    }
    Ok(all)
}

fn names(columns: &[Described]) -> Vec<&'static str> {
    columns.iter().map(|column| column.4).collect()
}

#[test]
fn every_type_in_both_kinds_of_row() {
    for (columns, row, binary) in [
        (ZOO, joined(BINARY), true),
        (ZOO, joined(TEXT), false),
        (MARIADB, bytes(MARIADB_BINARY), true),
        (MARIADB, bytes(MARIADB_TEXT), false),
    ] {
        let decoders = decoders(columns, binary);
        let mut rows = framed(&row);
        rows.extend(framed(&row));
        let read = shown(&rows, &decoders).unwrap();
        assert_eq!(read, [names(columns), names(columns)]);
    }
}

#[test]
fn a_row_longer_than_a_packet() {
    let described = [
        (252, 0, 144, 255, "TEXT of many"),
        (8, 0, 0, 63, "BIGINT 7"),
    ];
    let decoders = decoders(&described, true);
    let text = "y".repeat(17_000_000);
    let mut row = vec![0, 0, 254];
    row.extend_from_slice(&u64::try_from(text.len()).unwrap().to_le_bytes());
    row.extend_from_slice(text.as_bytes());
    row.extend_from_slice(&7i64.to_le_bytes());
    let mut rows = vec![0xff, 0xff, 0xff, 0];
    rows.extend_from_slice(&row);
    let read = shown(&rows, &decoders).unwrap();
    let short = format!("TEXT \"{}\"…", "y".repeat(80));
    assert_eq!(read, [[short.as_str(), "BIGINT 7"]]);
}

#[test]
fn many_columns_and_their_nulls() {
    for width in [1, 5, 6, 7, 8, 13, 14, 15, 22, 70, 1_000] {
        let described: Vec<Described> = vec![(1, 0, 0, 63, ""); width];
        let decoders = decoders(&described, true);
        let is_null = |index: usize| index % 3 == 1 || index % 8 == 6;
        let mut row = vec![0; 1 + (width + 9) / 8];
        for index in (0..width).filter(|index| is_null(*index)) {
            let bit = index + 2;
            row[1 + bit / 8] |= 1 << (bit % 8);
        }
        for index in (0..width).filter(|index| !is_null(*index)) {
            row.push(u8::try_from(index % 100).unwrap());
        }
        let expected: Vec<String> = (0..width)
            .map(|index| match is_null(index) {
                true => "TINYINT NULL".to_owned(),
                false => format!("TINYINT {}", index % 100),
            })
            .collect();
        assert_eq!(shown(&framed(&row), &decoders).unwrap(), [expected]);
    }
}

/// Whatever comes, the answer is a row or an error; and no row has bytes that nobody asked for.
#[test]
fn bytes_that_are_no_rows() {
    for (columns, row, binary) in [
        (ZOO, joined(BINARY), true),
        (MARIADB, bytes(MARIADB_BINARY), true),
        (MARIADB, bytes(MARIADB_TEXT), false),
        (ZOO, joined(TEXT), false),
    ] {
        let decoders = decoders(columns, binary);
        for length in 0..row.len() {
            assert!(
                shown(&framed(&row[..length]), &decoders).is_err(),
                "{length}"
            );
        }
        let mut longer = row.clone();
        longer.push(0);
        assert!(shown(&framed(&longer), &decoders).is_err());
        let whole = framed(&row);
        assert!(shown(&whole[..whole.len() - 1], &decoders).is_err());
        for at in 0..row.len() {
            for byte in [0, 1, 0x7f, 0x80, 250, 251, 252, 253, 254, 255] {
                let mut bent = row.clone();
                bent[at] = byte;
                let _ = shown(&framed(&bent), &decoders);
            }
        }
    }
    assert!(shown(&[1, 0], &decoders(MARIADB, true)).is_err());
}

#[test]
fn only_zeros_that_the_column_has_added_are_trimmed() {
    let field = |scale| {
        Wanted::Field(SqlType::Decimal {
            precision: scale,
            scale,
        })
    };
    for (decimals, wanted, text, expected) in [
        (30, field(None), "1.500000000000000000000000000000", "1.5"),
        (30, field(None), "100.000000000000000000000000000000", "100"),
        (30, field(None), "0.000000000000000000000000000000", "0"),
        (
            30,
            Wanted::Natural,
            "-1.000000000000000000000000000010",
            "-1.00000000000000000000000000001",
        ),
        (
            30,
            field(Some(30)),
            "1.500000000000000000000000000000",
            "1.500000000000000000000000000000",
        ),
        (2, field(None), "1.50", "1.50"),
        (0, field(None), "100", "100"),
    ] {
        let decoder = Decoder::new(&column(&(246, decimals, 0, 63, ""), true), wanted);
        assert_eq!(decoder.digits(text), expected);
    }
}
