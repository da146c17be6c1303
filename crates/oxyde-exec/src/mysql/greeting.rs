//! How both sides introduce themselves: what the server says first, and what it hears from us.

use crate::error::{Effect, ErrorKind, ExecError};
use crate::mysql::backend::Reader;
use crate::mysql::errors::Report;
use crate::mysql::frontend;
use crate::query::Malformed;

/// Abilities of a server or a client. The upper half are MariaDB's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities(pub(super) u64);

impl Capabilities {
    /// Set by MySQL. MariaDB leaves it out and has its own abilities in bytes that MySQL does not use.
    const MYSQL: Self = Self(1);
    /// An update counts the rows that it finds, not only those that it changes.
    const FOUND_ROWS: Self = Self(1 << 1);
    const LONG_FLAG: Self = Self(1 << 2);
    const CONNECT_WITH_DB: Self = Self(1 << 3);
    const PROTOCOL_41: Self = Self(1 << 9);
    const TLS: Self = Self(1 << 11);
    const TRANSACTIONS: Self = Self(1 << 13);
    const SECURE_CONNECTION: Self = Self(1 << 15);
    const MULTI_RESULTS: Self = Self(1 << 17);
    const PS_MULTI_RESULTS: Self = Self(1 << 18);
    const PLUGIN_AUTH: Self = Self(1 << 19);
    const CONNECT_ATTRS: Self = Self(1 << 20);
    const PLUGIN_AUTH_LENENC: Self = Self(1 << 21);
    const DEPRECATE_EOF: Self = Self(1 << 24);
    /// MariaDB: definitions of columns that the client has are not sent again.
    const CACHE_METADATA: Self = Self(1 << 36);

    /// What we use if the server has it. Several statements in one text and files of ours are not among it.
    const WANTED: Self = Self(
        Self::MYSQL.0
            | Self::FOUND_ROWS.0
            | Self::LONG_FLAG.0
            | Self::PROTOCOL_41.0
            | Self::TRANSACTIONS.0
            | Self::SECURE_CONNECTION.0
            | Self::MULTI_RESULTS.0
            | Self::PS_MULTI_RESULTS.0
            | Self::PLUGIN_AUTH.0
            | Self::CONNECT_ATTRS.0
            | Self::PLUGIN_AUTH_LENENC.0
            | Self::DEPRECATE_EOF.0
            | Self::CACHE_METADATA.0,
    );

    /// Without these nothing of what follows can be understood.
    const NEEDED: Self = Self(
        Self::PROTOCOL_41.0
            | Self::SECURE_CONNECTION.0
            | Self::PLUGIN_AUTH.0
            | Self::MULTI_RESULTS.0,
    );

    fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn deprecates_eof(self) -> bool {
        self.has(Self::DEPRECATE_EOF)
    }

    pub(super) fn caches_metadata(self) -> bool {
        self.has(Self::CACHE_METADATA)
    }

    fn is_mysql(self) -> bool {
        self.has(Self::MYSQL)
    }
}

/// utf8mb4_general_ci, which every server knows; what a session compares with is set later.
const UTF8MB4: u8 = 45;

/// The longest packet that a client takes, as far as servers ask.
const LONGEST: u32 = 1 << 30;

/// The server's first packet.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) version: String,
    /// The number of the connection, as KILL takes it.
    pub(super) thread: u32,
    /// Random bytes, to be hashed with the password.
    pub(super) nonce: Vec<u8>,
    pub(super) capabilities: Capabilities,
    pub(super) plugin: String,
}

impl Greeting {
    /// What the server can do for us; a refusal in place of a greeting is the error.
    pub(super) fn read(payload: &[u8]) -> Result<Self, ExecError> {
        if payload.first() == Some(&0xff) {
            let mut error = match Report::read(payload) {
                Ok(report) => report.error(),
                Err(malformed) => return Err(no_server(malformed)),
            };
            error.kind = ErrorKind::Connect;
            error.outcome = Effect::NotApplied;
            return Err(error);
        }
        let greeting = Self::parse(payload).map_err(no_server)?;
        if greeting.capabilities.has(Capabilities::NEEDED) {
            Ok(greeting)
        } else {
            Err(ExecError::new(
                ErrorKind::NotSupported,
                format!(
                    "the server ({}) does not speak the protocol of MySQL 8 or MariaDB 10.6",
                    greeting.version
                ),
            ))
        }
    }

    fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != 10 {
            return Err(Malformed("a greeting of another version of the protocol"));
        }
        let version = String::from_utf8_lossy(reader.cstr()?).into_owned();
        let thread = reader.u32()?;
        let mut nonce = reader.bytes(8)?.to_vec();
        reader.u8()?;
        let low = u64::from(reader.u16()?);
        reader.u8()?;
        reader.u16()?;
        let high = u64::from(reader.u16()?) << 16;
        let length = usize::from(reader.u8()?);
        reader.bytes(6)?;
        let own = u64::from(reader.u32()?) << 32;
        let common = Capabilities(low | high);
        let capabilities = if common.is_mysql() {
            common
        } else {
            Capabilities(common.0 | own)
        };
        // The second part has 13 bytes at the least, the last of which is a zero.
        let second = reader.bytes(length.saturating_sub(8).max(13))?;
        nonce.extend_from_slice(second.strip_suffix(&[0]).unwrap_or(second));
        // Some servers forget the zero behind the name.
        let name = reader.rest();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Self {
            version: version
                .strip_prefix("5.5.5-")
                .map_or_else(|| version.clone(), str::to_owned),
            thread,
            nonce,
            capabilities,
            plugin: String::from_utf8_lossy(name).into_owned(),
        })
    }

    /// What asks for TLS: the first half of an introduction. Its abilities count, at least on MariaDB, so that they
    /// are those of the introduction. `None`: the server has no TLS.
    pub(super) fn tls_request(&self, database: bool) -> Option<Vec<u8>> {
        self.capabilities
            .has(Capabilities::TLS)
            .then(|| head(self.agreed(true, database)))
    }

    pub(super) fn is_mariadb(&self) -> bool {
        !self.capabilities.is_mysql() || self.version.contains("MariaDB")
    }

    /// What both sides can do. `encrypted`: TLS has been agreed on already.
    pub(super) fn agreed(&self, encrypted: bool, database: bool) -> Capabilities {
        let mut agreed = self.capabilities.0 & Capabilities::WANTED.0;
        if encrypted {
            agreed |= Capabilities::TLS.0;
        }
        if database {
            agreed |= Capabilities::CONNECT_WITH_DB.0;
        }
        Capabilities(agreed)
    }
}

/// How an introduction begins.
fn head(capabilities: Capabilities) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let [common, own] = {
        let bits = capabilities.0;
        [bits & 0xffff_ffff, bits >> 32].map(|half| u32::try_from(half).unwrap_or_default())
    };
    out.extend_from_slice(&common.to_le_bytes());
    out.extend_from_slice(&LONGEST.to_le_bytes());
    out.push(UTF8MB4);
    out.extend_from_slice(&[0; 19]);
    out.extend_from_slice(&own.to_le_bytes());
    out
}

/// Who we are; texts have been checked.
pub(super) struct Introduction<'a> {
    pub(super) capabilities: Capabilities,
    pub(super) user: &'a str,
    pub(super) database: Option<&'a str>,
    pub(super) plugin: &'a str,
    pub(super) answer: &'a [u8],
    pub(super) program: Option<&'a str>,
}

impl Introduction<'_> {
    pub(super) fn payload(&self) -> Vec<u8> {
        let mut out = head(self.capabilities);
        frontend::cstr(&mut out, self.user.as_bytes());
        if self.capabilities.has(Capabilities::PLUGIN_AUTH_LENENC) {
            frontend::string(&mut out, self.answer);
        } else {
            // None of our answers to a greeting is longer than 64 bytes.
            out.push(u8::try_from(self.answer.len()).unwrap_or_default());
            out.extend_from_slice(self.answer);
        }
        if let Some(database) = self.database {
            frontend::cstr(&mut out, database.as_bytes());
        }
        frontend::cstr(&mut out, self.plugin.as_bytes());
        if self.capabilities.has(Capabilities::CONNECT_ATTRS) {
            let mut attributes = Vec::new();
            let program = self.program.map(|name| ("program_name", name));
            for (name, value) in [("_client_name", "oxyde")].into_iter().chain(program) {
                frontend::string(&mut attributes, name.as_bytes());
                frontend::string(&mut attributes, value.as_bytes());
            }
            frontend::string(&mut out, &attributes);
        }
        out
    }
}

fn no_server(what: Malformed) -> ExecError {
    ExecError::new(
        ErrorKind::Connect,
        format!("the server does not speak MySQL's protocol: {}", what.0),
    )
    .with_hint("is there a MySQL or MariaDB server at this address and port?")
}
