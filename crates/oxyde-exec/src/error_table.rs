//! The classification table: SQLSTATE, MySQL errno and SQLite extended result code → kind, retryable, outcome.
//!
//! "Retryable" means that the same transaction, run again from its start, may succeed without anybody changing
//! anything. "Unknown" outcomes are those where the connection went before the answer came.

use crate::error::{Effect, ErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub kind: ErrorKind,
    pub retryable: bool,
    pub outcome: Effect,
}

const fn fails(kind: ErrorKind) -> Rule {
    Rule {
        kind,
        retryable: false,
        outcome: Effect::NotApplied,
    }
}

const fn retry(kind: ErrorKind) -> Rule {
    Rule {
        kind,
        retryable: true,
        outcome: Effect::NotApplied,
    }
}

const fn unknown(kind: ErrorKind) -> Rule {
    Rule {
        kind,
        retryable: false,
        outcome: Effect::Unknown,
    }
}

/// For errors that no database reported.
pub fn kind_is_retryable(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PoolTimeout
            | ErrorKind::LockTimeout
            | ErrorKind::Deadlock
            | ErrorKind::Serialization
    )
}

/// PostgreSQL, Appendix A of its manual: exact codes first, then the class (first two characters).
pub fn sqlstate(state: &str) -> Rule {
    use ErrorKind as K;
    match state {
        "23505" => fails(K::Unique),
        "23503" | "23001" => fails(K::ForeignKey),
        "23502" => fails(K::NotNull),
        "23514" => fails(K::Check),
        "23P01" => fails(K::Exclusion),
        "40001" => retry(K::Serialization),
        "40P01" => retry(K::Deadlock),
        "40002" => fails(K::Integrity),
        "40003" => unknown(K::ConnectionLost),
        "55P03" => retry(K::LockTimeout),
        "57014" => fails(K::QueryTimeout),
        "25P02" | "25P01" | "25P03" => fails(K::TransactionBroken),
        "25P04" => fails(K::TransactionTimeout),
        "25006" => fails(K::Programming),
        "26000" => retry(K::Programming),
        "0A000" => fails(K::NotSupported),
        "57P01" | "57P02" | "57P05" => unknown(K::ConnectionLost),
        "57P03" => retry(K::Connect),
        "53300" => retry(K::Connect),
        "3D000" | "57P04" => fails(K::Connect),
        "XX000" | "XX001" | "XX002" => fails(K::Operational),
        _ => match state.get(..2).unwrap_or_default() {
            "08" => unknown(K::ConnectionLost),
            "0A" => fails(K::NotSupported),
            "21" | "22" => fails(K::Data),
            "23" => fails(K::Integrity),
            "25" | "2D" | "3B" | "40" => fails(K::Transaction),
            "28" => fails(K::Connect),
            "02" | "0B" | "0L" | "0P" | "24" | "26" | "2B" | "2F" | "34" | "38" | "39" | "3F"
            | "42" | "44" | "P0" => fails(K::Programming),
            _ => fails(K::Operational),
        },
    }
}

/// MySQL and MariaDB server errors (1000…, 3000…, 4000…) and client errors (2000…).
pub fn mysql(errno: u16) -> Rule {
    use ErrorKind as K;
    match errno {
        1022 | 1062 | 1169 | 1557 | 1586 | 1859 => fails(K::Unique),
        1215 | 1216 | 1217 | 1451 | 1452 | 1761 | 1762 | 3780 => fails(K::ForeignKey),
        1048 | 1263 | 1364 | 1566 => fails(K::NotNull),
        3819 | 4025 => fails(K::Check),
        1213 | 1614 | 3058 => retry(K::Deadlock),
        1205 | 3572 => retry(K::LockTimeout),
        1020 => retry(K::Serialization),
        1317 => fails(K::Cancelled),
        1969 | 3024 => fails(K::QueryTimeout),
        1053 | 1079 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 2055 | 3169 | 4031 => {
            unknown(K::ConnectionLost)
        }
        1040 | 1203 | 1226 => retry(K::Connect),
        1043..=1045
        | 1049
        | 1129
        | 1130
        | 1251
        | 1698
        | 1862
        | 2002
        | 2003
        | 2005
        | 2026
        | 2059
        | 2061
        | 3118
        | 3159 => fails(K::Connect),
        1264 | 1265 | 1292 | 1365 | 1366 | 1367 | 1406 | 1411 | 1416 | 1426 | 1427 | 1441
        | 1300 | 1525 | 1690 | 3140 | 3141 | 3144 | 3150 | 3151 | 3156 | 3157 | 3854 | 3988 => {
            fails(K::Data)
        }
        1243 | 1615 => retry(K::Programming),
        1041 | 1021 | 1030 | 1037 | 1038 | 1114 | 1135 | 1153 | 1180 | 1290 | 1461 | 1637
        | 1836 | 1192 => fails(K::Operational),
        1235 | 1286 | 1289 | 3105 => fails(K::NotSupported),
        1792 | 1568 | 1560 => fails(K::Transaction),
        1815 => fails(K::Internal),
        1000..=1999 | 3000..=4999 => fails(K::Programming),
        _ => fails(K::Operational),
    }
}

/// SQLite extended result codes: the primary code is the low byte.
pub fn sqlite(code: i32) -> Rule {
    use ErrorKind as K;
    match code {
        1555 | 2067 | 2579 => fails(K::Unique), // primary key, unique, rowid
        787 => fails(K::ForeignKey),
        1299 => fails(K::NotNull),
        275 => fails(K::Check),
        3091 => fails(K::Data), // a value of the wrong type in a STRICT table
        1811 | 2323 => fails(K::Integrity), // RAISE() in a trigger, virtual table
        517 => retry(K::Serialization), // BUSY_SNAPSHOT: read a snapshot that is no longer the newest
        _ => match code & 0xff {
            5 | 6 | 15 => retry(K::LockTimeout), // BUSY, LOCKED, PROTOCOL
            17 => retry(K::Operational),         // SCHEMA
            9 => fails(K::Cancelled),            // INTERRUPT
            14 => fails(K::Connect),             // CANTOPEN
            26 => fails(K::Connect),             // NOTADB: the file is something else
            18 | 20 | 25 => fails(K::Data),      // TOOBIG, MISMATCH, RANGE
            19 => fails(K::Integrity),
            1 => fails(K::Programming),
            2 | 12 | 21 => fails(K::Internal), // INTERNAL, NOTFOUND, MISUSE
            22 => fails(K::NotSupported),      // NOLFS
            // PERM, ABORT, NOMEM, READONLY, IOERR, CORRUPT, FULL, AUTH …
            _ => fails(K::Operational),
        },
    }
}

/// The names a SQLite message mentions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
}

pub fn sqlite_names(message: &str) -> Names {
    let owned = |text: &str| Some(text.to_owned());
    if let Some(rest) = message.strip_prefix("UNIQUE constraint failed: ") {
        if let Some(index) = rest.strip_prefix("index '") {
            return Names {
                constraint: owned(index.strip_suffix('\'').unwrap_or(index)),
                ..Names::default()
            };
        }
        let mut parts = rest.split(", ");
        let first = parts.next().and_then(|part| part.split_once('.'));
        let single = parts.next().is_none();
        return match first {
            // A key of several columns names no single column.
            Some((table, column)) => Names {
                table: owned(table),
                column: if single { owned(column) } else { None },
                constraint: None,
            },
            None => Names::default(),
        };
    }
    if let Some(rest) = message.strip_prefix("NOT NULL constraint failed: ") {
        return match rest.split_once('.') {
            Some((table, column)) => Names {
                table: owned(table),
                column: owned(column),
                constraint: None,
            },
            None => Names::default(),
        };
    }
    if let Some(rest) = message.strip_prefix("CHECK constraint failed: ") {
        return Names {
            constraint: owned(rest),
            ..Names::default()
        };
    }
    if message.starts_with("cannot store ")
        && let Some((_, rest)) = message.split_once(" column ")
        && let Some((table, column)) = rest.split_once('.')
    {
        return Names {
            table: owned(table),
            column: owned(column),
            constraint: None,
        };
    }
    if let Some(rest) = message.strip_prefix("no such table: ") {
        return Names {
            table: owned(rest),
            ..Names::default()
        };
    }
    if let Some(rest) = message.strip_prefix("no such column: ") {
        return match rest.split_once('.') {
            Some((table, column)) => Names {
                table: owned(table),
                column: owned(column),
                constraint: None,
            },
            None => Names {
                column: owned(rest),
                ..Names::default()
            },
        };
    }
    if let Some(rest) = message.strip_prefix("table ")
        && let Some((table, column)) = rest.split_once(" has no column named ")
    {
        return Names {
            table: owned(table),
            column: owned(column),
            constraint: None,
        };
    }
    Names::default()
}
