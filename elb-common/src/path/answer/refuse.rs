//! A packet that nothing takes → the answer that a host without such a service gives: a reset for TCP
//! (RFC 9293 §3.5.2), "port unreachable" for UDP (RFC 1122 §3.2.2.1, RFC 4443 §3.1).
//!
//! The answer comes from the virtual address. It is never longer than the packet where that is TCP.

use bytemuck::{Pod, Zeroable};
use network_types::ip::IpProto;

use super::super::wire::{Ethernet, Icmp, IcmpError, Ipv4, Ipv6, Tcp};
use super::super::{Family, Ip, Link, Packet, Stop, Tables, parse};
use super::too_big::{CONTROL, answer_v4, answer_v6, pseudo_v6, send, sum};
use crate::addr::{Be16, Be32};
use crate::checksum;
use crate::error_limit::kind;
use crate::reason::Reason;

/// Why a packet is refused; numbers, since global functions take no other.
pub mod refusal {
    use crate::reason::Reason;

    /// The virtual address has no listener for it.
    pub const CLOSED_PORT: u32 = 0;
    /// The listener has no backend for it.
    pub const NO_BACKEND: u32 = 1;
    /// Its connection was cut.
    pub const CUT: u32 = 2;
    /// Each backend that takes new connections has as many as it may have.
    pub const MEMBER_LIMIT: u32 = 3;
    /// It is a member's answer on a connection that is over.
    pub const ENDED: u32 = 4;
    /// It is of no connection that is open.
    pub const NOT_OPEN: u32 = 5;

    /// What is counted where its sender was notified, or was not.
    #[inline(always)]
    pub const fn reason(refusal: u32, is_notified: bool) -> Reason {
        match (refusal, is_notified) {
            (NO_BACKEND, true) => Reason::NoBackendAnswered,
            (NO_BACKEND, false) => Reason::NoBackend,
            (CUT, true) => Reason::CutAnswered,
            (CUT, false) => Reason::Cut,
            (MEMBER_LIMIT, true) => Reason::MemberLimitAnswered,
            (MEMBER_LIMIT, false) => Reason::MemberLimit,
            (ENDED | NOT_OPEN, true) => Reason::ResetTold,
            (NOT_OPEN, false) => Reason::NotOpen,
            // It passes, as it would without a record of its member.
            (ENDED, false) => Reason::NotVip,
            (_, true) => Reason::ClosedPortAnswered,
            (_, false) => Reason::ClosedPort,
        }
    }
}

/// A reset, which has no options.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
struct Reset {
    tcp: Tcp,
    window: Be16,
    checksum: u16,
    urgent: Be16,
}

/// What an ICMP error quotes: the IPv4 header and the UDP header.
type QuoteV4 = [Be32; 7];
/// The IPv6 header and the UDP header.
type QuoteV6 = [Be32; 12];

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

const TCP: u8 = IpProto::Tcp as u8;
const RESET: u16 = size_of::<Reset>() as u16;
const LENGTH_V4: u16 = (size_of::<Ipv4>() + size_of::<IcmpError>() + size_of::<QuoteV4>()) as u16;
const MESSAGE_V6: u16 = (size_of::<IcmpError>() + size_of::<QuoteV6>()) as u16;
const LENGTH_V6: u16 = size_of::<Ipv6>() as u16 + MESSAGE_V6;

/// "Destination unreachable", and that it is the port, in ICMP and in ICMPv6.
const PORT_V4: (u8, u8) = (3, 3);
const PORT_V6: (u8, u8) = (1, 4);

const SILENT: Stop = Stop(Reason::NoListener);

/// Makes the packet the answer; an error where there is none.
#[inline(always)]
pub(in super::super) fn refuse<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<(), Stop> {
    // RFC 1122 §3.2.2: no answer to what is no single host. A first fragment shows neither how long
    // its segment is, nor is there a second answer for the others.
    let is_whole = !ip.is_first_fragment() && !ip.is_later_fragment();
    if link.destination.is_group() || !F::is_one_host(ip.source) || !is_whole {
        return Err(SILENT);
    }
    if parse::is_udp(ip.protocol) {
        // With options or extension headers, the quote would not hold the ports.
        let is_plain = ip.payload == link.end + F::HEADER;
        if !is_plain || !tables.may_answer(kind::ERROR, tables.now()) {
            return Err(SILENT);
        }
        return F::unreachable(packet, link).ok_or(SILENT);
    }
    if ip.protocol != TCP {
        return Err(SILENT);
    }
    let segment: Tcp = *packet.view(ip.payload).ok_or(SILENT)?;
    let data = ip.payload_length.checked_sub(u32::from(segment.offset >> 4) * 4).ok_or(SILENT)?;
    if segment.flags & RST != 0 || !tables.may_answer(kind::RESET, tables.now()) {
        return Err(SILENT);
    }
    let opens = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & FIN != 0);
    let sequence = u32::from_be(segment.sequence.raw());
    F::reset(packet, link, &segment, sequence.wrapping_add(data + opens)).ok_or(SILENT)
}

/// Answers a segment; `next` is the sequence number after it.
#[inline(always)]
pub(in super::super) fn reset_v4<P: Packet>(
    packet: &mut P,
    link: &Link,
    segment: &Tcp,
    next: u32,
) -> Option<()> {
    const LENGTH: u16 = size_of::<Ipv4>() as u16 + RESET;
    let asked: Ipv4 = *packet.view(link.end)?;
    let header = answer_v4(&asked, TCP, 0, LENGTH);
    let addresses =
        checksum::add_u32(asked.source.raw()) + checksum::add_u32(asked.destination.raw());
    let pseudo = addresses + u32::from(u16::from_ne_bytes([0, TCP])) + u32::from(RESET.to_be());
    turn_round(packet, link, header, reset(segment, next, pseudo))
}

/// As for IPv4.
#[inline(always)]
pub(in super::super) fn reset_v6<P: Packet>(
    packet: &mut P,
    link: &Link,
    segment: &Tcp,
    next: u32,
) -> Option<()> {
    let asked: Ipv6 = *packet.view(link.end)?;
    let header = answer_v6(&asked, TCP, RESET);
    turn_round(packet, link, header, reset(segment, next, pseudo_v6(&asked, TCP, RESET)))
}

/// RFC 9293 §3.10.7.1: a segment that acknowledges something is answered from there on, any other is
/// acknowledged.
#[inline(always)]
fn reset(segment: &Tcp, next: u32, pseudo: u32) -> Reset {
    let acknowledges = segment.flags & ACK != 0;
    let (sequence, acknowledgement, flags) = if acknowledges {
        (segment.acknowledgement, Be32::from_raw(0), RST)
    } else {
        (Be32::from_raw(0), Be32::from_raw(next.to_be()), RST | ACK)
    };
    let tcp = Tcp {
        source: segment.destination,
        destination: segment.source,
        sequence,
        acknowledgement,
        offset: 0x50,
        flags,
    };
    let covered = pseudo
        + u32::from(tcp.source.raw())
        + u32::from(tcp.destination.raw())
        + checksum::add_u32(sequence.raw())
        + checksum::add_u32(acknowledgement.raw())
        + u32::from(u16::from_ne_bytes([0x50, flags]));
    Reset { tcp, checksum: checksum::finish(covered), ..Reset::default() }
}

/// Writes the answer over the packet, and sends it back the way it came; tags stay.
#[inline(always)]
fn turn_round<P: Packet, H: Pod>(
    packet: &mut P,
    link: &Link,
    header: H,
    reset: Reset,
) -> Option<()> {
    packet.set_len(link.end as u32 + size_of::<H>() as u32 + u32::from(RESET))?;
    let ethernet: &mut Ethernet = packet.view_mut(0)?;
    (ethernet.destination, ethernet.source) = (link.source, link.destination);
    *packet.view_mut(link.end)? = header;
    *packet.view_mut(link.end + size_of::<H>())? = reset;
    Some(())
}

/// Answers a datagram.
#[inline(always)]
pub(in super::super) fn unreachable_v4<P: Packet>(packet: &mut P, link: &Link) -> Option<()> {
    let quote: &QuoteV4 = packet.view(link.end)?;
    let error = error(PORT_V4, sum(&[*quote]));
    let header = |quoted: &Ipv4| answer_v4(quoted, IpProto::Icmp as u8, CONTROL, LENGTH_V4);
    send(packet, link, header, error, LENGTH_V4)
}

/// As for IPv4. The checksum covers a pseudo-header (RFC 4443 §2.3).
#[inline(always)]
pub(in super::super) fn unreachable_v6<P: Packet>(packet: &mut P, link: &Link) -> Option<()> {
    const ICMP: u8 = IpProto::Ipv6Icmp as u8;
    let pseudo = pseudo_v6(packet.view(link.end)?, ICMP, MESSAGE_V6);
    let quote: &QuoteV6 = packet.view(link.end)?;
    let error = error(PORT_V6, pseudo + sum(&[*quote]));
    let header = |quoted: &Ipv6| answer_v6(quoted, ICMP, MESSAGE_V6);
    send(packet, link, header, error, LENGTH_V6)
}

#[inline(always)]
fn error((kind, code): (u8, u8), covered: u32) -> IcmpError {
    let sum = covered + u32::from(u16::from_ne_bytes([kind, code]));
    let icmp = Icmp { kind, code, checksum: checksum::finish(sum) };
    IcmpError { icmp, word: Be32::from_raw(0) }
}
