//! As much of a PostgreSQL client as it takes to prepare statements and to run
//! them with texts: blocking, one statement at a time.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;

use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};

/// Names the server, as `postgres://user:password@host:port/database`.
const VARIABLE: &str = "OXYDE_TEST_POSTGRES_URL";

pub struct Client {
    stream: TcpStream,
    password: String,
}

/// A statement as the server understood it.
pub struct Prepared {
    pub params: Vec<u32>,
    /// Names and OIDs of the columns.
    pub columns: Vec<(String, u32)>,
}

type Row = Vec<Option<String>>;

impl Client {
    /// Connects to the server of the tests.
    pub fn connect() -> Self {
        let url = env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} names no server"));
        let rest = url.split_once("://").expect("a scheme").1;
        let rest = rest.split('?').next().unwrap();
        let (login, place) = rest.rsplit_once('@').unwrap_or(("postgres", rest));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (address, database) = place.split_once('/').unwrap_or((place, user));
        let address = if address.contains(':') {
            address.to_owned()
        } else {
            format!("{address}:5432")
        };
        let mut client = Self {
            stream: TcpStream::connect(address).unwrap(),
            password: decoded(password),
        };
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for text in ["user", &decoded(user), "database", database, ""] {
            text_to(&mut body, text);
        }
        client.send(None, &body);
        client.until_ready().unwrap();
        client
    }

    /// Runs text that may hold several statements.
    pub fn script(&mut self, sql: &str) -> Result<Vec<Row>, String> {
        let mut body = Vec::new();
        text_to(&mut body, sql);
        self.send(Some(b'Q'), &body);
        self.until_ready().map(|(rows, _)| rows)
    }

    /// Has a statement understood, its parameters declared as given (0: not at all).
    pub fn prepare(&mut self, sql: &str, types: &[u32]) -> Result<Prepared, String> {
        let mut body = Vec::new();
        text_to(&mut body, "");
        text_to(&mut body, sql);
        body.extend(u16::try_from(types.len()).unwrap().to_be_bytes());
        for oid in types {
            body.extend(oid.to_be_bytes());
        }
        self.send(Some(b'P'), &body);
        self.send(Some(b'D'), b"S\0");
        self.send(Some(b'S'), b"");
        self.until_ready().map(|(_, prepared)| prepared)
    }

    /// Runs the statement that was prepared last.
    pub fn execute(&mut self, values: &[Option<&str>]) -> Result<Vec<Row>, String> {
        // Names of portal and statement, then formats: none given is text.
        let mut body = vec![0, 0, 0, 0];
        body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            match value {
                None => body.extend((-1_i32).to_be_bytes()),
                Some(text) => {
                    body.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                    body.extend(text.as_bytes());
                }
            }
        }
        body.extend([0, 0]);
        self.send(Some(b'B'), &body);
        self.send(Some(b'E'), b"\0\0\0\0\0");
        self.send(Some(b'S'), b"");
        self.until_ready().map(|(rows, _)| rows)
    }

    fn send(&mut self, tag: Option<u8>, body: &[u8]) {
        let mut message: Vec<u8> = tag.into_iter().collect();
        message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        message.extend(body);
        self.stream.write_all(&message).unwrap();
    }

    fn receive(&mut self) -> (u8, Body) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).unwrap();
        let [tag, a, b, c, d] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap();
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).unwrap();
        (tag, Body(body.into_iter()))
    }

    /// Everything up to ReadyForQuery; the first error, if there is one.
    fn until_ready(&mut self) -> Result<(Vec<Row>, Prepared), String> {
        let (mut rows, mut error, mut scram) = (Vec::new(), None, None);
        let mut prepared = Prepared {
            params: Vec::new(),
            columns: Vec::new(),
        };
        loop {
            let (tag, mut body) = self.receive();
            match tag {
                b'R' => self.authenticate(&mut body, &mut scram),
                b't' => prepared.params = (0..body.u16()).map(|_| body.u32()).collect(),
                b'T' => {
                    prepared.columns = (0..body.u16())
                        .map(|_| {
                            let name = body.text();
                            body.take(6);
                            let oid = body.u32();
                            body.take(8);
                            (name, oid)
                        })
                        .collect();
                }
                b'D' => rows.push((0..body.u16()).map(|_| body.value()).collect()),
                b'E' => {
                    error.get_or_insert(body.error());
                }
                b'Z' => return error.map_or(Ok((rows, prepared)), Err),
                _ => {}
            }
        }
    }

    fn authenticate(&mut self, body: &mut Body, scram: &mut Option<ScramSha256>) {
        match body.u32() {
            0 => {}
            3 => {
                let mut password = self.password.clone().into_bytes();
                password.push(0);
                self.send(Some(b'p'), &password);
            }
            10 => {
                let begun =
                    ScramSha256::new(self.password.as_bytes(), ChannelBinding::unsupported());
                let mut answer = Vec::new();
                text_to(&mut answer, SCRAM_SHA_256);
                answer.extend(u32::try_from(begun.message().len()).unwrap().to_be_bytes());
                answer.extend(begun.message());
                self.send(Some(b'p'), &answer);
                *scram = Some(begun);
            }
            11 => {
                let scram = scram.as_mut().unwrap();
                scram.update(&body.rest()).unwrap();
                let answer = scram.message().to_vec();
                self.send(Some(b'p'), &answer);
            }
            12 => scram.as_mut().unwrap().finish(&body.rest()).unwrap(),
            other => panic!("the server asks for authentication by method {other}"),
        }
    }
}

/// The rest of a message.
struct Body(std::vec::IntoIter<u8>);

impl Body {
    fn take(&mut self, n: usize) -> Vec<u8> {
        self.0.by_ref().take(n).collect()
    }

    fn rest(&mut self) -> Vec<u8> {
        self.0.by_ref().collect()
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let bytes = self.0.by_ref().take_while(|&b| b != 0).collect();
        String::from_utf8(bytes).unwrap()
    }

    fn value(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32())
            .ok()
            .filter(|&n| n != 0xffff_ffff)?;
        Some(String::from_utf8(self.take(length)).unwrap())
    }

    fn error(&mut self) -> String {
        let fields: Vec<_> = self.rest().split(|&b| b == 0).map(<[u8]>::to_vec).collect();
        let field = |tag| {
            let found = fields.iter().find(|f| f.first() == Some(&tag));
            found.map_or(String::new(), |f| {
                String::from_utf8_lossy(&f[1..]).into_owned()
            })
        };
        format!("{} {}", field(b'C'), field(b'M'))
    }
}

fn text_to(out: &mut Vec<u8>, text: &str) {
    out.extend(text.as_bytes());
    out.push(0);
}

/// Without the escapes of a URL.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        out.push(u8::from_str_radix(code, 16).unwrap());
        out.extend(rest.as_bytes());
    }
    String::from_utf8(out).unwrap()
}
