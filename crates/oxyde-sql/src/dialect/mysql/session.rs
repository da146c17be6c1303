//! What is asked of a server once, and what every session is told first.

use crate::Dialect;

/// The version, and words for what the server is and how it is set.
///
/// The comment is code to MariaDB alone, also where a server or a proxy gives
/// itself another name.
pub(in crate::dialect) const FACTS: &str = "\
SELECT SUBSTRING_INDEX(VERSION(), '-', 1), CONCAT_WS(' ', \
IF(LOWER(VERSION()) LIKE '%mariadb%' /*M! OR TRUE */, 'mariadb', 'mysql'), \
CONCAT('max_allowed_packet=', @@max_allowed_packet), \
CONCAT('auto_increment_increment=', @@auto_increment_increment), \
CONCAT('lower_case_table_names=', @@lower_case_table_names), \
CONCAT('wait_timeout=', @@wait_timeout), \
IF(@@innodb_rollback_on_timeout, 'innodb_rollback_on_timeout', NULL))";

/// The settings that the compiled statements count on, whatever the server's
/// own are.
///
/// * Names and texts are utf8mb4 and compared byte by byte; times are UTC.
/// * A value that does not fit is an error (`STRICT_ALL_TABLES` and its helpers),
///   0 is a key like any other, the difference of unsigned numbers may be negative.
/// * MariaDB: each assignment of an UPDATE sees the old row, as elsewhere, and
///   fractions of seconds are rounded, not cut off.
/// * Nothing a server may be set to makes answers shorter (`sql_select_limit`,
///   `group_concat_max_len`), lets broken rows in, opens transactions unasked or
///   puts messages, which name constraints and columns, into another language.
/// * A quotient of decimals has 20 more digits after the point than its dividend.
macro_rules! session {
    ($collation:literal, $modes:literal, $more:literal) => {
        concat!(
            "SET NAMES utf8mb4 COLLATE ",
            $collation,
            ", time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,\
             NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,NO_UNSIGNED_SUBTRACTION,ONLY_FULL_GROUP_BY",
            $modes,
            "', autocommit = 1, completion_type = 0, foreign_key_checks = 1, unique_checks = 1, sql_auto_is_null = 0, \
             sql_safe_updates = 0, sql_select_limit = 18446744073709551615, group_concat_max_len = 1073741824, \
             div_precision_increment = 20, lc_messages = 'en_US'",
            $more,
        )
    };
}

/// See [`crate::Target::session_sql`].
pub(in crate::dialect) fn settings(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Mysql => Some(session!("utf8mb4_0900_bin", "", "")),
        Dialect::MariaDb => Some(session!(
            "utf8mb4_nopad_bin",
            ",SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL",
            ", check_constraint_checks = 1, default_regex_flags = ''"
        )),
        Dialect::Postgres | Dialect::Sqlite => None,
    }
}
