//! Names: what is refused, and what things are called that have none.

use super::TableDdl;
use crate::CompileError;

impl TableDdl<'_> {
    /// Refuses names that no database can hold, or that this one would change.
    pub(super) fn check_name(&self, name: &str) -> Result<(), CompileError> {
        let odd = name.chars().any(|c| u32::from(c) > 0xffff) || name.ends_with(' ');
        if odd {
            self.features.require(
                self.features.any_name,
                &format!("the name {name:?}: characters beyond U+FFFF and spaces at the end"),
            )?;
        }
        if name.is_empty() || name.contains('\0') {
            return Err(CompileError::invalid(format!(
                "{name:?} cannot be the name of a table, column, index or constraint"
            )));
        }
        Ok(())
    }

    /// The given name, or one made of the table's, the columns' and a suffix.
    pub(super) fn name_or<S: AsRef<str>>(
        &self,
        given: Option<&String>,
        columns: &[S],
        suffix: &str,
    ) -> Result<String, CompileError> {
        if let Some(name) = given {
            self.check_name(name)?;
            return Ok(name.clone());
        }
        let mut parts = vec![self.table.name.as_str()];
        parts.extend(columns.iter().map(AsRef::as_ref));
        parts.push(suffix);
        Ok(shorten(&parts.join("_")))
    }
}

/// The shortest limit of all databases, so that a name is the same everywhere.
const MAX_BYTES: usize = 63;

/// A name that fits everywhere: too long a one ends in a hash of the whole.
pub(super) fn shorten(name: &str) -> String {
    if name.len() <= MAX_BYTES {
        return name.to_owned();
    }
    // FNV-1a: short, stable across versions, and nothing depends on its strength.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let mut cut = MAX_BYTES - 9;
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    let (kept, _) = name.split_at(cut);
    format!("{kept}_{hash:08x}")
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn long_names_end_in_a_hash() {
        let name = "ü".repeat(60);
        let short = shorten(&name);
        assert!(short.len() <= 63, "{short}");
        assert_eq!(short, shorten(&name));
        assert_ne!(short, shorten(&format!("{name}2")));
        assert_eq!(shorten("users_email_idx"), "users_email_idx");
    }
}
