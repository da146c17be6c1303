//! One connection: its job, its deadlines, and how a job is stopped.
//!
//! ```text
//! other threads ── commands ──┐
//!                             ▼            ┌─ Session (protocol; bytes to send)
//! the loop's thread:   pump / receive ──── Inner ┤
//!                             │            └─ Channel (the byte stream)
//!                             ▼
//!               readers and `Done` callbacks, called without any lock
//! ```
//! A link is worked on by the thread of its event loop only. Its lock is never held while foreign code runs, because
//! readers run Python code, and that may do anything, even with this database.

mod active;
mod cancelling;
mod receive;
mod requests;
mod startup;
mod supply;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::engine::{CancelReason, Completion, ConnId, Done, Job, Listener, LoopId, Watcher};
use crate::error::{ErrorKind, ExecError};
use crate::wire::driver::Channel;
use crate::wire::engine::Shared;
use crate::wire::link::active::{Active, Urgency};
use crate::wire::link::cancelling::Cancelling;
pub use crate::wire::link::startup::{Attributes, Started};
use crate::wire::link::startup::{Capture, Errand};
use crate::wire::server::{Facts, Peer, Server};
use crate::wire::session::Session;

pub struct Link {
    pub id: ConnId,
    pub loop_id: LoopId,
    shared: Arc<Shared>,
    commands: Mutex<VecDeque<Command>>,
    inner: Mutex<Inner>,
}

enum Command {
    Start(Box<Job>, Done),
    /// A job's flag was set.
    Stop,
    /// The source of a COPY has more data.
    Supply,
    /// The request to cancel seems to have come too early for the server.
    CancelAgain,
    Close(Done),
    Kill(ExecError),
    /// Nobody needs the connection that is being made.
    GiveUp,
}

enum Stage {
    /// The driver is making a connection.
    Opening,
    LoggingIn(Started),
    /// Asks the server what it is.
    Asking(Started, Capture),
    /// Settings and the user's statements for every connection, the first ones still unsent.
    Setting(Started, VecDeque<String>),
    /// The server let us in; the driver decides whether it is the right one.
    Judged,
    Ready,
    Closing,
    Dead,
}

struct Inner {
    stage: Stage,
    server: Arc<dyn Server>,
    /// What the server said about itself.
    facts: Option<Facts>,
    session: Option<Box<dyn Session>>,
    channel: Option<Arc<dyn Channel>>,
    opened: Option<Done>,
    closed: Option<Done>,
    /// Whom to tell when the connection should have said goodbye.
    closing_deadline: Option<Instant>,
    jobs: VecDeque<Active>,
    cancelling: Option<Cancelling>,
    /// The database is being closed by force.
    hurry: bool,
    /// What has to wait until the connection is quiet.
    deferred: VecDeque<(Box<Job>, Done)>,
    peer: Peer,
    attributes: Attributes,
    errand: Option<Errand>,
    /// Somebody keeps this connection.
    listener: Option<Arc<dyn Listener>>,
    /// Nothing is read until whoever takes the data asks for more.
    paused: bool,
    /// Bytes are sent at the end of `receive`, all together.
    receiving: bool,
    /// What was put behind a read that is under way is sent when that one is answered: many small writes become one,
    /// and the server would not have looked at them before.
    holding: bool,
    spare: Vec<u8>,
    idle_since: Option<Instant>,
    /// When the last statement was answered: from then on the server works on the next one.
    answered: Option<Instant>,
}

impl Link {
    pub(super) fn new(id: ConnId, loop_id: LoopId, shared: Arc<Shared>, opened: Done) -> Arc<Self> {
        let server = Arc::clone(&shared.server);
        Arc::new(Self {
            id,
            loop_id,
            shared,
            commands: Mutex::new(VecDeque::new()),
            inner: Mutex::new(Inner {
                stage: Stage::Opening,
                server,
                facts: None,
                session: None,
                channel: None,
                opened: Some(opened),
                closed: None,
                closing_deadline: None,
                jobs: VecDeque::new(),
                cancelling: None,
                hurry: false,
                deferred: VecDeque::new(),
                peer: Peer::default(),
                attributes: Attributes::default(),
                errand: None,
                listener: None,
                paused: false,
                receiving: false,
                holding: false,
                spare: Vec::new(),
                idle_since: None,
                answered: None,
            }),
        })
    }

    /// A link for a connection beside this one, worked on by `loop_id`, that logs in, runs `sql` if that is the same
    /// server, and says goodbye;
    /// `started` of its [`start`](Self::start) tells what came of that. No other method is called for it but
    /// `receive`, `lost` and `give_up_attempt`.
    pub fn helper(&self, loop_id: LoopId, sql: String) -> Arc<Self> {
        let id = ConnId {
            number: u64::MAX,
            ..self.id
        };
        let helper = Self::new(id, loop_id, Arc::clone(&self.shared), Box::new(drop));
        let sent = Arc::new(AtomicBool::new(false));
        let place = {
            let mut inner = self.lock();
            if let Some(cancelling) = &mut inner.cancelling {
                cancelling.errand = Some(Arc::clone(&sent));
            }
            inner.peer.place.clone()
        };
        helper.lock().errand = Some(Errand { sql, place, sent });
        helper
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listen(&self, listener: Option<Arc<dyn Listener>>) {
        self.lock().listener = listener;
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.lock().peer.pooled
    }

    /// Reads on; on the thread of the loop.
    pub(super) fn go_on_reading(&self) {
        let channel = {
            let mut inner = self.lock();
            match std::mem::take(&mut inner.paused) {
                true => inner.channel.clone(),
                false => None,
            }
        };
        if let Some(channel) = channel {
            channel.go_on();
        }
    }

    fn pause(&self) {
        let channel = {
            let mut inner = self.lock();
            inner.paused = true;
            inner.channel.clone()
        };
        if let Some(channel) = channel {
            channel.pause();
        }
    }

    fn command(self: &Arc<Self>, command: Command) {
        self.commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(command);
        self.shared.driver.wake(self);
    }

    pub(super) fn submit(self: &Arc<Self>, job: Job, done: Done) {
        self.command(Command::Start(Box::new(job), done));
    }

    pub(super) fn shut(self: &Arc<Self>, done: Done) {
        self.command(Command::Close(done));
    }

    pub(super) fn kill(self: &Arc<Self>, why: ExecError) {
        self.command(Command::Kill(why));
    }

    /// Interrupts what runs, except what ends transactions; a connection that is not made yet is given up.
    pub(super) fn interrupt(self: &Arc<Self>) {
        let soon = Instant::now() + GOODBYE;
        let flags: Vec<_> = {
            let mut inner = self.lock();
            if inner.opened.is_some() {
                drop(inner);
                return self.command(Command::GiveUp);
            }
            // Whoever closes the database has waited long enough.
            inner.hurry = true;
            if let Some(cancelling) = &mut inner.cancelling {
                cancelling.deadline = cancelling.deadline.min(soon);
            }
            let running = inner.jobs.iter();
            running
                .filter(|active| active.urgency == Urgency::None)
                .map(|active| Arc::clone(&active.cancel))
                .collect()
        };
        for flag in flags {
            flag.set(CancelReason::Closing);
        }
        self.shared.alarm(self.loop_id, soon);
    }

    /// Whether a statement or the connection is to be ended, which must not wait for a loop that does not run.
    pub fn is_to_end(&self) -> bool {
        self.commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|command| !matches!(command, Command::Start(..) | Command::Supply))
    }

    /// The bytes that say goodbye to this link's server, for whoever has to do that without the link.
    pub fn goodbye(&self) -> &'static [u8] {
        self.shared.server.goodbye()
    }

    /// Whether the connection is closed, or has said goodbye.
    pub fn is_over(&self) -> bool {
        matches!(self.lock().stage, Stage::Closing | Stage::Dead)
    }

    /// Does what other threads have asked for.
    pub fn pump(self: &Arc<Self>) {
        self.guarded(|| self.obey());
    }

    fn obey(self: &Arc<Self>) {
        loop {
            let command = self
                .commands
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            match command {
                None => break,
                Some(Command::Start(job, done)) => self.begin(*job, done),
                Some(Command::Stop) => {
                    self.go_on_reading();
                    self.stop_head();
                }
                Some(Command::Supply) => self.supply(),
                Some(Command::CancelAgain) => self.cancel_again(),
                Some(Command::Close(done)) => self.say_goodbye(done),
                Some(Command::Kill(why)) => self.die(why),
                Some(Command::GiveUp) => self.give_up(),
            }
        }
        self.flush();
    }

    /// A panic is a bug of ours, or of a reader or an encoder: nobody knows what state the connection is in, so its
    /// callers are told and it is discarded. Without that they would wait for ever.
    fn guarded(self: &Arc<Self>, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            {
                let mut inner = self.lock();
                inner.receiving = false;
                inner.holding = false;
            }
            let _ = catch_unwind(AssertUnwindSafe(|| self.die(bug())));
        }
    }

    /// Sends what the session has to say.
    fn flush(&self) {
        let (channel, bytes) = {
            let mut inner = self.lock();
            if inner.receiving || inner.holding {
                return;
            }
            let Inner {
                session: Some(session),
                channel: Some(channel),
                spare,
                ..
            } = &mut *inner
            else {
                return;
            };
            if session.output().is_empty() {
                return;
            }
            let empty = std::mem::take(spare);
            (
                Arc::clone(channel),
                std::mem::replace(session.output(), empty),
            )
        };
        channel.write(&bytes);
        let mut bytes = bytes;
        // A bulk insert's megabytes are not kept for the next look-up.
        if bytes.capacity() <= 64 * 1024 {
            bytes.clear();
            self.lock().spare = bytes;
        }
    }

    /// See `Driver::cancel`.
    pub fn cancel_sent(self: &Arc<Self>, ok: bool) {
        self.cancel_answered(ok);
        self.flush();
    }

    /// The stream has ended: `None` for an end of file, else the system's words.
    pub fn lost(self: &Arc<Self>, why: Option<String>) {
        let mut error = {
            let inner = self.lock();
            match (&inner.stage, &inner.session) {
                // An attempt that was given up, or the end that was asked for.
                (Stage::Opening | Stage::Dead, _) | (_, None) => return,
                (_, Some(session)) => session.end_of_file().0,
            }
        };
        if let Some(why) = why {
            error.message = format!("{}: {why}", error.message);
        }
        self.die(error);
    }

    pub(super) fn say_goodbye(self: &Arc<Self>, done: Done) {
        let deadline = Instant::now() + self.shared.rules.drain_budget.min(GOODBYE);
        let channel = {
            let mut inner = self.lock();
            if !inner.is_quiet() && matches!(inner.stage, Stage::Ready) {
                // Reads that shared the connection are not done yet.
                inner.closed = Some(done);
                inner.closing_deadline = Some(deadline);
                drop(inner);
                return self.shared.alarm(self.loop_id, deadline);
            }
            let Inner {
                stage: stage @ (Stage::Ready | Stage::Judged),
                session: Some(session),
                channel: Some(channel),
                closed,
                closing_deadline,
                holding,
                ..
            } = &mut *inner
            else {
                drop(inner);
                self.die(ExecError::new(
                    ErrorKind::Closed,
                    "the database is being closed",
                ));
                return done(Completion::lost(ExecError::new(
                    ErrorKind::Closed,
                    "the connection is closed",
                )));
            };
            session.terminate();
            *holding = false;
            *stage = Stage::Closing;
            *closed = Some(done);
            *closing_deadline = Some(deadline);
            Arc::clone(channel)
        };
        self.flush();
        self.shared.alarm(self.loop_id, deadline);
        channel.close();
    }

    /// The connection is of no use any more: everybody is told.
    fn die(self: &Arc<Self>, error: ExecError) {
        let (stage, channel, jobs, held, opened, closed, deferred, listener) = {
            let mut inner = self.lock();
            let stage = std::mem::replace(&mut inner.stage, Stage::Dead);
            let held = inner.cancelling.take().and_then(Cancelling::into_held);
            (
                stage,
                inner.channel.take(),
                std::mem::take(&mut inner.jobs),
                held,
                inner.opened.take(),
                inner.closed.take(),
                std::mem::take(&mut inner.deferred),
                inner.listener.take(),
            )
        };
        if let Some(channel) = channel {
            channel.abort();
        }
        if let Some(listener) = listener {
            listener.lost(&error);
        }
        if let Some(active) = held {
            active.finish_lost(&error);
        }
        for active in jobs {
            active.finish_lost(&error);
        }
        for (job, done) in deferred {
            requests::unsent(*job, done);
        }
        match stage {
            Stage::LoggingIn(started) | Stage::Asking(started, ..) | Stage::Setting(started, _) => {
                // The driver may try another host with this link.
                {
                    let mut inner = self.lock();
                    inner.stage = Stage::Opening;
                    inner.session = None;
                    inner.opened = opened;
                }
                started(Err(error));
            }
            Stage::Opening | Stage::Judged => {
                if let Some(opened) = opened {
                    self.shared.forget(self.id);
                    opened(Completion::lost(error));
                }
            }
            Stage::Ready => {
                self.shared.forget(self.id);
                self.shared.tell_lost(self.id);
                if let Some(closed) = closed {
                    closed(Completion::lost(error));
                }
            }
            Stage::Closing => {
                self.shared.forget(self.id);
                if let Some(closed) = closed {
                    closed(Completion::lost(error));
                }
            }
            Stage::Dead => {}
        }
    }

    /// The event loop is gone: nothing can be sent or awaited, the socket is closed under it.
    pub(super) fn forsake(&self) {
        let error = ExecError::new(
            ErrorKind::ConnectionLost,
            "the event loop of this connection was closed",
        );
        let (channel, jobs, held, deferred, waiting) = {
            let mut inner = self.lock();
            let held = inner.cancelling.take().and_then(Cancelling::into_held);
            inner.stage = Stage::Dead;
            (
                inner.channel.take(),
                std::mem::take(&mut inner.jobs),
                held,
                std::mem::take(&mut inner.deferred),
                [inner.opened.take(), inner.closed.take()],
            )
        };
        if let Some(channel) = channel {
            channel.kill();
        }
        for active in jobs.into_iter().chain(held) {
            active.finish_lost(&error);
        }
        let deferred = deferred.into_iter().map(|(_, done)| done);
        for done in waiting.into_iter().flatten().chain(deferred) {
            done(Completion::lost(error.clone()));
        }
        self.commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let inner = self.lock();
        let head = inner.jobs.front().and_then(Active::next_deadline);
        let drain = inner.cancelling.as_ref().map(Cancelling::next_deadline);
        [head, drain, inner.closing_deadline]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn expire(self: &Arc<Self>, now: Instant) {
        enum Do {
            Nothing,
            Flag(Arc<crate::engine::CancelFlag>),
            Kill(&'static str),
            CancelAgain,
        }
        let what = {
            let mut inner = self.lock();
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            if due(inner
                .cancelling
                .as_ref()
                .map(|cancelling| cancelling.deadline))
            {
                Do::Kill("the server did not stop a cancelled statement in time")
            } else if due(inner.closing_deadline) {
                Do::Kill("the server did not close the connection in time")
            } else if inner.cancels_again(now) {
                Do::CancelAgain
            } else if let Some(active) = inner.jobs.front_mut()
                && due(active.next_deadline())
            {
                match active.urgency {
                    Urgency::None => {
                        active.deadline = None;
                        Do::Flag(Arc::clone(&active.cancel))
                    }
                    Urgency::Commit => Do::Kill("the server did not answer COMMIT in time"),
                    Urgency::Tidy => Do::Kill("the server did not answer in time"),
                }
            } else {
                Do::Nothing
            }
        };
        match what {
            Do::Nothing => {}
            Do::CancelAgain => self.command(Command::CancelAgain),
            Do::Flag(flag) => flag.set(CancelReason::Timeout),
            Do::Kill(why) => self.kill(ExecError::new(ErrorKind::ConnectionLost, why)),
        }
    }

    /// A job for a connection that is not there any more.
    pub(super) fn nowhere(job: Job, done: Done) {
        requests::unsent(job, done);
    }

    /// What watches the flags of this link's jobs.
    fn watcher(self: &Arc<Self>) -> Arc<dyn Watcher> {
        Arc::new(Watch(Arc::downgrade(self)))
    }
}

fn bug() -> ExecError {
    ExecError::new(
        ErrorKind::Internal,
        "a bug in Oxyde: the work panicked, its connection was discarded",
    )
}

/// How long a server may take to close a connection that said goodbye, or to stop for a database that is closed.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

struct Watch(Weak<Link>);

impl Watcher for Watch {
    fn flag_set(&self) {
        if let Some(link) = self.0.upgrade() {
            link.command(Command::Stop);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .field("loop_id", &self.loop_id)
            .finish_non_exhaustive()
    }
}
