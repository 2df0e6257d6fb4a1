//! IPv6 extension headers (RFC 8200 §4, RFC 7045).

use network_types::ip::IpProto;

use super::super::wire::Extension;
use super::super::{Packet, Stop};
use super::part;
use crate::limits::MAX_EXTENSION_HEADERS;
use crate::reason::Reason;

const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
const ROUTING: u8 = IpProto::Ipv6Route as u8;
const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
const AUTHENTICATION: u8 = IpProto::Ah as u8;
const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
const MOBILITY: u8 = IpProto::MobilityHeader as u8;

const FRAGMENT_OFFSET: u16 = 0xfff8;
const MORE_FRAGMENTS: u16 = 1;

/// Whether a protocol is that of an extension header.
#[inline(always)]
pub(super) fn is_one(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY)
}

/// What a chain of extension headers says.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Offset of the payload behind them.
    pub payload: u32,
    /// What fragments of one datagram have in common, a word as it lies in memory.
    pub identification: u32,
    /// One of [`part`].
    pub fragment: u32,
    /// Protocol of the payload.
    pub protocol: u8,
    reserved: [u8; 3],
}

/// Walks the headers from `offset` on, the first of which is of this protocol. A fragment without
/// offset and without more to follow is "atomic": the packet is whole (RFC 6946). Behind the fragment
/// header of a later fragment there is nothing to read.
#[inline(always)]
pub fn walk<P: Packet>(packet: &P, offset: usize, protocol: u8) -> Result<Chain, Stop> {
    let mut payload = offset;
    let mut chain =
        Chain { payload: 0, identification: 0, protocol, fragment: part::WHOLE, reserved: [0; 3] };
    for _ in 0..MAX_EXTENSION_HEADERS {
        if !is_one(chain.protocol) || chain.fragment == part::LATER {
            break;
        }
        let header: &Extension = packet.view(payload).ok_or(Stop(Reason::Truncated))?;
        let beyond = usize::from(header.length);
        payload += match chain.protocol {
            FRAGMENT => {
                if header.word.raw() & (FRAGMENT_OFFSET | MORE_FRAGMENTS).to_be() != 0 {
                    chain.identification = header.rest.raw();
                    let later = header.word.raw() & FRAGMENT_OFFSET.to_be() != 0;
                    chain.fragment = if later { part::LATER } else { part::FIRST };
                }
                8
            }
            AUTHENTICATION => (beyond + 2) * 4,
            ROUTING if header.word.get() & 0xff != 0 => {
                return Err(Stop(Reason::ExtensionHeaders));
            }
            _ => (beyond + 1) * 8,
        };
        chain.protocol = header.next_header;
    }
    if is_one(chain.protocol) && chain.fragment != part::LATER {
        return Err(Stop(Reason::ExtensionHeaders));
    }
    Ok(Chain { payload: payload as u32, ..chain })
}

/// What a walk found as one word, for a function that can return nothing else.
#[inline(always)]
pub fn pack(chain: Result<Chain, Stop>) -> u64 {
    match chain {
        Ok(chain) => {
            u64::from(chain.identification) << 32
                | u64::from(chain.payload as u16) << 16
                | u64::from(chain.protocol) << 8
                | u64::from(chain.fragment as u8)
        }
        Err(Stop(reason)) => (reason as u64) << 8,
    }
}

/// What a walk found; no payload lies at 0.
#[inline(always)]
pub fn unpack(word: u64) -> Result<Chain, Stop> {
    /// Farther than any header chain that is walked reaches.
    const FARTHEST: u32 = 0x7fff;
    let payload = (word >> 16) as u32 & FARTHEST;
    let (protocol, fragment) = ((word >> 8) as u8, u32::from(word as u8));
    if payload == 0 {
        return Err(Stop(Reason::new(protocol).unwrap_or(Reason::ExtensionHeaders)));
    }
    let identification = (word >> 32) as u32;
    Ok(Chain { payload, identification, protocol, fragment, reserved: [0; 3] })
}
