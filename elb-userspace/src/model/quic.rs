//! QUIC connection ids: the part that counts, and the server ids that it may hold.

use std::fmt;
use std::str::FromStr;

use elb_common::listener::CidPart;
use elb_common::quic::{self, MAX_CID};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::value::{Invalid, Ranged, ValueRule, as_text};

/// Bytes of a connection id before the part that counts.
pub type CidOffset = Ranged<0, 19>;
/// Bytes of the part that counts.
pub type CidLength = Ranged<1, 20>;

/// The part of a QUIC connection id that decides where its packets go (V3 `quic_cid_hash_strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CidStrategy {
    offset: CidOffset,
    len: CidLength,
}

impl Default for CidStrategy {
    /// The first eight bytes: what Google's QUIC has in all, and the least that a client chooses for
    /// its first packets (RFC 9000 §7.2).
    fn default() -> Self {
        Self { offset: CidOffset::constant(0), len: CidLength::constant(8) }
    }
}

impl CidStrategy {
    /// The part of `len` bytes after the first `offset` ones.
    ///
    /// # Errors
    /// Together they are more than a connection id has.
    pub fn new(offset: CidOffset, len: CidLength) -> Result<Self, Invalid> {
        if (offset.get() + len.get()) as usize > MAX_CID {
            let what = format!("{offset} and len {len} are more than a connection id has");
            return Err(Invalid::new(
                what,
                "use at most 20 bytes together (RFC 9000, section 17.2)",
            ));
        }
        Ok(Self { offset, len })
    }

    /// Bytes before the part, and its own.
    pub fn part(self) -> (u8, u8) {
        let byte = |value: u32| u8::try_from(value).expect("both are at most 20");
        (byte(self.offset.get()), byte(self.len.get()))
    }

    /// Bytes of the part.
    pub const fn length(self) -> usize {
        self.len.get() as usize
    }
}

impl From<CidStrategy> for CidPart {
    fn from(strategy: CidStrategy) -> Self {
        let (offset, length) = strategy.part();
        Self { offset, length }
    }
}

/// The bytes in a connection id that name a server: 1 to 20, written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId {
    bytes: [u8; MAX_CID],
    length: u8,
}

impl ServerId {
    /// How many bytes it has.
    pub const fn length(&self) -> usize {
        self.length as usize
    }

    /// As the packet path looks it up.
    pub fn digest(&self) -> u64 {
        quic::digest(&self.bytes, self.length)
    }
}

impl FromStr for ServerId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = in_hexadecimal(text);
        let (bytes, length) = found
            .ok_or_else(|| Invalid::against_rule::<Self>(format!("{text:?} is no server id")))?;
        Ok(Self { bytes, length })
    }
}

impl ValueRule for ServerId {
    fn rule() -> String {
        format!("1 to {MAX_CID} bytes in hexadecimal, as in \"0a1b\"")
    }
}

/// So many bytes as a connection id can have, and how many of them a text has, two digits each: 1 to
/// 20; the others are zeroes.
pub(crate) fn in_hexadecimal(text: &str) -> Option<([u8; MAX_CID], u8)> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > 2 * MAX_CID {
        return None;
    }
    let mut bytes = [0; MAX_CID];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some((bytes, u8::try_from(digits.len() / 2).ok()?))
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes[..self.length()].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ServerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_text(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ServerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_ids_are_bytes_in_hexadecimal() {
        let id: ServerId = "0a1B".parse().unwrap();
        assert_eq!((id.length(), id.to_string().as_str()), (2, "0a1b"));
        let mut bytes = [0xff; MAX_CID];
        (bytes[0], bytes[1]) = (0x0a, 0x1b);
        assert_eq!(id.digest(), quic::digest(&bytes, 2));
        assert_eq!("00".repeat(20).parse::<ServerId>().unwrap().length(), 20);
        for wrong in ["", "0", "0g", "+1", "é", "0a1", &"00".repeat(21)] {
            let error = wrong.parse::<ServerId>().unwrap_err();
            assert_eq!(error.what, format!("{wrong:?} is no server id"));
        }
    }

    #[test]
    fn a_part_lies_within_a_connection_id() {
        let new = |offset, len| {
            CidStrategy::new(
                CidOffset::try_from(offset).unwrap(),
                CidLength::try_from(len).unwrap(),
            )
        };
        for (offset, len) in [(0, 20), (19, 1), (0, 1), (12, 8)] {
            let CidPart { offset, length } = new(offset, len).unwrap().into();
            assert!(length > 0 && usize::from(offset + length) <= MAX_CID);
        }
        assert!(new(19, 2).is_err() && new(1, 20).is_err());
        assert_eq!(CidStrategy::default().part(), (0, 8));
    }
}
