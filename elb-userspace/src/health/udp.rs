//! The UDP_CONNECT check: an ICMP echo request must be answered, and then a datagram to the port
//! must not be answered with an ICMP error. Silence until the timeout is health: a service of UDP
//! owes no answer to what it does not know.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use socket2::{Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::connect::{cause, lead, no_resource, socket};
use super::path::Flow;
use super::probe::ProbeSpec;
use super::{Failure, echo, told};

/// What the datagram holds: a service that does not know it drops it, or says so.
const DATAGRAM: &[u8] = b"elb-health-check";

/// Succeeds when the host answers and nothing says that the port does not.
pub(super) async fn check(probe: &ProbeSpec, deadline: Instant) -> Result<(), Failure> {
    let target = probe.target;
    echo::check(probe, deadline).await?;
    let socket = socket(probe, Type::DGRAM, Protocol::UDP)?;
    lead(probe, &socket, Flow::UDP).map_err(|error| no_resource(&error))?;
    let socket = connected(socket, target)?;
    let answered = async {
        socket.send(DATAGRAM).await?;
        socket.recv(&mut [0]).await
    };
    match timeout_at(deadline, answered).await {
        Err(_) | Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failure(&socket, target.ip(), &error)),
    }
}

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

/// What an error means that a connected socket told.
pub(super) fn failure(socket: &UdpSocket, target: IpAddr, error: &io::Error) -> Failure {
    let own = socket.local_addr().ok().map(|own| own.ip()).filter(|own| *own != target);
    let told = told::take(socket).map(|told| told.cause(own));
    told.unwrap_or_else(|| cause(error, target)).into()
}
