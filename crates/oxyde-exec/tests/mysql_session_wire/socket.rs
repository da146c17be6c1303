//! Sessions with a real server, over a blocking socket: `OXYDE_TEST_MYSQL_URL` names it (MySQL or MariaDB).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use oxyde_exec::mysql::session::{Line, Password, Request, Session, SessionConfig};
use oxyde_exec::query::{Column, Encoded, Statement};
use oxyde_exec::{ExecError, TxStatus};

use super::*;

pub trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A session and its socket.
pub struct Wire {
    pub session: Session,
    pub stream: Box<dyn Stream>,
    pub read: Vec<u8>,
}

pub struct Place {
    pub address: String,
    pub user: String,
    pub password: String,
    pub database: String,
}

pub fn place() -> Place {
    let url = std::env::var("OXYDE_TEST_MYSQL_URL").expect("OXYDE_TEST_MYSQL_URL names a server");
    let rest = url.split_once("://").expect("a URL").1;
    let (login, place) = rest.rsplit_once('@').unwrap_or(("root", rest));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (address, database) = place.split_once('/').expect("a database");
    let database = database.split('?').next().unwrap();
    let address = match address.rsplit_once(':') {
        Some(_) => address.to_owned(),
        None => format!("{address}:3306"),
    };
    Place {
        address,
        user: user.into(),
        password: password.into(),
        database: database.into(),
    }
}

pub fn dial(address: &str) -> Box<dyn Stream> {
    let patience = Some(Duration::from_secs(60));
    if address.starts_with('/') {
        let stream = UnixStream::connect(address).expect("the server's socket file");
        stream.set_read_timeout(patience).unwrap();
        return Box::new(stream);
    }
    let stream = TcpStream::connect(address).expect("the server that was named");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(patience).unwrap();
    Box::new(stream)
}

/// What the server says first.
pub fn greeting_of(stream: &mut dyn Stream) -> Vec<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    let mut greeting = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut greeting).unwrap();
    greeting
}

pub fn try_connect(
    change: impl FnOnce(&mut SessionConfig),
    alter: impl FnOnce(&mut Vec<u8>),
    password: Option<Password>,
    socket: Option<&str>,
) -> Result<Wire, ExecError> {
    let place = place();
    let mut config = SessionConfig {
        user: place.user,
        database: Some(place.database),
        application_name: Some("oxyde session tests".into()),
        ..config()
    };
    change(&mut config);
    let mut stream = dial(socket.unwrap_or(&place.address));
    let mut greeting = greeting_of(&mut *stream);
    alter(&mut greeting);
    let mut wire = Wire {
        session: Session::new(config),
        stream,
        read: vec![0; 64 * 1024],
    };
    let line = if socket.is_some() {
        Line::File
    } else {
        Line::Network
    };
    let own = (!place.password.is_empty()).then(|| Password::new(place.password));
    wire.session.start(password.or(own), line, &greeting)?;
    match wire
        .until(|event| matches!(event, Seen::Started | Seen::Fatal(_)))
        .pop()
    {
        Some(Seen::Fatal(error)) => Err(error),
        _ => Ok(wire),
    }
}

pub fn connect(change: impl FnOnce(&mut SessionConfig)) -> Wire {
    try_connect(change, |_| {}, None, None).unwrap()
}

/// The server is told that we know nothing of OK behind rows.
pub fn connect_with_eof() -> Wire {
    let forget = |greeting: &mut Vec<u8>| {
        let version = greeting.iter().position(|byte| *byte == 0).unwrap();
        // Version, number, nonce, filler, lower half, collation, status, upper half.
        greeting[version + 1 + 4 + 8 + 1 + 2 + 1 + 2 + 1] &= !1;
    };
    try_connect(|_| {}, forget, None, None).unwrap()
}

impl Wire {
    pub fn flush(&mut self) {
        self.stream.write_all(self.session.output()).unwrap();
        self.session.output().clear();
    }

    /// Reads until `last` says so of an event, or the session ends; all events so far.
    pub fn until(&mut self, last: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut events = Vec::new();
        loop {
            self.flush();
            let length = self.stream.read(&mut self.read).expect("an answer");
            assert!(length > 0, "{:?} {events:?}", self.session.end_of_file());
            let bytes = self.read[..length].to_vec();
            let before = events.len();
            let alive = feed(&mut self.session, &bytes, &mut events);
            if !alive || events[before.saturating_sub(1)..].iter().any(&last) {
                if alive {
                    self.flush();
                }
                return events;
            }
        }
    }

    pub fn answer(&mut self, request: Request) -> Vec<Seen> {
        self.until(|event| matches!(event, Seen::Done(done, _) if *done == request))
    }

    pub fn simple(&mut self, sql: &str) -> Vec<Seen> {
        let request = self.session.simple(sql).unwrap();
        self.answer(request)
    }

    /// Text that must succeed.
    pub fn run(&mut self, sql: &str) {
        let events = self.simple(sql);
        assert!(
            matches!(events[..], [.., Seen::Completed(..), Seen::Done(..)]),
            "{sql}: {events:?}"
        );
    }

    pub fn query(&mut self, statement: &Statement, params: &Encoded) -> Vec<Seen> {
        let request = self.session.query(statement, params).unwrap();
        self.answer(request)
    }

    /// The only value of the only row.
    pub fn value(&mut self, sql: &str) -> String {
        let events = self.simple(sql);
        let (columns, rows) = result(&events);
        String::from_utf8(cells(&columns, &rows[0])[0].clone().unwrap()).unwrap()
    }

    pub fn is_mariadb(&self) -> bool {
        self.session.is_mariadb()
    }
}

/// Columns and rows among the events of one request.
pub fn result(events: &[Seen]) -> (Vec<Column>, Vec<Vec<u8>>) {
    let columns = events.iter().find_map(|event| match event {
        Seen::Columns(_, columns) => Some(columns.clone()),
        _ => None,
    });
    let rows = events.iter().find_map(|event| match event {
        Seen::Rows(_, rows) => Some(rows.clone()),
        _ => None,
    });
    (
        columns.unwrap_or_else(|| panic!("{events:?}")),
        rows.unwrap_or_default(),
    )
}

pub fn table(events: &[Seen]) -> Vec<Vec<Option<Vec<u8>>>> {
    let (columns, rows) = result(events);
    rows.iter().map(|row| cells(&columns, row)).collect()
}

pub fn failed(events: &[Seen]) -> ExecError {
    match events {
        [.., Seen::Failed(_, error), Seen::Done(..)] => error.clone(),
        _ => panic!("{events:?}"),
    }
}

pub fn last(events: &[Seen]) -> TxStatus {
    match events.last() {
        Some(Seen::Done(_, status)) => *status,
        _ => panic!("{events:?}"),
    }
}
