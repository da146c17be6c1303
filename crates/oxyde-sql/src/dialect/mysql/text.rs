//! Texts: upper and lower case of all of Unicode, and comparisons byte by byte.

use std::fmt::Display;

use sea_query::Expr as Sea;

use super::{Mysql, collation};
use crate::dialect::fragment::{atom, call, raw, template};

/// Letters that take more bytes in the other case. MySQL maps a text in its own
/// place, where such a letter overwrites what follows it: they are exchanged before.
const LONGER_IN_LOWER_CASE: [(char, char); 2] = [('Ⱥ', 'ⱥ'), ('Ⱦ', 'ⱦ')];
const LONGER_IN_UPPER_CASE: [(char, char); 17] = [
    ('ȿ', 'Ȿ'),
    ('ɀ', 'Ɀ'),
    ('ɐ', 'Ɐ'),
    ('ɑ', 'Ɑ'),
    ('ɒ', 'Ɒ'),
    ('ɜ', 'Ɜ'),
    ('ɡ', 'Ɡ'),
    ('ɥ', 'Ɥ'),
    ('ɦ', 'Ɦ'),
    ('ɪ', 'Ɪ'),
    ('ɫ', 'Ɫ'),
    ('ɬ', 'Ɬ'),
    ('ɱ', 'Ɱ'),
    ('ɽ', 'Ɽ'),
    ('ʇ', 'Ʇ'),
    ('ʝ', 'Ʝ'),
    ('ʞ', 'Ʞ'),
];
/// The one letter whose lower-case form is two characters, which no LOWER knows.
const DOTTED_I: (&str, &str) = ("İ", "i̇");

impl Mysql {
    /// The same text under the collation that compares bytes, whatever its own
    /// and the connection's are.
    pub(super) fn collated(&self, text: Sea) -> Sea {
        let collate = format!(" COLLATE {}", collation(self.features.dialect));
        template(self.features.dialect, &["", &collate], [atom(text)])
    }

    /// Under the collation that knows the cases of the most letters.
    fn cased(&self, text: Sea) -> Sea {
        if !self.is_mariadb() {
            return self.collated(text);
        }
        let collate = if self.features.uca1400 {
            " COLLATE utf8mb4_uca1400_as_cs"
        } else {
            " COLLATE utf8mb4_unicode_520_nopad_ci"
        };
        template(self.features.dialect, &["", collate], [atom(text)])
    }

    pub(super) fn lower_case(&self, text: Sea) -> Sea {
        let text = replaced(text, DOTTED_I.0, DOTTED_I.1);
        if self.is_mariadb() {
            return self.collated(call("LOWER", [self.cased(text)]));
        }
        call(
            "LOWER",
            [self.cased(exchanged(text, &LONGER_IN_LOWER_CASE))],
        )
    }

    /// What texts have in common that are equal but for their case: their lower
    /// case, in which a sigma is the same at the end of a word and elsewhere.
    pub(super) fn folded(&self, text: Sea) -> Sea {
        replaced(self.lower_case(text), 'ς', 'σ')
    }

    pub(super) fn upper_case(&self, text: Sea) -> Sea {
        if self.is_mariadb() {
            return self.collated(call("UPPER", [self.cased(text)]));
        }
        call(
            "UPPER",
            [self.cased(exchanged(text, &LONGER_IN_UPPER_CASE))],
        )
    }
}

fn exchanged(text: Sea, letters: &[(char, char)]) -> Sea {
    letters
        .iter()
        .fold(text, |text, (from, to)| replaced(text, from, to))
}

fn replaced(text: Sea, from: impl Display, to: impl Display) -> Sea {
    call(
        "REPLACE",
        [text, raw(format!("'{from}'")), raw(format!("'{to}'"))],
    )
}
