//! A connection as good as new, after raw SQL may have changed what the next borrower would find.

use rusqlite::Connection;

use crate::engine::Outcome;
use crate::error::ExecError;
use crate::sqlite::open::{Conn, Source};
use crate::sqlite::rows::driver_error;

/// What a statement can change for its connection, as it is by default.
const DEFAULTS: &str = "
    PRAGMA analysis_limit = 0;
    PRAGMA automatic_index = ON;
    PRAGMA case_sensitive_like = OFF;
    PRAGMA cell_size_check = OFF;
    PRAGMA count_changes = OFF;
    PRAGMA full_column_names = OFF;
    PRAGMA ignore_check_constraints = OFF;
    PRAGMA legacy_alter_table = OFF;
    PRAGMA query_only = OFF;
    PRAGMA read_uncommitted = OFF;
    PRAGMA recursive_triggers = OFF;
    PRAGMA reverse_unordered_selects = OFF;
    PRAGMA short_column_names = ON;
    PRAGMA threads = 0;
    PRAGMA writable_schema = RESET;
";

/// A file's connection is simply replaced: that is quick, and nothing of the old session can survive. A memory
/// database lives in its connection, which is put back bit by bit.
pub(super) fn reset(source: &Source, conn: &mut Conn) -> Result<Outcome, ExecError> {
    if source.is_memory() {
        // What a program left open in a transaction that it has ended by hand.
        conn.db.end_transaction();
        forget_temporary(&conn.db)
            .and_then(|()| conn.db.execute_batch(DEFAULTS))
            .and_then(|()| source.settings(&conn.db))
            .map_err(|error| driver_error(&error))?;
        conn.tainted = false;
    } else {
        *conn = source.open(conn.lane)?;
    }
    Ok(Outcome::default())
}

/// What belongs to the connection and not to the data in it.
fn forget_temporary(db: &Connection) -> rusqlite::Result<()> {
    let texts = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = db.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let quoted = |name: String| format!("\"{}\"", name.replace('"', "\"\""));
    // Indexes go with their tables; a trigger may be one of a table that stays.
    for kind in ["trigger", "view", "table"] {
        let names = format!(
            "SELECT name FROM temp.sqlite_master WHERE type = '{kind}' AND name NOT LIKE 'sqlite%'"
        );
        for name in texts(&names)? {
            db.execute_batch(&format!("DROP {kind} temp.{}", quoted(name)))?;
        }
    }
    // The first two are the memory and the temporary tables.
    for name in texts("SELECT name FROM pragma_database_list WHERE seq > 1")? {
        db.execute_batch(&format!("DETACH {}", quoted(name)))?;
    }
    Ok(())
}
