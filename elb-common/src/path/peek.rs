//! What a frame says at first sight: for filters and for people, whatever becomes of it.

use core::net::IpAddr;

use network_types::eth::EtherType;

use super::wire::{Arp, Ipv4, Ipv6};
use super::{Family, Ip, Packet, Transport, V4, V6, parse};
use crate::addr::{Be32, Be128, join};

/// Sender and receiver of a packet, each as the 16 bytes of an IPv6 address in two words; IPv4
/// addresses are mapped (RFC 4291 §2.5.5.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The sender.
    pub source: [u64; 2],
    /// The receiver.
    pub destination: [u64; 2],
}

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
const ARP: u16 = EtherType::Arp as u16;

/// An IPv4 address as [`Ends`] hold it.
#[inline(always)]
pub const fn mapped(address: Be32) -> [u64; 2] {
    [0, join(0xffff_u32.to_be(), address.raw())]
}

/// Who sent the packet in a frame, and to whom; for an ARP message, who asks, and for what. `None`
/// for anything but IP and ARP.
#[inline(always)]
pub fn ends<P: Packet>(packet: &P) -> Option<Ends> {
    let link = parse::link(packet).ok()?;
    let (source, destination) = match link.ethertype.raw() {
        IPV4 => {
            let header: &Ipv4 = packet.view(link.end)?;
            (mapped(header.source), mapped(header.destination))
        }
        IPV6 => {
            let header: &Ipv6 = packet.view(link.end)?;
            (header.source.words(), header.destination.words())
        }
        ARP => {
            let message: &Arp = packet.view(link.end)?;
            (mapped(message.sender), mapped(message.target))
        }
        _ => return None,
    };
    Some(Ends { source, destination })
}

/// What a whole frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// An IP packet.
    Ip {
        /// Sender.
        source: IpAddr,
        /// Receiver.
        destination: IpAddr,
        /// Protocol of the payload (IANA number).
        protocol: u8,
        /// Whether it is a part of a datagram.
        fragment: bool,
        /// What the TCP or UDP header says; `None` for other protocols and parts of datagrams.
        transport: Option<Transport>,
    },
    /// An ARP message: who asks, and for what.
    Arp {
        /// Sender.
        source: IpAddr,
        /// The address asked for.
        destination: IpAddr,
    },
    /// Something else, or broken: the ethertype.
    Other(u16),
}

/// What a whole frame carries. Extension headers are walked, unlike in [`ends`].
pub fn carried<P: Packet>(packet: &P) -> Carried {
    let Ok(link) = parse::link(packet) else { return Carried::Other(0) };
    let found = match link.ethertype.raw() {
        IPV4 => V4::parse(packet, link.end).ok().map(|ip| inside(packet, &ip, v4)),
        IPV6 => V6::parse(packet, link.end).ok().map(|ip| inside(packet, &ip, v6)),
        ARP => packet.view(link.end).map(|message: &Arp| Carried::Arp {
            source: v4(message.sender),
            destination: v4(message.target),
        }),
        _ => None,
    };
    found.unwrap_or(Carried::Other(link.ethertype.get()))
}

fn inside<P: Packet, A: Copy>(packet: &P, ip: &Ip<A>, address: fn(A) -> IpAddr) -> Carried {
    let fragment = ip.fragment != 0;
    let whole = !fragment && parse::is_transport(ip.protocol);
    Carried::Ip {
        source: address(ip.source),
        destination: address(ip.destination),
        protocol: ip.protocol,
        fragment,
        transport: whole.then(|| parse::transport(packet, ip).ok()).flatten(),
    }
}

fn v4(address: Be32) -> IpAddr {
    IpAddr::from(bytemuck::cast::<_, [u8; 4]>(address))
}

fn v6(address: Be128) -> IpAddr {
    IpAddr::from(bytemuck::cast::<_, [u8; 16]>(address))
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;
    use std::vec::Vec;

    /// Ethernet, tags and a payload.
    fn frame(tags: &[u8], ethertype: [u8; 2], payload: &[u8]) -> Vec<u8> {
        [&[2; 12][..], tags, &ethertype, payload].concat()
    }

    fn peek(bytes: &[u8]) -> (Option<Ends>, Carried) {
        let mut buffer = [0u16; 512];
        let frame = Frame::new(&mut buffer, bytes, 1).unwrap();
        (ends(&frame), carried(&frame))
    }

    const UDP4: [u8; 28] = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IP
        0x10, 0, 0, 80, 0, 8, 0, 0, // UDP
    ];

    #[test]
    fn ipv4_in_a_tagged_frame() {
        let (ends, carried) = peek(&frame(&[0x81, 0, 0, 5], [8, 0], &UDP4));
        let address = |last: u8| mapped(bytemuck::cast([10u8, 0, 0, last]));
        assert_eq!(ends, Some(Ends { source: address(1), destination: address(2) }));
        let Carried::Ip { source, destination, protocol: 17, fragment: false, transport } = carried
        else {
            panic!("{carried:?}")
        };
        assert_eq!((source, destination), ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
        let ports = transport.unwrap().ports;
        assert_eq!((ports.source.get(), ports.destination.get()), (4096, 80));
    }

    #[test]
    fn a_part_of_a_datagram_has_no_ports() {
        let mut packet = UDP4;
        packet[7] = 1;
        let (_, carried) = peek(&frame(&[], [8, 0], &packet));
        assert!(
            matches!(carried, Carried::Ip { fragment: true, transport: None, .. }),
            "{carried:?}"
        );
    }

    #[test]
    fn ipv6_behind_an_extension_header() {
        let mut packet = [0; 56];
        (packet[0], packet[5], packet[6]) = (0x60, 16, 60);
        (packet[8], packet[24]) = (0xfd, 0xfe);
        (packet[40], packet[51], packet[53]) = (17, 7, 8);
        packet[49] = 1;
        let (ends, carried) = peek(&frame(&[], [0x86, 0xdd], &packet));
        let ends: [[u8; 16]; 2] =
            ends.map(|e| [bytemuck::cast(e.source), bytemuck::cast(e.destination)]).unwrap();
        assert_eq!((ends[0][0], ends[1][0]), (0xfd, 0xfe));
        let Carried::Ip { protocol: 17, transport: Some(transport), .. } = carried else {
            panic!("{carried:?}")
        };
        assert_eq!(transport.ports.destination.get(), 7);
    }

    #[test]
    fn arp_and_everything_else() {
        let mut message = [0; 28];
        message[14..18].copy_from_slice(&[10, 0, 0, 1]);
        message[24..].copy_from_slice(&[10, 0, 0, 2]);
        let (ends, carried) = peek(&frame(&[], [8, 6], &message));
        assert_eq!(ends.unwrap().destination, mapped(bytemuck::cast([10u8, 0, 0, 2])));
        let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!(carried, Carried::Arp { source, destination });
        assert_eq!(peek(&frame(&[], [0x88, 0xcc], &[0; 40])), (None, Carried::Other(0x88cc)));
        assert_eq!(peek(&frame(&[], [8, 0], &[0x45; 9])), (None, Carried::Other(0x0800)));
        assert_eq!(peek(&[1; 6]), (None, Carried::Other(0)));
    }
}
