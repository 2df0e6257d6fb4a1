//! Sockets of datagrams that hear of ICMP errors, and what such an error means.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use socket2::Socket;
use tokio::net::UdpSocket;

use super::connect::{cause, no_resource};
use super::{Failure, icmp};

/// A socket of UDP, or of ICMP, which is written to and read as one of UDP is. It hears of ICMP
/// errors, and who sent them.
pub(super) fn connected(socket: Socket, peer: SocketAddr) -> Result<UdpSocket, Failure> {
    let hears = if peer.is_ipv4() {
        setsockopt(&socket, Ipv4RecvErr, &true)
    } else {
        setsockopt(&socket, Ipv6RecvErr, &true)
    };
    hears.map_err(|error| no_resource(&error.into()))?;
    socket.connect(&peer.into()).map_err(|error| cause(&error, peer.ip()))?;
    UdpSocket::from_std(socket.into()).map_err(|error| no_resource(&error))
}

/// The cause of an error that a connected socket reported.
pub(super) fn failure(socket: &UdpSocket, target: IpAddr, error: &io::Error) -> Failure {
    let own = socket.local_addr().ok().map(|own| own.ip()).filter(|own| *own != target);
    let reported = icmp::take(socket).map(|reported| reported.cause(own));
    reported.unwrap_or_else(|| cause(error, target)).into()
}
