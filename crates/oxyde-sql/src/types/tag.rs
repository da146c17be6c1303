//! Type tags: how a [`SqlType`] is written in shapes and in schema documents.
//!
//! Three spellings mean the same and are all read; the first that can say the
//! type is written: `"big_integer"`, `["decimal", 10, 2]`, and for documents
//! made by hand `{"kind": "decimal", "precision": 10, "scale": 2}`.

use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{EnumType, SqlType};

/// A type tag that cannot be read; the text says which part and what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeTagError(pub String);

/// How deep arrays of arrays may nest; PostgreSQL stops at six dimensions.
const MAX_ARRAY_DEPTH: usize = 6;

impl SqlType {
    /// The type of a plain tag such as `"big_integer"`; `None` for tags that
    /// need arguments (`decimal`, `enum`, `array`) and for unknown ones.
    ///
    /// `string` without a length and `decimal` without digits are allowed.
    #[must_use]
    pub fn from_kind(kind: &str) -> Option<Self> {
        Some(match kind {
            "small_integer" => Self::SmallInt,
            "integer" => Self::Int,
            "big_integer" => Self::BigInt,
            "real" => Self::Real,
            "double" => Self::Double,
            "boolean" => Self::Bool,
            "text" => Self::Text,
            "string" => Self::String(None),
            "decimal" => Self::Decimal {
                precision: None,
                scale: None,
            },
            "date_time" => Self::Timestamp,
            "date_time_utc" => Self::TimestampTz,
            "date" => Self::Date,
            "time" => Self::Time,
            "timedelta" => Self::Duration,
            "uuid" => Self::Uuid,
            "blob" => Self::Bytes,
            // Every JSON column is JSONB on PostgreSQL; the longer name is an
            // older spelling of the same column.
            "json" | "json_binary" => Self::Json,
            _ => return None,
        })
    }

    /// Reads a tag in any of its spellings.
    ///
    /// # Errors
    /// [`TypeTagError`] naming the part that is wrong.
    pub fn from_json(tag: &Value) -> Result<Self, TypeTagError> {
        read(tag, 0)
    }

    /// Writes the tag: a string, or a list with the type's arguments.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::String(Some(length)) => json!(["string", length]),
            Self::Decimal { precision, scale } if precision.is_some() || scale.is_some() => {
                json!(["decimal", precision, scale])
            }
            Self::Enum(e) => json!(["enum", e.name, e.values]),
            Self::Array(item) => json!(["array", item.to_json()]),
            plain => json!(plain.kind()),
        }
    }
}

fn read(tag: &Value, depth: usize) -> Result<SqlType, TypeTagError> {
    if depth > MAX_ARRAY_DEPTH {
        return Err(TypeTagError(format!(
            "arrays nest deeper than {MAX_ARRAY_DEPTH} levels"
        )));
    }
    match tag {
        Value::String(kind) => plain(kind),
        Value::Array(parts) => {
            let (head, rest) = parts
                .split_first()
                .ok_or_else(|| TypeTagError("an empty list is no type tag".into()))?;
            let kind = head.as_str().ok_or_else(|| {
                TypeTagError(format!("a type tag begins with its name, not {head}"))
            })?;
            let at = |i: usize| rest.get(i).unwrap_or(&Value::Null);
            with_arguments(kind, [at(0), at(1)], depth)
        }
        Value::Object(map) => {
            let kind = map.get("kind").and_then(Value::as_str).ok_or_else(|| {
                TypeTagError("a column type has the key \"kind\", a string".into())
            })?;
            with_arguments(kind, named_arguments(kind, map), depth)
        }
        other => Err(TypeTagError(format!("{other} is no type tag"))),
    }
}

fn named_arguments<'a>(kind: &str, map: &'a Map<String, Value>) -> [&'a Value; 2] {
    let at = |key: &str| map.get(key).unwrap_or(&Value::Null);
    match kind {
        "string" => [at("length"), &Value::Null],
        "decimal" => [at("precision"), at("scale")],
        "enum" => [at("name"), at("values")],
        "array" => [at("item"), &Value::Null],
        _ => [&Value::Null, &Value::Null],
    }
}

fn plain(kind: &str) -> Result<SqlType, TypeTagError> {
    SqlType::from_kind(kind).ok_or_else(|| match kind {
        "enum" | "array" => TypeTagError(format!("the type {kind:?} needs arguments")),
        _ => TypeTagError(format!("unknown column type {kind:?}")),
    })
}

fn with_arguments(kind: &str, [a, b]: [&Value; 2], depth: usize) -> Result<SqlType, TypeTagError> {
    match kind {
        "string" => Ok(SqlType::String(number(a, "the length of a string")?)),
        "decimal" => Ok(SqlType::Decimal {
            precision: number(a, "the precision of a decimal")?,
            scale: number(b, "the scale of a decimal")?,
        }),
        "enum" => {
            let name = a
                .as_str()
                .ok_or_else(|| TypeTagError("an enum has a name, a string".into()))?;
            let values = b
                .as_array()
                .ok_or_else(|| TypeTagError(format!("the enum {name:?} has a list of values")))?
                .iter()
                .map(|v| v.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| {
                    TypeTagError(format!("the values of the enum {name:?} are strings"))
                })?;
            Ok(SqlType::Enum(Arc::new(EnumType {
                name: name.to_owned(),
                values,
            })))
        }
        "array" => Ok(SqlType::Array(Box::new(read(a, depth + 1)?))),
        _ => plain(kind),
    }
}

fn number<T: TryFrom<u64>>(value: &Value, what: &str) -> Result<Option<T>, TypeTagError> {
    if value.is_null() {
        return Ok(None);
    }
    value
        .as_u64()
        .and_then(|n| T::try_from(n).ok())
        .map(Some)
        .ok_or_else(|| TypeTagError(format!("{what} is a small positive number, not {value}")))
}

impl Serialize for SqlType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SqlType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tag = Value::deserialize(deserializer)?;
        Self::from_json(&tag).map_err(D::Error::custom)
    }
}
