//! What a server sends. The bodies and the recordings are those of the tests with hostile servers.

#[path = "../../oxyde-exec/tests/mysql_session_wire/mod.rs"]
mod mysql_session_wire;
#[path = "../../oxyde-exec/tests/postgres_session_wire/mod.rs"]
mod postgres_session_wire;

pub mod postgres {
    use super::postgres_session_wire as wire;
    pub use wire::exercise::exercise;

    /// The first byte says what is asked for first, the second how long the pieces are.
    pub fn seeds() -> Vec<Vec<u8>> {
        let mut seeds = vec![[&[0, 255][..], &wire::greeting()].concat()];
        for (n, scenario) in wire::scenarios::scenarios().iter().enumerate() {
            let first = u8::try_from(n % 10).unwrap() << 4;
            for how in [4, 4 | 8, 4 | 1] {
                seeds.push([&[how | first, 64][..], &scenario.bytes].concat());
            }
        }
        seeds
    }

    pub fn words() -> Vec<Vec<u8>> {
        vec![
            wire::message(b'1', &[]),
            wire::message(b'2', &[]),
            wire::message(b'3', &[]),
            wire::message(b'n', &[]),
            wire::message(b's', &[]),
            wire::message(b'I', &[]),
            wire::message(b'c', &[]),
            wire::message(b'd', b"1\n"),
            wire::ready(b'I'),
            wire::ready(b'T'),
            wire::ready(b'E'),
            wire::complete("SELECT 1"),
            wire::complete("COPY 1"),
            wire::row(&[Some(b"1"), None]),
            wire::row_description(&[("a", 23, 1), ("b", 25, 0)]),
            wire::parameter_description(&[23]),
            wire::failure("42601", "no"),
            wire::setting("TimeZone", "UTC"),
            wire::notification(1, "c", "p"),
            wire::copy_response(b'G', false, 1),
            wire::copy_response(b'H', true, 1),
            wire::key(1, &[1; 4]),
            wire::auth(0, &[]),
            wire::auth(3, &[]),
            wire::auth(5, &[1; 4]),
            wire::auth(10, b"SCRAM-SHA-256\0\0"),
            wire::auth(11, b"r=,s=AAAA,i=1"),
        ]
    }
}

pub mod mysql {
    use super::mysql_session_wire as wire;
    pub use wire::exercise::exercise;

    /// The first byte says what both sides have agreed on, the second how long the pieces are, the third what is asked
    /// for first.
    pub fn seeds() -> Vec<Vec<u8>> {
        let login = wire::ok(0, 0, 0, 2);
        let mut seeds = Vec::new();
        for plugin in ["caching_sha2_password", "mysql_native_password"] {
            let greeting = wire::greeting(wire::MYSQL, plugin);
            let length = u8::try_from(greeting.len()).unwrap();
            let answer = wire::packets(2, &login);
            seeds.push([&[0, 255, length][..], &greeting, &answer].concat());
        }
        for (n, scenario) in wire::scenarios::scenarios().iter().enumerate() {
            let agreed = match scenario.capabilities {
                wire::MYSQL => 0,
                capabilities if capabilities & 1 == 0 => 8,
                _ => 4,
            };
            let first = u8::try_from(n % 16).unwrap();
            seeds.push([&[0x40 | 0x20 | 2 | agreed, 64, first][..], &scenario.bytes].concat());
        }
        seeds
    }

    pub fn words() -> Vec<Vec<u8>> {
        vec![
            wire::packets(1, &wire::ok(0, 0, 0, 2)),
            wire::packets(1, &wire::ok(0xfe, 1, 1, 3)),
            wire::packets(1, &wire::error(1064, "no")),
            wire::packets(1, &wire::definition("a", 0xfd)),
            wire::packets(1, &wire::texts(&[Some(b"1"), None])),
            wire::packets(1, &wire::binary(&[Some(b"1"), None])),
            wire::packets(1, &[1]),
            wire::packets(1, &[0xfe, 0, 0, 2, 0]),
            wire::packets(1, &[0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]),
            b"caching_sha2_password\0".to_vec(),
            b"mysql_native_password\0".to_vec(),
            b"client_ed25519\0".to_vec(),
            b"-----BEGIN PUBLIC KEY-----\n".to_vec(),
        ]
    }
}
