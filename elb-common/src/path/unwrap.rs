//! The backend server's side: an encapsulated packet for one of its virtual addresses loses its
//! outer header. Everything else passes untouched.

use network_types::eth::EtherType;
use network_types::ip::IpProto;

use super::parse::{self, Family, Ip, V4, V6};
use super::wire::{Ipv4, Ipv6};
use super::{Packet, Stop};
use crate::addr::{Be16, Be32, Be128};
use crate::reason::Reason;

/// The virtual addresses of a backend server.
pub trait Vips {
    /// Whether it serves this IPv4 address.
    fn has_v4(&self, address: Be32) -> bool;
    /// Whether it serves this IPv6 address.
    fn has_v6(&self, address: Be128) -> bool;
}

/// What became of a frame. The number is the index into `DECAP_COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwrapped {
    /// The outer header is gone.
    Yes = 0,
    /// The frame carries no encapsulated packet, or a broken one.
    NotEncapsulated = 1,
    /// The packet inside is for an address that is none of the server's.
    NotVip = 2,
    /// The driver would not let go of the outer header; the frame is useless.
    Failed = 3,
}

impl Unwrapped {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Yes, Self::NotEncapsulated, Self::NotVip, Self::Failed];

    /// Stable name, for output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "unwrapped",
            Self::NotEncapsulated => "not_encapsulated",
            Self::NotVip => "not_vip",
            Self::Failed => "failed",
        }
    }
}

/// Removes the outer header of a packet for one of `vips`.
#[inline(always)]
pub fn unwrap<P: Packet, S: Vips>(packet: &mut P, vips: &S) -> Unwrapped {
    outer(packet, vips).unwrap_or(Unwrapped::NotEncapsulated)
}

#[inline(always)]
fn outer<P: Packet, S: Vips>(packet: &mut P, vips: &S) -> Result<Unwrapped, Stop> {
    const IPV4: u16 = EtherType::Ipv4 as u16;
    const IPV6: u16 = EtherType::Ipv6 as u16;
    let link = parse::link(packet)?;
    let (protocol, payload) = match link.ethertype.raw() {
        IPV4 => payload(&V4::parse(packet, link.end)?),
        IPV6 => payload(&V6::parse(packet, link.end)?),
        _ => return Ok(Unwrapped::NotEncapsulated),
    };
    let (ours, ethertype) = if protocol == V4::INNER_PROTOCOL {
        (vips.has_v4(view::<P, Ipv4>(packet, payload)?.destination), IPV4)
    } else if protocol == V6::INNER_PROTOCOL {
        (vips.has_v6(view::<P, Ipv6>(packet, payload)?.destination), IPV6)
    } else {
        return Ok(Unwrapped::NotEncapsulated);
    };
    if !ours {
        return Ok(Unwrapped::NotVip);
    }
    if packet.shrink_head((payload - link.end) as u32).is_none() {
        return Ok(Unwrapped::NotEncapsulated);
    }
    match link.write(packet, link.destination, link.source, Be16::from_raw(ethertype)) {
        Some(()) => Ok(Unwrapped::Yes),
        None => Ok(Unwrapped::Failed),
    }
}

/// A header of the packet inside: only its destination matters here, the rest is the kernel's.
#[inline(always)]
fn view<P: Packet, H: bytemuck::Pod>(packet: &P, offset: usize) -> Result<&H, Stop> {
    packet.view(offset).ok_or(Stop(Reason::Truncated))
}

/// Protocol and offset of the payload; a fragment carries no whole packet.
#[inline(always)]
fn payload<A>(ip: &Ip<A>) -> (u8, usize) {
    const NONE: u8 = IpProto::Ipv6NoNxt as u8;
    (if ip.fragment == 0 { ip.protocol } else { NONE }, ip.payload)
}
