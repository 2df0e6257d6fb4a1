//! The TCP check: SYN, SYN-ACK, ACK, and then RST, so that neither side keeps state.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::Failure;

/// Succeeds when the connection is established.
pub(super) async fn check(
    target: SocketAddr,
    source: Option<IpAddr>,
    deadline: Instant,
) -> Result<(), Failure> {
    let stream = connect(target, source, deadline).await?;
    // Dropping it now sends the RST.
    stream.set_zero_linger().map_err(|error| failure(&error))
}

/// A connection, from `source` if there is one.
pub(super) async fn connect(
    target: SocketAddr,
    source: Option<IpAddr>,
    deadline: Instant,
) -> Result<TcpStream, Failure> {
    let connecting = async { socket(target, source)?.connect(target).await };
    match timeout_at(deadline, connecting).await {
        Err(_) => Err(Failure::ConnectTimeout),
        Ok(connected) => connected.map_err(|error| failure(&error)),
    }
}

fn socket(target: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpSocket> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

/// The reason for an error of connect(2).
fn failure(error: &io::Error) -> Failure {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        Failure::ConnectRefused
    } else if kind == io::ErrorKind::TimedOut {
        Failure::ConnectTimeout
    } else if [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted].contains(&kind) {
        Failure::ConnectInterrupt
    } else {
        Failure::ConnectFailed
    }
}
