//! What a transaction's connection may be asked, and what each answer does to the transaction.
//!
//! The database is believed, not a depth counter: every completion carries the status it reported.
//!
//! ```text
//! Idle ──begin──▶ Open ──commit / rollback──▶ Closed
//!                  │ ▲
//!   error, PG ─────┤ └── rollback_to ── Failed       accepts only rollback and rollback_to
//!   it ended ──────┼──▶ Broken   rolled back by an error (SQLite interrupt or full disk, MySQL deadlock), or by raw
//!                  │             COMMIT / ROLLBACK: every further statement is refused, so that nothing runs
//!                  │             unprotected in the belief that it is in a transaction
//!   connection ────┴──▶ Lost
//! ```
//! SQLite and MySQL undo only the failing statement: the transaction stays Open.

use crate::engine::{Outcome, Tag, TxStatus, Work};
use crate::error::{Effect, ErrorKind, ExecError};

#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Idle,
    Open,
    Failed,
    /// The database ended the transaction by itself: `by_error` because of an error, else because of raw SQL.
    Broken {
        by_error: bool,
    },
    Lost,
    Closed,
}

/// A `Work` without its data, kept while the data is with the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    Statement,
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
}

impl Verb {
    pub fn of(work: &Work) -> Self {
        match work {
            Work::Begin(_) => Self::Begin,
            Work::Commit => Self::Commit,
            Work::Rollback => Self::Rollback,
            Work::Savepoint(name) => Self::Savepoint(name.clone()),
            Work::Release(name) => Self::Release(name.clone()),
            Work::RollbackTo(name) => Self::RollbackTo(name.clone()),
            Work::Statement { .. }
            | Work::Bulk { .. }
            | Work::Script(_)
            | Work::Query(_)
            | Work::CopyIn { .. }
            | Work::OpenCursor { .. }
            | Work::Fetch { .. }
            | Work::CloseCursor(_)
            | Work::CopyOut { .. }
            | Work::Version
            | Work::Ping
            | Work::Reset => Self::Statement,
        }
    }
}

#[derive(Debug)]
pub struct Transaction {
    phase: Phase,
    savepoints: Vec<String>,
    /// Class and message of the error that broke it.
    cause: Option<String>,
    /// Whether that error may not come again when everything is run again.
    retryable: bool,
    /// Raw SQL ended it and opened another one.
    chained: bool,
    /// What ended it may have committed what was done before.
    in_doubt: bool,
}

impl Default for Transaction {
    fn default() -> Self {
        Self {
            phase: Phase::Idle,
            savepoints: Vec::new(),
            cause: None,
            retryable: false,
            chained: false,
            in_doubt: false,
        }
    }
}

impl Transaction {
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether the database has a transaction open that has to be rolled back before the connection is used again.
    pub fn is_open(&self) -> bool {
        self.chained || matches!(self.phase, Phase::Open | Phase::Failed)
    }

    pub fn savepoints(&self) -> &[String] {
        &self.savepoints
    }

    /// Whether `verb` may be sent now. `Commit` of a transaction that cannot commit is refused with the error that
    /// `commit()` must raise; the caller then rolls back.
    pub fn admit(&self, verb: &Verb) -> Result<(), ExecError> {
        match &self.phase {
            Phase::Idle => match verb {
                Verb::Begin => Ok(()),
                _ => Err(ExecError::new(
                    ErrorKind::TransactionClosed,
                    "the transaction has not begun",
                )),
            },
            Phase::Open => match verb {
                Verb::Begin => Err(ExecError::new(
                    ErrorKind::Transaction,
                    "the transaction has begun already",
                )),
                Verb::Release(name) | Verb::RollbackTo(name) => self.known(name),
                Verb::Savepoint(name) => checked_name(name),
                _ => Ok(()),
            },
            Phase::Failed => match verb {
                Verb::Rollback => Ok(()),
                Verb::RollbackTo(name) => self.known(name),
                Verb::Commit => Err(self.rolled_back()),
                _ => Err(self.broken("an error made the transaction unusable")),
            },
            Phase::Broken { by_error } => match verb {
                Verb::Rollback => Ok(()),
                Verb::Commit if *by_error && !self.in_doubt => Err(self.rolled_back()),
                _ if *by_error && !self.in_doubt => {
                    Err(self.broken("the database rolled the whole transaction back"))
                }
                _ => Err(self.ended()),
            },
            Phase::Lost => match verb {
                Verb::Rollback => Ok(()),
                Verb::Commit => Err(self.rolled_back()),
                _ => Err(self.broken("the transaction's connection was lost")),
            },
            Phase::Closed => Err(ExecError::new(
                ErrorKind::TransactionClosed,
                "the transaction is over: its block was left or its time was up",
            )),
        }
    }

    /// Takes in what the database answered to `verb`.
    pub fn observe(
        &mut self,
        verb: &Verb,
        result: Result<&Outcome, &ExecError>,
        tx: TxStatus,
        alive: bool,
    ) {
        if let Err(error) = result {
            self.cause = Some(format!("{}: {}", error.kind.class(), error.message));
            self.in_doubt |= alive && error.outcome == Effect::Unknown;
            self.retryable = error.retryable;
        }
        if !alive {
            self.phase = if matches!(verb, Verb::Commit | Verb::Rollback) {
                Phase::Closed
            } else {
                Phase::Lost
            };
            return;
        }
        if result.is_ok() {
            self.track_savepoints(verb);
        }
        // COMMIT AND CHAIN in raw SQL: the transaction that is open now is not the one that was begun.
        let chains = match result {
            Ok(outcome) => outcome.tag != Tag::Other,
            Err(error) => error.kind == ErrorKind::TransactionBroken,
        };
        if chains && *verb == Verb::Statement && tx == TxStatus::InTransaction {
            self.savepoints.clear();
            self.chained = true;
            self.phase = Phase::Broken { by_error: false };
            return;
        }
        self.phase = match (verb, tx) {
            (Verb::Begin, TxStatus::InTransaction) => Phase::Open,
            (Verb::Begin | Verb::Commit | Verb::Rollback, TxStatus::Idle) => Phase::Closed,
            (_, TxStatus::InTransaction) if self.chained => Phase::Broken { by_error: false },
            (_, TxStatus::InTransaction) => Phase::Open,
            (_, TxStatus::Failed) => Phase::Failed,
            (_, TxStatus::Idle) => {
                self.savepoints.clear();
                Phase::Broken {
                    by_error: result.is_err()
                        || matches!(self.phase, Phase::Broken { by_error: true }),
                }
            }
            (_, TxStatus::Unknown) => Phase::Lost,
        };
    }

    /// The transaction is over without another word from the database.
    pub fn close(&mut self) {
        self.phase = Phase::Closed;
        self.savepoints.clear();
    }

    /// The error for a statement that has just ended the transaction without failing itself.
    pub fn ended_unasked(&self, verb: &Verb) -> Option<ExecError> {
        let ended = *verb == Verb::Statement && self.phase == Phase::Broken { by_error: false };
        ended.then(|| self.ended())
    }

    fn ended(&self) -> ExecError {
        let what = "a statement inside the block ended its transaction (COMMIT, ROLLBACK, or one that commits by \
                    itself): what was done before it may be committed, and nothing else will be";
        let mut error = match &self.cause {
            Some(cause) if self.phase == (Phase::Broken { by_error: true }) => ExecError::new(
                ErrorKind::TransactionBroken,
                format!("{what}, after {cause}"),
            ),
            _ => ExecError::new(ErrorKind::TransactionBroken, what),
        };
        error.outcome = Effect::Unknown;
        error.with_hint("let atomic() end the transaction; use savepoints inside it")
    }

    fn track_savepoints(&mut self, verb: &Verb) {
        match verb {
            Verb::Savepoint(name) => self.savepoints.push(name.clone()),
            Verb::Release(name) => {
                if let Some(at) = self.position(name) {
                    self.savepoints.truncate(at);
                }
            }
            Verb::RollbackTo(name) => {
                if let Some(at) = self.position(name) {
                    self.savepoints.truncate(at.saturating_add(1));
                }
            }
            Verb::Commit | Verb::Rollback => self.savepoints.clear(),
            Verb::Statement | Verb::Begin => {}
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|other| other == name)
    }

    fn known(&self, name: &str) -> Result<(), ExecError> {
        match self.position(name) {
            Some(_) => Ok(()),
            None => Err(ExecError::new(
                ErrorKind::Transaction,
                format!("savepoint {name:?} is not open"),
            )),
        }
    }

    fn broken(&self, what: &str) -> ExecError {
        self.explain(ErrorKind::TransactionBroken, what)
    }

    fn rolled_back(&self) -> ExecError {
        self.explain(
            ErrorKind::TransactionRolledBack,
            "the transaction was rolled back, nothing was committed",
        )
    }

    fn explain(&self, kind: ErrorKind, what: &str) -> ExecError {
        let message = match &self.cause {
            Some(cause) => format!("{what}, after {cause}"),
            None => what.to_owned(),
        };
        let mut error =
            ExecError::new(kind, message).with_hint("leave the atomic() block and run it again");
        error.retryable = self.retryable;
        error
    }
}

/// What `commit()` raises although the database said OK: COMMIT of a failed transaction answers ROLLBACK.
pub fn commit_verdict(
    result: Result<Outcome, ExecError>,
    alive: bool,
) -> Result<Outcome, ExecError> {
    match result {
        Ok(outcome) if outcome.tag == Tag::Rollback => Err(ExecError::new(
            ErrorKind::TransactionRolledBack,
            "the transaction was rolled back, nothing was committed",
        )),
        // It was never sent.
        Err(error) if error.kind == ErrorKind::TransactionRolledBack => Err(error),
        Err(error) if !alive => {
            let mut unknown = ExecError::new(
                ErrorKind::CommitUnknown,
                format!(
                    "the connection was lost before COMMIT was acknowledged: {}",
                    error.message
                ),
            )
            .with_hint(
                "the transaction may or may not have been committed: look before running it again",
            );
            unknown.code = error.code.clone();
            unknown.sqlstate = error.sqlstate.clone();
            Err(unknown)
        }
        other => other,
    }
}

/// Savepoint names become part of the SQL: identifiers only.
pub fn checked_name(name: &str) -> Result<(), ExecError> {
    let mut bytes = name.bytes();
    let head = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if head && name.len() <= 63 && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(())
    } else {
        Err(ExecError::new(
            ErrorKind::Programming,
            format!(
                "{name:?} is not a savepoint name: use letters, digits and underscores, 63 at most"
            ),
        ))
    }
}
