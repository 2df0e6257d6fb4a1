//! Errors about translated packets (RFC 792, RFC 4443): the packet that one quotes is translated, too, so that who
//! sent it knows it again (RFC 5508 §4.1, §4.2).
//!
//! What changes in the quote changes the error's checksum. In IPv4 the quoted header's checksum takes up what its
//! address changes; ICMPv6 covers its own addresses as well.

use super::super::control::Quote;
use super::super::ends::{Address, end};
use super::super::wire::{Icmp, IcmpError, Ipv4};
use super::super::{Family, Ip, Link, Packet, Stop, parse};
use super::{Ends, Port};
use crate::addr::{Be16, Be32};
use crate::checksum;
use crate::flow::Ports;
use crate::reason::Reason;

/// What becomes of an error.
pub(in super::super) struct Change<'a> {
    /// What the address and the port of the packet's end are replaced by that the error quotes.
    pub(in super::super) address: Address<'a>,
    /// The same of the port.
    pub(in super::super) port: Port,
    /// Whether the error's own end is replaced, too.
    pub(in super::super) is_outer: bool,
}

/// Translates one end of the packet that an error quotes (`INNER`), and of the error itself (`OUTER`), which has a hop
/// less.
#[inline(always)]
pub(in super::super) fn translate<const INNER: usize, const OUTER: usize, F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    quote: Quote,
    change: &Change<'_>,
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    let end = link.end + ip.length as usize;
    let Change { address, port, is_outer } = change;
    let mut by = inner::<INNER, P>(packet, quote, end, *port).ok_or_else(truncated)?;
    let start = ip.payload + size_of::<IcmpError>();
    F::readdress_quoted::<INNER, P>(packet, start, address)?;
    // A header without a checksum of its own shows in the error's.
    if !F::HAS_CHECKSUM {
        by += address.by;
        by += if *is_outer { address.by } else { 0 };
    }
    let icmp: &mut Icmp = packet.view_mut(ip.payload).ok_or_else(truncated)?;
    icmp.checksum = checksum::change(icmp.checksum, u32::from(checksum::fold(by)));
    if *is_outer {
        return F::readdress::<OUTER, P>(packet, link.end, address);
    }
    F::a_hop_less(packet, link.end)
}

/// Replaces both ends of the packet that an IPv4 error quotes; the error's own stay.
#[inline(always)]
pub(in super::super) fn both<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    quote: Quote,
    ends: &Ends,
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    let end = link.end + ip.length as usize;
    let header: &mut Ipv4 =
        packet.view_mut(ip.payload + size_of::<IcmpError>()).ok_or_else(truncated)?;
    let by = checksum::from_u32s(ends.by(header));
    header.checksum = checksum::change(header.checksum, by);
    (header.source, header.destination) = (ends.source, ends.destination);
    let Some(ports) = ends.ports else { return Ok(()) };
    let old: Ports = *packet.view(quote.payload as usize).ok_or_else(truncated)?;
    // The addresses count once, with the first end.
    let source = Port { new: ports.source, by: by + changed(old.source, ports.source) };
    let destination =
        Port { new: ports.destination, by: changed(old.destination, ports.destination) };
    let by = inner::<{ end::SOURCE }, P>(packet, quote, end, source).ok_or_else(truncated)?
        + inner::<{ end::DESTINATION }, P>(packet, quote, end, destination)
            .ok_or_else(truncated)?;
    let icmp: &mut Icmp = packet.view_mut(ip.payload).ok_or_else(truncated)?;
    icmp.checksum = checksum::change(icmp.checksum, u32::from(checksum::fold(by)));
    Ok(())
}

/// What a port adds to a sum that has the old one.
#[inline(always)]
const fn changed(old: Be16, new: Be16) -> u32 {
    (!old.raw()) as u32 + new.raw() as u32
}

/// Translates the port of a quoted packet, and its checksum if that is quoted. What this adds to the sum of the words
/// that the error covers.
#[inline(always)]
pub(in super::super) fn inner<const END: usize, P: Packet>(
    packet: &mut P,
    Quote { payload, protocol }: Quote,
    end: usize,
    Port { new, by }: Port,
) -> Option<u32> {
    let payload = payload as usize;
    let ports: &mut [Be16; 2] = packet.view_mut(payload)?;
    let old = ports[END];
    ports[END] = new;
    let changed = changed(old, new);
    let is_udp = parse::is_udp(protocol as u8);
    let place = payload + if is_udp { UDP_CHECKSUM } else { TCP_CHECKSUM };
    if place + size_of::<Be16>() > end {
        return Some(changed);
    }
    let sum: &mut Be16 = packet.view_mut(place)?;
    let before = sum.raw();
    let after =
        if is_udp { checksum::change_udp(before, by) } else { checksum::change(before, by) };
    *sum = Be16::from_raw(after);
    Some(changed + u32::from(!before) + u32::from(after))
}

const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// The packet that an error about a translated packet quotes: its header, and where its ports are.
#[inline(always)]
pub(in super::super) fn quoted<F: Family, P: Packet>(
    packet: &P,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<(Ip<F::Addr>, Quote), Stop> {
    let other = || Stop(Reason::OtherProtocol);
    let quoted = F::quoted(packet, ip.payload + size_of::<IcmpError>())?;
    if quoted.is_later_fragment() || !parse::is_transport(quoted.protocol) {
        return Err(other());
    }
    if quoted.payload + size_of::<[Be16; 2]>() > link.end + ip.length as usize {
        return Err(Stop(Reason::Truncated));
    }
    let quote = Quote { payload: quoted.payload as u32, protocol: u32::from(quoted.protocol) };
    Ok((quoted, quote))
}
