//! SQLite behind the [`Engine`] seam: queues to threads that are started when first needed.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::engine::{Caps, Completion, ConnId, Done, Engine, Job, Lane, LoopId, Paused};
use crate::error::{ErrorKind, ExecError};
use crate::sqlite::config::Checked;
use crate::sqlite::inline::InlineHome;
use crate::sqlite::jobs::too_late;
use crate::sqlite::open::{Conn, Source};
use crate::sqlite::place::Place;
use crate::sqlite::worker::{Command, Ending, Gate, Pass, Shared, Slot, lock};

/// A point look-up beside a 60 ms query takes 0.1 ms with two reader threads, 61 ms with one; more do not help.
const READER_THREADS: usize = 2;

pub struct SqliteEngine {
    caps: Caps,
    shared: Arc<Shared>,
    crew: Mutex<Crew>,
}

#[derive(Default)]
struct Crew {
    write: Option<Sender<Command>>,
    read: Option<(Sender<Command>, Receiver<Command>)>,
    readers: usize,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
}

impl SqliteEngine {
    /// Whether a connection's file was deleted or replaced.
    pub(crate) fn has_moved(&self, place: &mut Option<Place>) -> bool {
        self.shared.source.has_moved(place)
    }

    pub(crate) fn new(checked: Checked) -> Self {
        let memory = checked.config.path.is_none();
        let inline = checked.config.inline && !memory;
        let source = Arc::new(Source {
            checked,
            abort: Arc::new(AtomicBool::new(false)),
            initialised: AtomicBool::new(false),
        });
        let shared = Arc::new(Shared {
            source: Arc::clone(&source),
            conns: Mutex::new(HashMap::new()),
            gate: Gate::default(),
            inline: inline.then(|| InlineHome::new(source)),
            reads: AtomicUsize::new(0),
            ending: Mutex::new(Ending::default()),
        });
        Self {
            caps: Caps {
                loop_bound: false,
                single_connection: memory,
                read_lane: !memory,
                inline,
            },
            shared,
            crew: Mutex::new(Crew::default()),
        }
    }

    pub(crate) fn inline(&self) -> Option<&InlineHome> {
        self.shared.inline.as_ref()
    }

    /// See `Database::inline_write_lock`; called under the pool's lock.
    pub(crate) fn try_lend(&self, id: ConnId) -> Option<(Box<Conn>, Pass<'_>)> {
        self.shared.inline.as_ref()?;
        self.shared.try_lend(id)
    }

    /// The end of lending; `None` if the connection did not survive it.
    pub(crate) fn take_back(&self, id: ConnId, conn: Option<Box<Conn>>) {
        let Some(conn) = conn else {
            lock(&self.shared.conns).remove(&id);
            return;
        };
        let due = conn.log.is_due();
        self.shared.put_back(id, Slot::Open(conn));
        if due {
            self.send(id.lane, Command::Checkpoint(id));
        }
    }

    fn send(&self, lane: Lane, command: Command) {
        if lane == Lane::Read {
            self.shared.reads.fetch_add(1, Ordering::Relaxed);
        }
        let refused = {
            let mut crew = lock(&self.crew);
            match self.queue(&mut crew, lane) {
                Ok(queue) => match queue.send(command) {
                    Ok(()) => return,
                    Err(unsent) => (unsent.into_inner(), too_late(&self.shared.source)),
                },
                Err(error) => (command, error),
            }
        };
        let (command, error) = refused;
        if lane == Lane::Read {
            self.shared.reads.fetch_sub(1, Ordering::Relaxed);
        }
        match command {
            Command::Open(_, done) | Command::Start(_, _, done) | Command::Close(_, done) => {
                done(Completion::lost(error))
            }
            // The last connection of a file makes one when it is closed.
            Command::Checkpoint(_) => {}
        }
    }

    /// The lane's queue, with a thread behind it.
    fn queue(&self, crew: &mut Crew, lane: Lane) -> Result<Sender<Command>, ExecError> {
        if crew.stopping {
            return Err(too_late(&self.shared.source));
        }
        match lane {
            Lane::Write => {
                if let Some(queue) = &crew.write {
                    return Ok(queue.clone());
                }
                let (sender, receiver) = unbounded();
                self.hire(crew, "oxyde-writer", receiver, false)?;
                crew.write = Some(sender.clone());
                Ok(sender)
            }
            Lane::Read => {
                // Counted before it is sent: more than there are threads means that it would have to wait.
                let busy = self.shared.reads.load(Ordering::Relaxed);
                let (sender, receiver) = crew.read.get_or_insert_with(unbounded).clone();
                if crew.readers == 0 || (crew.readers < READER_THREADS && busy > crew.readers) {
                    let name = format!("oxyde-reader-{}", crew.readers);
                    match self.hire(crew, &name, receiver, true) {
                        Ok(()) => crew.readers += 1,
                        // One thread does the work of two, slower.
                        Err(_) if crew.readers > 0 => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(sender)
            }
        }
    }

    fn hire(
        &self,
        crew: &mut Crew,
        name: &str,
        queue: Receiver<Command>,
        reader: bool,
    ) -> Result<(), ExecError> {
        let shared = Arc::clone(&self.shared);
        lock(&self.shared.ending).threads += 1;
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || shared.work(&queue, reader));
        match thread {
            Ok(thread) => {
                crew.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                lock(&self.shared.ending).threads -= 1;
                Err(ExecError::new(
                    ErrorKind::Operational,
                    format!("thread {name} could not be started: {error}"),
                ))
            }
        }
    }
}

impl Engine for SqliteEngine {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn open(&self, slot: ConnId, _loop_id: LoopId, done: Done) {
        self.send(slot.lane, Command::Open(slot, done));
    }

    fn start(&self, conn: ConnId, job: Job, done: Done) {
        self.send(conn.lane, Command::Start(conn, job, done));
    }

    fn close(&self, conn: ConnId, _loop_id: LoopId, done: Done) {
        self.send(conn.lane, Command::Close(conn, done));
    }

    fn abort(&self) {
        self.shared.source.abort.store(true, Ordering::Release);
    }

    fn shutdown(&self, done: Box<dyn FnOnce() + Send>) {
        let mut done = Some(done);
        {
            let mut crew = lock(&self.crew);
            let mut ending = lock(&self.shared.ending);
            if ending.threads > 0 {
                ending.stopped.extend(done.take());
            }
            crew.stopping = true;
            // Without senders the threads end as soon as their queues are empty.
            crew.write = None;
            crew.read = None;
        }
        if let Some(done) = done {
            self.shared.let_go();
            done();
        }
    }

    fn join(&self, deadline: Instant) -> bool {
        loop {
            let ended: Vec<JoinHandle<()>> = {
                let mut crew = lock(&self.crew);
                let (ended, running) = crew.threads.drain(..).partition(JoinHandle::is_finished);
                crew.threads = running;
                ended
            };
            for thread in ended {
                let _ = thread.join();
            }
            if lock(&self.crew).threads.is_empty() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// SQLite's locks are per process and its bookkeeping of them is inherited: a child that opened a file which is
    /// open already would take no locks at all. So every connection is closed before a fork and opened again by its
    /// next job; where a transaction forbids that, the child must not touch the file.
    fn pause(&self, deadline: Instant) -> Paused {
        if !self.shared.gate.close(deadline)
            || self.inline().is_some_and(|inline| !inline.pause(deadline))
        {
            return Paused::Running;
        }
        let mut conns = lock(&self.shared.conns);
        if self.caps.single_connection {
            return if conns.is_empty() {
                Paused::Fresh
            } else {
                Paused::Memory
            };
        }
        let quiet = conns.values().all(|slot| match slot {
            Slot::Open(conn) => conn.db.is_autocommit(),
            Slot::Parked => true,
            Slot::Out => false,
        });
        if !quiet {
            return Paused::InTransaction;
        }
        for slot in conns.values_mut() {
            if let Slot::Open(conn) = std::mem::replace(slot, Slot::Parked) {
                conn.close_quickly();
            }
        }
        Paused::Fresh
    }

    fn resume(&self) {
        if let Some(inline) = self.inline() {
            inline.resume();
        }
        self.shared.gate.open();
    }
}

impl fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteEngine")
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}
