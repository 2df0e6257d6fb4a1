//! One end of a packet gets another address and another port, and the packet has a hop less: what both
//! directions of translation have in common. Checksums change by differences, see [`checksum`].

pub(super) mod quote;

use bytemuck::{Pod, Zeroable};

use super::wire::Udp;
use super::{Packet, Stop, parse};
use crate::addr::{Be16, Be128};
use crate::checksum;
use crate::reason::Reason;

/// Which end of a packet; numbers, which the compiler resolves.
pub mod end {
    /// Its sender.
    pub const SOURCE: usize = 0;
    /// Its receiver.
    pub const DESTINATION: usize = 1;
}

/// What an address is replaced by.
pub struct Address<'a> {
    /// IPv4 in the first four bytes.
    pub new: &'a Be128,
    /// What it adds to the sum of an IPv4 header.
    pub by: u32,
}

/// What a port is replaced by.
#[derive(Clone, Copy)]
pub(super) struct Port {
    /// 0: it stays.
    pub(super) new: Be16,
    /// What address and port add to the sum of TCP or UDP.
    pub(super) by: u32,
}

/// What an IPv4 header's sum has less when its time to live is one less.
pub(super) const HOP: u32 = (!0x0100_u16.to_be()) as u32;

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
