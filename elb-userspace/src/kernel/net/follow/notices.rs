//! The socket that the kernel's notifications come by: what changed, or that some were lost.
//!
//! A host with many routes sends thousands of route messages a second. Of those only the prefix is
//! read: which members it concerns is all that matters.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages, of which a handful matter here"
)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{AF_INET, AF_INET6};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use tokio::io::unix::AsyncFd;

use super::messages::{self, Entry, Interface};
use crate::control::network::Neighbor;

/// Room for notifications that come while the agent does something else, or sleeps.
const BUFFER: usize = 16 << 20;
/// Messages that are read before anything else gets its turn.
const MOST: usize = 4096;
/// Longer than any notification.
const LONGEST: usize = 64 << 10;

/// Numbers of rtnetlink(7) groups: link, neigh, addresses, routes and rules of both families, nexthop.
const GROUPS: [u32; 9] = [1, 3, 5, 9, 7, 11, 8, 19, 32];

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Notifications were lost: nothing that is known is sure any more.
    Lost,
    Link(u32, Interface),
    NoLink(u32),
    Neighbor(Neighbor, Entry),
    NoNeighbor(Neighbor),
    /// A route to this prefix came, changed or went.
    Prefix(IpAddr, u8),
    /// Routes to anything may be others.
    Routes,
}

/// A socket that belongs to all groups that matter.
#[derive(Debug)]
pub(super) struct Notices {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    /// Whether some were lost, and older ones are still to be read.
    is_losing: bool,
}

impl Notices {
    pub(super) fn open() -> io::Result<Self> {
        let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (group - 1));
        let socket = watched(open(groups, BUFFER)?)?;
        Ok(Self { socket, buffer: vec![0; LONGEST], is_losing: false })
    }

    /// Waits until there is something to read; what has come by then, in its order.
    ///
    /// Once some were lost, what is left in the socket is older than that, and the kernel goes on losing
    /// without a word until all of it was read: nothing of it counts.
    pub(super) async fn read(&mut self) -> io::Result<Vec<Notice>> {
        let mut guard = self.socket.readable().await?;
        let mut notices = Vec::new();
        let mut is_empty = false;
        for _ in 0..MOST {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(_) if self.is_losing => {}
                Ok(length) => {
                    notices.extend(packets(&self.buffer[..length]).filter_map(notice));
                }
                Err(Errno::ENOBUFS) => self.is_losing = true,
                Err(Errno::EAGAIN) => {
                    guard.clear_ready();
                    is_empty = true;
                    break;
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.is_losing {
            self.is_losing = !is_empty;
            return Ok(vec![Notice::Lost]);
        }
        Ok(notices)
    }
}

/// A socket for rtnetlink that belongs to groups and has room for so many bytes.
pub(super) fn open(groups: u32, room: usize) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    // Without the capability, as much as the host allows.
    if setsockopt(&socket, sockopt::RcvBufForce, &room).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &room)?;
    }
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// Lets the runtime wait for a socket.
pub(super) fn watched<T: AsRawFd + AsFd>(socket: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor is open for as long as the socket that owns it lives, which is as long as
    // the `AsyncFd` that owns the socket.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// The messages that a buffer holds.
pub(super) fn packets(mut buffer: &[u8]) -> impl Iterator<Item = &[u8]> {
    const HEADER: usize = 16;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*buffer.first_chunk()?)).ok()?;
        let packet = buffer.get(..length).filter(|packet| packet.len() >= HEADER)?;
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(packet)
    })
}

/// What one message says, if it matters.
fn notice(packet: &[u8]) -> Option<Notice> {
    const ROUTES: [u16; 2] = [24, 25];
    const LINKS_AND_NEIGHBORS: [u16; 4] = [16, 17, 28, 29];
    /// Addresses, rules and next hop objects.
    const OTHERS: [u16; 6] = [20, 21, 32, 33, 104, 105];
    const NLMSG_OVERRUN: u16 = 4;
    match u16::from_ne_bytes([packet[4], packet[5]]) {
        kind if ROUTES.contains(&kind) => prefix(packet.get(16..)?),
        kind if LINKS_AND_NEIGHBORS.contains(&kind) => parsed(packet),
        kind if OTHERS.contains(&kind) => Some(Notice::Routes),
        NLMSG_OVERRUN => Some(Notice::Lost),
        _ => None,
    }
}

fn parsed(packet: &[u8]) -> Option<Notice> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(packet);
    let message =
        message.inspect_err(|error| tracing::debug!(%error, "unexpected netlink message"));
    let NetlinkPayload::InnerMessage(message) = message.ok()?.payload else { return None };
    match message {
        RouteNetlinkMessage::NewLink(link) => {
            messages::link(&link).map(|(index, link)| Notice::Link(index, link))
        }
        RouteNetlinkMessage::DelLink(link) => Some(Notice::NoLink(link.header.index)),
        RouteNetlinkMessage::NewNeighbour(message) => {
            messages::neighbor(&message).map(|(neighbor, entry)| Notice::Neighbor(neighbor, entry))
        }
        RouteNetlinkMessage::DelNeighbour(message) => {
            messages::neighbor(&message).map(|(neighbor, _)| Notice::NoNeighbor(neighbor))
        }
        _ => None,
    }
}

/// The destination of a route message: struct rtmsg and its attributes.
fn prefix(message: &[u8]) -> Option<Notice> {
    const RTMSG: usize = 12;
    const RTA_DST: u16 = 1;
    let (family, length) = (*message.first()?, *message.get(1)?);
    let destination = attributes(message.get(RTMSG..)?).find(|(kind, _)| *kind == RTA_DST);
    let value = destination.map_or(&[][..], |(_, value)| value);
    let address = match i32::from(family) {
        AF_INET => IpAddr::from(value.first_chunk::<4>().copied().unwrap_or_default()),
        AF_INET6 => IpAddr::from(value.first_chunk::<16>().copied().unwrap_or_default()),
        _ => return None,
    };
    Some(Notice::Prefix(address, length))
}

/// Types and values of the attributes that a buffer holds.
pub(super) fn attributes(mut buffer: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *buffer.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = buffer.get(4..length)?;
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

    fn route(address: IpAddr, length: u8) -> Vec<u8> {
        let mut message = RouteMessage::default();
        message.header.address_family = match address {
            IpAddr::V4(_) => rtnetlink::packet_route::AddressFamily::Inet,
            IpAddr::V6(_) => rtnetlink::packet_route::AddressFamily::Inet6,
        };
        message.header.destination_prefix_length = length;
        message.attributes.push(RouteAttribute::Priority(7));
        if length > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        }
        serialized(RouteNetlinkMessage::NewRoute(message))
    }

    fn serialized(message: RouteNetlinkMessage) -> Vec<u8> {
        let mut message = NetlinkMessage::from(message);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn a_route_message_is_its_prefix() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let both = [("10.9.0.0", 16), ("fd09::", 64), ("0.0.0.0", 0), ("::", 0)];
        let bytes = both.map(|(text, length)| route(address(text), length)).concat();
        let read: Vec<_> = packets(&bytes).filter_map(notice).collect();
        assert_eq!(read, both.map(|(text, length)| Notice::Prefix(address(text), length)));
    }

    proptest! {
        /// Whatever the bytes: no panic, no endless loop.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = packets(&bytes).filter_map(notice).count();
            let mut message = route("10.9.0.0".parse().unwrap(), 16);
            let at = message.len().min(bytes.len());
            message[16..at.max(16)].copy_from_slice(&bytes[16.min(at)..at]);
            let _ = packets(&message).filter_map(notice).count();
        }
    }
}
