//! Tells the segment where the virtual addresses are: gratuitous ARP (RFC 5227 §3) and unsolicited
//! neighbour advertisements (RFC 4861 §7.2.6).
//!
//! The program answers requests by itself; this is for hosts that still know another address, after
//! a start or a take-over.

#![allow(clippy::cast_possible_truncation, reason = "constants and sizes of C structures")]

mod own_segment;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::checksum;
use elb_common::path::wire::{Arp, Ethernet, Icmp, Ipv6, LinkAddressOption, Neighbor};
use socket2::{Domain, Socket, Type};

pub use self::own_segment::OwnSegment;

const BROADCAST: Mac = Mac::new([0xff; 6]);
const ALL_NODES_MAC: Mac = Mac::new([0x33, 0x33, 0, 0, 0, 1]);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A socket that sends frames; takes `CAP_NET_RAW`.
#[derive(Debug)]
pub struct Announcer {
    socket: Socket,
}

impl Announcer {
    /// Opens the socket. It receives nothing.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing.
    pub fn new() -> io::Result<Self> {
        Ok(Self { socket: Socket::new(Domain::PACKET, Type::RAW, None)? })
    }

    /// Announces an address as that of an interface.
    ///
    /// # Errors
    /// The interface takes no frames: it is down, or gone.
    pub fn announce(&self, ifindex: u32, mac: Mac, vip: IpAddr) -> io::Result<()> {
        match vip {
            IpAddr::V4(vip) => self.send(ifindex, &gratuitous_arp(mac, vip)),
            IpAddr::V6(vip) => self.send(ifindex, &unsolicited_advertisement(mac, vip)),
        }
    }

    /// Sends a frame by an interface.
    ///
    /// # Errors
    /// The interface takes no frames: it is down, or gone.
    pub fn send(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        // SAFETY: all-zero bytes are a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = ifindex as i32;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the socket is open for as long as `self` lives; frame and address are valid for
        // the lengths given, and the kernel only reads them.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                length,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Lets the network card receive solicitations for an address that is not the interface's own:
    /// its multicast filter would drop them before XDP. The entry outlives the agent, as the
    /// program does; adding it again changes nothing.
    ///
    /// # Errors
    /// The interface is gone, or `CAP_NET_ADMIN` is missing.
    pub fn join(&self, ifindex: u32, group: Mac) -> io::Result<()> {
        self.change_group(libc::SIOCADDMULTI as libc::Ioctl, ifindex, group)
    }

    /// Undoes [`Self::join`].
    ///
    /// # Errors
    /// As for that.
    pub fn leave(&self, ifindex: u32, group: Mac) -> io::Result<()> {
        self.change_group(libc::SIOCDELMULTI as libc::Ioctl, ifindex, group)
    }

    fn change_group(&self, change: libc::Ioctl, ifindex: u32, group: Mac) -> io::Result<()> {
        // SAFETY: all-zero bytes are a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        let name = nix::net::if_::if_indextoname(ifindex)?;
        for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
            *to = *from as libc::c_char;
        }
        let mut hardware = libc::sockaddr { sa_family: libc::AF_UNSPEC as u16, sa_data: [0; 14] };
        for (to, from) in hardware.sa_data.iter_mut().zip(group.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_hwaddr = hardware;
        // SAFETY: the socket is open; the request is a valid ifreq that the kernel only reads.
        let done = unsafe { libc::ioctl(self.socket.as_raw_fd(), change, &raw const request) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// RFC 4291 §2.7.1 and RFC 2464 §7: the Ethernet group that solicitations for an address go to.
pub fn solicited_node_mac(address: Ipv6Addr) -> Mac {
    let o = address.octets();
    Mac::new([0x33, 0x33, 0xff, o[13], o[14], o[15]])
}

fn gratuitous_arp(mac: Mac, vip: Ipv4Addr) -> Vec<u8> {
    let address: Be32 = bytemuck::cast(vip.octets());
    let ethernet = Ethernet { destination: BROADCAST, source: mac, ethertype: Be16::new(0x0806) };
    let arp = Arp {
        hardware: Be16::new(1),
        protocol: Be16::new(0x0800),
        lengths: Be16::new(0x0604),
        operation: Be16::new(1),
        sender_mac: mac,
        sender: address,
        target_mac: Mac::default(),
        target: address,
    };
    [bytemuck::bytes_of(&ethernet), bytemuck::bytes_of(&arp)].concat()
}

fn unsolicited_advertisement(mac: Mac, vip: Ipv6Addr) -> Vec<u8> {
    const OVERRIDE: u32 = 1 << 29;
    let source: Be128 = bytemuck::cast(vip.octets());
    let destination: Be128 = bytemuck::cast(ALL_NODES.octets());
    let ethernet =
        Ethernet { destination: ALL_NODES_MAC, source: mac, ethertype: Be16::new(0x86dd) };
    let option = LinkAddressOption { kind: 2, length: 1, mac };
    let mut message = Neighbor {
        icmp: Icmp { kind: 136, code: 0, checksum: 0 },
        flags: Be32::from_raw(OVERRIDE.to_be()),
        target: source,
    };
    let length = size_of::<Neighbor>() + size_of::<LinkAddressOption>();
    let pseudo: [u32; 2] = [(length as u32).to_be(), 58u32.to_be()];
    let covered = [
        bytemuck::bytes_of(&source),
        bytemuck::bytes_of(&destination),
        bytemuck::bytes_of(&pseudo),
        bytemuck::bytes_of(&message),
        bytemuck::bytes_of(&option),
    ]
    .concat();
    let sum = covered.chunks_exact(2).map(|w| u32::from(u16::from_ne_bytes([w[0], w[1]]))).sum();
    message.icmp.checksum = checksum::finish(sum);
    let ip = Ipv6 {
        version_class_label: Be32::from_raw((6u32 << 28).to_be()),
        payload_length: Be16::new(length as u16),
        next_header: 58,
        hop_limit: 255,
        source,
        destination,
    };
    [
        bytemuck::bytes_of(&ethernet),
        bytemuck::bytes_of(&ip),
        bytemuck::bytes_of(&message),
        bytemuck::bytes_of(&option),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gratuitous_arp_claims_the_address() {
        let frame = gratuitous_arp(Mac::new([2, 0, 0, 0, 0, 9]), Ipv4Addr::new(192, 0, 2, 10));
        let claim = [2, 0, 0, 0, 0, 9, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10];
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6]);
        assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[22..], claim);
    }

    #[test]
    fn unsolicited_advertisement_has_a_correct_checksum() {
        let vip = "2001:db8::10".parse().unwrap();
        let frame = unsolicited_advertisement(Mac::new([2, 0, 0, 0, 0, 9]), vip);
        assert_eq!((frame.len(), frame[14 + 40], frame[21]), (14 + 40 + 32, 136, 255));
        let pseudo = [0, 0, 0, 32, 0, 0, 0, 58];
        let covered = [&frame[22..54], &pseudo, &frame[54..]].concat();
        let sum = covered.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        assert_eq!(checksum::finish(sum), 0);
        assert_eq!(solicited_node_mac(vip).bytes(), [0x33, 0x33, 0xff, 0, 0, 0x10]);
    }
}
