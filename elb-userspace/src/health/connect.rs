//! A TCP connection to a member, and why there is none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::path::Flow;
use super::spec::ProbeSpec;
use super::{Cause, Failure, Stage, icmp};

/// A connection for a probe.
pub(super) async fn connect(probe: &ProbeSpec, deadline: Instant) -> Result<TcpStream, Failure> {
    let target = probe.target;
    let socket = socket(probe, Type::STREAM, Protocol::TCP)?;
    route_probe(probe, &socket, Flow::TCP).map_err(|error| no_resource(&error))?;
    if probe.check.speaks_first() {
        // We speak first: what we say acknowledges the handshake as well, which saves a packet.
        socket.set_tcp_quickack(false).map_err(|error| no_resource(&error))?;
    }
    if let Err(error) = socket.connect(&target.into())
        && error.raw_os_error() != Some(libc::EINPROGRESS)
    {
        return Err(cause(&error, target.ip()).into());
    }
    let stream = TcpStream::from_std(socket.into()).map_err(|error| no_resource(&error))?;
    let own = stream.local_addr().ok().map(|own| own.ip()).filter(|own| *own != target.ip());
    match timeout_at(deadline, stream.writable()).await {
        Err(_) => return Err(Cause::Timeout { stage: Stage::Connect }.into()),
        Ok(ready) => ready.map_err(|error| no_resource(&error))?,
    }
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => {
            let reported = icmp::take(&stream).map(|reported| reported.cause(own));
            Err(reported.unwrap_or_else(|| cause(&error, target.ip())).into())
        }
    }
}

/// Lets a connection end with a FIN where the server has sent its own: its port is free again at once.
pub(super) fn close(stream: &TcpStream, has_ended: bool) {
    if has_ended {
        let _ = socket2::SockRef::from(stream).set_linger(None);
    }
}

/// A socket that does not block, bound to the probe's source if there is one.
pub(super) fn socket(probe: &ProbeSpec, kind: Type, protocol: Protocol) -> Result<Socket, Failure> {
    let bound = || {
        let domain = Domain::for_address(probe.target);
        let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
        if let Some(routing) = &probe.routing {
            socket.set_mark(routing.router.mark())?;
        }
        if let Some(source) = probe.source {
            if kind == Type::STREAM && probe.routing.is_none() {
                // The port is chosen when it connects, so that probes of two members may share it.
                setsockopt(&socket, IpBindAddressNoPort, &true)?;
            }
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        if kind == Type::STREAM && probe.routing.is_some() {
            // Its port is no other probe's of that virtual address, so it must not be kept for a
            // minute.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        Ok(socket)
    };
    bound().map_err(|error| no_resource(&error))
}

/// Lets what a bound socket sends go to the member, if it is not addressed to it.
pub(super) fn route_probe(probe: &ProbeSpec, socket: &Socket, protocol: u8) -> io::Result<()> {
    let Some(routing) = &probe.routing else { return Ok(()) };
    let source = socket.local_addr()?.as_socket();
    let source = source.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    routing.router.route(Flow { protocol, source, destination: probe.target }, routing.backend)
}

/// What an error of the kernel means that came before anything was sent, or without ICMP.
pub(super) fn cause(error: &io::Error, target: IpAddr) -> Cause {
    let (stage, text) = (Stage::Connect, text(error));
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Cause::Refused { by: target },
        Some(libc::ETIMEDOUT) => Cause::Timeout { stage },
        Some(libc::ECONNRESET | libc::ECONNABORTED) => Cause::Reset { stage },
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => Cause::NoRoute { error: text },
        Some(libc::EINVAL) => {
            Cause::NoRoute { error: format!("a blackhole route or rule ({text})") }
        }
        Some(libc::EACCES) => {
            Cause::NoRoute { error: format!("a prohibit route or rule ({text})") }
        }
        _ => Cause::NoLocalResource { error: text },
    }
}

/// What an error of an established connection means.
pub(super) fn broken(stage: Stage, error: &io::Error) -> Cause {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionReset {
        Cause::Reset { stage }
    } else if kind == io::ErrorKind::BrokenPipe {
        // Reset earlier, and noticed only when we wrote.
        Cause::Reset { stage: Stage::Request }
    } else if kind == io::ErrorKind::UnexpectedEof {
        Cause::Closed { stage }
    } else {
        Cause::Broken { stage, error: text(error) }
    }
}

pub(super) fn no_resource(error: &io::Error) -> Failure {
    Cause::NoLocalResource { error: text(error) }.into()
}

/// The words of the kernel, without their number.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words.to_lowercase()
}
