//! The UDP_CONNECT check: an ICMP echo request must be answered, and then a datagram to the port
//! must not be answered with an ICMP error. Silence until the timeout is health: a service of UDP
//! owes no answer to what it does not know.

use std::io;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use socket2::{Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::connect::{cause, no_resource, socket};
use super::probe::ProbeSpec;
use super::{Failure, echo, told};

/// What the datagram holds: a service that does not know it drops it, or says so.
const DATAGRAM: &[u8] = b"elb-health-check";

/// Succeeds when the host answers and nothing says that the port does not.
pub(super) async fn check(probe: &ProbeSpec, deadline: Instant) -> Result<(), Failure> {
    echo::check(probe.target.ip(), probe.source, deadline).await?;
    let socket = socket(probe.target, probe.source, Type::DGRAM, Protocol::UDP)?;
    hear_errors(&socket).map_err(|error| no_resource(&error))?;
    let of_kernel = |error: io::Error| Failure::new(cause(&error, probe.target.ip()));
    socket.connect(&probe.target.into()).map_err(of_kernel)?;
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| no_resource(&error))?;
    socket.send(DATAGRAM).await.map_err(of_kernel)?;
    match timeout_at(deadline, socket.recv(&mut [0])).await {
        Err(_) | Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let own = socket.local_addr().ok().map(|own| own.ip());
            let told = told::take(&socket).map(|told| told.cause(own).into());
            Err(told.unwrap_or_else(|| of_kernel(error)))
        }
    }
}

/// Asks the kernel to pass ICMP errors on, with who sent them.
pub(super) fn hear_errors(socket: &Socket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        setsockopt(socket, Ipv4RecvErr, &true)?;
    } else {
        setsockopt(socket, Ipv6RecvErr, &true)?;
    }
    Ok(())
}
