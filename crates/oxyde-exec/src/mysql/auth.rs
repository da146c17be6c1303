//! The login: what the server asks for to believe who we are.
//!
//! ```text
//! mysql_native_password    SHA-1 of password and nonce
//! caching_sha2_password    SHA-256 of password and nonce; if the server has no hash at hand, the password itself
//! sha256_password          the password itself
//! mysql_clear_password     the password itself
//! client_ed25519           the nonce, signed with the password as key (MariaDB)
//! ```
//! The password itself only goes where nobody can listen: in clear over TLS or through a socket file, else encrypted
//! with the server's public key. That key is the server's word alone: it keeps out who listens, not who answers in the
//! server's place. Only TLS with a verified certificate does that.

use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::error::{Effect, ErrorKind, ExecError};
use crate::mysql::backend::{Ending, Reader};
use crate::mysql::errors::Report;
use crate::mysql::{ed25519, rsa};
use crate::query::Malformed;
use crate::wire::session::{Line, Password};

/// Of all plugins but ed25519.
const NONCE: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    Native,
    CachingSha2,
    Sha256,
    Clear,
    Ed25519,
}

impl Plugin {
    const ALL: [Self; 5] = [
        Self::Native,
        Self::CachingSha2,
        Self::Sha256,
        Self::Clear,
        Self::Ed25519,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Clear => "mysql_clear_password",
            Self::Ed25519 => "client_ed25519",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name() == name)
    }
}

/// What the server may say next, beside yes, no and the name of another plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A hash has been sent; it may not suffice.
    Hashed,
    /// The server's public key comes next.
    Key,
    /// Nothing else.
    Sent,
}

pub(super) struct Login {
    password: Vec<u8>,
    line: Line,
    plugin: Plugin,
    nonce: Vec<u8>,
    stage: Stage,
    switched: bool,
    /// Of the server's next packet.
    pub(super) number: u8,
}

/// What follows a packet of the server.
pub(super) enum Step {
    LetIn(Ending),
    Answer(Vec<u8>),
    Wait,
}

impl Login {
    /// With the first answer to the server, which has named `plugin` in its greeting.
    pub(super) fn new(
        password: Option<Password>,
        line: Line,
        plugin: &str,
        nonce: Vec<u8>,
    ) -> Result<(Self, Vec<u8>), ExecError> {
        let mut login = Self {
            password: password.map(|password| password.0).unwrap_or_default(),
            line,
            // The server names another one if this is not the user's, but it wants to see an answer first.
            plugin: Plugin::of(plugin).unwrap_or(Plugin::Native),
            nonce,
            stage: Stage::Sent,
            switched: false,
            number: 0,
        };
        let answer = login.answer()?;
        Ok((login, answer))
    }

    pub(super) fn plugin(&self) -> &'static str {
        self.plugin.name()
    }

    pub(super) fn packet(&mut self, payload: &[u8]) -> Result<Step, ExecError> {
        let mut reader = Reader::new(payload);
        match reader.u8().map_err(malformed)? {
            0x00 => Ending::read(payload).map(Step::LetIn).map_err(malformed),
            0xff => {
                let mut error = Report::read(payload).map_err(malformed)?.error();
                error.kind = ErrorKind::Connect;
                error.outcome = Effect::NotApplied;
                Err(error)
            }
            0xfe if !self.switched => {
                self.switched = true;
                self.switch(reader)
            }
            0x01 => self.more(reader.rest()),
            _ => Err(out_of_turn()),
        }
    }

    /// The user's plugin is another one than the server's.
    fn switch(&mut self, mut reader: Reader<'_>) -> Result<Step, ExecError> {
        if reader.is_empty() {
            return Err(unknown("mysql_old_password"));
        }
        let name = String::from_utf8_lossy(reader.cstr().map_err(malformed)?);
        self.plugin = Plugin::of(&name).ok_or_else(|| unknown(&name))?;
        self.nonce = reader.rest().to_vec();
        self.answer().map(Step::Answer)
    }

    /// What the plugin begins with.
    fn answer(&mut self) -> Result<Vec<u8>, ExecError> {
        self.stage = Stage::Sent;
        let password = self.password.as_slice();
        match self.plugin {
            Plugin::Native | Plugin::CachingSha2 if password.is_empty() => Ok(Vec::new()),
            Plugin::Native => Ok(native(password, self.nonce(NONCE)?)),
            Plugin::CachingSha2 => {
                let answer = caching_sha2(password, self.nonce(NONCE)?);
                self.stage = Stage::Hashed;
                Ok(answer)
            }
            Plugin::Sha256 if password.is_empty() => Ok(vec![0]),
            // A server takes a socket file for as public as a network here.
            Plugin::Sha256 if self.line == Line::Tls => self.clear(),
            Plugin::Sha256 => {
                self.stage = Stage::Key;
                Ok(vec![ASK_FOR_KEY_SHA256])
            }
            Plugin::Clear if self.line.is_secure() => self.clear(),
            Plugin::Clear => Err(refuse(
                "the server asks for the password in clear text, and the connection is not encrypted",
            )
            .with_hint("connect with TLS, or let the user have another authentication plugin")),
            Plugin::Ed25519 => Ok(ed25519::sign(password, self.nonce(ed25519::NONCE)?).to_vec()),
        }
    }

    /// What a plugin has to say beyond its first question.
    fn more(&mut self, data: &[u8]) -> Result<Step, ExecError> {
        match (self.stage, data) {
            (Stage::Hashed, &[KNOWN]) => {
                self.stage = Stage::Sent;
                Ok(Step::Wait)
            }
            (Stage::Hashed, &[UNKNOWN]) if self.line.is_secure() => {
                self.stage = Stage::Sent;
                self.clear().map(Step::Answer)
            }
            (Stage::Hashed, &[UNKNOWN]) => {
                self.stage = Stage::Key;
                Ok(Step::Answer(vec![ASK_FOR_KEY]))
            }
            (Stage::Key, key) => {
                self.stage = Stage::Sent;
                self.encrypted(key).map(Step::Answer)
            }
            _ => Err(out_of_turn()),
        }
    }

    /// The password as it is.
    fn clear(&self) -> Result<Vec<u8>, ExecError> {
        if self.password.contains(&0) {
            return Err(refuse(
                "the password contains a zero byte, which the server's authentication plugin cannot take",
            ));
        }
        Ok([self.password.as_slice(), &[0]].concat())
    }

    /// The password as only the owner of `key` can read it.
    fn encrypted(&self, key: &[u8]) -> Result<Vec<u8>, ExecError> {
        let nonce = self.nonce(NONCE)?;
        let mut secret = self.clear()?;
        for (byte, mask) in secret.iter_mut().zip(nonce.iter().cycle()) {
            *byte ^= mask;
        }
        rsa::encrypt(key, &secret).map_err(|why| {
            refuse(&format!(
                "the password cannot be encrypted for the server: {why}"
            ))
            .with_hint("connect with TLS")
        })
    }

    fn nonce(&self, length: usize) -> Result<&[u8], ExecError> {
        self.nonce
            .get(..length)
            .ok_or_else(|| malformed(Malformed("a nonce that is too short")))
    }
}

/// Answers of caching_sha2_password to a hash.
const KNOWN: u8 = 3;
const UNKNOWN: u8 = 4;

const ASK_FOR_KEY: u8 = 2;
const ASK_FOR_KEY_SHA256: u8 = 1;

fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mask = Sha1::new().chain_update(nonce).chain_update(twice);
    xor(&once, &mask.finalize())
}

fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Sha256::digest(password);
    let twice = Sha256::digest(once);
    let mask = Sha256::new().chain_update(twice).chain_update(nonce);
    xor(&once, &mask.finalize())
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn unknown(plugin: &str) -> ExecError {
    let plugin: String = plugin.chars().take(64).collect();
    refuse(&format!(
        "the server asks for authentication by {plugin}, which is not supported"
    ))
    .with_hint(
        "let the user have caching_sha2_password (MySQL: ALTER USER … IDENTIFIED WITH …), \
         or mysql_native_password or ed25519 (MariaDB: ALTER USER … IDENTIFIED VIA …)",
    )
}

fn out_of_turn() -> ExecError {
    malformed(Malformed("a step of the login out of turn"))
}

fn malformed(what: Malformed) -> ExecError {
    refuse(&format!(
        "the server broke the protocol of the login: {}",
        what.0
    ))
}

fn refuse(message: &str) -> ExecError {
    ExecError::new(ErrorKind::Connect, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reckoned with Python's hashlib.
    #[test]
    fn hashes_of_password_and_nonce() {
        let nonce: Vec<u8> = (1..=20).collect();
        assert_eq!(
            hex(&native(b"secret", &nonce)),
            "b32bb3a583e1340c0a1108d58b1be49781ad8c2f"
        );
        assert_eq!(
            hex(&caching_sha2(b"secret", &nonce)),
            "746ebe205d56a0707acb3e796e834e0dd7b1d61743b26bd5202c7a623230c7c9"
        );
    }
}
