//! What a server says it is.

use oxyde_sql::{Dialect, Target, Version};

/// Which database serves us, by the text of its version: MySQL or MariaDB is not for a URL to say.
pub fn described(asked: Dialect, version: &str, facts: &[String]) -> Option<Target> {
    let dialect = match asked {
        Dialect::Mysql | Dialect::MariaDb => flavour(version),
        Dialect::Postgres | Dialect::Sqlite => asked,
    };
    // For programs that knew no version beyond 5.
    let own = match dialect {
        Dialect::MariaDb => version.strip_prefix("5.5.5-").unwrap_or(version),
        Dialect::Mysql | Dialect::Postgres | Dialect::Sqlite => version,
    };
    numbers(own).map(|version| Target::refined(dialect, version, facts))
}

fn flavour(version: &str) -> Dialect {
    if version.to_ascii_lowercase().contains("mariadb") {
        Dialect::MariaDb
    } else {
        Dialect::Mysql
    }
}

/// `3.54.0`, `16.2 (Debian …)`, `10.11.19-MariaDB`: the numbers at the start.
fn numbers(text: &str) -> Option<Version> {
    let numbers: String = text
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let major = parts.next()??;
    let mut next = || parts.next().flatten().unwrap_or(0);
    Some(Version(major, next(), next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(asked: Dialect, version: &str) -> Option<(Dialect, Version)> {
        described(asked, version, &[]).map(|target| (target.dialect, target.version))
    }

    #[test]
    fn mysql_or_mariadb_is_what_the_server_says() {
        let cases = [
            ("8.4.0", Dialect::Mysql, Version(8, 4, 0)),
            ("8.0.35-0ubuntu0.22.04.1", Dialect::Mysql, Version(8, 0, 35)),
            ("9.1.0-commercial", Dialect::Mysql, Version(9, 1, 0)),
            ("8.0.36-28", Dialect::Mysql, Version(8, 0, 36)),
            ("10.11.6-MariaDB", Dialect::MariaDb, Version(10, 11, 6)),
            (
                "5.5.5-10.6.12-MariaDB-log",
                Dialect::MariaDb,
                Version(10, 6, 12),
            ),
            (
                "11.4.2-MariaDB-ubu2404",
                Dialect::MariaDb,
                Version(11, 4, 2),
            ),
            ("5.5.5-log", Dialect::Mysql, Version(5, 5, 5)),
        ];
        for (text, dialect, version) in cases {
            for asked in [Dialect::Mysql, Dialect::MariaDb] {
                assert_eq!(target(asked, text), Some((dialect, version)), "{text}");
            }
        }
    }

    #[test]
    fn others_are_what_they_are() {
        assert_eq!(
            target(Dialect::Postgres, "16.2 (Debian 16.2-1)"),
            Some((Dialect::Postgres, Version(16, 2, 0)))
        );
        assert_eq!(
            target(Dialect::Sqlite, "3.54.0"),
            Some((Dialect::Sqlite, Version(3, 54, 0)))
        );
    }

    #[test]
    fn a_text_without_a_number_says_nothing() {
        for text in ["", "devel", "-MariaDB", "."] {
            assert_eq!(target(Dialect::Mysql, text), None, "{text}");
        }
    }
}
