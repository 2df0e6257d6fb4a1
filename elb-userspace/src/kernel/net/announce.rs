//! Announces the virtual addresses on a segment: gratuitous ARP (RFC 5227 §3) and unsolicited
//! neighbour advertisements (RFC 4861 §7.2.6).
//!
//! The program answers requests by itself; this is for hosts that still know another address, after
//! a start or a take-over.

#![allow(clippy::cast_possible_truncation, reason = "constants and sizes of C structures")]

mod own_segment;

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use elb_common::addr::Mac;
use socket2::{Domain, Socket, Type};

pub use self::own_segment::OwnSegment;
pub use super::frames::solicited_node_mac;
use super::frames::{gratuitous_arp, unsolicited_advertisement};
use super::packet_socket;

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
        packet_socket::send(&self.socket, ifindex, frame)
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
