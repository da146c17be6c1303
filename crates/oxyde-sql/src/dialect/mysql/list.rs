//! Lists that are one JSON parameter, and arrays, which are JSON columns.
//!
//! JSON_TABLE makes rows of them. Its items get the type that their column
//! compares with exactly: a decimal with all its digits, a text byte by byte.
//!
//! A subquery is only put into a table with a key, and not read anew for every
//! row, if its values are short enough for one. Longer ones are compared by their
//! SHA-256; where a condition holds for all rows (a conjunct), rows can be looked
//! up by an index of the column, for which the value itself has to stand there.

use sea_query::{BinOper, Expr as Sea};

use super::Mysql;
use super::declared::{Stored, compares_otherwise, declared_collation, stored};
use crate::SqlType;
use crate::dialect::InList;
use crate::dialect::fragment::{binary, call, case, paren, raw, template};
use crate::ir::{ArrayOp, Column};

/// The longest text that both servers put a key on.
const KEYED: u32 = 512;
/// Longer items are cut off by MariaDB and refused by MySQL, so that no value of
/// a column may be as long.
const KEYED_TYPE: &str = "VARCHAR(512) CHARACTER SET utf8mb4";
const LONG_TYPE: &str = "LONGTEXT CHARACTER SET utf8mb4";

/// How a list's items are compared.
struct Items {
    value: Sea,
    /// Their type in JSON_TABLE.
    ty: String,
    /// What is made of each.
    taken: Sea,
}

impl Mysql {
    pub(super) fn among(&self, list: InList<'_>) -> Sea {
        let text = matches!(
            list.item,
            SqlType::Text | SqlType::String(_) | SqlType::Uuid | SqlType::Enum(_)
        );
        let oper = if list.negated {
            BinOper::NotIn
        } else {
            BinOper::In
        };
        let exact = self.items(&list);
        let rows = self.rows(&exact.ty, exact.taken, &list.list);
        let found = self.reliable(binary(exact.value, oper, paren(rows)), &list);
        // By the index under the column's own collation; which of these rows have
        // the very text is found out afterwards.
        match self.by_other_collation(&list) {
            Some((ty, taken)) if text => {
                let by_index = paren(self.rows(ty, taken, &list.list));
                let candidates = binary(list.value, BinOper::In, by_index);
                binary(candidates, BinOper::And, found)
            }
            _ => found,
        }
    }

    /// The same condition for a value that may be NULL: MariaDB remembers from the
    /// first run of a prepared statement whether the list was empty, on which it
    /// depends whether NULL is (not) in it.
    fn reliable(&self, found: Sea, list: &InList<'_>) -> Sea {
        let looked_up = list.conjunct && !list.negated;
        if !self.is_mariadb() || looked_up || list.column.is_some_and(|c| !c.nullable) {
            return found;
        }
        let me = self.features.dialect;
        let texts = if list.negated {
            ["NULLIF(JSON_LENGTH(", ") = 0, FALSE)"]
        } else {
            ["NULLIF(JSON_LENGTH(", ") <> 0, TRUE)"]
        };
        let of_null = template(me, &texts, [list.list.clone()]);
        let is_null = binary(list.value.clone(), BinOper::Is, raw("NULL"));
        case(is_null, of_null, found)
    }

    /// `SELECT taken FROM JSON_TABLE(list …)`.
    fn rows(&self, ty: &str, taken: Sea, list: &Sea) -> Sea {
        template(
            self.features.dialect,
            &[
                "SELECT ",
                " FROM JSON_TABLE(",
                &format!(", '$[*]' COLUMNS (item {ty} PATH '$' ERROR ON ERROR)) AS list"),
            ],
            [taken, list.clone()],
        )
    }

    fn items(&self, list: &InList<'_>) -> Items {
        let value = list.value.clone();
        let item = || raw("item");
        let looked_up = list.conjunct && !list.negated;
        match list.item {
            SqlType::Text | SqlType::String(_) => {
                let kind = list.column.map(|c| stored(c.db_type.as_deref(), &c.ty));
                let otherwise = self.otherwise(list.column);
                let (short, long) = match kind {
                    Some(Stored::Text(n)) => (self.is_mariadb() && n < KEYED, true),
                    Some(_) => (false, !self.is_mariadb()),
                    None => (false, false),
                };
                match looked_up && !otherwise {
                    true if short => self.texts(value, KEYED_TYPE),
                    true if long => self.texts(value, LONG_TYPE),
                    _ => self.hashed(self.bytewise(value, list.column), LONG_TYPE, item()),
                }
            }
            SqlType::Uuid | SqlType::Enum(_) => {
                self.texts(self.bytewise(value, list.column), KEYED_TYPE)
            }
            SqlType::Bytes => {
                let bytes = call("UNHEX", [item()]);
                match list.column.map(|c| stored(c.db_type.as_deref(), &c.ty)) {
                    // BINARY and VARBINARY, which have indexes.
                    Some(Stored::Other) if looked_up => Items {
                        value,
                        ty: LONG_TYPE.into(),
                        taken: bytes,
                    },
                    _ => self.hashed(value, LONG_TYPE, bytes),
                }
            }
            SqlType::Json | SqlType::Array(_) => Items {
                value: self.json(value),
                ty: "JSON".into(),
                taken: self.json(item()),
            },
            SqlType::Real | SqlType::Double
                if list
                    .column
                    .is_some_and(|c| stored(c.db_type.as_deref(), &c.ty) == Stored::Float) =>
            {
                Items {
                    value,
                    ty: "FLOAT".into(),
                    taken: item(),
                }
            }
            other => Items {
                value,
                ty: self.item_type(other),
                taken: item(),
            },
        }
    }

    fn texts(&self, value: Sea, ty: &str) -> Items {
        Items {
            value,
            ty: ty.into(),
            taken: self.collated(raw("item")),
        }
    }

    fn hashed(&self, value: Sea, ty: &str, taken: Sea) -> Items {
        let hash = |x| call("SHA2", [x, raw("256")]);
        Items {
            value: hash(value),
            ty: ty.into(),
            taken: hash(taken),
        }
    }

    fn otherwise(&self, column: Option<&Column>) -> bool {
        column.is_some_and(|c| compares_otherwise(c, self.features.dialect))
    }

    /// A column's text in the encoding and under the collation of the items.
    fn bytewise(&self, value: Sea, column: Option<&Column>) -> Sea {
        if self.otherwise(column) {
            self.unified(value)
        } else {
            value
        }
    }

    /// Items as an index under another collation of the same encoding takes them.
    fn by_other_collation(&self, list: &InList<'_>) -> Option<(&'static str, Sea)> {
        let column = list.column?;
        if !list.conjunct || list.negated || !self.otherwise(Some(column)) {
            return None;
        }
        let name = declared_collation(column)?;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || !name.to_ascii_lowercase().starts_with("utf8mb4_") {
            return None;
        }
        let short =
            matches!(stored(column.db_type.as_deref(), &column.ty), Stored::Text(n) if n < KEYED);
        let ty = if self.is_mariadb() && short {
            KEYED_TYPE
        } else {
            LONG_TYPE
        };
        let collate = format!(" COLLATE {name}");
        let taken = template(self.features.dialect, &["", &collate], [raw("item")]);
        Some((ty, taken))
    }

    /// The type of items that are neither texts nor documents.
    fn item_type(&self, item: &SqlType) -> String {
        match item {
            SqlType::SmallInt | SqlType::Int | SqlType::BigInt | SqlType::Duration => {
                "BIGINT".into()
            }
            SqlType::Bool => "TINYINT".into(),
            SqlType::Real | SqlType::Double => "DOUBLE".into(),
            // Rounded to the column's scale, an item would be equal to another number.
            SqlType::Decimal { .. } => "DECIMAL(65,30)".into(),
            SqlType::Timestamp | SqlType::TimestampTz | SqlType::Date | SqlType::Time => {
                item.ddl(self.features.dialect)
            }
            SqlType::Json | SqlType::Array(_) => "JSON".into(),
            SqlType::Text
            | SqlType::String(_)
            | SqlType::Uuid
            | SqlType::Enum(_)
            | SqlType::Bytes => LONG_TYPE.into(),
        }
    }

    /// The same for items of any type, and what is made of each.
    fn item(&self, item: &SqlType, value: &'static str) -> (String, Sea) {
        let ty = self.item_type(item);
        let taken = match item {
            SqlType::Bytes => call("UNHEX", [raw(value)]),
            SqlType::Json | SqlType::Array(_) => self.json(raw(value)),
            _ if ty == LONG_TYPE => self.collated(raw(value)),
            _ => raw(value),
        };
        (ty, taken)
    }

    /// A comparison of the members of two arrays. NULL is a member of none.
    pub(super) fn members(&self, op: ArrayOp, a: Sea, b: Sea, item: Option<&SqlType>) -> Sea {
        let (a, b) = match op {
            ArrayOp::ContainedBy => (b, a),
            ArrayOp::Contains | ArrayOp::Overlap => (a, b),
        };
        if self.is_mariadb() {
            // Its functions compare integers as floats, and texts by their spelling.
            let found = match op {
                ArrayOp::Overlap => self.common_member(&a, &b, item),
                _ => self.all_members(&a, &b, item),
            };
            let unknown = template(
                self.features.dialect,
                &["", " IS NULL OR ", " IS NULL"],
                [a, b],
            );
            return case(unknown, raw("NULL"), found);
        }
        let with_null = |array: &Sea| call("JSON_CONTAINS", [array.clone(), raw("'null'")]);
        if op == ArrayOp::Overlap {
            let found = call("JSON_OVERLAPS", [a.clone(), b.clone()]);
            let common = self.common_member(&a, &b, item);
            let by_value = template(
                self.features.dialect,
                &["NOT ", " OR NOT ", " OR ", ""],
                [with_null(&a), with_null(&b), common],
            );
            return binary(found, BinOper::And, by_value);
        }
        // Still unknown where the array is.
        let known = template(
            self.features.dialect,
            &["NOT ", " OR ", " IS NULL"],
            [with_null(&b), a.clone()],
        );
        binary(call("JSON_CONTAINS", [a, b]), BinOper::And, known)
    }

    fn common_member(&self, a: &Sea, b: &Sea, item: Option<&SqlType>) -> Sea {
        let (ty, [left, right]) = self.both(item);
        template(
            self.features.dialect,
            &[
                "EXISTS (SELECT 1 FROM JSON_TABLE(",
                &columns(&ty, "oxyde_a JOIN JSON_TABLE("),
                &columns(&ty, "oxyde_b ON "),
                " = ",
                ")",
            ],
            [a.clone(), b.clone(), left, right],
        )
    }

    /// Whether all members of `b` are members of `a`.
    fn all_members(&self, a: &Sea, b: &Sea, item: Option<&SqlType>) -> Sea {
        let (ty, [left, right]) = self.both(item);
        template(
            self.features.dialect,
            &[
                "NOT EXISTS (SELECT 1 FROM JSON_TABLE(",
                &columns(&ty, "oxyde_b WHERE NOT EXISTS (SELECT 1 FROM JSON_TABLE("),
                &columns(&ty, "oxyde_a WHERE "),
                " = ",
                "))",
            ],
            [b.clone(), a.clone(), left, right],
        )
    }

    fn both(&self, item: Option<&SqlType>) -> (String, [Sea; 2]) {
        let item = item.unwrap_or(&SqlType::Text);
        let (ty, left) = self.item(item, "oxyde_a.item");
        let (_, right) = self.item(item, "oxyde_b.item");
        (ty, [left, right])
    }

    /// The member of an array at a place, counted from 0.
    pub(super) fn member(&self, array: Sea, index: Sea, item: &SqlType) -> Sea {
        let path = call("CONCAT", [raw("'$['"), index, raw("']'")]);
        let (ty, taken) = self.item(item, "item");
        let columns = format!("), '$' COLUMNS (item {ty} PATH '$')) AS one");
        let row = template(
            self.features.dialect,
            &["SELECT ", " FROM JSON_TABLE(JSON_EXTRACT(", ", ", &columns],
            [taken, array, path],
        );
        paren(row)
    }
}

/// The rest of a JSON_TABLE after its document.
fn columns(ty: &str, alias: &str) -> String {
    format!(", '$[*]' COLUMNS (item {ty} PATH '$')) AS {alias}")
}
