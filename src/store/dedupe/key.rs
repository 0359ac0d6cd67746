//! The keyed hash of the dedupe table.
//!
//! In: the bytes of a dedupe key. Out: 64 bits that nobody without the secret key can steer.
//! Keeps: the hash is `SipHash`-2-4 and never changes, because checkpoints hold it.
//! Not here: what a dedupe key is made of, and where the secret key is stored.

use std::fmt;

use siphasher::sip::SipHasher24;

/// The secret key of the hash.
///
/// Keyed, because networks choose transaction ids: with a known hash, one of them could choose a million
/// ids that share a hash and make every look-up walk over all of them.
#[derive(Clone)]
pub struct DedupeKey(SipHasher24);

impl DedupeKey {
    /// Length of the secret key.
    pub const LEN_BYTES: usize = 16;

    /// The key made of 128 secret bits.
    pub fn new(secret: &[u8; Self::LEN_BYTES]) -> Self {
        Self(SipHasher24::new_with_key(secret))
    }

    /// The hash of a dedupe key.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.0.hash(bytes)
    }

    /// Tells keys apart without giving them away: the hash of a fixed text.
    pub fn fingerprint(&self) -> u64 {
        self.hash(b"clicklog dedupe key fingerprint")
    }
}

/// The fingerprint only: the key is a secret.
impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DedupeKey({:016x})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// The example in appendix A of the `SipHash` paper.
    #[test]
    fn the_hash_is_siphash_2_4() {
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(DedupeKey::new(&SECRET).hash(&bytes), 0xA129_CA61_49BE_45E5);
    }

    #[test]
    fn another_key_has_another_hash_and_another_fingerprint() {
        let (key, other) = (DedupeKey::new(&SECRET), DedupeKey::new(&[7; 16]));
        assert_ne!(key.hash(b"tx-1"), other.hash(b"tx-1"));
        assert_ne!(key.fingerprint(), other.fingerprint());
        assert_eq!(key.fingerprint(), key.clone().fingerprint());
    }

    #[test]
    fn printing_a_key_shows_its_fingerprint_only() {
        let key = DedupeKey::new(&SECRET);
        assert_eq!(format!("{key:?}"), format!("DedupeKey({:016x})", key.fingerprint()));
    }
}
