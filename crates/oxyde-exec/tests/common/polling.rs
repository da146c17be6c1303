//! A driver for the PostgreSQL engine without an event loop: one thread that looks at its sockets in turns.

use std::collections::HashMap;
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use oxyde_exec::dispatch::Parts;
use oxyde_exec::pool::PoolConfig;
use oxyde_exec::postgres::config::{Pooler, PostgresConfig};
use oxyde_exec::wire::driver::{Channel, Driver};
use oxyde_exec::wire::link::Link;
use oxyde_exec::wire::session::{Cancel, Line};
use oxyde_exec::{Database, Engine, ErrorKind, ExecError, LoopId, postgres};

pub const LOOP: LoopId = LoopId(7);

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

/// A database on the server at `address`, worked by a thread of its own.
pub fn database(
    address: &str,
    change: impl Fn(&mut PostgresConfig),
) -> (Arc<Database>, Arc<Polling>) {
    let (sender, receiver) = channel();
    let driver = Arc::new(Polling {
        tasks: Mutex::new(sender),
        writes: AtomicU64::new(0),
    });
    let mut config = PostgresConfig {
        name: "test".to_owned(),
        user: "postgres".to_owned(),
        database: "postgres".to_owned(),
        application_name: Some("oxyde tests".to_owned()),
        pool: PoolConfig {
            max_connections: 2,
            min_connections: 0,
            max_waiting: None,
            idle_timeout: None,
            max_lifetime: None,
        },
        statement_cache: 100,
        pooler: Pooler::Auto,
        lock_timeout: None,
        commit_timeout: Some(Duration::from_secs(5)),
        drain_budget: Duration::from_secs(5),
        on_connect: Vec::new(),
        test_before_acquire: false,
        facts: "SELECT 'anything', 'icu'",
    };
    change(&mut config);
    let shared = Arc::clone(&driver);
    let database = Database::with_engine("test", move || {
        let engine = postgres::engine(config.clone(), Arc::clone(&shared) as Arc<dyn Driver>);
        Parts::new(engine as Arc<dyn Engine>, config.pool.clone(), None)
    });
    let (theirs, address) = (Arc::downgrade(&database), address.to_owned());
    let poller = Arc::clone(&driver);
    thread::spawn(move || poll(&receiver, &poller, &address, || theirs.upgrade()));
    (database, driver)
}

fn poll(
    tasks: &Receiver<Task>,
    driver: &Arc<Polling>,
    address: &str,
    database: impl Fn() -> Option<Arc<Database>>,
) {
    let mut streams: HashMap<u64, (Arc<Link>, Arc<Stream>)> = HashMap::new();
    let mut alarm: Option<Instant> = None;
    let mut buffer = vec![0; 1 << 16];
    let mut patience = Instant::now();
    loop {
        let mut busy = false;
        while let Ok(task) = tasks.try_recv() {
            busy = true;
            match task {
                Task::Open(link) => match TcpStream::connect(address) {
                    Ok(stream) => {
                        stream.set_nonblocking(true).unwrap();
                        stream.set_nodelay(true).unwrap();
                        let stream = Arc::new(Stream {
                            stream,
                            driver: Arc::clone(driver),
                        });
                        streams.insert(link.id.number, (Arc::clone(&link), Arc::clone(&stream)));
                        let theirs = Arc::clone(&link);
                        let started = Box::new(move |result: Result<(), ExecError>| match result {
                            Ok(()) => theirs.ready(),
                            Err(error) => theirs.failed(error),
                        });
                        link.start(stream, Line::Network, None, &[], started);
                    }
                    Err(error) => {
                        link.failed(ExecError::new(ErrorKind::Connect, error.to_string()));
                    }
                },
                Task::Wake(link) => link.pump(),
                Task::Cancel(link, Cancel::Statement(_)) => link.cancel_sent(false),
                Task::Cancel(link, Cancel::Packet(packet)) => {
                    let sent = TcpStream::connect(address).and_then(|mut stream| {
                        stream.write_all(&packet)?;
                        stream.read_to_end(&mut Vec::new())
                    });
                    link.cancel_sent(sent.is_ok());
                }
                Task::Alarm(at) => alarm = Some(alarm.map_or(at, |other| other.min(at))),
            }
        }
        let mut gone = Vec::new();
        for (number, (link, stream)) in &streams {
            match (&stream.stream).read(&mut buffer) {
                Ok(0) => {
                    gone.push(*number);
                    link.lost(None);
                }
                Ok(count) => {
                    busy = true;
                    link.receive(&buffer[..count]);
                }
                Err(error) if error.kind() == Io::WouldBlock => {}
                Err(error) => {
                    gone.push(*number);
                    link.lost(Some(error.to_string()));
                }
            }
        }
        for number in gone {
            streams.remove(&number);
        }
        if alarm.is_some_and(|at| at <= Instant::now()) {
            alarm = None;
            if let Some(database) = database() {
                database.expire(Instant::now());
                alarm = database.next_deadline();
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
