//! MariaDB's ed25519: the server sends random bytes, and the client signs them with the password as its key.
//!
//! A signature as in RFC 8032, except that the secret key is a password of any length.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha2::{Digest, Sha512};

/// What the server sends to be signed.
pub(super) const NONCE: usize = 32;

pub(super) fn sign(password: &[u8], message: &[u8]) -> [u8; 64] {
    let (secret, prefix) = halves(Sha512::digest(password).into());
    let secret = Scalar::from_bytes_mod_order(clamp_integer(secret));
    let public = EdwardsPoint::mul_base(&secret).compress();
    let blind = scalar(&[&prefix, message]);
    let point = EdwardsPoint::mul_base(&blind).compress();
    let challenge = scalar(&[point.as_bytes(), public.as_bytes(), message]);
    let proof = blind + challenge * secret;
    let mut signature = [0; 64];
    let bytes = point.as_bytes().iter().chain(proof.as_bytes());
    for (slot, byte) in signature.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    signature
}

fn scalar(parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn halves(hash: [u8; 64]) -> ([u8; 32], [u8; 32]) {
    let mut bytes = hash.into_iter();
    let mut half = || std::array::from_fn(|_| bytes.next().unwrap_or_default());
    (half(), half())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]

    use super::sign;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    /// RFC 8032, 7.1: with a key of 32 bytes the signatures are the standard's.
    #[test]
    fn the_standard_s_own_examples() {
        let first: [u8; 32] =
            bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        assert_eq!(
            sign(&first, b""),
            bytes(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            )
        );
        let third: [u8; 32] =
            bytes("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
        assert_eq!(
            sign(&third, &[0xaf, 0x82]),
            bytes(
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            )
        );
    }
}
