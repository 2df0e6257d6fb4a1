//! One end of a packet gets another address and another port, and the packet has a hop less: what both
//! directions of translation have in common. Checksums change by differences, see [`checksum`].

pub(super) mod quote;

use bytemuck::{Pod, Zeroable};

use super::ends::HOP;
use super::wire::{Ipv4, Udp};
use super::{Ip, Link, Packet, Stop, parse};
use crate::addr::{Be16, Be32};
use crate::checksum;
use crate::flow::Ports;
use crate::reason::Reason;

/// What a port is replaced by.
#[derive(Clone, Copy)]
pub(super) struct Port {
    /// 0: it stays.
    pub(super) new: Be16,
    /// What address and port add to the sum of TCP or UDP.
    pub(super) by: u32,
}

/// The first 18 bytes of a TCP header (RFC 9293 §3.1).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Segment {
    ports: [Be16; 2],
    between: [Be16; 6],
    checksum: u16,
}

/// The first 8 bytes of a UDP header, by its ends.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Datagram {
    ports: [Be16; 2],
    length: Be16,
    checksum: u16,
}

const _: () = assert!(size_of::<Datagram>() == size_of::<Udp>());

/// Rewrites the header of TCP or UDP at `offset`.
#[inline(always)]
pub(super) fn transport<const END: usize, P: Packet>(
    packet: &mut P,
    offset: usize,
    protocol: u8,
    Port { new, by }: Port,
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    if parse::is_udp(protocol) {
        let datagram: &mut Datagram = packet.view_mut(offset).ok_or_else(truncated)?;
        datagram.checksum = checksum::change_udp(datagram.checksum, by);
        datagram.ports[END] = new;
    } else {
        let segment: &mut Segment = packet.view_mut(offset).ok_or_else(truncated)?;
        segment.checksum = checksum::change(segment.checksum, by);
        segment.ports[END] = new;
    }
    Ok(())
}

/// Both ends that an IPv4 packet gets.
pub(super) struct Ends {
    /// Its sender.
    pub(super) source: Be32,
    /// Its receiver.
    pub(super) destination: Be32,
    /// Their ports; none: it shows none, or they stay.
    pub(super) ports: Option<Ports>,
}

impl Ends {
    /// What the addresses add to a sum of 32-bit words that has those of `header`.
    #[inline(always)]
    fn by(&self, header: &Ipv4) -> u64 {
        let away = |address: Be32| u64::from(!address.raw());
        let new = |address: Be32| u64::from(address.raw());
        away(header.source) + away(header.destination) + new(self.source) + new(self.destination)
    }
}

/// What ports add to such a sum that has the old ones.
#[inline(always)]
fn by_ports(old: Ports, new: Ports) -> u64 {
    let word = |ports: Ports| -> u32 { bytemuck::cast(ports) };
    u64::from(!word(old)) + u64::from(word(new))
}

/// Replaces both ends of the packet whose header is `ip`, which has a hop less; its time to live must be greater than one.
#[inline(always)]
pub(super) fn both<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    ends: &Ends,
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    let header: &mut Ipv4 = packet.view_mut(link.end).ok_or_else(truncated)?;
    let by = ends.by(header);
    header.checksum = checksum::change(header.checksum, checksum::from_u32s(by) + HOP);
    header.ttl = header.ttl.wrapping_sub(1);
    (header.source, header.destination) = (ends.source, ends.destination);
    let Some(ports) = ends.ports else { return Ok(()) };
    if parse::is_udp(ip.protocol) {
        let datagram: &mut Datagram = packet.view_mut(ip.payload).ok_or_else(truncated)?;
        let by = checksum::from_u32s(by + by_ports(bytemuck::cast(datagram.ports), ports));
        datagram.checksum = checksum::change_udp(datagram.checksum, by);
        datagram.ports = bytemuck::cast(ports);
    } else {
        let segment: &mut Segment = packet.view_mut(ip.payload).ok_or_else(truncated)?;
        let by = checksum::from_u32s(by + by_ports(bytemuck::cast(segment.ports), ports));
        segment.checksum = checksum::change(segment.checksum, by);
        segment.ports = bytemuck::cast(ports);
    }
    Ok(())
}
