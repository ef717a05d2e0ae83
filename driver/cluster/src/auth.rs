// SPDX-License-Identifier: Apache-2.0
//! Keys of a cluster: HMAC-SHA-256 cut to its first 128 bits (RFC 2104, RFC 4868), for frames and control datagrams.
//!
//! Keys have numbers, and a frame says which one it is signed with. So a key is changed without a gap: give every member the new one
//! beside the old; then let every member sign with it; then take the old one away.

use crate::refusal::Refusal;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::BTreeMap;

/// Bytes of a message authentication code.
pub const MAC_BYTES: usize = 16;
/// Bytes of a key.
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// How frames and datagrams are authenticated.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all: whoever reaches the network is a member. Frames with a code are refused.
    None,
    /// By keys: frames without a code are refused.
    Keys(Keys),
}

/// Keys by number, one of them to sign with.
#[derive(Clone)]
pub struct Keys {
    signing: u8,
    keys: BTreeMap<u8, Hmac<Sha256>>,
}

/// Why keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The number means "none".
    #[error("a key has the number 0, which means no authentication: keys are 1..=255")]
    Zero,
    /// Two keys with one number.
    #[error("there are two keys with the number {0}: give each its own, 1..=255")]
    Twice(u8),
    /// Too short to be secret, or longer than a block of SHA-256.
    #[error("key {key} has {length} bytes: keys have {min}..={max}", min = KEY_BYTES.start(), max = KEY_BYTES.end())]
    Length {
        /// Which.
        key: u8,
        /// Bytes.
        length: usize,
    },
    /// The key to sign with is not there.
    #[error("key {0} shall be signed with, but is not among the keys: add it, or sign with another")]
    Signing(u8),
}

impl Keys {
    /// Keys by number (1..=255), of 16 to 64 bytes, and the number of the one to sign with.
    ///
    /// # Errors
    /// [`KeyError`] if a number is 0 or given twice, a length is out of range, or the signing key is missing.
    pub fn new<'a>(signing: u8, keys: impl IntoIterator<Item = (u8, &'a [u8])>) -> Result<Keys, KeyError> {
        let mut known = BTreeMap::new();
        for (number, key) in keys {
            if number == 0 {
                return Err(KeyError::Zero);
            }
            if !KEY_BYTES.contains(&key.len()) {
                return Err(KeyError::Length { key: number, length: key.len() });
            }
            let mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
            if known.insert(number, mac).is_some() {
                return Err(KeyError::Twice(number));
            }
        }
        if !known.contains_key(&signing) {
            return Err(KeyError::Signing(signing));
        }
        Ok(Keys { signing, keys: known })
    }
}

/// Numbers only.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Keys {{ signing: {}, known: {:?} }}", self.signing, self.keys.keys())
    }
}

impl Auth {
    /// Number of the key to sign with; 0 for none.
    pub(crate) fn key(&self) -> u8 {
        match self {
            Auth::None => 0,
            Auth::Keys(keys) => keys.signing,
        }
    }

    /// The code of these bytes, under the key to sign with.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Option<[u8; MAC_BYTES]> {
        let Auth::Keys(keys) = self else { return None };
        let code = keys.keys[&keys.signing].clone().chain_update(bytes).finalize().into_bytes();
        Some(code[..MAC_BYTES].try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Checks the code of these bytes in constant time.
    pub(crate) fn verify(&self, key: u8, bytes: &[u8], mac: Option<&[u8]>) -> Result<(), Refusal> {
        match (self, mac) {
            (Auth::None, None) => Ok(()),
            (Auth::None, Some(_)) => Err(Refusal::UnexpectedMac),
            (Auth::Keys(_), None) => Err(Refusal::MissingMac),
            (Auth::Keys(_), Some(mac)) if mac.len() != MAC_BYTES => Err(Refusal::WrongMac),
            (Auth::Keys(keys), Some(mac)) => {
                let keyed = keys.keys.get(&key).ok_or(Refusal::UnknownKey)?.clone();
                keyed.chain_update(bytes).verify_truncated_left(mac).map_err(|_| Refusal::WrongMac)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 1, cut to 128 bits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let keys = Keys::new(1, [(1, &[0x0b; 20][..])]).unwrap();
        let code = Auth::Keys(keys).sign(b"Hi There").unwrap();
        assert_eq!(
            code,
            [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b]
        );
    }

    #[test]
    fn keys_are_checked() {
        let key = [7; 32];
        let none: [(u8, &[u8]); 0] = [];
        assert_eq!(Keys::new(0, [(0, &key[..])]).unwrap_err(), KeyError::Zero);
        assert_eq!(Keys::new(1, [(1, &key[..]), (1, &key[..])]).unwrap_err(), KeyError::Twice(1));
        assert_eq!(Keys::new(1, [(1, &key[..15])]).unwrap_err(), KeyError::Length { key: 1, length: 15 });
        assert_eq!(Keys::new(1, [(1, &[7; 65][..])]).unwrap_err(), KeyError::Length { key: 1, length: 65 });
        assert_eq!(Keys::new(2, [(1, &key[..])]).unwrap_err(), KeyError::Signing(2));
        assert_eq!(Keys::new(1, none).unwrap_err(), KeyError::Signing(1));
        assert!(Keys::new(1, [(1, &key[..16])]).is_ok());
    }

    #[test]
    fn secrets_are_not_printed() {
        let keys = Keys::new(3, [(3, &[0xab; 16][..]), (4, &[0xcd; 16][..])]).unwrap();
        assert_eq!(format!("{:?}", Auth::Keys(keys)), "Keys(Keys { signing: 3, known: [3, 4] })");
    }
}
