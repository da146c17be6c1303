//! What the server says → what becomes of the job at the head.

use std::sync::Arc;
use std::time::Instant;

use crate::copy::CopySource;
use crate::engine::{CopyReader, Listener, Tag, TxStatus};
use crate::error::ExecError;
use crate::query::{Column, Malformed, RowReader};
use crate::waiter::cancelled;
use crate::wire::events::{Chunk, Event, RowChunk};
use crate::wire::link::active::{Active, Sent, Urgency};
use crate::wire::link::cancelling::Settled;
use crate::wire::link::requests::Guarded;
use crate::wire::link::startup::Next;
use crate::wire::link::{Inner, Link, Stage};

/// One thing to do without the lock.
enum Step<'a> {
    /// The bytes are used up.
    Wait,
    Again,
    Columns(Box<dyn RowReader>, Arc<[Column]>),
    Rows(Box<dyn RowReader>, RowChunk<'a>),
    Encode,
    /// The server takes the data of a COPY.
    Supply(Arc<dyn CopySource>),
    Copying(Arc<dyn CopyReader>),
    Data(Arc<dyn CopyReader>, Chunk<'a>),
    Notified(Arc<dyn Listener>, i32, String, String),
    Finish(Box<Active>, TxStatus),
    Settled(Settled),
    /// The sign of life has come.
    Alive,
    /// A statement that is worth another try goes to another connection.
    Elsewhere(Box<Active>),
    Startup(Next),
    Broken(ExecError),
}

impl Link {
    /// Bytes arrived. Carries out what they complete; never panics, whatever they are.
    pub fn receive(self: &Arc<Self>, bytes: &[u8]) {
        self.guarded(|| self.take_in(bytes));
    }

    fn take_in(self: &Arc<Self>, bytes: &[u8]) {
        let mut data = bytes;
        self.lock().receiving = true;
        loop {
            let step = self.lock().step(&mut data);
            match step {
                Step::Wait => break,
                Step::Again => {}
                Step::Columns(mut reader, columns) => {
                    reader.columns(&columns);
                    self.lock().give_back_reader(reader);
                }
                Step::Rows(mut reader, chunk) => {
                    let read = reader.rows(chunk.raw());
                    self.lock().give_back_reader(reader);
                    if let Err(Malformed(what)) = read {
                        self.die(ExecError::new(
                            crate::error::ErrorKind::ConnectionLost,
                            format!("the server sent a row that is none: {what}"),
                        ));
                        break;
                    }
                }
                Step::Encode => self.encode_head(),
                Step::Supply(from) => self.begin_supply(&from),
                Step::Copying(to) => {
                    let link = Arc::downgrade(self);
                    to.begin(Box::new(move || {
                        if let Some(link) = link.upgrade() {
                            link.go_on_reading();
                        }
                    }));
                }
                Step::Data(to, chunk) => {
                    if !to.data(&chunk) {
                        self.pause();
                    }
                }
                Step::Notified(listener, pid, channel, payload) => {
                    listener.notified(pid, channel, payload);
                }
                Step::Finish(active, tx) => {
                    self.go_on_reading();
                    self.rest();
                    active.finish(tx, true);
                    // The next statement was waiting behind it; its caller may have given up meanwhile.
                    self.stop_head();
                    self.go_on_when_quiet();
                }
                Step::Settled(settled) => self.settled(settled),
                Step::Alive => self.go_on_when_quiet(),
                Step::Elsewhere(active) => self.elsewhere(*active),
                Step::Startup(next) => self.go_on(next),
                Step::Broken(error) => {
                    self.die(error);
                    break;
                }
            }
        }
        {
            let mut inner = self.lock();
            inner.receiving = false;
            inner.holding = false;
        }
        self.supply();
        self.pump();
    }

    /// What waited for the end of the reads that share this connection: a statement that must not be among them, or
    /// the end of the connection.
    pub(super) fn go_on_when_quiet(self: &Arc<Self>) {
        loop {
            let (deferred, closed) = {
                let mut inner = self.lock();
                if !inner.is_quiet() || !matches!(inner.stage, Stage::Ready) {
                    return;
                }
                match inner.deferred.pop_front() {
                    Some(deferred) => (Some(deferred), None),
                    None => (None, inner.closed.take()),
                }
            };
            match (deferred, closed) {
                (Some((job, done)), _) => self.begin(*job, done),
                (None, Some(done)) => return self.say_goodbye(done),
                (None, None) => return,
            }
        }
    }

    /// A bystander that was hit by somebody else's request to cancel: it runs again where nobody is cancelled.
    fn elsewhere(self: &Arc<Self>, active: Active) {
        self.rest();
        active.finish_elsewhere();
        self.go_on_when_quiet();
    }
}

impl Inner {
    fn step<'a>(&mut self, data: &mut &'a [u8]) -> Step<'a> {
        if matches!(self.stage, Stage::Dead | Stage::Opening) {
            return Step::Wait;
        }
        let Some(session) = &mut self.session else {
            return Step::Wait;
        };
        let event = match session.next(data) {
            Ok(Some(event)) => event,
            Ok(None) => return Step::Wait,
            Err(fatal) => return Step::Broken(fatal.0),
        };
        if !matches!(self.stage, Stage::Ready | Stage::Closing) {
            return match self.starting(event) {
                Some(next) => Step::Startup(next),
                None => Step::Again,
            };
        }
        match event {
            Event::Described(_, params, columns) => {
                if let Some(Active {
                    sent: Sent::Query { described, .. },
                    ..
                }) = self.jobs.front_mut()
                {
                    *described = Some((params, columns));
                }
                Step::Encode
            }
            Event::Columns(_, columns) => match self.take_reader() {
                Some(reader) => Step::Columns(reader, columns),
                None => Step::Again,
            },
            Event::Rows(_, chunk) => match self.take_reader() {
                Some(reader) => {
                    if let Some(head) = self.jobs.front_mut() {
                        head.rows_seen = true;
                    }
                    Step::Rows(reader, chunk)
                }
                None => Step::Again,
            },
            Event::Completed(_, summary) => {
                if let Some(head) = self.jobs.front_mut()
                    && head.is_at_work()
                {
                    let tag = summary.tag;
                    head.outcome.affected = summary.rows;
                    head.outcome.last_insert_id = summary.last_insert_id.cast_signed();
                    // ROLLBACK TO SAVEPOINT has the tag of ROLLBACK.
                    if tag != Tag::Rollback || head.urgency != Urgency::None || head.chains() {
                        head.outcome.tag = tag;
                    }
                }
                Step::Again
            }
            Event::Suspended(_) => {
                if let Some(head) = self.jobs.front_mut() {
                    head.outcome.more = true;
                }
                Step::Again
            }
            Event::Failed(_, error) => {
                if let Some(head) = self.jobs.front_mut()
                    && head.error.is_none()
                {
                    head.stopped = self.server.is_cancelled(&error);
                    head.outdated = self.server.is_outdated(&error);
                    head.error = Some(error);
                }
                Step::Again
            }
            Event::CopyIn(..) => {
                let why = match self.jobs.front_mut() {
                    // A server that waits for data hears no request to cancel.
                    Some(active) if active.cancel.is_set() => "the program gave up",
                    Some(Active {
                        sent: Sent::Copy { from, open },
                        ..
                    }) => {
                        *open = true;
                        return Step::Supply(Arc::clone(from));
                    }
                    _ => "COPY FROM STDIN in a statement that brings no data",
                };
                session.copy_fail(why);
                Step::Again
            }
            Event::CopyOut(..) => match self.copy_reader() {
                Some(to) => Step::Copying(to),
                None => Step::Again,
            },
            Event::CopyData(_, chunk) => match self.copy_reader() {
                Some(to) => Step::Data(to, chunk),
                None => Step::Again,
            },
            Event::Done(_, tx) => self.head_done(tx),
            Event::Notification {
                pid,
                channel,
                payload,
            } => match &self.listener {
                Some(listener) => Step::Notified(Arc::clone(listener), pid, channel, payload),
                None => Step::Again,
            },
            Event::Started | Event::Notice(_) | Event::Parameter(_) => Step::Again,
        }
    }

    fn head_done<'a>(&mut self, tx: TxStatus) -> Step<'a> {
        let Some(mut active) = self.jobs.pop_front() else {
            return Step::Again;
        };
        if self.has_more(&mut active) {
            self.jobs.push_front(active);
            return Step::Again;
        }
        match self.go_on_guarded(&mut active, tx) {
            None => {}
            Some(guarded) => {
                self.jobs.push_front(active);
                return match guarded {
                    Guarded::More => Step::Again,
                    Guarded::Encode => Step::Encode,
                };
            }
        }
        self.timed(&active);
        if matches!(active.sent, Sent::Probe) {
            return Step::Alive;
        }
        if matches!(active.sent, Sent::Settle) {
            return Step::Settled(self.has_settled());
        }
        if active.error.is_none()
            && self.cancelling.is_some()
            && let Some(reason) = active.cancel.reason()
            && active
                .sql()
                .is_some_and(|sql| self.server.may_end_early(sql))
        {
            active.error = Some(cancelled(reason));
        }
        // The request to cancel may still hit what comes next on this connection.
        if let Some(cancelling) = &mut self.cancelling
            && cancelling.held.is_none()
        {
            cancelling.held = Some((active, tx));
            return Step::Settled(self.settle());
        }
        if let Some(error) = &active.error {
            if active.is_stale(error) {
                return match self.resend(active) {
                    Ok(()) => Step::Again,
                    Err(active) => Step::Finish(active, tx),
                };
            }
            if error.is_stale_plan()
                && let (Sent::Query { query, .. }, Some(session)) =
                    (&active.sent, &mut self.session)
            {
                session.forget(&query.statement);
            }
            let bystander = active.stopped && self.cancelling.is_some() && !active.cancel.is_set();
            if bystander && active.is_pure_read() {
                return Step::Elsewhere(Box::new(active));
            }
        }
        Step::Finish(Box::new(active), tx)
    }

    /// Notes how long a read took that may share its connection, without the wait for those before it.
    fn timed(&mut self, active: &Active) {
        if let Sent::Query { query, .. } = &active.sent
            && query.pure_read
        {
            let now = Instant::now();
            let before = self.answered.replace(now).unwrap_or(active.sent_at);
            let since = before.max(active.sent_at);
            query.statement.took(now.saturating_duration_since(since));
        }
    }

    /// Whether requests of a job are left after one has ended.
    fn has_more(&mut self, active: &mut Active) -> bool {
        let Some(rest) = active.rest() else {
            return false;
        };
        if rest.in_flight > 0 {
            rest.in_flight -= 1;
            return true;
        }
        let (Some(next), Some(session)) = (rest.requests.pop_front(), &mut self.session) else {
            return false;
        };
        if active.error.is_some() {
            return false;
        }
        let submitted = match active.cancel.reason() {
            Some(reason) if active.urgency == Urgency::None => Err(cancelled(reason)),
            _ => next.submit(&mut **session),
        };
        if let Err(error) = submitted {
            active.error = Some(error);
            return false;
        }
        true
    }

    fn copy_reader(&self) -> Option<Arc<dyn CopyReader>> {
        match &self.jobs.front()?.sent {
            Sent::CopyOut(to) => Some(Arc::clone(to)),
            _ => None,
        }
    }

    fn take_reader(&mut self) -> Option<Box<dyn RowReader>> {
        match &mut self.jobs.front_mut()?.sent {
            Sent::Query { query, .. } => query.rows.take(),
            Sent::Fetch(reader) => reader.take(),
            _ => None,
        }
    }

    fn give_back_reader(&mut self, reader: Box<dyn RowReader>) {
        match self.jobs.front_mut().map(|head| &mut head.sent) {
            Some(Sent::Query { query, .. }) => query.rows = Some(reader),
            Some(Sent::Fetch(place)) => *place = Some(reader),
            _ => {}
        }
    }
}
