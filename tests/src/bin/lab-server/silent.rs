//! Silence: connections are taken and kept, datagrams are taken, and nothing is answered.

use anyhow::Result;
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream};

use crate::accept::accept;

/// Keeps connections for ever, and the socket of datagrams, so that its port is not closed.
pub(crate) async fn serve(listener: TcpListener, _datagrams: Socket) -> Result<()> {
    let mut connections: Vec<TcpStream> = Vec::new();
    loop {
        connections.push(accept(&listener).await?);
        // Those that the client has left are let go: probes come all day.
        connections.retain(|stream| {
            let left = matches!(stream.try_read(&mut [0; 1024]), Ok(0));
            !left
        });
    }
}
