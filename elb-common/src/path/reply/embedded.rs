//! Answers of members with IPv6 to clients with IPv4: the address that they answer is ours, and says which client it is and
//! by which listener it came (see [`embedded`](crate::embedded)).

use core::hint::black_box;

use super::super::ends::end;
use super::super::translate::{self, Port};
use super::super::version::{self, Ends, Hop, error, length_v4};
use super::super::wire::{IcmpError, Ipv6, Udp};
use super::super::{Family, Ip, Link, Packet, Stop, Tables, V4, parse};
use super::{Back, NotBack, sent, verdict, way};
use crate::addr::{Be16, Be32, Be128};
use crate::checksum;
use crate::client_hop::{ClientHop, hop_kind};
use crate::embedded::embedded;
use crate::flow::Ports;
use crate::listener::ListenerEndpoint;
use crate::reason::Reason;

/// The number of the listener whose clients members know by such an address; none: it is no such address.
#[inline(always)]
pub(in super::super) fn listener<T: Tables>(tables: &T, address: Be128) -> Option<u16> {
    let (listener, _) = embedded(address)?;
    let [first, second, ..] = address.raw();
    let [ours, ours_too] = tables.endpoint(listener)?.prefix();
    let is_ours = ours | ours_too != 0 && (ours ^ first) | (ours_too ^ second) == 0;
    is_ours.then_some(listener)
}

/// Whom an answer is for.
struct Client<'t> {
    address: Be32,
    endpoint: ListenerEndpoint,
    hop: &'t ClientHop,
}

/// Whom an answer to this address is for, which is one of the listener's clients.
#[inline(always)]
fn client<T: Tables>(tables: &T, listener: u16, address: Be128) -> Result<Client<'_>, NotBack> {
    let (_, address) = embedded(address).ok_or(Stop(Reason::NotVip))?;
    let endpoint = *tables.endpoint(listener).ok_or(Stop(Reason::NotVip))?;
    let hop = way::<V4, T>(tables, address)?;
    Ok(Client { address, endpoint, hop })
}

/// This host's own connections are no clients', but for its probes of virtual addresses.
#[inline(always)]
fn is_probe<T: Tables>(tables: &T, client: &Client<'_>, port: Be16, protocol: u8) -> bool {
    let ports = Ports { source: port, destination: client.endpoint.port };
    let key = V4::asked_key(client.address, &client.endpoint.vip, ports, protocol);
    V4::probed(tables, &key).is_some()
}

/// Translates an answer back, of a member with this number to a client of this listener.
#[inline(always)]
pub(in super::super) fn packet<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<Be128>,
    (listener, backend): (u16, u16),
) -> Result<Back, NotBack> {
    let truncated = || Stop(Reason::Truncated);
    let client = client(tables, listener, ip.destination)?;
    let mut old = Ports::default();
    if !ip.is_later_fragment() {
        old = *packet.view(ip.payload).ok_or_else(truncated)?;
        if client.hop.is_local() && !is_probe(tables, &client, old.destination, ip.protocol) {
            return Err(Stop(Reason::NotVip).into());
        }
    }
    fits(ip, length_v4(link, ip), client.hop)?;
    let ends = Ends { source: client.endpoint.vip_v4(), destination: client.address };
    let by = u32::from(!checksum::sum_of(&ip.source))
        + u32::from(!checksum::sum_of(&ip.destination))
        + checksum::add_u32(ends.source.raw())
        + checksum::add_u32(ends.destination.raw())
        + u32::from(!old.source.raw())
        + u32::from(client.endpoint.port.raw());
    let port = Port { new: client.endpoint.port, by };
    let mut number = 0;
    if !ip.is_later_fragment() {
        translate::transport::<{ end::SOURCE }, P>(packet, ip.payload, ip.protocol, port)?;
        if let Some(resets) = verdict(packet, ip).filter(|_| !client.hop.is_local()) {
            tables.count_answer(listener, backend, resets);
        }
        // Last, since it reaches farthest: the verifier forgets what a look at more of the same place showed.
        number = number_of(packet, ip).ok_or_else(truncated)?;
    }
    version::to_v4(packet, link, ip, way_out(link, client.hop), (ends, number))?;
    sent(packet, tables, client.hop, (listener, backend))
}

/// A number that tells the packet from others: its checksum. Where two have the same one, their fragments mix, as they would
/// with two equal random numbers; which is seen by that checksum.
#[inline(always)]
fn number_of<P: Packet>(packet: &P, ip: &Ip<Be128>) -> Option<u16> {
    const TCP_CHECKSUM: usize = 16;
    if parse::is_udp(ip.protocol) {
        return packet.view::<Udp>(ip.payload).map(|datagram| datagram.checksum);
    }
    packet.view::<Be16>(ip.payload + TCP_CHECKSUM).map(|sum| sum.raw())
}

/// An error about a packet that a client of this listener sent to a member: who says so is the member, or a router on the
/// way to it. It has no extension headers, nor may what it quotes have any.
#[inline(always)]
pub(in super::super) fn error<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    (listener, backend): (u16, u16),
) -> Result<Back, NotBack> {
    let truncated = || Stop(Reason::Truncated);
    let quoted_at = link.end + size_of::<Ipv6>() + size_of::<IcmpError>();
    let quoted: &Ipv6 = packet.view(quoted_at).ok_or_else(truncated)?;
    let client = client(tables, listener, quoted.source)?;
    let outer: &Ipv6 = packet.view(link.end).ok_or_else(truncated)?;
    if outer.hop_limit <= 1 {
        return Err(Stop(Reason::TtlExpired).into());
    }
    let quoted: &Ipv6 = packet.view(quoted_at).ok_or_else(truncated)?;
    if !parse::is_transport(quoted.next_header) {
        return Err(Stop(Reason::OtherProtocol).into());
    }
    let protocol = quoted.next_header;
    // At once: the compiler would rather keep the addresses.
    let away = black_box(
        u32::from(!checksum::sum_of(&quoted.source))
            + u32::from(!checksum::sum_of(&quoted.destination)),
    );
    let old: Ports = *packet.view(quoted_at + size_of::<Ipv6>()).ok_or_else(truncated)?;
    if client.hop.is_local() && !is_probe(tables, &client, old.source, protocol) {
        return Err(Stop(Reason::NotVip).into());
    }
    let vip = client.endpoint.vip_v4();
    let by = away
        + checksum::add_u32(vip.raw())
        + checksum::add_u32(client.address.raw())
        + u32::from(!old.destination.raw())
        + u32::from(client.endpoint.port.raw());
    let change = error::Quoted {
        ends: Ends { source: client.address, destination: vip },
        port: Port { new: client.endpoint.port, by },
    };
    let to_client = Ends { source: vip, destination: client.address };
    error::to_v4(packet, link, (|| way_out(link, client.hop), to_client), &change)?;
    sent(packet, tables, client.hop, (listener, backend))
}

/// Sender and receiver of the frame to a client; where the next hop is not known, the kernel writes them.
#[inline(always)]
fn way_out(link: &Link, hop: &ClientHop) -> Hop {
    if hop.kind == hop_kind::KNOWN {
        Hop { destination: hop.next_hop, source: hop.source }
    } else {
        Hop { destination: link.destination, source: link.source }
    }
}

/// Whether an answer of this length may go to a client.
#[inline(always)]
fn fits(ip: &Ip<Be128>, length: u32, hop: &ClientHop) -> Result<(), NotBack> {
    if ip.hop_limit <= 1 {
        return Err(Stop(Reason::TtlExpired).into());
    }
    if hop.kind == hop_kind::KNOWN && length > u32::from(hop.largest) {
        let mtu = u32::from(hop.largest) + ip.length.wrapping_sub(length);
        return Err(NotBack { reason: Reason::TooBig, mtu: mtu as u16 });
    }
    Ok(())
}
