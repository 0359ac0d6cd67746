//! The keys that seal places into click IDs, and open them.
//!
//! In: raw keys by version, from whoever stores them. Out: IDs, places.
//! Keeps: the current key exists; key bytes are never printed.
//! Not here: making, storing and retiring keys.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};

use super::{CHECK_BITS, ClickId, Place, VERSION_BITS, VERSION_SHIFT, from_big_endian, to_big_endian};

/// The keys of all click IDs still alive, by version. New IDs use the current one.
#[derive(Clone)]
pub struct Keys {
    /// The current key first: most IDs that come back are young.
    live: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    version: u8,
    cipher: Aes128,
}

impl Keys {
    /// The largest key version: 16 keys may live at once.
    pub const VERSION_MAX: u8 = (1 << VERSION_BITS) - 1;

    /// Takes the live keys; IDs are enciphered under `current` from now on.
    ///
    /// # Errors
    ///
    /// A version above [`Self::VERSION_MAX`] or given twice, or no key for `current`.
    pub fn new(current: u8, keys: impl IntoIterator<Item = (u8, [u8; 16])>) -> Result<Self, KeysError> {
        let mut live: Vec<Key> = Vec::new();
        for (version, key) in keys {
            if version > Self::VERSION_MAX {
                return Err(KeysError::Version(version));
            }
            if live.iter().any(|other| other.version == version) {
                return Err(KeysError::Repeated(version));
            }
            live.push(Key { version, cipher: Aes128::new(&key.into()) });
        }
        let Some(index) = live.iter().position(|key| key.version == current) else {
            return Err(KeysError::NoCurrent(current));
        };
        live[..=index].rotate_right(1);
        Ok(Self { live })
    }

    /// The version new IDs carry.
    pub fn current(&self) -> u8 {
        self.live[0].version
    }

    /// The live versions, the current one first.
    pub fn versions(&self) -> impl Iterator<Item = u8> {
        self.live.iter().map(|key| key.version)
    }

    /// The public name of the click at `place`.
    #[inline]
    pub fn encode(&self, place: Place) -> ClickId {
        let key = &self.live[0];
        ClickId::from_bytes(key.encipher(to_big_endian(place.to_bits(key.version))))
    }

    /// The name that the click at `place` had while this version was current; `None` if its key is gone.
    pub fn encode_as(&self, version: u8, place: Place) -> Option<ClickId> {
        let key = self.live.iter().find(|key| key.version == version)?;
        Some(ClickId::from_bytes(key.encipher(to_big_endian(place.to_bits(version)))))
    }

    /// Where the click stands, or `None` if no live key made this ID.
    pub fn decode(&self, id: &ClickId) -> Option<Place> {
        self.live.iter().find_map(|key| {
            let bits = from_big_endian(key.decipher(id.to_bytes()));
            let authentic =
                bits & ((1 << CHECK_BITS) - 1) == 0 && bits >> VERSION_SHIFT == u128::from(key.version);
            authentic.then(|| Place::from_bits(bits))
        })
    }
}

/// Versions only: key bytes stay out of logs.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")?;
        f.debug_list().entries(self.versions()).finish()
    }
}

/// A set of keys that cannot make or read click IDs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeysError {
    /// A version that does not fit its four bits.
    #[error("key version {0} is above {max}", max = Keys::VERSION_MAX)]
    Version(u8),
    /// Two keys for one version: an ID could not tell which it needs.
    #[error("key version {0} is given twice")]
    Repeated(u8),
    /// The current version has no key.
    #[error("there is no key for the current version {0}")]
    NoCurrent(u8),
}

impl Key {
    fn encipher(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        self.cipher.encrypt_block(&mut block);
        block.into()
    }

    fn decipher(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        self.cipher.decrypt_block(&mut block);
        block.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const OTHER_KEY: [u8; 16] = [0x5a; 16];

    fn keys() -> Keys {
        Keys::new(5, [(5, KEY)]).unwrap()
    }

    fn golden_place() -> Place {
        Place::new(517, 37, 2_345_678, 9_876_543, 1_795_158_000).unwrap()
    }

    fn places() -> impl Strategy<Value = Place> {
        (
            0..=Place::NODE_MAX,
            0..=Place::LANE_MAX,
            0..=Place::SEGMENT_MAX,
            0..=Place::ORDINAL_MAX,
            any::<u32>(),
        )
            .prop_map(|(node, lane, segment, ordinal, seconds)| {
                Place::new(node, lane, segment, ordinal, seconds).unwrap()
            })
    }

    /// FIPS-197, appendix C.1: so that the golden ID below is not its own witness.
    #[test]
    fn the_cipher_is_aes_128() {
        let plain = from_big_endian([
            0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
        ]);
        let sealed = keys().live[0].encipher(to_big_endian(plain));
        assert_eq!(from_big_endian(sealed), 0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a);
        assert_eq!(from_big_endian(keys().live[0].decipher(sealed)), plain);
        assert_eq!(ClickId::from_bytes(sealed).to_string(), "39rkgdgtkv0grdhkdqg1rb9hat");
    }

    /// The block, the ciphertext and the text were computed outside this crate. They must hold forever:
    /// IDs in the wild depend on them.
    #[test]
    fn a_known_place_has_its_known_text() {
        assert_eq!(golden_place().to_bits(5), 0x5816_58f2_b3a5_ad0f_dabf_fbfc_0000_0000);
        let id = keys().encode(golden_place());
        assert_eq!(from_big_endian(id.to_bytes()), 0xcd8c_3854_ed7b_ff0b_1e1f_f5d4_f2db_24f3);
        assert_eq!(id.to_string(), "6dhgw59vbvzw5hw7zntksdp97k");
        assert_eq!(keys().decode(&id), Some(golden_place()));
    }

    #[test]
    fn the_extremes_of_every_field_come_back() {
        let max = (Place::NODE_MAX, Place::LANE_MAX, Place::SEGMENT_MAX, Place::ORDINAL_MAX, u32::MAX);
        for one in 0..1 << 5 {
            let pick = |bit: u32, max: u32| if one & 1 << bit == 0 { 0 } else { max };
            let place = Place::new(
                u16::try_from(pick(0, max.0.into())).unwrap(),
                u8::try_from(pick(1, max.1.into())).unwrap(),
                pick(2, max.2),
                pick(3, max.3),
                pick(4, max.4),
            )
            .unwrap();
            assert_eq!(keys().decode(&keys().encode(place)), Some(place));
        }
    }

    #[test]
    fn one_flipped_bit_is_refused() {
        for ordinal in 0..64 {
            let place = Place::new(3, 1, 77, ordinal * 1_001, 1_795_158_000 + ordinal).unwrap();
            let sealed = from_big_endian(keys().encode(place).to_bytes());
            for bit in 0..128 {
                let flipped = ClickId::from_bytes(to_big_endian(sealed ^ 1 << bit));
                assert_eq!(keys().decode(&flipped), None, "ordinal {ordinal}, bit {bit}");
            }
        }
    }

    #[test]
    fn an_old_id_lives_as_long_as_its_key() {
        let old = Keys::new(15, [(15, KEY)]).unwrap();
        let id = old.encode(golden_place());
        let both = Keys::new(0, [(15, KEY), (0, OTHER_KEY)]).unwrap();
        assert_eq!(both.decode(&id), Some(golden_place()));
        assert_eq!(both.decode(&both.encode(golden_place())), Some(golden_place()));
        assert_ne!(both.encode(golden_place()), id, "new ids use the current key");
        let new = Keys::new(0, [(0, OTHER_KEY)]).unwrap();
        assert_eq!(new.decode(&id), None);
    }

    #[test]
    fn an_id_under_another_version_of_the_same_key_is_refused() {
        let id = keys().encode(golden_place());
        assert_eq!(Keys::new(4, [(4, KEY)]).unwrap().decode(&id), None);
    }

    #[test]
    fn a_full_set_of_keys_tries_them_all() {
        let set = |current| Keys::new(current, (0..16).map(|version| (version, [version; 16]))).unwrap();
        for version in 0..16 {
            assert_eq!(set(version).current(), version);
            assert_eq!(set(0).decode(&set(version).encode(golden_place())), Some(golden_place()));
        }
    }

    #[test]
    fn keys_that_cannot_work_are_refused() {
        assert_eq!(Keys::new(16, [(16, KEY)]).unwrap_err(), KeysError::Version(16));
        assert_eq!(Keys::new(1, [(1, KEY), (1, KEY)]).unwrap_err(), KeysError::Repeated(1));
        assert_eq!(Keys::new(2, [(1, KEY)]).unwrap_err(), KeysError::NoCurrent(2));
        assert_eq!(Keys::new(0, []).unwrap_err(), KeysError::NoCurrent(0));
        assert_eq!(KeysError::Version(16).to_string(), "key version 16 is above 15");
    }

    #[test]
    fn keys_do_not_print_their_bytes() {
        let keys = Keys::new(7, [(3, OTHER_KEY), (7, KEY)]).unwrap();
        assert_eq!(format!("{keys:?}"), "Keys[7, 3]");
    }

    proptest! {
        #[test]
        fn any_place_comes_back_from_its_text(place in places(), key: [u8; 16], version in 0_u8..16) {
            let keys = Keys::new(version, [(version, key)]).unwrap();
            let text = keys.encode(place).to_text();
            let id: ClickId = text.as_str().parse().unwrap();
            prop_assert_eq!(keys.decode(&id), Some(place));
        }
    }
}
