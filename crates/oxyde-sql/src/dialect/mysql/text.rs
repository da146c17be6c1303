//! Texts: upper and lower case of all of Unicode, and comparisons byte by byte.

use sea_query::Expr as Sea;

use super::{Mysql, collation};
use crate::dialect::fragment::{atom, binary, call, raw, template};

/// Letters whose lower-case form LOWER of MySQL has no room for: it gives each
/// text as many bytes as it had, and cuts off what is more.
const LONGER_IN_LOWER_CASE: [(&str, &str); 2] = [("'Ⱥ'", "'ⱥ'"), ("'Ⱦ'", "'ⱦ'")];
/// The one letter whose lower-case form is two characters; no LOWER knows it.
const DOTTED_I: (&str, &str) = ("'İ'", "'i̇'");

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
        let replace = |text, (from, to): (&str, &str)| call("REPLACE", [text, raw(from), raw(to)]);
        if self.is_mariadb() {
            let lower = call("LOWER", [self.cased(replace(text, DOTTED_I))]);
            return self.collated(lower);
        }
        let text = LONGER_IN_LOWER_CASE.into_iter().fold(text, replace);
        call("LOWER", [self.cased(replace(text, DOTTED_I))])
    }

    pub(super) fn upper_case(&self, text: Sea) -> Sea {
        if self.is_mariadb() {
            let upper = call("UPPER", [self.cased(text)]);
            return self.collated(upper);
        }
        // As LOWER, it has no room for letters that become longer: half as much
        // again at most, which spaces at the end provide.
        let half = binary(
            call("LENGTH", [text.clone()]),
            sea_query::BinOper::Custom("DIV"),
            raw("2 + 1"),
        );
        let longer = call("CONCAT", [text.clone(), call("SPACE", [half])]);
        let upper = call("UPPER", [self.cased(longer)]);
        call("LEFT", [upper, call("CHAR_LENGTH", [text])])
    }
}
