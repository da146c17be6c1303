//! Case, LIKE and regular expressions with one meaning on all databases.

use std::borrow::Cow;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use rusqlite::functions::Context;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use crate::sqlite::functions::{FLAGS, refuse};

pub(super) fn register(db: &Connection) -> Result<()> {
    db.create_scalar_function("oxyde_lower", 1, FLAGS, |ctx| {
        Ok(text(ctx, 0).map(|text| text.to_lowercase()))
    })?;
    db.create_scalar_function("oxyde_upper", 1, FLAGS, |ctx| {
        Ok(text(ctx, 0).map(|text| text.to_uppercase()))
    })?;
    db.create_scalar_function("oxyde_like", 2, FLAGS, |ctx| {
        let (Some(pattern), Some(value)) = (text(ctx, 0), text(ctx, 1)) else {
            return Ok(None);
        };
        Ok(Some(like(&pattern, &value)))
    })?;
    db.create_scalar_function("oxyde_ilike", 2, FLAGS, |ctx| {
        let (Some(pattern), Some(value)) = (text(ctx, 0), text(ctx, 1)) else {
            return Ok(None);
        };
        Ok(Some(like(&pattern.to_lowercase(), &value.to_lowercase())))
    })?;
    db.create_scalar_function("oxyde_regexp", 2, FLAGS, |ctx| {
        matches(ctx, "oxyde_regexp", false)
    })?;
    db.create_scalar_function("oxyde_iregexp", 2, FLAGS, |ctx| {
        matches(ctx, "oxyde_iregexp", true)
    })
}

/// An argument as text, as SQLite's own text functions see it; NULL is `None`.
fn text<'a>(ctx: &'a Context<'_>, index: usize) -> Option<Cow<'a, str>> {
    match ctx.get_raw(index) {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(Cow::Owned(value.to_string())),
        ValueRef::Real(value) => Some(Cow::Owned(value.to_string())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
    }
}

fn matches(ctx: &Context<'_>, name: &'static str, ignore_case: bool) -> Result<Option<bool>> {
    let (Some(pattern), Some(value)) = (text(ctx, 0), text(ctx, 1)) else {
        return Ok(None);
    };
    // SQLite keeps the compiled pattern for as long as the argument stays the same constant or parameter.
    let regex: Arc<Regex> = match ctx.get_aux(0)? {
        Some(regex) => regex,
        None => {
            let compiled = RegexBuilder::new(&pattern)
                .case_insensitive(ignore_case)
                .build();
            let regex = compiled.map_err(|error| {
                let reason = error.to_string();
                let reason = reason
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                refuse(format!("{name}: invalid regular expression: {reason}"))
            })?;
            ctx.set_aux(0, regex)?
        }
    };
    Ok(Some(regex.is_match(&value)))
}

/// `%` any number of characters, `_` one, `\` takes the next one literally; the whole value has to match.
pub(super) fn like(pattern: &str, value: &str) -> bool {
    let mut pattern = pattern.chars();
    let mut value = value.chars();
    // Where to go on when a character does not fit: after the last `%`, one character further in the value.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = pattern.clone();
        let fits = match ahead.next() {
            Some('%') => {
                retry = Some((ahead.clone(), value.clone()));
                pattern = ahead;
                continue;
            }
            None => {
                if value.as_str().is_empty() {
                    return true;
                }
                false
            }
            Some('_') => value.next().is_some(),
            Some('\\') => {
                let wanted = ahead.next().unwrap_or('\\');
                value.next() == Some(wanted)
            }
            Some(wanted) => value.next() == Some(wanted),
        };
        if fits {
            pattern = ahead;
            continue;
        }
        match &mut retry {
            Some((after, from)) => {
                if from.next().is_none() {
                    return false;
                }
                pattern = after.clone();
                value = from.clone();
            }
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn like_patterns() {
        for (pattern, value, expected) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%", "anything", true),
            ("a%", "abc", true),
            ("a%", "Abc", false),
            ("%c", "abc", true),
            ("%b%", "abc", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("_", "ä", true),
            ("100\\%", "100%", true),
            ("100\\%", "1000", false),
            ("a\\_b", "a_b", true),
            ("a\\_b", "axb", false),
            ("a\\\\b", "a\\b", true),
            ("a\\", "a\\", true),
            ("%a%b%c", "xxaxxbxxbxxc", true),
            ("%a%b%c", "xxaxxbxxbxx", false),
            ("%ab", "aab", true),
        ] {
            assert_eq!(like(pattern, value), expected, "{value:?} LIKE {pattern:?}");
        }
    }
}
