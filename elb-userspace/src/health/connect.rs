//! A TCP connection to a member, and why there is none.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Cause, Failure, Stage, told};

/// A connection, from `source` if there is one.
pub(super) async fn connect(
    target: SocketAddr,
    source: Option<IpAddr>,
    deadline: Instant,
) -> Result<TcpStream, Failure> {
    let socket = socket(target, source, Type::STREAM, Protocol::TCP)?;
    if let Err(error) = socket.connect(&target.into())
        && error.raw_os_error() != Some(libc::EINPROGRESS)
    {
        return Err(cause(&error, target.ip()).into());
    }
    let stream = TcpStream::from_std(socket.into()).map_err(|error| no_resource(&error))?;
    let own = stream.local_addr().ok().map(|own| own.ip());
    match timeout_at(deadline, stream.writable()).await {
        Err(_) => return Err(Cause::Timeout { stage: Stage::Connect }.into()),
        Ok(ready) => ready.map_err(|error| no_resource(&error))?,
    }
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => {
            let told = told::take(&stream).map(|told| told.cause(own));
            Err(told.unwrap_or_else(|| cause(&error, target.ip())).into())
        }
    }
}

/// A socket that does not block, bound to `source` if there is one.
pub(super) fn socket(
    target: SocketAddr,
    source: Option<IpAddr>,
    kind: Type,
    protocol: Protocol,
) -> Result<Socket, Failure> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(target), kind.nonblocking(), Some(protocol))?;
        if let Some(source) = source {
            if kind == Type::STREAM {
                // The port is chosen when it connects, so that probes of two members may share it.
                setsockopt(&socket, IpBindAddressNoPort, &true)?;
            }
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    };
    bound().map_err(|error| no_resource(&error))
}

/// What an error of the kernel means that came before anything was sent, or without ICMP.
pub(super) fn cause(error: &io::Error, target: IpAddr) -> Cause {
    let (stage, text) = (Stage::Connect, text(error));
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Cause::Refused { by: target },
        Some(libc::ETIMEDOUT) => Cause::Timeout { stage },
        Some(libc::ECONNRESET | libc::ECONNABORTED) => Cause::Reset { stage },
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL) => {
            Cause::NoRoute { error: text }
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
