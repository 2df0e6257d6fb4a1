//! A packet that does not fit the way to its backend → the size that would (RFC 1191 §4, RFC 8201).
//!
//! The answer comes from the virtual address, which is where the packet was sent to. It quotes as
//! much of the packet as the RFCs ask for, which is always the same number of bytes: whatever is
//! too big is longer than that. An IPv4 packet that allows fragmentation is answered too, since it
//! is not fragmented here: hosts then send smaller fragments.

use bytemuck::{Pod, Zeroable};
use network_types::ip::IpProto;

use super::super::wire::{Icmp, IcmpError, Ipv4, Ipv6};
use super::super::{Family, Ip, Link, Packet, Stop, Tables, parse};
use crate::addr::{Be16, Be32, Be128};
use crate::backend::{OUTER_FRAGMENT, OUTER_TTL};
use crate::checksum;
use crate::reason::Reason;

/// Makes a packet that is too big the answer to its sender that one of `mtu` bytes would fit;
/// an error where that cannot be, or must not.
#[inline(always)]
pub(in super::super) fn too_big<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    mtu: u16,
) -> Result<(), Stop> {
    // RFC 1122 §3.2.2, RFC 4443 §2.4(e): no error about an error, a later fragment, or a packet of
    // nobody in particular.
    let flow = parse::is_transport(ip.protocol) && !ip.is_later_fragment();
    if !flow || !F::is_one_host(ip.source) || !tables.may_answer(tables.now()) {
        return Err(SILENT);
    }
    F::too_big(packet, link, ip, mtu)
}

const SILENT: Stop = Stop(Reason::TooBig);
const NO_ROOM: Stop = Stop(Reason::NoRoom);

/// What every IPv4 host takes (RFC 791 §3.1), and so the size of an answer (RFC 1812 §4.3.2.3).
const LEAST_V4: u16 = 576;
/// The least MTU of IPv6 (RFC 8200 §5): no host sends less at once, and an answer is no larger.
const LEAST_V6: u16 = 1280;

const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;

/// Precedence "internetwork control" (RFC 1812 §4.3.2.5).
const CONTROL: u8 = 0xc0;

/// The beginning of an IPv4 packet: 544 bytes, as rows of words.
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct QuoteV4([[Be32; 8]; 17]);

/// The beginning of an IPv6 packet: 1232 bytes, as rows of words.
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct QuoteV6([[Be32; 14]; 22]);

/// What comes in front of the quote in IPv4.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadV4 {
    ip: Ipv4,
    error: IcmpError,
}

/// What comes in front of the quote in IPv6.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadV6 {
    ip: Ipv6,
    error: IcmpError,
}

const LENGTH_V4: u16 = (size_of::<HeadV4>() + size_of::<QuoteV4>()) as u16;
const LENGTH_V6: u16 = (size_of::<HeadV6>() + size_of::<QuoteV6>()) as u16;
const _: () = assert!(LENGTH_V4 <= LEAST_V4 && LENGTH_V6 == LEAST_V6);

/// Destination unreachable, fragmentation needed (RFC 792, RFC 1191 §4).
#[inline(always)]
pub(in super::super) fn too_big_v4<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    mtu: u16,
) -> Result<(), Stop> {
    if mtu < LEAST_V4 {
        return Err(SILENT);
    }
    let quote: &QuoteV4 = packet.view(link.end).ok_or(SILENT)?;
    let word = Be32::from_raw(u32::from(mtu).to_be());
    let kind = u16::from_ne_bytes([UNREACHABLE, FRAGMENTATION_NEEDED]);
    let covered = u32::from(kind) + checksum::add_u32(word.raw()) + sum(&quote.0);
    let icmp =
        Icmp { kind: UNREACHABLE, code: FRAGMENTATION_NEEDED, checksum: checksum::finish(covered) };
    let head = HeadV4 { ip: header_v4(ip.destination, ip.source), error: IcmpError { icmp, word } };
    send(packet, link, head, LENGTH_V4).ok_or(NO_ROOM)
}

/// Packet too big (RFC 4443 §3.2). The checksum covers a pseudo-header (§2.3).
#[inline(always)]
pub(in super::super) fn too_big_v6<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be128>,
    mtu: u16,
) -> Result<(), Stop> {
    if mtu < LEAST_V6 {
        return Err(SILENT);
    }
    const ICMP: u8 = IpProto::Ipv6Icmp as u8;
    const MESSAGE: u16 = LENGTH_V6 - size_of::<Ipv6>() as u16;
    let quote: &QuoteV6 = packet.view(link.end).ok_or(SILENT)?;
    let word = Be32::from_raw(u32::from(mtu).to_be());
    let kind = u16::from_ne_bytes([PACKET_TOO_BIG, 0]);
    let pseudo =
        sum(&[ip.source.raw().map(Be32::from_raw), ip.destination.raw().map(Be32::from_raw)])
            + u32::from(MESSAGE.to_be())
            + u32::from(u16::from_ne_bytes([0, ICMP]));
    let covered = pseudo + u32::from(kind) + checksum::add_u32(word.raw()) + sum(&quote.0);
    let icmp = Icmp { kind: PACKET_TOO_BIG, code: 0, checksum: checksum::finish(covered) };
    let header = Ipv6 {
        version_class_label: Be32::from_raw((6u32 << 28).to_be()),
        payload_length: Be16::new(MESSAGE),
        next_header: ICMP,
        hop_limit: OUTER_TTL,
        source: ip.destination,
        destination: ip.source,
    };
    let head = HeadV6 { ip: header, error: IcmpError { icmp, word } };
    send(packet, link, head, LENGTH_V6).ok_or(NO_ROOM)
}

#[inline(always)]
fn header_v4(source: Be32, destination: Be32) -> Ipv4 {
    const ICMP: u8 = IpProto::Icmp as u8;
    let words = u32::from(u16::from_ne_bytes([0x45, CONTROL]))
        + u32::from(LENGTH_V4.to_be())
        + u32::from(OUTER_FRAGMENT.to_be())
        + u32::from(u16::from_ne_bytes([OUTER_TTL, ICMP]));
    let addresses = checksum::add_u32(source.raw()) + checksum::add_u32(destination.raw());
    Ipv4 {
        version_length: 0x45,
        tos: CONTROL,
        total_length: Be16::new(LENGTH_V4),
        identification: Be16::new(0),
        fragment: Be16::new(OUTER_FRAGMENT),
        ttl: OUTER_TTL,
        protocol: ICMP,
        checksum: checksum::finish(words + addresses),
        source,
        destination,
    }
}

/// Puts `head` before the packet, and back to whom it came from.
#[inline(always)]
fn send<P: Packet, H: Pod>(packet: &mut P, link: &Link, head: H, length: u16) -> Option<()> {
    packet.grow_head(size_of::<H>() as u32)?;
    link.write(packet, link.source, link.destination, link.ethertype)?;
    *packet.view_mut(link.end)? = head;
    packet.set_len(link.end as u32 + u32::from(length))
}

/// The sum of rows of words, to be added to others: a few times 2^16.
#[inline(always)]
fn sum<const N: usize>(rows: &[[Be32; N]]) -> u32 {
    let words = rows.iter().flatten();
    checksum::from_u32s(words.fold(0, |sum, word| sum + u64::from(word.raw())))
}
