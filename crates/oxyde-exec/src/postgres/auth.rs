//! The login: what the server asks for to believe who we are, and what it must show in return.
//!
//! SCRAM-SHA-256 proves to both sides that the other knows the password; a server that skips its own proof is turned
//! away. Passwords in clear are only sent where nobody can listen.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};

use crate::error::{ErrorKind, ExecError};
use crate::postgres::backend::Reader;
use crate::postgres::frontend;
use crate::postgres::session::Password;
use crate::query::Malformed;
use crate::wire::events::Fatal;

pub(super) struct Login {
    user: String,
    password: Option<Password>,
    secure: bool,
    stage: Stage,
}

enum Stage {
    /// The server has the word.
    Asked,
    /// A password has been sent; only its acceptance can follow.
    Sent,
    /// SCRAM: the server's nonce, salt and number of rounds come next.
    Challenge(ScramSha256),
    /// SCRAM: the server's signature comes next.
    Signature(ScramSha256),
}

impl Login {
    pub(super) fn new(user: String, password: Option<Password>, secure: bool) -> Self {
        Self {
            user,
            password,
            secure,
            stage: Stage::Asked,
        }
    }

    /// Answers an authentication message; true: the server lets us in.
    pub(super) fn answer(
        &mut self,
        body: &[u8],
        iterations: u32,
        out: &mut Vec<u8>,
    ) -> Result<bool, Fatal> {
        let mut reader = Reader::new(body);
        let code = reader.i32().map_err(malformed)?;
        let data = reader.rest();
        match (code, std::mem::replace(&mut self.stage, Stage::Sent)) {
            (0, Stage::Asked | Stage::Sent) => return Ok(true),
            (3, Stage::Asked) => {
                let password = self.password()?;
                if !self.secure {
                    return Err(refuse("the server asks for the password in clear text, and the connection is not encrypted")
                        .hint("connect with TLS (sslmode=require), or let the server use scram-sha-256"));
                }
                frontend::password(out, nonzero(password)?, true);
            }
            (5, Stage::Asked) => {
                let password = nonzero(self.password()?)?;
                let Ok(salt) = <[u8; 4]>::try_from(data) else {
                    return Err(malformed(Malformed("a salt of another length")));
                };
                let hash = md5_hash(self.user.as_bytes(), password, salt);
                frontend::password(out, hash.as_bytes(), true);
            }
            (10, Stage::Asked) => self.start_scram(data, out)?,
            (11, Stage::Challenge(mut scram)) => {
                check_rounds(data, iterations)?;
                scram.update(data).map_err(scram_failed)?;
                frontend::password(out, scram.message(), false);
                self.stage = Stage::Signature(scram);
            }
            (12, Stage::Signature(mut scram)) => {
                scram.finish(data).map_err(scram_failed)?;
            }
            (0, Stage::Challenge(_) | Stage::Signature(_)) => {
                return Err(
                    refuse("the server did not prove that it knows the password").hint(
                        "something between here and the server may be answering in its place",
                    ),
                );
            }
            (2, _) => return Err(unknown_method("Kerberos V5")),
            (6, _) => return Err(unknown_method("SCM credentials")),
            (7 | 8, _) => return Err(unknown_method("GSSAPI")),
            (9, _) => return Err(unknown_method("SSPI")),
            (3 | 5 | 10 | 11 | 12, _) => {
                return Err(malformed(Malformed("a step of the login out of turn")));
            }
            _ => return Err(unknown_method(&format!("number {code}"))),
        }
        Ok(false)
    }

    fn start_scram(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Fatal> {
        let mut reader = Reader::new(data);
        let mut offered = Vec::new();
        loop {
            let name = reader.text().map_err(malformed)?;
            if name.is_empty() {
                break;
            }
            offered.push(name);
        }
        if !offered.iter().any(|name| name == SCRAM_SHA_256) {
            return Err(unknown_method(&format!("SASL ({})", offered.join(", "))));
        }
        let scram = ScramSha256::new(self.password()?, ChannelBinding::unsupported());
        frontend::sasl_initial(out, SCRAM_SHA_256, scram.message());
        self.stage = Stage::Challenge(scram);
        Ok(())
    }

    fn password(&self) -> Result<&[u8], Fatal> {
        match &self.password {
            Some(password) => Ok(&password.0),
            None => Err(
                refuse("the server asks for a password, and none is configured")
                    .hint("give one in the database's URL or as an option"),
            ),
        }
    }
}

/// A server could name a number of rounds that keeps the client busy for hours.
fn check_rounds(challenge: &[u8], limit: u32) -> Result<(), Fatal> {
    let rounds = challenge
        .split(|byte| *byte == b',')
        .find_map(|part| part.strip_prefix(b"i="))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<u64>().ok());
    match rounds {
        Some(rounds) if (1..=u64::from(limit)).contains(&rounds) => Ok(()),
        Some(rounds) => Err(refuse(&format!(
            "the server asks for {rounds} rounds of SCRAM-SHA-256; between 1 and {limit} are done"
        ))),
        None => Err(malformed(Malformed(
            "a SCRAM challenge without its number of rounds",
        ))),
    }
}

/// The password message ends at a zero byte.
fn nonzero(password: &[u8]) -> Result<&[u8], Fatal> {
    if password.contains(&0) {
        return Err(refuse(
            "the password contains a zero byte, which only SCRAM-SHA-256 can carry",
        ));
    }
    Ok(password)
}

fn unknown_method(method: &str) -> Fatal {
    refuse(&format!(
        "the server asks for authentication by {method}, which is not supported"
    ))
    .hint("let pg_hba.conf use scram-sha-256 for this user and address")
}

fn scram_failed(error: std::io::Error) -> Fatal {
    refuse(&format!("the login by SCRAM-SHA-256 failed: {error}"))
}

fn malformed(what: Malformed) -> Fatal {
    refuse(&format!(
        "the server broke the protocol of the login: {}",
        what.0
    ))
}

fn refuse(message: &str) -> Fatal {
    Fatal(ExecError::new(ErrorKind::Connect, message))
}

impl Fatal {
    fn hint(self, hint: &str) -> Self {
        Self(self.0.with_hint(hint))
    }
}
