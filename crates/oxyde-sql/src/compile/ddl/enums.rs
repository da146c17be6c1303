//! Enum types of PostgreSQL, which several tables may share.
//!
//! A type is made unless it is there with the same values, and dropped unless something still uses it. SQL has no
//! words for either condition, so both are anonymous blocks.

use super::doc::EnumDoc;
use crate::Dialect;

/// Makes the type; one of the same name with other values is an error.
pub(super) fn create(e: &EnumDoc, dialect: Dialect) -> String {
    let name = dialect.quote(&e.name);
    let values: Vec<_> = e.values.iter().map(|v| dialect.string(v)).collect();
    let values = values.join(", ");
    block(&format!(
        "CREATE TYPE {name} AS ENUM ({values}); EXCEPTION WHEN duplicate_object THEN \
         IF (SELECT pg_catalog.array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_catalog.pg_enum \
         WHERE enumtypid = {regtype}::pg_catalog.regtype) IS DISTINCT FROM ARRAY[{values}]::text[] \
         THEN RAISE; END IF;",
        regtype = dialect.string(&name),
    ))
}

/// Drops the type if nothing uses it.
pub(super) fn drop(name: &str, dialect: Dialect) -> String {
    block(&format!(
        "DROP TYPE IF EXISTS {}; EXCEPTION WHEN dependent_objects_still_exist THEN NULL;",
        dialect.quote(name)
    ))
}

/// `DO` with a quotation mark that does not occur in `body`.
fn block(body: &str) -> String {
    let mut mark = String::from("$oxyde$");
    while body.contains(&mark) {
        mark.insert(1, '_');
    }
    format!("DO {mark} BEGIN {body} END {mark}")
}
