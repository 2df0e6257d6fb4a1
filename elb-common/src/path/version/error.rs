//! Errors about packets that changed their IP version: the error changes its own, its type, and the packet that it
//! quotes (RFC 7915 §4.2, §4.3, §5.2, §5.3).
//!
//! What is behind the quoted header is not summed again: what the old checksum covers besides the headers stays.

use core::hint::black_box;

use network_types::ip::IpProto;

use super::super::control::Quote;
use super::super::ends::end;
use super::super::translate::{Port, quote};
use super::super::verifier::forgotten;
use super::super::wire::{Icmp, IcmpError, Ipv4, Ipv6};
use super::super::{Family, Ip, Link, Packet, Stop, parse, part};
use super::{Ends, Hop, KEPT_WHOLE, LEAST_MTU, LONGER, Part, Says, ipv4, sum_of};
use crate::addr::{Be16, Be32, Be128};
use crate::checksum;
use crate::flow::Ports;
use crate::reason::Reason;
use network_types::eth::EtherType;

const ICMP: u8 = IpProto::Icmp as u8;
const ICMPV6: u8 = IpProto::Ipv6Icmp as u8;

/// What an error says, without its checksum, in one number: type, code, and from bit 32 on the word behind the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message(u64);

impl Message {
    #[inline(always)]
    const fn new(kind: u8, code: u8, word: u32) -> Self {
        Self(kind as u64 | (code as u64) << 8 | (word as u64) << 32)
    }

    /// Type and code as the first word of an error.
    #[inline(always)]
    const fn first(self) -> [u8; 2] {
        [self.0 as u8, (self.0 >> 8) as u8]
    }

    /// The same, of which the verifier forgets what it is.
    #[inline(always)]
    fn forgotten(self, error: &IcmpError) -> Self {
        let unknown = u64::from(error.word.raw());
        Self(forgotten(self.0, unknown << 32 | unknown))
    }
}

/// The longest error of IPv6 (RFC 4443 §2.4(c)).
const LONGEST: u32 = LEAST_MTU;

/// Types of ICMP (RFC 792) and of ICMPv6 (RFC 4443).
mod kind {
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const UNREACHABLE_V6: u8 = 1;
    pub(super) const TOO_BIG_V6: u8 = 2;
    pub(super) const TIME_EXCEEDED_V6: u8 = 3;
    pub(super) const PARAMETER_V6: u8 = 4;
}

/// Codes of unreachable destinations.
mod code {
    pub(super) const HOST: u8 = 1;
    pub(super) const PROTOCOL: u8 = 2;
    pub(super) const PORT: u8 = 3;
    pub(super) const TOO_BIG: u8 = 4;
    pub(super) const PRECEDENCE: u8 = 14;
    pub(super) const PROHIBITED: u8 = 10;
    pub(super) const NO_ROUTE_V6: u8 = 0;
    pub(super) const PROHIBITED_V6: u8 = 1;
    pub(super) const PORT_V6: u8 = 4;
}

/// Where an IPv6 header says what follows it.
const NEXT_HEADER: u32 = 6;

/// What an error of IPv4 says in IPv6; none: nothing there means the same (RFC 7915 §4.2).
#[inline(always)]
pub(super) fn in_v6(error: &IcmpError) -> Option<Message> {
    let Icmp { kind, code, .. } = error.icmp;
    let word = u32::from_be(error.word.raw());
    let says = |kind, code, word| Some(Message::new(kind, code, word));
    match (kind, code) {
        (kind::TIME_EXCEEDED, code) => says(kind::TIME_EXCEEDED_V6, code, 0),
        (kind::UNREACHABLE, code::TOO_BIG) => {
            let mtu = (word & 0xffff) + LONGER as u32;
            says(kind::TOO_BIG_V6, 0, if mtu < LEAST_MTU { LEAST_MTU } else { mtu })
        }
        (kind::UNREACHABLE, code::PORT) => says(kind::UNREACHABLE_V6, code::PORT_V6, 0),
        (kind::UNREACHABLE, code::PROTOCOL) => says(kind::PARAMETER_V6, 1, NEXT_HEADER),
        (kind::UNREACHABLE, 9 | code::PROHIBITED | 13 | 15) => {
            says(kind::UNREACHABLE_V6, code::PROHIBITED_V6, 0)
        }
        (kind::UNREACHABLE, code) if code < code::PRECEDENCE => {
            says(kind::UNREACHABLE_V6, code::NO_ROUTE_V6, 0)
        }
        _ => None,
    }
}

/// What an error of IPv6 says in IPv4; none: nothing there means the same (RFC 7915 §5.2).
#[inline(always)]
pub(super) fn in_v4(error: &IcmpError) -> Option<Message> {
    let Icmp { kind, code, .. } = error.icmp;
    let says = |kind, code, word| Some(Message::new(kind, code, word));
    match (kind, code) {
        (kind::TIME_EXCEEDED_V6, code) => says(kind::TIME_EXCEEDED, code, 0),
        (kind::TOO_BIG_V6, _) => {
            let mtu = u32::from_be(error.word.raw());
            let mtu = if mtu > u32::from(u16::MAX) { u32::from(u16::MAX) } else { mtu };
            says(kind::UNREACHABLE, code::TOO_BIG, mtu.saturating_sub(LONGER as u32))
        }
        (kind::UNREACHABLE_V6, code::PORT_V6) => says(kind::UNREACHABLE, code::PORT, 0),
        (kind::UNREACHABLE_V6, code::PROHIBITED_V6) => says(kind::UNREACHABLE, code::PROHIBITED, 0),
        (kind::UNREACHABLE_V6, 0 | 2 | 3) => says(kind::UNREACHABLE, code::HOST, 0),
        (kind::PARAMETER_V6, 1) => says(kind::UNREACHABLE, code::PROTOCOL, 0),
        _ => None,
    }
}

/// The packet that an error quotes, and where its ports are: one without options, extension headers, or fragments.
#[inline(always)]
pub(in super::super) fn quoted<F: Family, P: Packet>(
    packet: &P,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<(Ip<F::Addr>, Quote), Stop> {
    let start = ip.payload + size_of::<IcmpError>();
    let quoted = F::header(packet, start)?;
    let payload = start + F::HEADER;
    let is_plain = quoted.payload == payload && quoted.fragment == part::WHOLE;
    if !is_plain || !parse::is_transport(quoted.protocol) {
        return Err(Stop(Reason::OtherProtocol));
    }
    if payload + size_of::<Ports>() > link.end + ip.length as usize {
        return Err(Stop(Reason::Truncated));
    }
    let quote = Quote { payload: payload as u32, protocol: u32::from(quoted.protocol) };
    Ok((quoted, quote))
}

/// What the quoted packet becomes.
pub(in super::super) struct Quoted<A> {
    /// Its ends.
    pub(in super::super) ends: Ends<A>,
    /// The port of the end that is replaced, and what address and port add to the sum of TCP or UDP.
    pub(in super::super) port: Port,
}

/// Makes an error of IPv6 of one of IPv4 about a packet that was sent to a client: its quote is the packet that the
/// member sent.
#[inline(always)]
pub(in super::super) fn to_v6<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    (hop, ends): (Hop, Ends<Be128>),
    (quoted, quote, change): (&Ip<Be32>, Quote, Quoted<Be128>),
) -> Result<(), Stop> {
    let truncated = || Stop(Reason::Truncated);
    if ip.length + 2 * LONGER as u32 > LONGEST {
        return Err(Stop(Reason::TooBig));
    }
    // Known to be within the packet, but not to the verifier, for which the compiler must not know it either.
    let error_at = black_box(ip.payload);
    let error: IcmpError = *packet.view(error_at).ok_or_else(truncated)?;
    let message = in_v6(&error).ok_or(Stop(Reason::OtherProtocol))?.forgotten(&error);
    let inner: &Ipv4 = packet.view(error_at + size_of::<IcmpError>()).ok_or_else(truncated)?;
    let mut sum = u64::from(!error.icmp.checksum) + u64::from(!checksum::fold(sum_of(inner)));
    sum += u64::from(inner_change::<{ end::SOURCE }, P>(packet, link, ip, quote, change.port)?);
    let payload = quote_length(link, ip, quote);
    let inner = Ipv6 {
        version_class_label: Be32::from_raw((6 << 28 | u32::from(quoted.tos) << 20).to_be()),
        payload_length: Be16::new((quoted.length as u16).wrapping_sub(size_of::<Ipv4>() as u16)),
        next_header: quoted.protocol,
        hop_limit: quoted.hop_limit,
        source: change.ends.source,
        destination: change.ends.destination,
    };
    let length = (size_of::<IcmpError>() + size_of::<Ipv6>()) as u16 + payload;
    sum += pseudo(&ends, length) + u64::from(sum_v6(&inner));
    let tags = link.tags(packet, 0).ok_or_else(truncated)?;
    packet.grow_head(2 * LONGER as u32).ok_or(Stop(Reason::NoRoom))?;
    link.write_tagged(packet, tags, hop.destination, hop.source, Be16::from_raw(IPV6))
        .ok_or_else(truncated)?;
    let outer = Ipv6 {
        version_class_label: Be32::from_raw((6 << 28 | u32::from(ip.tos) << 20).to_be()),
        payload_length: Be16::new(length),
        next_header: ICMPV6,
        hop_limit: ip.hop_limit.wrapping_sub(1),
        source: ends.source,
        destination: ends.destination,
    };
    let error = written(&error, message, sum);
    *packet.view_mut(link.end).ok_or_else(truncated)? = outer;
    let error_at = link.end + size_of::<Ipv6>();
    *packet.view_mut(error_at).ok_or_else(truncated)? = error;
    *packet.view_mut(error_at + size_of::<IcmpError>()).ok_or_else(truncated)? = inner;
    Ok(())
}

/// Makes an error of IPv4 of one of IPv6 about a packet that was sent to a member: its quote is the packet that the
/// client sent. Neither has extension headers.
///
/// What is read is written at once, the innermost header first: all that is kept meanwhile would take too much of the
/// BPF stack.
#[inline(always)]
pub(in super::super) fn to_v4<P: Packet>(
    packet: &mut P,
    link: &Link,
    (hop, ends): (impl FnOnce() -> Hop, Ends<Be32>),
    change: &Quoted<Be32>,
) -> Result<(), Stop> {
    let truncated = || Stop(Reason::Truncated);
    let error_at = link.end + size_of::<Ipv6>();
    let error: IcmpError = *packet.view(error_at).ok_or_else(truncated)?;
    let message = in_v4(&error).ok_or(Stop(Reason::OtherProtocol))?.forgotten(&error);
    let sum = u64::from(!error.icmp.checksum)
        + away(pseudo_of(packet.view(link.end).ok_or_else(truncated)?))
        + quote_to_v4(packet, link, change)?;
    // A header with its own checksum adds nothing to the error's.
    let error = written(&error, message, sum);
    *packet.view_mut(error_at + LONGER).ok_or_else(truncated)? = error;
    let old: &Ipv6 = packet.view(link.end).ok_or_else(truncated)?;
    let outer = in_place(old, ICMP, (2 * LONGER, 1), ends);
    *packet.view_mut(link.end + 2 * LONGER).ok_or_else(truncated)? = outer;
    let tags = link.tags(packet, 0).ok_or_else(truncated)?;
    packet.shrink_head(2 * LONGER as u32).ok_or_else(truncated)?;
    let Hop { destination, source } = hop();
    link.write_tagged(packet, tags, destination, source, Be16::from_raw(IPV4)).ok_or_else(truncated)
}

/// Makes an IPv4 packet of the quoted one; it ends where it did. What this adds to the sum of the words that the error
/// covers.
#[inline(always)]
fn quote_to_v4<P: Packet>(packet: &mut P, link: &Link, change: &Quoted<Be32>) -> Result<u64, Stop> {
    let truncated = || Stop(Reason::Truncated);
    let outer: &Ipv6 = packet.view(link.end).ok_or_else(truncated)?;
    let end = link.end + size_of::<Ipv6>() + usize::from(outer.payload_length.get());
    let start = link.end + size_of::<Ipv6>() + size_of::<IcmpError>();
    let header: &Ipv6 = packet.view(start).ok_or_else(truncated)?;
    let protocol = header.next_header;
    let sum = away(sum_v6(header));
    let inner = in_place(header, protocol, (LONGER, 0), change.ends);
    *packet.view_mut(start + LONGER).ok_or_else(truncated)? = inner;
    let payload = (start + size_of::<Ipv6>()) as u32;
    let quote = Quote { payload, protocol: u32::from(protocol) };
    let changed = quote::inner::<{ end::DESTINATION }, P>(packet, quote, end, change.port);
    Ok(sum + u64::from(changed.ok_or_else(truncated)?))
}

/// An IPv6 header as one of IPv4, of a packet that is shorter by so much, and has made so many hops.
#[inline(always)]
fn in_place(header: &Ipv6, protocol: u8, (shorter, hops): (usize, u8), ends: Ends<Be32>) -> Ipv4 {
    let tos = (u32::from_be(header.version_class_label.raw()) >> 20) as u8;
    let says = Says { tos, ttl: header.hop_limit.wrapping_sub(hops), protocol };
    let part = Part { fragment: KEPT_WHOLE, identification: 0 };
    let length = header.payload_length.get().wrapping_add(size_of::<Ipv6>() as u16);
    ipv4(says, length.wrapping_sub(shorter as u16), part, ends)
}

/// What takes a sum away from others; at once, since the compiler would rather keep all of its words until it is needed.
#[inline(always)]
fn away(sum: u32) -> u64 {
    black_box(u64::from(!checksum::fold(sum)))
}

/// The sum of the pseudo-header of an error with this header.
#[inline(always)]
fn pseudo_of(header: &Ipv6) -> u32 {
    let Ipv6 { source, destination, payload_length, .. } = *header;
    checksum::from_u32s(pseudo(&Ends { source, destination }, payload_length.get()))
}

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;

/// How much is quoted behind the header.
#[inline(always)]
fn quote_length<A>(link: &Link, ip: &Ip<A>, quote: Quote) -> u16 {
    let end = link.end as u32 + ip.length;
    end.wrapping_sub(quote.payload) as u16
}

/// Replaces the port of one end of the quoted packet, and its checksum if that is quoted. What this adds to the sum of
/// the words that the error covers.
#[inline(always)]
fn inner_change<const END: usize, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<impl Copy>,
    quote: Quote,
    port: Port,
) -> Result<u32, Stop> {
    let end = link.end + ip.length as usize;
    quote::inner::<END, P>(packet, quote, end, port).ok_or(Stop(Reason::Truncated))
}

/// The error with what it says, and its checksum from the sum of the words that it covers but for that and what it said
/// before.
#[inline(always)]
fn written(old: &IcmpError, message: Message, sum: u64) -> IcmpError {
    let word = Be32::from_raw(((message.0 >> 32) as u32).to_be());
    let [kind, code] = message.first();
    let sum = sum
        + u64::from(!u16::from_ne_bytes([old.icmp.kind, old.icmp.code]))
        + u64::from(u16::from_ne_bytes([kind, code]))
        + u64::from(!old.word.raw())
        + u64::from(word.raw());
    let checksum = checksum::finish(checksum::from_u32s(sum));
    IcmpError { icmp: Icmp { kind, code, checksum }, word }
}

/// The sum of the 32-bit words of a pseudo-header (RFC 8200 §8.1).
#[inline(always)]
fn pseudo(ends: &Ends<Be128>, length: u16) -> u64 {
    u64::from(checksum::sum_of(&ends.source))
        + u64::from(checksum::sum_of(&ends.destination))
        + u64::from(length.to_be())
        + u64::from(u16::from_ne_bytes([0, ICMPV6]))
}

/// The sum of the words of an IPv6 header.
#[inline(always)]
fn sum_v6(header: &Ipv6) -> u32 {
    u32::from(u16::from_ne_bytes([header.next_header, header.hop_limit]))
        + u32::from(header.payload_length.raw())
        + checksum::add_u32(header.version_class_label.raw())
        + u32::from(checksum::sum_of(&header.source))
        + u32::from(checksum::sum_of(&header.destination))
}
