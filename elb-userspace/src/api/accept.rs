//! Takes connections to the API socket, also after it was bound again.

use std::io;

use tokio::net::{UnixListener, UnixStream};

use super::socket::Listening;

/// Where connections come in.
pub(super) struct Entrance {
    listening: Listening,
    listener: UnixListener,
}

impl Entrance {
    /// To be made where it is used: it belongs to the runtime.
    pub(super) fn new(mut listening: Listening) -> io::Result<Self> {
        let listener = listener(&mut listening)?;
        Ok(Self { listening, listener })
    }

    /// The next connection.
    pub(super) async fn accept(&mut self) -> io::Result<UnixStream> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => return accepted.map(|(stream, _)| stream),
                // Where the agent ends, it is not bound again.
                Ok(()) = self.listening.changed() => self.listener = listener(&mut self.listening)?,
            }
        }
    }
}

fn listener(listening: &mut Listening) -> io::Result<UnixListener> {
    UnixListener::from_std(listening.borrow_and_update().try_clone()?)
}
