//! What each database and version can do: one flag per capability, with its reason.
//!
//! The compiler asks for a capability, never for a brand. What is missing is
//! refused ([`Features::require`]) or, where an exact equivalent exists, said
//! in another way; never left out.

use crate::{CaseMapping, CompileError, Dialect, Target, Version};

/// Capabilities of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // a table of flags is what this is
pub struct Features {
    /// The database these hold for.
    pub dialect: Dialect,
    /// Its version.
    pub version: Version,

    // Statements
    /// `INSERT … RETURNING`. MySQL has none; MariaDB since 10.5.
    pub insert_returning: bool,
    /// An automatic key is the number of the row, which is known after an insert without asking: SQLite.
    pub row_number_key: bool,
    /// `UPDATE … RETURNING`. Neither MySQL nor MariaDB has it.
    pub update_returning: bool,
    /// `DELETE … RETURNING`. MySQL has none; MariaDB has it for one table.
    pub delete_returning: bool,
    /// `INSERT … ON CONFLICT (key)`. MySQL and MariaDB have `ON DUPLICATE KEY UPDATE`, which takes any key.
    pub on_conflict: bool,
    /// `VALUES (…) AS new` names the proposed row: MySQL since 8.0.19. MariaDB has `VALUES(column)`, which MySQL deprecates.
    pub insert_row_alias: bool,
    /// `INSERT INTO t DEFAULT VALUES`. MySQL writes `() VALUES ()`.
    pub default_values: bool,
    /// `unnest($1, $2)` turns array parameters into rows: PostgreSQL.
    pub unnest: bool,
    /// The answer to an INSERT tells the first number that it made: MySQL, MariaDB.
    pub last_insert_id: bool,
    /// `COPY t FROM STDIN` takes many rows at once: PostgreSQL.
    pub copy: bool,
    /// `INSERT INTO t SELECT FROM generate_series(1, n)`, a query without columns, inserts n rows of defaults: PostgreSQL.
    pub rows_without_columns: bool,
    /// Several rows in one INSERT are the fastest way. On SQLite a stepped statement is.
    pub multi_row_insert: bool,
    /// `SET a = …, b = …` gives each expression the old row, as the standard says. MySQL assigns from left to right, and so does MariaDB but in our own sessions' SQL mode.
    pub simultaneous_assignment: bool,
    /// An UPDATE may join its table to itself, which gives it the old row: MySQL.
    pub update_self_join: bool,
    /// An INSERT that leaves rows that are there alone can give back those that it adds. MariaDB gives back both.
    pub ignore_returning: bool,
    /// `x IN (SELECT …)` in UPDATE and DELETE looks rows up by index: MySQL since 8.0.21, MariaDB since 11.1. Before, only their forms for several tables do; the others visit, and lock, every row.
    pub indexed_in_changes: bool,

    // SELECT
    /// `NULLS FIRST`/`NULLS LAST`. MySQL and MariaDB sort by `x IS NULL` first instead.
    pub nulls_ordering: bool,
    /// `OFFSET` without `LIMIT`. Elsewhere a limit that is never reached is written.
    pub offset_without_limit: bool,
    /// Row locks. SQLite locks the database, so a plain lock needs no clause there.
    pub row_locks: bool,
    /// `NOWAIT` and `SKIP LOCKED`.
    pub lock_wait: bool,
    /// `FOR SHARE` can take `NOWAIT`/`SKIP LOCKED`. MariaDB writes `LOCK IN SHARE MODE`.
    pub for_share: bool,
    /// `FOR NO KEY UPDATE` and `FOR KEY SHARE`: PostgreSQL.
    pub key_locks: bool,

    // Expressions
    /// Who maps the case of letters beyond ASCII.
    pub case_mapping: CaseMapping,
    /// `text[] = varchar[]` is no operator: arrays meet arrays of the very same type. PostgreSQL.
    pub exact_arrays: bool,
    /// A query may stand inside an expression. Not in constraints and indexes.
    pub subqueries: bool,
    /// Rows are made of a JSON list by `JSON_TABLE`, in a query of their own: MySQL and MariaDB.
    pub json_tables: bool,
    /// Powers of decimals are decimals. On MySQL and MariaDB they would be floats.
    pub decimal_powers: bool,
    /// The collations `utf8mb4_uca1400_…`, which know the cases of all letters of Unicode 14: MariaDB since 10.10.1. Before, those of 5.2 are known.
    pub uca1400: bool,
    /// `JSON_NORMALIZE` puts the keys of a document in order: MariaDB since 10.7. Before, documents are equal when their texts are, but for spaces.
    pub json_normalize: bool,
    /// The functions of [`crate::SQLITE_FUNCTIONS`] may be called: in statements on our own connections, never in DDL.
    pub registered_functions: bool,

    // DDL
    /// Index on some rows only (`WHERE`).
    pub partial_index: bool,
    /// Further columns in an index (`INCLUDE`).
    pub index_include: bool,
    /// Operator classes per index column.
    pub index_opclass: bool,
    /// Index on an expression. MariaDB needs a generated column.
    pub expression_index: bool,
    /// An index on texts and bytes without a length holds the whole values. MySQL and MariaDB hold the beginning.
    pub whole_keys: bool,
    /// Texts and bytes without a length can be unique. MySQL cannot; MariaDB keeps hashes of them.
    pub long_uniques: bool,
    /// Names may have characters beyond the Basic Multilingual Plane, and end in spaces. MySQL puts a question mark in the place of such a character.
    pub any_name: bool,
    /// Members of an enum may end in spaces. MySQL and MariaDB cut them off.
    pub padded_enums: bool,
    /// Constraints that are checked at commit: foreign keys. PostgreSQL and SQLite.
    pub deferrable_foreign_key: bool,
    /// Constraints that are checked at commit: uniques. PostgreSQL.
    pub deferrable_unique: bool,
    /// `UNIQUE NULLS NOT DISTINCT`: PostgreSQL since 15.
    pub nulls_not_distinct: bool,
    /// `ON DELETE SET DEFAULT` works. InnoDB refuses it.
    pub set_default: bool,
    /// Generated columns that are computed when read. PostgreSQL since 18.
    pub virtual_generated: bool,
    /// A generated column may be declared NOT NULL. MariaDB's grammar has no place for it.
    pub generated_not_null: bool,
    /// Constraints can be added after the table. SQLite cannot, and needs it not: it looks at a foreign key's table only when rows change.
    pub add_constraint: bool,
    /// One DROP TABLE removes tables that refer to each other in a circle. MariaDB looks at them one by one, but passes over keys and tables that do not exist.
    pub drop_circle: bool,
    /// Auto-numbered columns inside a composite key. SQLite numbers only a key of one column.
    pub auto_in_composite_key: bool,
}

impl Features {
    /// The capabilities of a server.
    #[must_use]
    pub fn of(target: impl Into<Target>) -> Self {
        let Target {
            dialect,
            version,
            case_mapping,
            ..
        } = target.into();
        let postgres = dialect == Dialect::Postgres;
        let mysql = dialect == Dialect::Mysql;
        let mariadb = dialect == Dialect::MariaDb;
        let sqlite = dialect == Dialect::Sqlite;
        Self {
            dialect,
            version,

            insert_returning: !mysql,
            row_number_key: sqlite,
            update_returning: postgres || sqlite,
            delete_returning: !mysql,
            on_conflict: postgres || sqlite,
            insert_row_alias: mysql && version >= Version(8, 0, 19),
            default_values: postgres || sqlite,
            unnest: postgres,
            last_insert_id: mysql || mariadb,
            copy: postgres,
            rows_without_columns: postgres,
            multi_row_insert: mysql || mariadb,
            simultaneous_assignment: !mysql,
            update_self_join: mysql,
            ignore_returning: !mariadb,
            indexed_in_changes: postgres
                || sqlite
                || (mysql && version >= Version(8, 0, 21))
                || (mariadb && version >= Version(11, 1, 0)),

            nulls_ordering: postgres || sqlite,
            offset_without_limit: postgres,
            row_locks: !sqlite,
            lock_wait: postgres || mysql || (mariadb && version >= Version(10, 6, 0)),
            for_share: postgres || mysql,
            key_locks: postgres,

            case_mapping,
            exact_arrays: postgres,
            subqueries: true,
            json_tables: mysql || mariadb,
            decimal_powers: postgres,
            uca1400: mariadb && version >= Version(10, 10, 1),
            json_normalize: mariadb && version >= Version(10, 7, 0),
            registered_functions: sqlite,

            partial_index: postgres || sqlite,
            index_include: postgres,
            index_opclass: postgres,
            expression_index: !mariadb,
            whole_keys: postgres || sqlite,
            long_uniques: !mysql,
            any_name: postgres || sqlite,
            padded_enums: postgres || sqlite,
            deferrable_foreign_key: postgres || sqlite,
            deferrable_unique: postgres,
            nulls_not_distinct: postgres && version >= Version(15, 0, 0),
            set_default: postgres || sqlite,
            virtual_generated: !postgres || version >= Version(18, 0, 0),
            generated_not_null: !mariadb,
            add_constraint: !sqlite,
            drop_circle: postgres || mysql,
            auto_in_composite_key: !sqlite,
        }
    }

    /// The same server, for text that is stored in the schema.
    pub(crate) fn for_ddl(mut self) -> Self {
        self.registered_functions = false;
        self.subqueries = false;
        self
    }

    /// Refuses a construct that the server lacks.
    ///
    /// # Errors
    /// [`CompileError::NotSupported`] naming construct, database and version.
    pub(crate) fn require(&self, flag: bool, construct: &str) -> Result<(), CompileError> {
        if flag {
            return Ok(());
        }
        Err(self.refuse(construct))
    }

    /// The refusal itself.
    pub(crate) fn refuse(&self, construct: impl Into<String>) -> CompileError {
        CompileError::not_supported(construct, self.dialect, self.version)
    }
}
