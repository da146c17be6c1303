//! A driver for the engines of servers without an event loop: one thread that looks at its sockets in turns.

use std::collections::HashMap;
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::Parts;
use oxyde_exec::pool::PoolConfig;
use oxyde_exec::wire::driver::{Channel, Driver};
use oxyde_exec::wire::engine::WireEngine;
use oxyde_exec::wire::link::{Link, Started};
use oxyde_exec::wire::session::{Cancel, Line, Password};
use oxyde_exec::{Database, Engine, ErrorKind, ExecError, LoopId};

pub const LOOP: LoopId = LoopId(7);

/// Where the server is and how it is spoken to.
#[derive(Clone, Default)]
pub struct Place {
    pub address: String,
    pub password: Option<Password>,
    /// The server speaks first.
    pub greets: bool,
    /// Where requests to cancel go, if that is somewhere else.
    pub cancels: Option<String>,
    /// A connection is cut when these bytes have been written.
    pub cuts: Option<&'static [u8]>,
}

impl Place {
    /// A connection and what the server has said.
    fn dial(&self, address: &str) -> std::io::Result<(TcpStream, Vec<u8>)> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut greeting = Vec::new();
        if self.greets {
            let mut head = [0; 4];
            stream.read_exact(&mut head)?;
            greeting.resize(usize::from(u16::from_le_bytes([head[0], head[1]])), 0);
            stream.read_exact(&mut greeting)?;
        }
        Ok((stream, greeting))
    }
}

enum Task {
    Open(Arc<Link>),
    Wake(Arc<Link>),
    Cancel(Arc<Link>, Cancel),
    Alarm(Instant),
}

pub struct Polling {
    tasks: Mutex<Sender<Task>>,
    /// How many bytes were written, and how often.
    pub writes: AtomicU64,
}

pub struct Stream {
    stream: TcpStream,
    driver: Arc<Polling>,
    cuts: Option<&'static [u8]>,
    /// The server may have answered before the connection was cut: nobody is to see that.
    cut: AtomicBool,
}

impl Channel for Stream {
    fn write(&self, bytes: &[u8]) {
        self.driver.writes.fetch_add(1, Ordering::Relaxed);
        let mut rest = bytes;
        while !rest.is_empty() {
            match (&self.stream).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == Io::WouldBlock => thread::yield_now(),
                Err(_) => return,
            }
        }
        let cuts = |cut: &[u8]| bytes.windows(cut.len()).any(|window| window == cut);
        if self.cuts.is_some_and(cuts) {
            self.cut.store(true, Ordering::Relaxed);
            self.abort();
        }
    }

    fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn abort(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn kill(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn is_dead(&self) -> bool {
        let mut byte = [0];
        match self.stream.peek(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != Io::WouldBlock,
        }
    }
}

impl Driver for Polling {
    fn open(&self, link: Arc<Link>) {
        self.task(Task::Open(link));
    }

    fn wake(&self, link: &Arc<Link>) {
        self.task(Task::Wake(Arc::clone(link)));
    }

    fn cancel(&self, link: &Arc<Link>, request: Cancel) {
        self.task(Task::Cancel(Arc::clone(link), request));
    }

    fn alarm(&self, _: LoopId, at: Instant) {
        self.task(Task::Alarm(at));
    }

    fn forget_loop(&self, _: LoopId) {}
}

impl Polling {
    fn task(&self, task: Task) {
        let _ = self.tasks.lock().unwrap().send(task);
    }
}

/// A database on the server at `place`, worked by a thread of its own.
pub fn start(
    place: Place,
    pool: PoolConfig,
    engine: impl Fn(Arc<dyn Driver>) -> Arc<WireEngine> + Send + Sync + 'static,
) -> (Arc<Database>, Arc<Polling>) {
    let (sender, receiver) = channel();
    let driver = Arc::new(Polling {
        tasks: Mutex::new(sender),
        writes: AtomicU64::new(0),
    });
    let shared = Arc::clone(&driver);
    let database = Database::with_engine("test", move || {
        let engine = engine(Arc::clone(&shared) as Arc<dyn Driver>);
        Parts::new(engine as Arc<dyn Engine>, pool.clone(), None)
    });
    let theirs = Arc::downgrade(&database);
    let mut poller = Poller {
        driver: Arc::clone(&driver),
        place,
        streams: HashMap::new(),
        next: 0,
        alarm: None,
    };
    thread::spawn(move || poller.run(&receiver, || theirs.upgrade()));
    (database, driver)
}

struct Poller {
    driver: Arc<Polling>,
    place: Place,
    streams: HashMap<u64, (Arc<Link>, Arc<Stream>)>,
    next: u64,
    alarm: Option<Instant>,
}

impl Poller {
    fn run(&mut self, tasks: &Receiver<Task>, database: impl Fn() -> Option<Arc<Database>>) {
        let mut buffer = vec![0; 1 << 16];
        let mut patience = Instant::now();
        loop {
            let mut busy = false;
            while let Ok(task) = tasks.try_recv() {
                busy = true;
                self.work(task);
            }
            busy |= self.read(&mut buffer);
            if self.alarm.is_some_and(|at| at <= Instant::now()) {
                self.alarm = None;
                if let Some(database) = database() {
                    database.expire(Instant::now());
                    self.alarm = database.next_deadline();
                }
            }
            if busy {
                patience = Instant::now();
            } else if patience.elapsed() > Duration::from_millis(2) {
                if database().is_none() {
                    return;
                }
                thread::sleep(Duration::from_micros(200));
            }
        }
    }

    fn work(&mut self, task: Task) {
        match task {
            Task::Open(link) => {
                let theirs = Arc::clone(&link);
                let ended = move |result: Result<(), ExecError>| match result {
                    Ok(()) => theirs.ready(),
                    Err(error) => theirs.failed(error),
                };
                let address = self.place.address.clone();
                self.log_in(&link, &address, Box::new(ended));
            }
            Task::Wake(link) => link.pump(),
            Task::Cancel(link, Cancel::Statement(sql)) => {
                let helper = link.helper(LOOP, sql);
                let sent = move |result: Result<(), ExecError>| link.cancel_sent(result.is_ok());
                let address = self.cancels();
                self.log_in(&helper, &address, Box::new(sent));
            }
            Task::Cancel(link, Cancel::Packet(packet)) => {
                let address = self.cancels();
                let sent = self.place.dial(&address).and_then(|(mut stream, _)| {
                    stream.write_all(&packet)?;
                    stream.read_to_end(&mut Vec::new())
                });
                link.cancel_sent(sent.is_ok());
            }
            Task::Alarm(at) => self.alarm = Some(self.alarm.map_or(at, |other| other.min(at))),
        }
    }

    fn cancels(&self) -> String {
        let place = &self.place;
        place
            .cancels
            .clone()
            .unwrap_or_else(|| place.address.clone())
    }

    fn log_in(&mut self, link: &Arc<Link>, address: &str, ended: Started) {
        match self.place.dial(address) {
            Ok((stream, greeting)) => {
                stream.set_nonblocking(true).unwrap();
                let stream = Arc::new(Stream {
                    stream,
                    driver: Arc::clone(&self.driver),
                    cuts: self.place.cuts,
                    cut: AtomicBool::new(false),
                });
                self.next += 1;
                self.streams
                    .insert(self.next, (Arc::clone(link), Arc::clone(&stream)));
                let password = self.place.password.clone();
                link.start(stream, Line::Network, password, &greeting, ended);
            }
            Err(error) => ended(Err(ExecError::new(ErrorKind::Connect, error.to_string()))),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let mut busy = false;
        self.streams.retain(|_, (link, stream)| {
            match (&stream.stream).read(buffer) {
                Ok(_) if stream.cut.load(Ordering::Relaxed) => link.lost(None),
                Ok(0) => link.lost(None),
                Ok(count) => {
                    busy = true;
                    link.receive(&buffer[..count]);
                    return true;
                }
                Err(error) if error.kind() == Io::WouldBlock => return true,
                Err(error) => link.lost(Some(error.to_string())),
            }
            false
        });
        busy
    }
}
