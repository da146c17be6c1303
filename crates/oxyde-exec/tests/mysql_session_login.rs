//! Logins, against a server's side of the plugins written here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod mysql_session_wire;

use mysql_session_wire::exercise::NONCE;
use mysql_session_wire::*;
use num_bigint::BigUint;
use oxyde_exec::mysql::session::{Line, Password, Session};
use oxyde_exec::{Effect, ErrorKind, ExecError};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A key pair for these tests only.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCfKbBoq9WSupoN/RywndxU1yKh
HFPEGrMPtGpHIJY1oW3UpNdDrf3G3DjnL2MMrdVR1LhXD8DgZBUkc8Sk4gvWtRqL
wrTqo3eD+zLnsk9kGjS/mW08sV9amN+lNMuiCk7nF03n1YB2qxAGdQMXO2IxkPXb
z5DwhcP+eEYIsVFWDwIDAQAB
-----END PUBLIC KEY-----
";
const MODULUS: &str = "9f29b068abd592ba9a0dfd1cb09ddc54d722a11c53c41ab30fb46a47209635a16dd4a4d743adfdc6dc38e72f630cadd551d4b8570fc0e064152473c4a4e20bd6b51a8bc2b4eaa37783fb32e7b24f641a34bf996d3cb15f5a98dfa534cba20a4ee7174de7d58076ab10067503173b623190f5dbcf90f085c3fe784608b151560f";
const PRIVATE: &str = "92445a94e68d2009923796cafdd824ba66f6b0fe7a507684e5c2d404478323081609dbeee3888af66c3d72df8e7401704f826061c9dd63993600c8cf0703a1021d6c12d62e48a32ff3622b46e02ded0d11bf83d2aecd65ab427cbf0cbc1663927ceb10c27e5946d29394da9c3f7bb7e3ba2bd8bb6e15fbb52b3d1b8e15591c49";

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";
const SHA256: &str = "sha256_password";
const CLEAR: &str = "mysql_clear_password";

/// More of the login: the hash suffices, and it does not.
const KNOWN: &[u8] = &[1, 3];
const UNKNOWN: &[u8] = &[1, 4];

struct Login {
    session: Session,
    events: Vec<Seen>,
    /// Of the next packet, whoever sends it.
    number: u8,
    /// What the client said to the greeting.
    plugin: String,
    answer: Vec<u8>,
}

impl Login {
    fn with(password: &str, line: Line, plugin: &str) -> Result<Self, ExecError> {
        let mut session = Session::new(config());
        let greeting = greeting(MYSQL, plugin);
        session.start(Some(Password::new(password)), line, &greeting)?;
        let mut login = Self {
            session,
            events: Vec::new(),
            number: if line == Line::Tls { 2 } else { 1 },
            plugin: String::new(),
            answer: Vec::new(),
        };
        let introduction = login.heard().expect("an introduction");
        let rest = introduction[32..].strip_prefix(b"anna\0").unwrap();
        let (length, rest) = rest.split_first().unwrap();
        let (answer, rest) = rest.split_at(usize::from(*length));
        let rest = rest.strip_prefix(b"shop\0").unwrap();
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        login.answer = answer.to_vec();
        login.plugin = String::from_utf8(rest[..end].to_vec()).unwrap();
        Ok(login)
    }

    fn new(password: &str, line: Line, plugin: &str) -> Self {
        Self::with(password, line, plugin).unwrap()
    }

    /// What the client has sent: one packet at the most.
    fn heard(&mut self) -> Option<Vec<u8>> {
        let bytes = std::mem::take(self.session.output());
        let (head, payload) = bytes.split_at_checked(4)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        assert_eq!(usize::try_from(length).unwrap(), payload.len());
        assert_eq!(head[3], self.number);
        self.number += 1;
        Some(payload.to_vec())
    }

    /// What the client answers to a packet; `None`: nothing.
    fn say(&mut self, payload: &[u8]) -> Result<Option<Vec<u8>>, ExecError> {
        let bytes = packets(self.number, payload);
        self.number += 1;
        feed(&mut self.session, &bytes, &mut self.events);
        match self.events.last() {
            Some(Seen::Fatal(error)) => {
                assert!(self.session.output().is_empty());
                assert!(self.session.simple("SELECT 1").is_err());
                Err(error.clone())
            }
            _ => Ok(self.heard()),
        }
    }

    fn switch(&mut self, plugin: &str, nonce: &[u8]) -> Result<Option<Vec<u8>>, ExecError> {
        self.say(&[&[0xfe], plugin.as_bytes(), &[0], nonce, &[0]].concat())
    }

    fn refused(mut self, payload: &[u8]) -> ExecError {
        let error = self.say(payload).expect_err("an error");
        assert_eq!(error.kind, ErrorKind::Connect);
        assert_eq!(error.outcome, Effect::NotApplied);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        error
    }

    fn let_in(&mut self) {
        assert_eq!(self.say(&ok(0, 0, 0, AUTOCOMMIT)), Ok(None));
        assert_eq!(self.events, [Seen::Started]);
        assert!(self.session.simple("SELECT 1").is_ok());
    }
}

/// The server's side of mysql_native_password: it knows the hash of the password's hash.
fn native_is(answer: &[u8], password: &str, nonce: &[u8]) -> bool {
    let stored = Sha1::digest(Sha1::digest(password));
    let mask = Sha1::new()
        .chain_update(nonce)
        .chain_update(stored)
        .finalize();
    let once: Vec<u8> = answer.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    answer.len() == 20 && Sha1::digest(once) == stored
}

fn caching_is(answer: &[u8], password: &str, nonce: &[u8]) -> bool {
    let stored = Sha256::digest(Sha256::digest(password));
    let mask = Sha256::new()
        .chain_update(stored)
        .chain_update(nonce)
        .finalize();
    let once: Vec<u8> = answer.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    answer.len() == 32 && Sha256::digest(once) == stored
}

/// What the owner of the key reads: the password with a zero behind it, masked by the nonce.
fn decrypted(secret: &[u8], nonce: &[u8]) -> Vec<u8> {
    let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16).unwrap();
    let padded = BigUint::from_bytes_be(secret)
        .modpow(&number(PRIVATE), &number(MODULUS))
        .to_bytes_be();
    assert_eq!(padded.len(), secret.len() - 1, "a zero in front");
    let mask = |data: &mut [u8], seed: &[u8]| {
        for (number, chunk) in (0_u32..).zip(data.chunks_mut(20)) {
            let bits = Sha1::new()
                .chain_update(seed)
                .chain_update(number.to_be_bytes())
                .finalize();
            chunk
                .iter_mut()
                .zip(bits)
                .for_each(|(byte, bit)| *byte ^= bit);
        }
    };
    let (seed, data) = padded.split_at(20);
    let (mut seed, mut data) = (seed.to_vec(), data.to_vec());
    mask(&mut seed, &data);
    mask(&mut data, &seed);
    let padding = data.strip_prefix(&Sha1::digest(b"")[..]).unwrap();
    let one = padding.iter().position(|byte| *byte != 0).unwrap();
    assert_eq!(padding[one], 1);
    let masked = padding[one + 1..].iter().zip(nonce.iter().cycle());
    masked.map(|(byte, mask)| byte ^ mask).collect()
}

const PASSWORDS: [&str; 3] = [
    "secret",
    "pä$$ wörd ♥",
    "a long one, longer than a nonce has bytes",
];

#[test]
fn hashes_prove_that_we_know_the_password() {
    for line in [Line::Network, Line::File, Line::Tls] {
        for password in PASSWORDS {
            let mut login = Login::new(password, line, NATIVE);
            assert_eq!(login.plugin, NATIVE);
            assert!(native_is(&login.answer, password, NONCE));
            login.let_in();

            let mut login = Login::new(password, line, CACHING);
            assert_eq!(login.plugin, CACHING);
            assert!(caching_is(&login.answer, password, NONCE));
            assert_eq!(login.say(KNOWN), Ok(None));
            login.let_in();

            // The user's plugin is another one than the server's, and the nonce is new.
            let other = b"ABCDEFGHIJKLMNOPQRST";
            let mut login = Login::new(password, line, CACHING);
            let answer = login.switch(NATIVE, other).unwrap().unwrap();
            assert!(native_is(&answer, password, other));
            login.let_in();
            let mut login = Login::new(password, line, NATIVE);
            let answer = login.switch(CACHING, other).unwrap().unwrap();
            assert!(caching_is(&answer, password, other));
            assert_eq!(login.say(KNOWN), Ok(None));
            login.let_in();
            let mut login = Login::new(password, line, NATIVE);
            let answer = login.switch("client_ed25519", &[7; 32]).unwrap().unwrap();
            assert_eq!(answer.len(), 64);
            login.let_in();
        }
        // Who has no password proves nothing.
        for plugin in [NATIVE, CACHING] {
            let mut login = Login::new("", line, plugin);
            assert_eq!(login.answer, b"");
            login.let_in();
        }
    }
}

#[test]
fn the_password_itself_is_for_the_server_s_eyes_only() {
    for password in PASSWORDS {
        let clear = [password.as_bytes(), &[0]].concat();
        // In clear where nobody listens.
        for (plugin, lines) in [
            (CACHING, &[Line::Tls, Line::File][..]),
            (SHA256, &[Line::Tls]),
            (CLEAR, &[Line::Tls, Line::File]),
        ] {
            for line in lines {
                let mut login = Login::new(password, *line, NATIVE);
                let answer = login.switch(plugin, NONCE).unwrap().unwrap();
                let sent = if plugin == CACHING {
                    assert!(caching_is(&answer, password, NONCE));
                    login.say(UNKNOWN).unwrap().unwrap()
                } else {
                    answer
                };
                assert_eq!(sent, clear, "{plugin}");
                login.let_in();
            }
        }
        // Else for the owner of the key.
        let key = [&[1], PUBLIC.as_bytes()].concat();
        let mut login = Login::new(password, Line::Network, CACHING);
        assert_eq!(login.say(UNKNOWN), Ok(Some(vec![2])));
        let secret = login.say(&key).unwrap().unwrap();
        assert_eq!(secret.len(), 128);
        assert_eq!(decrypted(&secret, NONCE), clear);
        login.let_in();
        for line in [Line::Network, Line::File] {
            let mut login = Login::new(password, line, SHA256);
            assert_eq!(login.answer, [1]);
            let secret = login.say(&key).unwrap().unwrap();
            assert_eq!(decrypted(&secret, NONCE), clear);
            login.let_in();
        }
    }
    // Who has no password has nothing to hide.
    let mut login = Login::new("", Line::Network, SHA256);
    assert_eq!(login.answer, [0]);
    login.let_in();
}

#[test]
fn clear_text_is_not_sent_where_somebody_may_listen() {
    let mut login = Login::new("secret", Line::Network, NATIVE);
    let error = login.switch(CLEAR, b"").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Connect);
    assert!(error.message.contains("clear text"), "{error}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("TLS")));
    // Nor when the greeting asks for it.
    let error = Login::with("secret", Line::Network, CLEAR).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Connect);
    // A password that would end before its end is sent nowhere.
    for plugin in [CLEAR, SHA256] {
        let error = Login::with("sec\0ret", Line::Tls, plugin).err().unwrap();
        assert!(error.message.contains("zero byte"), "{error}");
    }
}

#[test]
fn keys_that_are_none_get_nothing() {
    for (key, why) in [
        ("", "PEM"),
        ("no key", "PEM"),
        (&PUBLIC[..100], "PEM"),
        (&PUBLIC.replace("PUBLIC", "PRIVATE"), "PEM"),
        (&PUBLIC.replace("MIGf", "%%%%"), "PEM"),
        (&PUBLIC.replace("MIGf", "MIGe"), "RSA"),
        (&PUBLIC.replace("DwIDAQAB", "DwIDAQAC"), "RSA"),
    ] {
        let mut login = Login::new("secret", Line::Network, CACHING);
        login.say(UNKNOWN).unwrap();
        let error = login.refused(&[&[1], key.as_bytes()].concat());
        assert!(error.message.contains(why), "{key}: {error}");
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("TLS")));
    }
    // Longer than the key can take.
    let mut login = Login::new(&"secret".repeat(20), Line::Network, CACHING);
    login.say(UNKNOWN).unwrap();
    let error = login.refused(&[&[1], PUBLIC.as_bytes()].concat());
    assert!(error.message.contains("too long"), "{error}");
}

#[test]
fn other_plugins_are_named_with_what_to_do() {
    for plugin in [
        "dialog",
        "authentication_ldap_sasl_client",
        "authentication_kerberos_client",
        "authentication_webauthn_client",
        "auth_gssapi_client",
        "mysql_old_password",
        "parsec",
        "Caching_sha2_password",
        "",
    ] {
        let mut login = Login::new("secret", Line::Tls, CACHING);
        let error = login.switch(plugin, NONCE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Connect);
        assert!(error.message.contains(plugin), "{error}");
        assert!(
            error
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("ALTER USER"))
        );
        // In the greeting it is the server's, which need not be the user's: whose it is comes next.
        let mut login = Login::new("secret", Line::Network, plugin);
        assert_eq!(login.plugin, NATIVE);
        let answer = login.switch(CACHING, NONCE).unwrap().unwrap();
        assert!(caching_is(&answer, "secret", NONCE));
        login.say(KNOWN).unwrap();
        login.let_in();
    }
    let error = Login::new("secret", Line::Tls, CACHING).refused(&[0xfe]);
    assert!(error.message.contains("mysql_old_password"), "{error}");
    // A name without end is not repeated without end.
    let mut login = Login::new("secret", Line::Tls, CACHING);
    let error = login.switch(&"x".repeat(10_000), NONCE).unwrap_err();
    assert!(error.message.len() < 300);
}

#[test]
fn steps_out_of_turn_end_the_login() {
    let key = [&[1], PUBLIC.as_bytes()].concat();
    let switch = [&[0xfe], NATIVE.as_bytes(), &[0], NONCE, &[0]].concat();
    let short = [&[0xfe], NATIVE.as_bytes(), &[0], &NONCE[..19]].concat();
    let endless = [&[0xfe], NATIVE.as_bytes()].concat();
    // What came before, and what does not follow.
    type Case<'a> = (&'a str, &'a [&'a [u8]], &'a [u8]);
    let cases: &[Case<'_>] = &[
        (NATIVE, &[&switch], &switch),
        (NATIVE, &[], KNOWN),
        (NATIVE, &[], UNKNOWN),
        (NATIVE, &[], &key),
        (NATIVE, &[&switch], &key),
        (CACHING, &[], &key),
        (CACHING, &[], &[1]),
        (CACHING, &[], &[1, 5]),
        (CACHING, &[KNOWN], KNOWN),
        (CACHING, &[KNOWN], UNKNOWN),
        (CACHING, &[UNKNOWN, &key], &key),
        (CACHING, &[UNKNOWN, &key], KNOWN),
        (CACHING, &[], &short),
        (CACHING, &[], &endless),
        (SHA256, &[], KNOWN),
        (SHA256, &[&key], &key),
        (NATIVE, &[], b""),
        (NATIVE, &[], b"\x02"),
        (NATIVE, &[], b"\xfb/etc/passwd"),
        (NATIVE, &[], &[0, 0, 0, 2]),
        (NATIVE, &[], b"\xff\x15"),
        (NATIVE, &[], &greeting(MYSQL, NATIVE)),
    ];
    for (at, (plugin, before, packet)) in cases.iter().enumerate() {
        let mut login = Login::new("secret", Line::Network, plugin);
        for packet in *before {
            login
                .say(packet)
                .unwrap_or_else(|error| panic!("{at}: {error}"));
        }
        assert!(!login.refused(packet).message.is_empty(), "{at}");
    }
    // Numbers out of order, and packets that no login has.
    let welcome = ok(0, 0, 0, AUTOCOMMIT);
    for bytes in [
        packets(1, &welcome),
        packets(3, &welcome),
        packets(2, &vec![1; 70_000]),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ] {
        for size in [1, usize::MAX] {
            let mut login = Login::new("secret", Line::Network, CACHING);
            let mut pieces = bytes.chunks(size.min(bytes.len()));
            let mut events = Vec::new();
            assert!(pieces.any(|piece| !feed(&mut login.session, piece, &mut events)));
            assert!(matches!(&events[..], [Seen::Fatal(error)]
                if error.kind == ErrorKind::Connect && error.hint.is_some()));
        }
    }
}

#[test]
fn a_login_can_be_cut_anywhere() {
    let key = [&[1], PUBLIC.as_bytes()].concat();
    let packets = [
        packets(
            2,
            &[&[0xfe], CACHING.as_bytes(), &[0], NONCE, &[0]].concat(),
        ),
        packets(4, UNKNOWN),
        packets(6, &key),
        packets(8, &ok(0, 0, 0, AUTOCOMMIT)),
    ];
    for (which, packet) in packets.iter().enumerate() {
        for at in 0..=packet.len() {
            let mut login = Login::new("secret", Line::Network, NATIVE);
            let mut answers = 0;
            for (other, bytes) in packets.iter().enumerate() {
                let (front, rest) = bytes.split_at(if other == which { at } else { 0 });
                for piece in [front, rest] {
                    assert!(feed(&mut login.session, piece, &mut login.events));
                    answers += usize::from(!login.session.output().is_empty());
                    login.session.output().clear();
                }
            }
            assert_eq!((answers, &login.events[..]), (3, &[Seen::Started][..]));
        }
    }
}

#[test]
fn errors_during_the_login_are_about_connecting() {
    for (number, retryable) in [
        (1045, false),
        (1049, false),
        (1040, true),
        (1226, true),
        (1064, false),
    ] {
        for before in [None, Some(KNOWN)] {
            let mut login = Login::new("secret", Line::Network, CACHING);
            if let Some(before) = before {
                login.say(before).unwrap();
            }
            let error = login.refused(&error(number, "not now"));
            assert_eq!(
                (error.retryable, &error.message[..]),
                (retryable, "not now")
            );
        }
    }
}

fn greeted(greeting: &[u8]) -> ExecError {
    let mut session = Session::new(config());
    let error = session
        .start(Some(Password::new("secret")), Line::Network, greeting)
        .unwrap_err();
    assert!(session.output().is_empty());
    assert!(session.simple("SELECT 1").is_err());
    error
}

#[test]
fn a_refusal_in_place_of_a_greeting_is_the_error() {
    for (payload, retryable, words) in [
        (
            &b"\xff\x10\x04Too many connections"[..],
            true,
            "Too many connections",
        ),
        (
            b"\xff\x69\x04Host 'a' is blocked",
            false,
            "Host 'a' is blocked",
        ),
        (
            b"\xff\x6a\x04Host 'a' is not allowed",
            false,
            "Host 'a' is not allowed",
        ),
        (
            b"\xff\x10\x04#08004Too many connections",
            true,
            "Too many connections",
        ),
    ] {
        let error = greeted(payload);
        assert_eq!(
            (error.kind, error.outcome, error.retryable),
            (ErrorKind::Connect, Effect::NotApplied, retryable),
            "{error}"
        );
        assert_eq!(error.message, words);
    }
    assert_eq!(greeted(b"\xff").kind, ErrorKind::Connect);
}

#[test]
fn greetings_of_others_are_told_from_those_of_old_servers() {
    let good = greeting(MYSQL, CACHING);
    // The plugin's name is all that may be missing.
    let fixed = good.len() - CACHING.len() - 1;
    for length in 0..fixed {
        let error = greeted(&good[..length]);
        assert_eq!(error.kind, ErrorKind::Connect, "{length}");
        assert!(error.hint.is_some());
    }
    for length in fixed..=good.len() {
        let mut session = Session::new(config());
        session.start(None, Line::Network, &good[..length]).unwrap();
    }
    for other in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"220 mail ESMTP\r\n",
        b"\x09\x35",
        b"",
    ] {
        let error = greeted(other);
        assert_eq!(error.kind, ErrorKind::Connect);
        assert!(error.hint.is_some(), "{error}");
    }
    // Protocol 4.1, a nonce of 20 bytes, several results, plugins: none can be missing.
    for bit in [9, 15, 17, 19] {
        let error = greeted(&greeting(MYSQL & !(1 << bit), NATIVE));
        assert_eq!(error.kind, ErrorKind::NotSupported);
        for word in ["8.4.2", "MySQL 8", "MariaDB 10.6"] {
            assert!(error.message.contains(word), "{error}");
        }
    }
    // Answers without a length of several bytes, no attributes, no OK in place of EOF: others do without.
    for bit in [20, 21, 24] {
        let mut session = Session::new(config());
        let greeting = greeting(MYSQL & !(1 << bit), NATIVE);
        session
            .start(Some(Password::new("secret")), Line::Network, &greeting)
            .unwrap();
        let sent = session.output().clone();
        assert_eq!(sent[4 + bit / 8] & (1 << (bit % 8)), 0);
        assert!(native_is(&sent[36 + 5 + 1..][..20], "secret", NONCE));
    }
}

#[test]
fn no_debug_output_shows_a_password() {
    let password = Password::new("canary");
    let mut session = Session::new(config());
    session
        .start(Some(password.clone()), Line::Tls, &greeting(MYSQL, CLEAR))
        .unwrap();
    assert!(!format!("{password:?} {session:?}").contains("canary"));
}
