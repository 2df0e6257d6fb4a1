//! A packet that does not fit the way to its backend → the size that would (RFC 1191 §4, RFC 8201).
//!
//! The answer comes from the virtual address, which is where the packet was sent to. It quotes as
//! much of the packet as the RFCs ask for, which is always the same number of bytes: whatever is
//! too big is longer than that, since no sender is asked to send less than every host takes. An IPv4
//! packet that allows fragmentation is answered too, since it is not fragmented here: hosts then
//! send smaller fragments.

use bytemuck::{Pod, Zeroable};
use network_types::ip::IpProto;

use super::super::wire::{Icmp, IcmpError, Ipv4, Ipv6};
use super::super::{Family, Ip, Link, Packet, Stop, Tables, V4, V6, parse};
use crate::addr::{Be16, Be32, Be128};
use crate::backend::{OUTER_FRAGMENT, OUTER_TTL};
use crate::checksum;
use crate::error_limit::kind;
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
    // no single host.
    let flow = parse::is_transport(ip.protocol) && !ip.is_later_fragment();
    if !flow || !F::is_one_host(ip.source) || mtu < F::LEAST_MTU {
        return Err(SILENT);
    }
    let largest = tables.interface(packet.ingress()).map_or(0, |interface| interface.largest);
    if largest > 0 && ip.length > u32::from(largest) {
        return Err(Stop(Reason::Joined));
    }
    if !tables.may_answer(kind::ERROR, tables.now()) {
        return Err(SILENT);
    }
    F::too_big(packet, link, mtu)
}

const SILENT: Stop = Stop(Reason::TooBig);
const NO_ROOM: Stop = Stop(Reason::NoRoom);

const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;

/// Precedence "internetwork control" (RFC 1812 §4.3.2.5).
pub(super) const CONTROL: u8 = 0xc0;

/// The beginning of an IPv4 packet, as rows of words: 544 bytes, for an answer of up to 576 bytes
/// (RFC 1812 §4.3.2.3).
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct QuoteV4([[Be32; 8]; 17]);

/// The beginning of an IPv6 packet, as rows of words: 1232 bytes, for an answer of 1280 bytes
/// (RFC 4443 §2.4(c)).
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct QuoteV6([[Be32; 14]; 22]);

/// What comes between the IP header and the quote.
const HEAD: usize = size_of::<IcmpError>();
const LENGTH_V4: u16 = (size_of::<Ipv4>() + HEAD + size_of::<QuoteV4>()) as u16;
const LENGTH_V6: u16 = (size_of::<Ipv6>() + HEAD + size_of::<QuoteV6>()) as u16;
const _: () = assert!(LENGTH_V4 <= V4::LEAST_MTU && LENGTH_V6 == V6::LEAST_MTU);

/// Destination unreachable, fragmentation needed (RFC 792, RFC 1191 §4).
#[inline(always)]
pub(in super::super) fn too_big_v4<P: Packet>(
    packet: &mut P,
    link: &Link,
    mtu: u16,
) -> Result<(), Stop> {
    let quote: &QuoteV4 = packet.view(link.end).ok_or(SILENT)?;
    let word = Be32::from_raw(u32::from(mtu).to_be());
    let kind = u16::from_ne_bytes([UNREACHABLE, FRAGMENTATION_NEEDED]);
    let covered = u32::from(kind) + checksum::add_u32(word.raw()) + sum(&quote.0);
    let icmp =
        Icmp { kind: UNREACHABLE, code: FRAGMENTATION_NEEDED, checksum: checksum::finish(covered) };
    let error = IcmpError { icmp, word };
    let header = |quoted: &Ipv4| answer_v4(quoted, IpProto::Icmp as u8, CONTROL, LENGTH_V4);
    send(packet, link, header, error, LENGTH_V4).ok_or(NO_ROOM)
}

/// Packet too big (RFC 4443 §3.2). The checksum covers a pseudo-header (§2.3).
#[inline(always)]
pub(in super::super) fn too_big_v6<P: Packet>(
    packet: &mut P,
    link: &Link,
    mtu: u16,
) -> Result<(), Stop> {
    const ICMP: u8 = IpProto::Ipv6Icmp as u8;
    const MESSAGE: u16 = LENGTH_V6 - size_of::<Ipv6>() as u16;
    let header: &Ipv6 = packet.view(link.end).ok_or(SILENT)?;
    let quote: &QuoteV6 = packet.view(link.end).ok_or(SILENT)?;
    let word = Be32::from_raw(u32::from(mtu).to_be());
    let kind = u16::from_ne_bytes([PACKET_TOO_BIG, 0]);
    let pseudo = pseudo_v6(header, ICMP, MESSAGE);
    let covered = pseudo + u32::from(kind) + checksum::add_u32(word.raw()) + sum(&quote.0);
    let icmp = Icmp { kind: PACKET_TOO_BIG, code: 0, checksum: checksum::finish(covered) };
    let error = IcmpError { icmp, word };
    let header = |quoted: &Ipv6| answer_v6(quoted, ICMP, MESSAGE);
    send(packet, link, header, error, LENGTH_V6).ok_or(NO_ROOM)
}

/// The IPv4 header of an answer with this protocol, type of service and length, to who sent `asked`.
#[inline(always)]
pub(super) fn answer_v4(asked: &Ipv4, protocol: u8, tos: u8, length: u16) -> Ipv4 {
    let (source, destination) = (asked.destination, asked.source);
    let words = u32::from(u16::from_ne_bytes([0x45, tos]))
        + u32::from(length.to_be())
        + u32::from(OUTER_FRAGMENT.to_be())
        + u32::from(u16::from_ne_bytes([OUTER_TTL, protocol]));
    let addresses = checksum::add_u32(source.raw()) + checksum::add_u32(destination.raw());
    Ipv4 {
        version_length: 0x45,
        tos,
        total_length: Be16::new(length),
        identification: Be16::new(0),
        fragment: Be16::new(OUTER_FRAGMENT),
        ttl: OUTER_TTL,
        protocol,
        checksum: checksum::finish(words + addresses),
        source,
        destination,
    }
}

/// The IPv6 header of an answer with this payload, to who sent `asked`.
#[inline(always)]
pub(super) fn answer_v6(asked: &Ipv6, next_header: u8, payload: u16) -> Ipv6 {
    Ipv6 {
        version_class_label: Be32::from_raw((6u32 << 28).to_be()),
        payload_length: Be16::new(payload),
        next_header,
        hop_limit: OUTER_TTL,
        source: asked.destination,
        destination: asked.source,
    }
}

/// The sum of the words of a pseudo-header (RFC 8200 §8.1) of an answer to `asked`.
#[inline(always)]
pub(super) fn pseudo_v6(asked: &Ipv6, next_header: u8, payload: u16) -> u32 {
    checksum::from_u32s(halves(asked.source) + halves(asked.destination))
        + u32::from(payload.to_be())
        + u32::from(u16::from_ne_bytes([0, next_header]))
}

/// Puts the headers before the packet, and sends it back to whom it came from. What the packet's own
/// header says is read again: addresses kept until then would take too much of the BPF stack.
#[inline(always)]
pub(super) fn send<P: Packet, H: Pod>(
    packet: &mut P,
    link: &Link,
    header: impl FnOnce(&H) -> H,
    error: IcmpError,
    length: u16,
) -> Option<()> {
    let grown = size_of::<H>() + HEAD;
    let quote = link.end + grown;
    packet.grow_head(grown as u32)?;
    link.write(packet, grown, link.source, link.destination, link.ethertype)?;
    let header = header(packet.view(quote)?);
    *packet.view_mut(link.end)? = header;
    *packet.view_mut(link.end + size_of::<H>())? = error;
    packet.set_len(link.end as u32 + u32::from(length))
}

/// The sum of an address's 32-bit words.
#[inline(always)]
fn halves(address: Be128) -> u64 {
    let [a, b] = address.words().map(|word| (word & u64::from(u32::MAX)) + (word >> 32));
    a + b
}

/// The sum of rows of words, to be added to others: a few times 2^16.
#[inline(always)]
pub(super) fn sum<const N: usize>(rows: &[[Be32; N]]) -> u32 {
    let words = rows.iter().flatten();
    checksum::from_u32s(words.fold(0, |sum, word| sum + u64::from(word.raw())))
}

#[cfg(test)]
mod tests {
    use super::super::super::Frame;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const TAGGED: usize = 18;

    /// RFC 1071 over bytes, as plainly as it can be said: 0 where the checksum is right.
    fn plain(bytes: &[u8]) -> u16 {
        let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1]));
        let mut sum: u64 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// The answer to a packet in a tagged frame; nothing but its IP header is made to be right.
    fn answer<F: Family>(header: &[u8], rest: &[u8], mtu: u16) -> Vec<u8> {
        let ethertype: [u8; 2] = if header[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
        let link = [&[2; 6][..], &[4; 6], &[0x81, 0, 0, 5], &ethertype].concat();
        let mut buffer = [0; 2048];
        let bytes = [&link, header, rest].concat();
        let mut frame = Frame::new(&mut buffer, &bytes, 1).unwrap();
        let link = parse::link(&frame).unwrap();
        F::too_big(&mut frame, &link, mtu).unwrap();
        frame.bytes().to_vec()
    }

    proptest! {
        #[test]
        fn v4_has_right_checksums_and_quotes(
            addresses: [u8; 8],
            rest in proptest::collection::vec(any::<u8>(), 557..1500),
            mtu in V4::LEAST_MTU..,
        ) {
            let [high, low] = (20 + rest.len() as u16).to_be_bytes();
            let start = [0x45, 0, high, low, 0, 9, 0x40, 0, 61, 17, 0, 0];
            let header = [&start[..], &addresses].concat();
            let bytes = answer::<V4>(&header, &rest, mtu);
            prop_assert_eq!(&bytes[..12], [[4; 6], [2; 6]].concat());
            let ip = &bytes[TAGGED..];
            prop_assert_eq!(ip.len(), 572);
            prop_assert_eq!((plain(&ip[..20]), plain(&ip[20..])), (0, 0));
            prop_assert_eq!((&ip[12..16], &ip[16..20]), (&addresses[4..], &addresses[..4]));
            prop_assert_eq!(&ip[26..28], mtu.to_be_bytes());
            prop_assert_eq!(&ip[28..48], &header[..]);
            prop_assert_eq!(&ip[48..], &rest[..524]);
        }

        #[test]
        fn v6_has_the_right_checksum_and_quotes(
            addresses: [[u8; 16]; 2],
            rest in proptest::collection::vec(any::<u8>(), 1241..1500),
            mtu in V6::LEAST_MTU..,
        ) {
            let [high, low] = (rest.len() as u16).to_be_bytes();
            let header = [&[0x6f, 1, 2, 3, high, low, 17, 61][..], addresses.as_flattened()].concat();
            let bytes = answer::<V6>(&header, &rest, mtu);
            let ip = &bytes[TAGGED..];
            prop_assert_eq!(ip.len(), 1280);
            let pseudo = [&ip[8..40], &1240u32.to_be_bytes(), &58u32.to_be_bytes()].concat();
            prop_assert_eq!(plain(&[&pseudo, &ip[40..]].concat()), 0);
            prop_assert_eq!((&ip[8..24], &ip[24..40]), (&addresses[1][..], &addresses[0][..]));
            prop_assert_eq!(&ip[44..48], u32::from(mtu).to_be_bytes());
            prop_assert_eq!(&ip[48..88], &header[..]);
            prop_assert_eq!(&ip[88..], &rest[..1192]);
        }
    }
}
