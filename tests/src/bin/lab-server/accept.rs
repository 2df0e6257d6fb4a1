//! Connections, one after the other, as a server of long standing takes them.

use std::{io, time::Duration};

use nix::libc;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// How long a server that cannot take a connection waits for descriptors to be free again.
const PAUSE: Duration = Duration::from_millis(50);

/// The next connection. Without free descriptors the connection stays in the queue (`accept(2)`), and the
/// server waits; one that was over before it was taken is passed.
pub(crate) async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => sleep(PAUSE).await,
                Some(libc::ECONNABORTED) => {}
                _ => return Err(error),
            },
        }
    }
}
