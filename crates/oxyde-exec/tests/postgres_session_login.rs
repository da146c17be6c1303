//! Logins, against a server's side of SCRAM written here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod postgres_session_wire;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use oxyde_exec::postgres::session::{Limits, Password, Session, SessionConfig};
use oxyde_exec::{ErrorKind, ExecError};
use postgres_session_wire::*;
use sha2::{Digest, Sha256};

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn xor(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    std::array::from_fn(|at| a[at] ^ b[at])
}

/// RFC 5802's Hi().
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut all = last;
    for _ in 1..rounds {
        last = hmac(password, &last);
        all = xor(all, last);
    }
    all
}

/// What a dishonest server does differently.
#[derive(Default)]
struct Tricks {
    nonce: Option<&'static str>,
    rounds: Option<&'static str>,
    salt: Option<&'static str>,
    signature: Option<&'static str>,
    /// Says OK instead of showing its signature.
    skips_signature: bool,
    /// Says OK instead of the challenge.
    skips_challenge: bool,
}

struct Login {
    session: Session,
    events: Vec<Seen>,
}

impl Login {
    fn new(password: Option<&str>, secure: bool) -> Self {
        let mut session = Session::new(config());
        session.start(password.map(Password::new), secure).unwrap();
        session.output().clear();
        Self {
            session,
            events: Vec::new(),
        }
    }

    /// What the client answers to `bytes`.
    fn say(&mut self, bytes: &[u8]) -> Result<Vec<u8>, ExecError> {
        feed(&mut self.session, bytes, &mut self.events);
        match self.events.last() {
            Some(Seen::Fatal(error)) => Err(error.clone()),
            _ => Ok(written(&mut self.session)
                .into_iter()
                .next()
                .map(|(kind, body)| {
                    assert_eq!(kind, b'p');
                    body
                })
                .unwrap_or_default()),
        }
    }

    /// The server's side of SCRAM-SHA-256; the error is the client's, or the server's about the client's proof.
    fn scram(&mut self, stored: &str, tricks: &Tricks) -> Result<(), ExecError> {
        let first = self.say(&auth(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))?;
        let first = first
            .strip_prefix(b"SCRAM-SHA-256\0")
            .expect("the mechanism");
        let length = u32::from_be_bytes(first[..4].try_into().unwrap());
        let first = std::str::from_utf8(&first[4..]).unwrap();
        assert_eq!(first.len(), usize::try_from(length).unwrap());
        let bare = first.strip_prefix("n,,").expect("no channel binding");
        let nonce = bare.strip_prefix("n=,r=").expect("a nonce");
        assert!(nonce.len() >= 18);
        if tricks.skips_challenge {
            return self.say(&auth(0, &[])).map(drop);
        }
        let salt = b"sixteen bytes !!";
        let salt_text = STANDARD.encode(salt);
        let theirs = format!("{nonce}server");
        let challenge = format!(
            "r={},s={},i={}",
            tricks.nonce.unwrap_or(&theirs),
            tricks.salt.unwrap_or(&salt_text),
            tricks.rounds.unwrap_or("4096"),
        );
        let last = self.say(&auth(11, challenge.as_bytes()))?;
        let last = std::str::from_utf8(&last).unwrap();
        let (unproven, proof) = last.rsplit_once(",p=").expect("a proof");
        assert_eq!(unproven, format!("c=biws,r={theirs}"));
        let salted = salted(stored.as_bytes(), salt, 4096);
        let signed = format!("{bare},{challenge},{unproven}");
        let stored_key: [u8; 32] = Sha256::digest(hmac(&salted, b"Client Key")).into();
        let signature = hmac(&stored_key, signed.as_bytes());
        let proof: [u8; 32] = STANDARD.decode(proof).unwrap().try_into().unwrap();
        if <[u8; 32]>::from(Sha256::digest(xor(proof, signature))) != stored_key {
            return self
                .say(&failure("28P01", "password authentication failed"))
                .map(drop);
        }
        if !tricks.skips_signature {
            let own = STANDARD.encode(hmac(&hmac(&salted, b"Server Key"), signed.as_bytes()));
            let shown = format!("v={}", tricks.signature.unwrap_or(&own));
            self.say(&auth(12, shown.as_bytes()))?;
        }
        self.say(&greeting()).map(drop)
    }
}

#[test]
fn scram_lets_in_who_knows_the_password() {
    for password in ["secret", "", "pä$$ wörd ♥", "a,b=c"] {
        let mut login = Login::new(Some(password), false);
        login.scram(password, &Tricks::default()).unwrap();
        assert_eq!(login.events, [Seen::Started]);
        assert!(login.session.simple("SELECT 1").is_ok());
    }
    let refused = Login::new(Some("wrong"), false).scram("secret", &Tricks::default());
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.kind, refused.sqlstate.as_deref()),
        (ErrorKind::Connect, Some("28P01"))
    );
}

#[test]
fn scram_turns_away_a_server_that_does_not_know_the_password() {
    let other = STANDARD.encode([7; 32]);
    let other: &'static str = other.leak();
    let none = Tricks::default;
    for (what, tricks) in [
        (
            "another signature",
            Tricks {
                signature: Some(other),
                ..none()
            },
        ),
        (
            "a signature that is none",
            Tricks {
                signature: Some("x"),
                ..none()
            },
        ),
        (
            "an empty signature",
            Tricks {
                signature: Some(""),
                ..none()
            },
        ),
        (
            "no signature",
            Tricks {
                skips_signature: true,
                ..none()
            },
        ),
        (
            "no challenge",
            Tricks {
                skips_challenge: true,
                ..none()
            },
        ),
        (
            "a nonce of its own",
            Tricks {
                nonce: Some("itsown"),
                ..none()
            },
        ),
        (
            "an empty nonce",
            Tricks {
                nonce: Some(""),
                ..none()
            },
        ),
        (
            "a salt that is none",
            Tricks {
                salt: Some("%%%"),
                ..none()
            },
        ),
        (
            "too many rounds",
            Tricks {
                rounds: Some("2000000000"),
                ..none()
            },
        ),
        (
            "rounds beyond a number",
            Tricks {
                rounds: Some("99999999999999999999999"),
                ..none()
            },
        ),
        (
            "no rounds",
            Tricks {
                rounds: Some("0"),
                ..none()
            },
        ),
        (
            "rounds that are none",
            Tricks {
                rounds: Some("-1"),
                ..none()
            },
        ),
    ] {
        let mut login = Login::new(Some("secret"), true);
        let error = login.scram("secret", &tricks).expect_err(what);
        assert_eq!(error.kind, ErrorKind::Connect, "{what}");
        assert!(!format!("{error:?}").contains("secret"));
        assert!(login.session.simple("SELECT 1").is_err());
    }
}

#[test]
fn the_number_of_rounds_is_limited() {
    let mut session = Session::new(SessionConfig {
        limits: Limits {
            scram_iterations: 4095,
            ..Limits::default()
        },
        ..config()
    });
    session.start(Some(Password::new("secret")), false).unwrap();
    session.output().clear();
    let mut login = Login {
        session,
        events: Vec::new(),
    };
    let error = login.scram("secret", &Tricks::default()).unwrap_err();
    assert!(error.message.contains("4096"), "{error}");
}

#[test]
fn md5_answers_with_the_salted_hash() {
    let mut login = Login::new(Some("password"), false);
    let answer = login.say(&auth(5, &[0x2a, 0x3d, 0x8f, 0xe0])).unwrap();
    // md5(md5("password" + "anna") in hex + salt)
    assert_eq!(answer, b"md5b36e402b7ce7afc8097e415500faeac7\0");
    login.say(&greeting()).unwrap();
    assert_eq!(login.events, [Seen::Started]);
    assert!(
        Login::new(Some("password"), false)
            .say(&auth(5, &[1, 2, 3]))
            .is_err()
    );
}

#[test]
fn clear_text_is_only_sent_where_nobody_listens() {
    let mut login = Login::new(Some("password"), true);
    assert_eq!(login.say(&auth(3, &[])).unwrap(), b"password\0");
    login.say(&greeting()).unwrap();
    let mut login = Login::new(Some("password"), false);
    let error = login.say(&auth(3, &[])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Connect);
    assert!(error.hint.is_some());
    assert!(login.session.output().is_empty());
    assert!(
        Login::new(Some("pass\0word"), true)
            .say(&auth(3, &[]))
            .is_err()
    );
}

#[test]
fn a_server_may_trust_but_not_ask_for_what_is_not_there() {
    let mut login = Login::new(Some("unused"), false);
    login.say(&greeting()).unwrap();
    assert_eq!(login.events, [Seen::Started]);
    for request in [
        auth(3, &[]),
        auth(5, &[1, 2, 3, 4]),
        auth(10, b"SCRAM-SHA-256\0\0"),
    ] {
        let error = Login::new(None, true).say(&request).unwrap_err();
        assert!(error.message.contains("password"), "{error}");
    }
}

#[test]
fn other_methods_are_named_with_what_to_do() {
    for (request, name) in [
        (auth(2, &[]), "Kerberos"),
        (auth(6, &[]), "SCM"),
        (auth(7, &[]), "GSSAPI"),
        (auth(8, &[]), "GSSAPI"),
        (auth(9, &[]), "SSPI"),
        (
            auth(10, b"SCRAM-SHA-256-PLUS\0OAUTHBEARER\0\0"),
            "OAUTHBEARER",
        ),
        (auth(10, b"\0"), "SASL"),
        (auth(99, &[]), "99"),
    ] {
        let error = Login::new(Some("x"), true).say(&request).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Connect);
        assert!(error.message.contains(name), "{error}");
        assert!(
            error
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("pg_hba"))
        );
    }
}

#[test]
fn steps_out_of_turn_end_the_login() {
    let steps = [
        auth(3, &[]),
        auth(5, &[1, 2, 3, 4]),
        auth(10, b"SCRAM-SHA-256\0\0"),
        auth(11, b"r=x,s=x,i=1"),
        auth(12, b"v=x"),
    ];
    for second in &steps {
        let mut login = Login::new(Some("x"), true);
        login.say(&auth(3, &[])).unwrap();
        assert!(login.say(second).is_err());
    }
    for first in &steps[3..] {
        assert!(Login::new(Some("x"), true).say(first).is_err());
    }
    // Not let in yet, or no PostgreSQL at all.
    for bytes in [
        &ready(b'I')[..],
        &key(1, &[1; 4]),
        &setting("a", "b"),
        &complete("SELECT 1"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0; 20],
    ] {
        let error = Login::new(None, false).say(bytes).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Connect);
        assert!(error.hint.is_some(), "{error}");
    }
}

#[test]
fn errors_during_the_login_are_about_connecting() {
    for (state, retryable) in [
        ("53300", true),
        ("57P03", true),
        ("3D000", false),
        ("08P01", false),
        ("42501", false),
    ] {
        for before in [Vec::new(), auth(0, &[])] {
            let mut login = Login::new(None, false);
            let error = login
                .say(&[before, failure(state, "not now")].concat())
                .unwrap_err();
            assert_eq!(
                (error.kind, error.retryable),
                (ErrorKind::Connect, retryable),
                "{state}"
            );
            assert_eq!(error.message, "not now");
        }
    }
}

#[test]
fn settings_that_would_garble_values_are_refused() {
    for (name, value) in [("integer_datetimes", "off"), ("client_encoding", "LATIN1")] {
        let bytes = [auth(0, &[]), setting(name, value), ready(b'I')].concat();
        let error = Login::new(None, false).say(&bytes).unwrap_err();
        assert!(error.message.contains(name) && error.message.contains(value));
    }
}

#[test]
fn keys_for_cancelling_may_have_several_lengths() {
    for length in [4, 32, 256] {
        let mut login = Login::new(None, false);
        let bytes = [auth(0, &[]), key(5, &vec![9; length]), ready(b'I')].concat();
        login.say(&bytes).unwrap();
        assert_eq!(login.session.cancel_packet().unwrap().len(), 12 + length);
    }
    for length in [0, 3, 257] {
        let bytes = [auth(0, &[]), key(5, &vec![9; length])].concat();
        assert!(Login::new(None, false).say(&bytes).is_err());
    }
}

#[test]
fn no_debug_output_shows_a_password() {
    let password = Password::new("canary");
    let mut session = Session::new(config());
    session.start(Some(password.clone()), true).unwrap();
    assert!(!format!("{password:?} {session:?}").contains("canary"));
}
