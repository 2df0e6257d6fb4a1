//! TCP (RFC 9293) and UDP (RFC 768).

use network_types::ip::IpProto;

use super::super::wire::{Tcp, Udp};
use super::super::{Packet, Stop};
use super::Ip;
use crate::addr::Be16;
use crate::flow::Ports;
use crate::reason::Reason;

/// What a TCP or UDP header says.
///
/// Whole words, and no type with invalid values: the compiler would hide the tag of a `Result` in
/// one and take the record apart at odd addresses, which the BPF stack does not allow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Ports.
    pub ports: Ports,
    /// Flags of TCP, or [`DATAGRAM`].
    flags: u32,
}

/// Not a flag of TCP: the packet is UDP.
const DATAGRAM: u32 = 1 << 8;
/// Not a flag of TCP: the packet is an error about the flow.
const QUOTED: u32 = 1 << 9;

impl Transport {
    /// What an error says of the flow with these ports that it is about.
    #[inline(always)]
    pub(in super::super) const fn quoted(ports: Ports) -> Self {
        Self { ports, flags: QUOTED }
    }

    /// Flags of TCP, and what else is known of the packet: one number.
    #[inline(always)]
    pub(in super::super) const fn flags(&self) -> u32 {
        self.flags
    }

    /// What such a number says, without ports.
    #[inline(always)]
    pub(in super::super) const fn of_flags(flags: u32) -> Self {
        let none = Be16::new(0);
        Self { ports: Ports { source: none, destination: none }, flags }
    }

    /// Whether the packet opens a TCP connection: SYN without ACK. A segment that says to open and to
    /// close at once is a stray one: receivers drop it or reset (RFC 9293 §3.10.7.4), so it opens
    /// nothing.
    #[inline(always)]
    pub const fn opens(&self) -> bool {
        self.flags & (SYN | ACK | FIN | RST) == SYN
    }

    /// Whether the packet closes a TCP connection: FIN or RST.
    #[inline(always)]
    pub const fn closes(&self) -> bool {
        self.flags & (FIN | RST) != 0
    }

    /// Whether the packet resets a TCP connection.
    #[inline(always)]
    pub const fn resets(&self) -> bool {
        self.flags & RST != 0
    }

    /// Whether the packet opens or resets a TCP connection, or says both: one look at what few packets do.
    #[inline(always)]
    pub const fn begins_or_breaks(&self) -> bool {
        self.flags & (SYN | RST) != 0
    }

    /// Whether the packet is an error about the flow. Anyone can forge one: it opens no flow and
    /// keeps none alive.
    #[inline(always)]
    pub const fn is_quoted(&self) -> bool {
        self.flags & QUOTED != 0
    }

    /// Whether the packet is UDP.
    #[inline(always)]
    pub const fn is_udp(&self) -> bool {
        self.flags == DATAGRAM
    }
}

const TCP: u8 = IpProto::Tcp as u8;
const UDP: u8 = IpProto::Udp as u8;

const FIN: u32 = 0x01;
const SYN: u32 = 0x02;
const RST: u32 = 0x04;
const ACK: u32 = 0x10;

/// Whether a protocol has listeners; all others are control messages or not ours.
#[inline(always)]
pub(in super::super) fn is_transport(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP)
}

/// Whether a protocol is TCP.
#[inline(always)]
pub(in super::super) const fn is_tcp(protocol: u8) -> bool {
    protocol == TCP
}

/// Whether a segment of a server resets its connection, or accepts it; none: neither.
#[inline(always)]
pub(in super::super) const fn verdict(flags: u8) -> Option<bool> {
    let flags = flags as u32;
    if flags & (SYN | RST) == 0 {
        return None;
    }
    Some(flags & RST != 0)
}

/// Whether a protocol is UDP.
#[inline(always)]
pub(in super::super) const fn is_udp(protocol: u8) -> bool {
    protocol == UDP
}

/// Reads the header behind `ip`, whose protocol is TCP or UDP.
#[inline(always)]
pub(in super::super) fn transport<P: Packet, A>(packet: &P, ip: &Ip<A>) -> Result<Transport, Stop> {
    if ip.protocol == UDP { udp(packet, ip) } else { tcp(packet, ip) }
}

#[inline(always)]
fn tcp<P: Packet, A>(packet: &P, ip: &Ip<A>) -> Result<Transport, Stop> {
    let header: &Tcp = packet.view(ip.payload).ok_or_else(|| Stop::because(Reason::Truncated))?;
    let length = u32::from(header.offset >> 4) * 4;
    if length < 20 || length > ip.payload_length {
        return Err(Stop::because(Reason::BadHeader));
    }
    Ok(Transport {
        ports: Ports { source: header.source, destination: header.destination },
        flags: u32::from(header.flags),
    })
}

#[inline(always)]
fn udp<P: Packet, A>(packet: &P, ip: &Ip<A>) -> Result<Transport, Stop> {
    let header: &Udp = packet.view(ip.payload).ok_or_else(|| Stop::because(Reason::Truncated))?;
    let length = u32::from(header.length.get());
    // A first fragment announces the whole datagram.
    let too_long = length > ip.payload_length && !ip.is_first_fragment();
    if length < 8 || too_long {
        return Err(Stop::because(Reason::BadHeader));
    }
    Ok(Transport {
        ports: Ports { source: header.source, destination: header.destination },
        flags: DATAGRAM,
    })
}
