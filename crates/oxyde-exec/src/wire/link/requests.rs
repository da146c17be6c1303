//! Jobs → requests of the session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{Completion, CursorId, Done, Job, Outcome, Tag, TxStatus, Work};
use crate::error::{ErrorKind, ExecError};
use crate::query::{Encode, Encoded, Formats, Params, Query};
use crate::waiter::cancelled;
use crate::wire::link::active::{Active, Guard, Rest, Sent, Urgency};
use crate::wire::link::{Inner, Link, Stage};
use crate::wire::server::{Plan, Rules};
use crate::wire::session::{Session, Shape};

/// A connection that was idle for this long is looked at before it is used: one system call, which statements that
/// follow each other do not pay.
const LOOK_AFTER: Duration = Duration::from_millis(1);
/// How many reads may share a connection, and how long the first one may take for others to be put behind it.
const DEPTH: usize = 16;
const SHORT: Duration = Duration::from_millis(5);
/// The savepoint around raw SQL, and how often its release is tried again.
const GUARD: &str = "oxyde_guard";
const RELEASES: u8 = 3;
/// How many dead connections in a row a job is given to.
const TRIES: u8 = 20;

impl Link {
    pub(super) fn begin(self: &Arc<Self>, job: Job, done: Done) {
        if self.is_dead_before_use() {
            self.die(ExecError::new(
                ErrorKind::ConnectionLost,
                "the server closed the connection while it was idle",
            ));
        }
        if !matches!(self.lock().stage, Stage::Ready) {
            return unsent(job, done);
        }
        let Some((job, done)) = self.probe(job, done) else {
            return;
        };
        // Only reads go behind reads that share the connection, and nothing goes where a request to cancel is under way.
        let (job, done) = {
            let mut inner = self.lock();
            if inner.cancelling.is_some() || !(inner.jobs.is_empty() || inner.can_follow(&job)) {
                inner.deferred.push_back((Box::new(job), done));
                return;
            }
            (job, done)
        };
        // A cancelled job is not sent at all; what ends a transaction always is.
        if !job.work.is_final()
            && let Some(reason) = job.cancel.reason()
        {
            let error = cancelled(reason);
            let tx = self.transaction();
            let mut completion = Completion::ok(Outcome::default(), tx);
            completion.result = Err(error);
            return done(completion);
        }
        match job.work {
            Work::Version => {
                let mut completion = Completion::ok(self.shared.version(), self.transaction());
                if let Some(error) = self.shared.refusal() {
                    completion.result = Err(error);
                }
                done(completion);
            }
            Work::Query(ref query) if query.statement.param_types.len() > usize::from(u16::MAX) => {
                refuse(
                    done,
                    self.transaction(),
                    "a statement has more than 65,535 parameters",
                );
            }
            Work::Query(_)
            | Work::Script(_)
            | Work::CopyIn { .. }
            | Work::OpenCursor { .. }
            | Work::Fetch { .. }
            | Work::CloseCursor(_)
            | Work::CopyOut { .. }
            | Work::Begin(_)
            | Work::Commit
            | Work::Rollback
            | Work::Savepoint(_)
            | Work::Release(_)
            | Work::RollbackTo(_)
            | Work::Ping
            | Work::Reset => self.send(job, done),
            Work::Statement { .. } | Work::Bulk { .. } => {
                refuse(
                    done,
                    self.transaction(),
                    &format!(
                        "a statement for SQLite was given to {}",
                        self.shared.server.name()
                    ),
                );
            }
        }
    }

    /// Asks an idle connection for a sign of life, if that is wanted; the job follows the answer. Answers the job if it
    /// can be sent at once.
    fn probe(&self, job: Job, done: Done) -> Option<(Job, Done)> {
        let deadline = Instant::now() + self.shared.rules.drain_budget;
        {
            let mut inner = self.lock();
            let wanted = self.shared.rules.test_before_acquire
                && inner.is_quiet()
                && inner.idle_since.take().is_some()
                && !job.work.is_final();
            let asked = match &mut inner.session {
                Some(session) if wanted && session.transaction() == TxStatus::Idle => {
                    session.sync().is_ok()
                }
                _ => false,
            };
            if !asked {
                return Some((job, done));
            }
            inner
                .jobs
                .push_back(Active::round_trip(Sent::Probe, Some(deadline)));
            inner.deferred.push_front((Box::new(job), done));
        }
        self.shared.alarm(self.loop_id, deadline);
        None
    }

    /// How many reads share this connection, if it takes this one, too.
    ///
    /// Only reads that take no locks and belong to no transaction, and only behind the same kind: else a follower could
    /// wait for a lock that its own task holds. And only reads that were short of late: a follower cannot
    /// move to another connection that becomes free before its own.
    pub(in crate::wire) fn followers(&self, job: &Job) -> Option<usize> {
        let inner = self.lock();
        let fit = matches!(inner.stage, Stage::Ready)
            && inner.cancelling.is_none()
            && inner.closed.is_none()
            && inner.deferred.is_empty()
            && inner.jobs.len() < DEPTH
            && inner.session.as_ref().map(|session| session.transaction()) == Some(TxStatus::Idle)
            && inner.jobs.front()?.sent_at.elapsed() < SHORT
            && !matches!(&job.work, Work::Query(query) if query.statement.is_long())
            && inner.jobs.iter().all(|active| {
                active.is_short_read()
                    && active.tx_before == TxStatus::Idle
                    && !active.cancel.is_set()
            })
            && inner.can_follow(job);
        fit.then_some(inner.jobs.len())
    }

    fn transaction(&self) -> TxStatus {
        let inner = self.lock();
        inner
            .session
            .as_ref()
            .map_or(TxStatus::Unknown, |session| session.transaction())
    }

    fn is_dead_before_use(&self) -> bool {
        let channel = {
            let inner = self.lock();
            // Who keeps a connection may be told something at any time.
            let rested = inner.listener.is_none()
                && inner
                    .idle_since
                    .is_some_and(|since| since.elapsed() >= LOOK_AFTER);
            match (&inner.stage, rested && inner.jobs.is_empty()) {
                (Stage::Ready, true) => inner.channel.clone(),
                _ => None,
            }
        };
        channel.is_some_and(|channel| channel.is_dead())
    }

    fn send(self: &Arc<Self>, job: Job, done: Done) {
        let watched = !job.work.is_final();
        let cancel = Arc::clone(&job.cancel);
        let armed = {
            let mut inner = self.lock();
            let armed = inner.submit(&self.shared.rules, job, done);
            inner.idle_since = None;
            armed
        };
        match armed {
            Submitted::Sent { deadline } => {
                if let Some(deadline) = deadline {
                    self.shared.alarm(self.loop_id, deadline);
                }
            }
            Submitted::Encode => self.encode_head(),
            Submitted::Dead(job, done) => return unsent(job, done),
            Submitted::Refused(done, tx, error) => {
                let mut completion = Completion::ok(Outcome::default(), tx);
                completion.result = Err(error);
                return done(completion);
            }
        }
        if watched {
            cancel.watch(self.watcher());
            if cancel.is_set() {
                self.stop_head();
            }
        }
    }

    /// The head knows what the server expects (prepared before, or described just now): its parameters are encoded,
    /// without the lock, by whoever gave them.
    pub(super) fn encode_head(self: &Arc<Self>) {
        let (mut encode, described) = {
            let mut inner = self.lock();
            let Some((encode, described)) = inner.take_encode() else {
                return;
            };
            (encode, described)
        };
        let answer = encode(&described.0, &described.1);
        let (refused, tx) = {
            let mut inner = self.lock();
            let refused = inner.put_encoded(encode, answer);
            (
                refused,
                inner
                    .session
                    .as_ref()
                    .map_or(TxStatus::Unknown, |session| session.transaction()),
            )
        };
        if let Some(active) = refused {
            active.finish(tx, true);
        }
    }
}

/// What a statement with a savepoint around it has begun to wait for.
pub(super) enum Guarded {
    More,
    Encode,
}

pub(super) enum Submitted {
    Sent {
        deadline: Option<Instant>,
    },
    Encode,
    Dead(Job, Done),
    /// Nothing was sent.
    Refused(Done, TxStatus, ExecError),
}

impl Inner {
    fn submit(&mut self, rules: &Rules, job: Job, done: Done) -> Submitted {
        let Some(session) = &mut self.session else {
            return Submitted::Dead(job, done);
        };
        let tx_before = session.transaction();
        let all_sent = session.output().is_empty();
        let Job {
            work,
            cancel,
            mut deadline,
            tries,
        } = job;
        let mut urgency = Urgency::None;
        let mut taints = false;
        let mut was_prepared = false;
        let mut encode = false;
        let mut guard = None;
        let (sent, submitted) = match work {
            Work::Query(query) => {
                taints = query.taints;
                let guarded = tx_before == TxStatus::InTransaction
                    && !query.pure_read
                    && self.server.guards(&query.statement.sql);
                let mut described = None;
                let submitted = if guarded {
                    guard = Some(Guard::Before);
                    session.simple(&format!("SAVEPOINT {GUARD}")).map(drop)
                } else {
                    described = session.is_prepared(&query.statement);
                    was_prepared = described.is_some();
                    let ran = run(&mut **session, &query, was_prepared);
                    ran.map(|wanted| encode = wanted)
                };
                let cursor = None;
                let sent = Sent::Query {
                    query,
                    described,
                    cursor,
                };
                (sent, submitted)
            }
            Work::CopyIn { sql, from } => {
                let submitted = session.copy_in(&sql).map(drop);
                (Sent::Copy { from, open: false }, submitted)
            }
            Work::OpenCursor {
                cursor,
                statement,
                rows,
            } => match (*statement, tx_before) {
                (Work::Query(query), TxStatus::InTransaction) => {
                    taints = query.taints;
                    let submitted = match self.server.guards(&query.statement.sql) {
                        true => Err(not_in_pieces()),
                        false => open_cursor(&mut **session, cursor, &query, rows),
                    };
                    let sent = Sent::Query {
                        query,
                        described: None,
                        cursor: Some((cursor, rows)),
                    };
                    (sent, submitted)
                }
                _ => return Submitted::Refused(done, tx_before, no_cursor()),
            },
            Work::Fetch {
                cursor,
                rows,
                reader,
            } => {
                let submitted = session.fetch(cursor, rows).map(drop);
                (Sent::Fetch(reader), submitted)
            }
            Work::CloseCursor(cursor) => {
                let submitted = session.close_cursor(cursor).map(drop);
                (Sent::Plain(Rest::default()), submitted)
            }
            Work::CopyOut { sql, to } => {
                let submitted = session.copy_out(&sql).map(drop);
                (Sent::CopyOut(to), submitted)
            }
            Work::Begin(begin) => {
                let mut rest = Rest::default();
                let plan = self.server.begin(begin, &self.peer);
                let submitted = plan.and_then(|plan| rest.start(&mut **session, plan));
                (Sent::Begin(begin, rest), submitted)
            }
            Work::Ping => (Sent::Plain(Rest::default()), session.sync().map(drop)),
            other => {
                let plan = match other {
                    Work::Commit => {
                        urgency = Urgency::Commit;
                        deadline = rules.commit_timeout.map(|wait| Instant::now() + wait);
                        Plan::one("COMMIT")
                    }
                    Work::Rollback => {
                        urgency = Urgency::Tidy;
                        deadline = Some(Instant::now() + rules.drain_budget);
                        Plan::one("ROLLBACK")
                    }
                    Work::Reset => {
                        urgency = Urgency::Tidy;
                        deadline = Some(Instant::now() + rules.drain_budget);
                        match self.server.reset(&self.peer) {
                            Ok(plan) => plan,
                            Err(error) => return Submitted::Refused(done, tx_before, error),
                        }
                    }
                    // Names of savepoints are identifiers, which the transaction has checked.
                    Work::Savepoint(name) => Plan::one(format!("SAVEPOINT {name}")),
                    Work::Release(name) => Plan::one(format!("RELEASE SAVEPOINT {name}")),
                    Work::RollbackTo(name) => Plan::one(format!("ROLLBACK TO SAVEPOINT {name}")),
                    Work::Script(statements) => {
                        taints = statements.iter().any(|sql| self.server.taints(sql));
                        self.server.script(statements)
                    }
                    _ => Plan::one(""),
                };
                let mut rest = Rest::default();
                let submitted = rest.start(&mut **session, plan);
                (Sent::Plain(rest), submitted)
            }
        };
        if let Err(error) = submitted {
            return Submitted::Refused(done, tx_before, error);
        }
        self.holding |= all_sent && !self.jobs.is_empty();
        self.jobs.push_back(Active {
            sent,
            cancel,
            deadline,
            urgency,
            done: Some(done),
            error: None,
            stopped: false,
            outdated: false,
            outcome: Outcome::default(),
            guard,
            taints,
            rows_seen: false,
            was_prepared,
            sent_at: Instant::now(),
            tries,
            tx_before,
        });
        if encode {
            Submitted::Encode
        } else {
            Submitted::Sent { deadline }
        }
    }

    /// Sends the head's statement once more, prepared anew. True if its parameters have to be encoded first.
    pub(super) fn resend(&mut self, mut active: Active) -> Result<(), Box<Active>> {
        let Some(session) = &mut self.session else {
            return Err(Box::new(active));
        };
        active.tries = active.tries.saturating_add(1);
        active.error = None;
        active.stopped = false;
        active.outdated = false;
        active.outcome = Outcome::default();
        active.was_prepared = false;
        if let Sent::Query {
            query, described, ..
        } = &mut active.sent
        {
            session.forget(&query.statement);
            *described = None;
            let submitted = match &query.params {
                Params::Ready(encoded) => session.query(&query.statement, encoded),
                Params::AfterDescribe(_) => session.describe(&query.statement),
            };
            if let Err(error) = submitted {
                active.error = Some(error);
                return Err(Box::new(active));
            }
        }
        self.jobs.push_back(active);
        Ok(())
    }

    /// Whether a job can be sent behind the reads that are under way here.
    fn can_follow(&self, job: &Job) -> bool {
        match (&job.work, &self.session) {
            (Work::Query(query), Some(session)) => {
                query.pure_read && session.can_follow(&query.statement)
            }
            _ => false,
        }
    }

    /// The head's savepoint is there or gone, or the statement between is over; true: there is more to come.
    pub(super) fn go_on_guarded(&mut self, active: &mut Active, tx: TxStatus) -> Option<Guarded> {
        let session = self.session.as_mut()?;
        match active.guard.take()? {
            Guard::Before => {
                if active.error.is_none()
                    && let Some(reason) = active.cancel.reason()
                {
                    active.error = Some(cancelled(reason));
                }
                if active.error.is_some() {
                    return None;
                }
                let Sent::Query {
                    query, described, ..
                } = &mut active.sent
                else {
                    return None;
                };
                *described = session.is_prepared(&query.statement);
                active.was_prepared = described.is_some();
                active.guard = Some(Guard::Inside);
                match run(&mut **session, query, active.was_prepared) {
                    Ok(true) => return Some(Guarded::Encode),
                    Ok(false) => return Some(Guarded::More),
                    // The savepoint can stay: the next one replaces it.
                    Err(error) => active.error = Some(error),
                }
                None
            }
            // It has ended the transaction, which is no secret.
            Guard::Inside if tx == TxStatus::Idle => None,
            Guard::Inside => {
                let error = active.error.take();
                let stopped = std::mem::take(&mut active.stopped);
                self.release_guard(active, error, stopped, 0)
            }
            Guard::After {
                error,
                stopped,
                tries,
            } => {
                let said = active.error.take();
                if active.stopped && tries < RELEASES {
                    // A late request to cancel has hit our own statement.
                    return self.release_guard(active, error, stopped, tries.saturating_add(1));
                }
                active.stopped = false;
                match (said, error) {
                    (None, error) => {
                        active.error = error;
                        active.stopped = stopped;
                    }
                    (Some(_), None) => active.outcome.tag = Tag::Commit,
                    (Some(_), Some(error)) => active.error = Some(ended(&error)),
                }
                None
            }
        }
    }

    fn release_guard(
        &mut self,
        active: &mut Active,
        error: Option<ExecError>,
        stopped: bool,
        tries: u8,
    ) -> Option<Guarded> {
        active.stopped = false;
        let session = self.session.as_mut()?;
        match session.simple(&format!("RELEASE SAVEPOINT {GUARD}")) {
            Ok(_) => {
                active.guard = Some(Guard::After {
                    error,
                    stopped,
                    tries,
                });
                Some(Guarded::More)
            }
            Err(refused) => {
                active.error = Some(ended(&error.unwrap_or(refused)));
                None
            }
        }
    }

    /// The encoder of the last job, which waits for nothing else, and what the server expects.
    fn take_encode(&mut self) -> Option<(Encode, Shape)> {
        let active = self.jobs.back_mut()?;
        let Sent::Query {
            query,
            described: Some(described),
            ..
        } = &mut active.sent
        else {
            return None;
        };
        let empty = Params::Ready(Encoded::empty());
        match std::mem::replace(&mut query.params, empty) {
            Params::AfterDescribe(encode) => Some((encode, described.clone())),
            ready => {
                query.params = ready;
                None
            }
        }
    }

    /// The encoder's answer; it goes back to where it was, for a statement that has to be prepared again.
    fn put_encoded(
        &mut self,
        encode: Encode,
        answer: Result<(Encoded, Formats), ExecError>,
    ) -> Option<Active> {
        let session = self.session.as_mut()?;
        let active = self.jobs.back_mut()?;
        let Sent::Query { query, cursor, .. } = &mut active.sent else {
            return None;
        };
        query.params = Params::AfterDescribe(encode);
        let cursor = *cursor;
        let prepared = active.was_prepared;
        let answer = answer.and_then(|(encoded, formats)| {
            if prepared {
                session
                    .query_as(&query.statement, &encoded, &formats)
                    .map(drop)
            } else {
                session.execute_described(&encoded, &formats, cursor)
            }
        });
        match answer {
            Ok(()) => None,
            Err(error) => {
                active.error = Some(error);
                if prepared {
                    // Nothing was sent.
                    return self.jobs.pop_back();
                }
                session.end_described();
                None
            }
        }
    }
}

/// Sends a statement, as far as that is possible; true: its parameters have to be encoded first.
fn run(session: &mut dyn Session, query: &Query, is_prepared: bool) -> Result<bool, ExecError> {
    match &query.params {
        Params::Ready(encoded) => session.query(&query.statement, encoded)?,
        Params::AfterDescribe(_) if is_prepared => return Ok(true),
        Params::AfterDescribe(_) => session.describe(&query.statement)?,
    };
    Ok(false)
}

fn open_cursor(
    session: &mut dyn Session,
    cursor: CursorId,
    query: &Query,
    rows: u32,
) -> Result<(), ExecError> {
    let statement = query.statement.for_one_use();
    match &query.params {
        Params::Ready(encoded) => session.open_cursor(cursor, &statement, encoded, rows),
        Params::AfterDescribe(_) => session.describe(&statement),
    }
    .map(drop)
}

fn no_cursor() -> ExecError {
    ExecError::new(
        ErrorKind::Transaction,
        "rows can only be read in pieces inside a transaction, and this one has ended",
    )
}

/// Nobody would notice if the rows of such a statement came from the next transaction.
fn not_in_pieces() -> ExecError {
    ExecError::new(
        ErrorKind::NotSupported,
        "the rows of a statement that may end its transaction cannot be read in pieces",
    )
    .with_hint("run it with fetch() or execute_raw()")
}

/// The savepoint around a statement was gone after it, and the statement has failed.
fn ended(error: &ExecError) -> ExecError {
    ExecError::new(
        ErrorKind::TransactionBroken,
        format!(
            "the statement ended its transaction, began another one and failed: {}",
            error.message
        ),
    )
    .with_hint("let atomic() end the transaction; use savepoints inside it")
}

fn refuse(done: Done, tx: TxStatus, why: &str) {
    let mut completion = Completion::ok(Outcome::default(), tx);
    completion.result = Err(ExecError::new(ErrorKind::Internal, why));
    done(completion);
}

/// The connection was dead before anything was sent on it.
pub(super) fn unsent(mut job: Job, done: Done) {
    let mut completion = Completion::lost(ExecError::new(
        ErrorKind::ConnectionLost,
        "the connection was lost before the statement was sent",
    ));
    job.tries = job.tries.saturating_add(1);
    let first = matches!(
        job.work,
        Work::Query(_)
            | Work::Script(_)
            | Work::CopyIn { .. }
            | Work::CopyOut { .. }
            | Work::Begin(_)
            | Work::Version
            | Work::Ping
    );
    if matches!(job.work, Work::Commit) {
        completion.result = Err(ExecError::new(
            ErrorKind::TransactionRolledBack,
            "the connection was lost before COMMIT was sent: nothing was committed",
        ));
    }
    if first && job.tries < TRIES {
        completion.unsent = Some(Box::new(job));
    }
    done(completion);
}
