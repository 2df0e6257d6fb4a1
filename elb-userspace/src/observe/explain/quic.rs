//! Connection ids of QUIC: the one that a question gives, and what a listener makes of it.

use std::str::FromStr;

use elb_common::listener::CidPart;
use elb_common::quic::MAX_CID;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::quic::in_hexadecimal;
use crate::model::value::Invalid;
use crate::observe::trace::Bytes;

/// Of a short header (RFC 9000 §17.3.1): the fixed bit.
const SHORT: u8 = 0x40;
/// Of a long header (RFC 8999 §5.1).
const LONG: u8 = 0x80;
/// What follows the connection id at least (RFC 9001 §5.4.2).
const REST: usize = 20;

/// What a destination connection id begins with: 1 to 20 bytes, written in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Cid {
    bytes: [u8; MAX_CID],
    length: u8,
}

/// What a listener that goes by connection ids of QUIC reads of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionId {
    /// Whether one was given. If not, this is what becomes of a packet without one, which goes by
    /// its addresses and ports; packets of the same addresses and ports that have one go by it.
    pub given: bool,
    /// Bytes of a connection id before the part that counts, 0 to 19.
    pub offset: u8,
    /// Bytes of the part that counts, 1 to 20.
    pub length: u8,
    /// The part of the one that was given, in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<Bytes>,
    /// Bytes at the end of the part that were not given, and count as zeroes.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub missing: u8,
    /// Whether the member that it names gets the packet, wherever the ring sends others.
    pub decides: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl ConnectionId {
    pub(super) fn new(cid: Option<Cid>, part: CidPart, decides: bool) -> Self {
        let CidPart { offset, length } = part;
        let given = cid.map_or(0, |cid| cid.length.saturating_sub(offset).min(length));
        let bytes = |cid: Cid| cid.bytes.into_iter().skip(offset.into()).take(length.into());
        Self {
            given: cid.is_some(),
            offset,
            length,
            part: cid.map(|cid| Bytes(bytes(cid).collect())),
            missing: if cid.is_some() { length - given } else { 0 },
            decides,
        }
    }
}

/// The beginning of a datagram: of one with a connection id, a short header and as much as QUIC has
/// behind it at least. Without one, a long header of `room` bytes at most whose connection id is
/// empty, so that the zeroes that follow are not taken for one.
pub(super) fn datagram(cid: Option<Cid>, room: usize) -> Vec<u8> {
    match cid {
        Some(cid) => [&[SHORT][..], &cid.bytes, &[0; REST]].concat(),
        None => vec![LONG; room.min(1)],
    }
}

impl FromStr for Cid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let what = || format!("{text:?} is no connection id of 1 to 20 bytes");
        let fix = "write two hexadecimal digits for each byte, as in 0a1b2c3d, at most 40";
        let found = in_hexadecimal(text).ok_or_else(|| Invalid::new(what(), fix));
        found.map(|(bytes, length)| Self { bytes, length })
    }
}

impl TryFrom<String> for Cid {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Cid> for String {
    fn from(cid: Cid) -> Self {
        Bytes(cid.bytes[..cid.length.into()].to_vec()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_ids_are_bytes_in_hexadecimal() {
        let text = |text: &str| text.parse::<Cid>().map(String::from);
        assert_eq!(text("0a1B"), Ok("0a1b".to_owned()));
        assert_eq!(text(&"fe".repeat(20)), Ok("fe".repeat(20)));
        for wrong in ["", "0", "0x01", "+1", "é", "0a1", &"00".repeat(21)] {
            let error = text(wrong).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "{wrong:?} is no connection id of 1 to 20 bytes; write two hexadecimal digits \
                     for each byte, as in 0a1b2c3d, at most 40"
                )
            );
        }
    }

    #[test]
    fn the_part_that_counts_may_be_given_in_part() {
        let part = |cid: &str, offset, length| {
            let part = CidPart { offset, length };
            let ConnectionId { part, missing, .. } =
                ConnectionId::new(Some(cid.parse().unwrap()), part, false);
            (String::from(part.unwrap()), missing)
        };
        assert_eq!(part("0102030405", 1, 2), ("0203".to_owned(), 0));
        assert_eq!(part("0102030405", 3, 4), ("04050000".to_owned(), 2));
        assert_eq!(part("01", 19, 1), ("00".to_owned(), 1));
        assert_eq!(part(&"ab".repeat(20), 0, 20), ("ab".repeat(20), 0));
        let none = ConnectionId::new(None, CidPart { offset: 0, length: 8 }, false);
        assert_eq!((none.given, none.part, none.missing), (false, None, 0));
    }
}
