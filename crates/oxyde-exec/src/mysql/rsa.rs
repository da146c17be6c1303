//! A password encrypted with a server's public RSA key: OAEP padding with SHA-1 (RFC 8017), as MySQL wants it.
//!
//! Only the public operation, so that nothing here can leak a private key; the padding is random and used once, so
//! that the time it takes to raise it to a public power tells nobody anything.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use sha1::{Digest, Sha1};

/// Lengths of keys in bytes. Longer ones are nobody's, but a server could keep us busy with them.
const SIZES: std::ops::RangeInclusive<usize> = 128..=1024;
/// The same for exponents: nearly all keys have 65537.
const EXPONENT: u64 = 32;

const HASH: usize = 20;

/// rsaEncryption, without parameters.
const ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

type Why = &'static str;

/// `key`: SubjectPublicKeyInfo as PEM.
pub(super) fn encrypt(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Why> {
    let mut seed = [0; HASH];
    getrandom::fill(&mut seed).map_err(|_| "the system has no random numbers")?;
    Key::read(key)?.encrypt(message, seed)
}

struct Key {
    modulus: BigUint,
    exponent: BigUint,
    size: usize,
}

impl Key {
    fn read(pem: &[u8]) -> Result<Self, Why> {
        let der = der(pem).ok_or("its public key is not in PEM format")?;
        Self::parse(&der)
            .ok_or("its public key is no RSA key")
            .and_then(Self::checked)
    }

    fn parse(der: &[u8]) -> Option<(BigUint, BigUint)> {
        let (info, rest) = element(der, 0x30)?;
        let bits = info.strip_prefix(&ALGORITHM)?;
        let (bits, behind) = element(bits, 0x03)?;
        // No unused bits.
        let (key, end) = element(bits.strip_prefix(&[0])?, 0x30)?;
        let (modulus, exponent) = element(key, 0x02)?;
        let (exponent, last) = element(exponent, 0x02)?;
        [rest, behind, end, last]
            .iter()
            .all(|rest| rest.is_empty())
            .then(|| {
                (
                    BigUint::from_bytes_be(modulus),
                    BigUint::from_bytes_be(exponent),
                )
            })
    }

    fn checked((modulus, exponent): (BigUint, BigUint)) -> Result<Self, Why> {
        let size = usize::try_from(modulus.bits().div_ceil(8)).unwrap_or(usize::MAX);
        if !SIZES.contains(&size) {
            return Err("its public key is of an unusual length");
        }
        if !modulus.bit(0) || !exponent.bit(0) || !(2..=EXPONENT).contains(&exponent.bits()) {
            return Err("its public key is not one for RSA");
        }
        Ok(Self {
            modulus,
            exponent,
            size,
        })
    }

    fn encrypt(&self, message: &[u8], mut seed: [u8; HASH]) -> Result<Vec<u8>, Why> {
        let room = self.size.saturating_sub(2 * HASH + 2);
        let padding = room
            .checked_sub(message.len())
            .ok_or("the password is too long for its public key")?;
        // Hash of no label, zeros, a one, the message; masked by the seed, and the seed by that.
        let mut data = Sha1::digest(b"").to_vec();
        data.resize(HASH.saturating_add(padding), 0);
        data.push(1);
        data.extend_from_slice(message);
        mask(&mut data, &seed);
        mask(&mut seed, &data);
        let padded = [&[0], seed.as_slice(), &data].concat();
        let secret = BigUint::from_bytes_be(&padded)
            .modpow(&self.exponent, &self.modulus)
            .to_bytes_be();
        let mut out = vec![0; self.size.saturating_sub(secret.len())];
        out.extend_from_slice(&secret);
        Ok(out)
    }
}

/// MGF1.
fn mask(data: &mut [u8], seed: &[u8]) {
    for (number, chunk) in (0_u32..).zip(data.chunks_mut(HASH)) {
        let bits = Sha1::new()
            .chain_update(seed)
            .chain_update(number.to_be_bytes())
            .finalize();
        for (byte, bit) in chunk.iter_mut().zip(bits) {
            *byte ^= bit;
        }
    }
}

fn der(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, text) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (text, _) = text.split_once("-----END PUBLIC KEY-----")?;
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// The contents of the first element, which must be of type `tag`, and what is behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]

    use super::*;

    /// A key pair for these tests only.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCfKbBoq9WSupoN/RywndxU1yKh
HFPEGrMPtGpHIJY1oW3UpNdDrf3G3DjnL2MMrdVR1LhXD8DgZBUkc8Sk4gvWtRqL
wrTqo3eD+zLnsk9kGjS/mW08sV9amN+lNMuiCk7nF03n1YB2qxAGdQMXO2IxkPXb
z5DwhcP+eEYIsVFWDwIDAQAB
-----END PUBLIC KEY-----
";
    const PRIVATE: &str = "92445a94e68d2009923796cafdd824ba66f6b0fe7a507684e5c2d404478323081609dbeee3888af66c3d72df8e7401704f826061c9dd63993600c8cf0703a1021d6c12d62e48a32ff3622b46e02ded0d11bf83d2aecd65ab427cbf0cbc1663927ceb10c27e5946d29394da9c3f7bb7e3ba2bd8bb6e15fbb52b3d1b8e15591c49";

    fn decrypt(secret: &[u8]) -> Vec<u8> {
        let key = Key::read(PUBLIC.as_bytes()).unwrap();
        let private = BigUint::parse_bytes(PRIVATE.as_bytes(), 16).unwrap();
        let padded = BigUint::from_bytes_be(secret)
            .modpow(&private, &key.modulus)
            .to_bytes_be();
        // The leading zero is gone.
        assert_eq!(padded.len(), key.size - 1);
        let (seed, data) = padded.split_at(HASH);
        let (mut seed, mut data) = (seed.to_vec(), data.to_vec());
        mask(&mut seed, &data);
        mask(&mut data, &seed);
        let message = data.strip_prefix(Sha1::digest(b"").as_slice()).unwrap();
        let one = message.iter().position(|byte| *byte != 0).unwrap();
        assert_eq!(message[one], 1);
        message[one + 1..].to_vec()
    }

    #[test]
    fn the_owner_of_the_key_reads_what_was_written() {
        for length in [0, 1, 20, 85, 86] {
            let message: Vec<u8> = (0..length).collect();
            let secret = encrypt(PUBLIC.as_bytes(), &message).unwrap();
            assert_eq!(secret.len(), 128);
            assert_eq!(decrypt(&secret), message);
            assert_ne!(secret, encrypt(PUBLIC.as_bytes(), &message).unwrap());
        }
        assert!(encrypt(PUBLIC.as_bytes(), &[1; 87]).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let der = der(PUBLIC.as_bytes()).unwrap();
        for length in 0..der.len() {
            assert!(Key::parse(&der[..length]).is_none());
        }
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut changed = der.clone();
                changed[at] ^= 1 << bit;
                // Another key or none.
                if let Some(Ok(key)) = Key::parse(&changed).map(Key::checked) {
                    assert!(key.encrypt(b"secret", [1; HASH]).is_ok());
                }
            }
        }
        for (modulus, exponent) in [(0_u8, 3_u8), (255, 0), (255, 1), (255, 2), (254, 3)] {
            let modulus = BigUint::from_bytes_be(&[modulus; 128]);
            assert!(Key::checked((modulus, exponent.into())).is_err());
        }
        assert!(Key::checked((BigUint::from_bytes_be(&[255; 1025]), 3_u8.into())).is_err());
        for pem in [
            "",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----%-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
        ] {
            assert!(encrypt(pem.as_bytes(), b"").is_err());
        }
    }
}
