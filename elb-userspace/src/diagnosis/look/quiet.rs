//! A connection on which nothing is sent: does the server wait, speak, or hang up?

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::diagnosis::evidence::Quiet;

/// Opens a connection and watches it; `None` if there is none.
pub(super) async fn watch(
    target: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
) -> Option<Quiet> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).ok()?;
    }
    let stream = timeout(limit, socket.connect(target)).await.ok()?.ok()?;
    let quiet = match timeout(limit, stream.peek(&mut [0])).await {
        Err(_) => Quiet::Stays,
        Ok(Ok(0)) => Quiet::Closes,
        Ok(Ok(_)) => Quiet::Speaks,
        Ok(Err(_)) => Quiet::Resets,
    };
    // Neither side keeps state of it; that nothing can be set on a broken socket is no loss.
    let _ = stream.set_zero_linger();
    Some(quiet)
}
