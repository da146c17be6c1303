//! One error type and one classification table for every database.
//!
//! Every failure becomes an [`ExecError`] with an [`ErrorKind`]; the Python exception class follows from the kind
//! alone. Whether a retry makes sense and whether the work may have been applied follow from the database's code
//! through [`table`](crate::error_table), never from the text of a message.
//!
//! ```text
//! integrity     Unique ForeignKey NotNull Check Exclusion Integrity (any other constraint)
//! caller        Data Programming NotSupported
//! ours          Internal
//! operational   Operational ConnectionLost Connect PoolTimeout QueryTimeout LockTimeout Deadlock Serialization
//! transaction   Transaction TransactionBroken TransactionClosed TransactionRolledBack TransactionTimeout CommitUnknown
//! control       Cancelled (asked for by the caller) Closed (the database object was closed)
//! ```

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::error_table::{self, Rule};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    Unique,
    ForeignKey,
    NotNull,
    Check,
    Exclusion,
    Integrity,
    Data,
    Programming,
    NotSupported,
    Internal,
    Operational,
    ConnectionLost,
    Connect,
    PoolTimeout,
    QueryTimeout,
    LockTimeout,
    Deadlock,
    Serialization,
    Transaction,
    TransactionBroken,
    TransactionClosed,
    TransactionRolledBack,
    TransactionTimeout,
    CommitUnknown,
    Cancelled,
    Closed,
}

impl ErrorKind {
    /// The exception's class in Python. `Cancelled` has none of its own: its caller has gone away and never sees it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Unique => "UniqueViolationError",
            Self::ForeignKey => "ForeignKeyViolationError",
            Self::NotNull => "NotNullViolationError",
            Self::Check => "CheckViolationError",
            Self::Exclusion => "ExclusionViolationError",
            Self::Integrity => "IntegrityError",
            Self::Data => "DataError",
            Self::Programming => "ProgrammingError",
            Self::NotSupported => "NotSupportedError",
            Self::Internal => "InternalError",
            Self::Operational | Self::Cancelled | Self::Closed => "OperationalError",
            Self::ConnectionLost => "ConnectionLostError",
            Self::Connect => "ConnectError",
            Self::PoolTimeout => "PoolTimeoutError",
            Self::QueryTimeout => "QueryTimeoutError",
            Self::LockTimeout => "LockTimeoutError",
            Self::Deadlock => "DeadlockError",
            Self::Serialization => "SerializationError",
            Self::Transaction => "TransactionError",
            Self::TransactionBroken => "TransactionBrokenError",
            Self::TransactionClosed => "TransactionClosedError",
            Self::TransactionRolledBack => "TransactionRolledBackError",
            Self::TransactionTimeout => "TransactionTimeoutError",
            Self::CommitUnknown => "CommitUnknownError",
        }
    }

    pub fn is_integrity(self) -> bool {
        matches!(
            self,
            Self::Unique
                | Self::ForeignKey
                | Self::NotNull
                | Self::Check
                | Self::Exclusion
                | Self::Integrity
        )
    }
}

/// Whether the failed work may be in the database all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    NotApplied,
    Unknown,
}

impl Effect {
    /// The value of `DatabaseError.outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotApplied => "not_applied",
            Self::Unknown => "unknown",
        }
    }
}

/// The database's own number for the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    Number(i64),
    Text(String),
}

/// What is known about a failure. Boxed inside [`ExecError`], whose fields these are by `Deref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorInfo {
    pub kind: ErrorKind,
    pub message: String,
    pub sqlstate: Option<String>,
    pub code: Option<Code>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub retryable: bool,
    pub outcome: Effect,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ExecError(Box<ErrorInfo>);

impl ExecError {
    /// An error of our own; whether it is retryable follows from the kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorInfo {
            kind,
            message: message.into(),
            sqlstate: None,
            code: None,
            table: None,
            column: None,
            constraint: None,
            detail: None,
            hint: None,
            retryable: error_table::kind_is_retryable(kind),
            outcome: match kind {
                ErrorKind::CommitUnknown => Effect::Unknown,
                _ => Effect::NotApplied,
            },
        }))
    }

    /// From a PostgreSQL error response.
    pub fn from_sqlstate(sqlstate: &str, message: impl Into<String>) -> Self {
        let mut error = Self::ruled(error_table::sqlstate(sqlstate), message);
        error.sqlstate = Some(sqlstate.to_owned());
        error.code = Some(Code::Text(sqlstate.to_owned()));
        error
    }

    /// What a PostgreSQL server says beside the message, without the values that it quotes: an exception's text ends up
    /// in logs. The columns of a broken constraint, which the server names only there, become `column`.
    pub fn take_detail(&mut self, detail: Option<String>) {
        let class = self.sqlstate.as_deref().and_then(|state| state.get(..2));
        match class {
            // `invalid input syntax for type integer: "abc"`
            Some("22") => {
                if let Some((said, _)) = self.message.split_once(": \"") {
                    self.message = said.to_owned();
                }
            }
            // `Key (a, b)=(1, x) already exists.` in any language; `Failing row contains (…).`
            Some("23") => {
                let named = detail
                    .as_deref()
                    .and_then(|text| text.split_once(")=("))
                    .map(|(key, _)| key);
                if let Some((_, columns)) = named.and_then(|key| key.split_once('(')) {
                    if self.column.is_none() {
                        self.column = Some(columns.to_owned());
                    }
                    self.detail = named.map(|key| format!("{key})"));
                }
            }
            _ => self.detail = detail,
        }
    }

    /// From a MySQL or MariaDB error packet.
    pub fn from_mysql(errno: u16, sqlstate: Option<&str>, message: impl Into<String>) -> Self {
        let mut error = Self::ruled(error_table::mysql(errno), message);
        error.sqlstate = sqlstate.map(str::to_owned);
        error.code = Some(Code::Number(i64::from(errno)));
        error
    }

    /// From an extended SQLite result code; the message is read for table, column and constraint.
    pub fn from_sqlite(code: i32, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut rule = error_table::sqlite(code);
        // Our registered functions can only report SQLITE_ERROR: their messages start with their names.
        if code == 1 && message.starts_with("oxyde_") {
            rule.kind = ErrorKind::Data;
        }
        // What ON DELETE RESTRICT refuses comes with the code of a trigger.
        if code == 1811 && message.starts_with("FOREIGN KEY constraint failed") {
            rule.kind = ErrorKind::ForeignKey;
        }
        let mut error = Self::ruled(rule, message);
        error.code = Some(Code::Number(i64::from(code)));
        let parts = error_table::sqlite_names(&error.message);
        error.table = parts.table;
        error.column = parts.column;
        error.constraint = parts.constraint;
        if error.kind == ErrorKind::LockTimeout {
            error.hint = Some("another connection or process holds the database's lock: retry, or raise sqlite_busy_timeout".into());
        }
        error
    }

    fn ruled(rule: Rule, message: impl Into<String>) -> Self {
        let mut error = Self::new(rule.kind, message);
        error.retryable = rule.retryable;
        error.outcome = rule.outcome;
        error
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The server changed a prepared statement's result or forgot it: drop statement and plan, try once more.
    pub fn is_stale_plan(&self) -> bool {
        match (&self.sqlstate, &self.code) {
            (Some(state), _) if state == "26000" => true,
            (Some(state), _) if state == "0A000" => self.message.contains("cached plan"),
            (_, Some(Code::Number(1243 | 1615))) => true,
            (None, Some(Code::Number(17))) => true,
            _ => false,
        }
    }
}

impl Deref for ExecError {
    type Target = ErrorInfo;

    fn deref(&self) -> &ErrorInfo {
        &self.0
    }
}

impl DerefMut for ExecError {
    fn deref_mut(&mut self) -> &mut ErrorInfo {
        &mut self.0
    }
}

impl fmt::Debug for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExecError {}
