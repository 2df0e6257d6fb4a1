//! The service manager's end of sd_notify(3): datagrams of lines.

use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    net::Shutdown,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use anyhow::{Context as _, Result};

type Messages = Arc<Mutex<Vec<Vec<String>>>>;

/// Hears everything that is sent to a socket, until it is dropped. Someone must: the sender waits
/// once a few datagrams were not taken.
#[derive(Debug)]
pub(crate) struct Notices {
    socket: UnixDatagram,
    messages: Messages,
}

impl Notices {
    /// Listens at `path`, in place of who did before; everyone may send there.
    pub(crate) fn listen(path: &Path) -> Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let listen = || -> Result<Self> {
            let socket = UnixDatagram::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o666))?;
            let (hears, messages) = (socket.try_clone()?, Messages::default());
            let shared = messages.clone();
            thread::spawn(move || hear(&hears, &shared));
            Ok(Self { socket, messages })
        };
        listen().with_context(|| format!("cannot listen at {}", path.display()))
    }

    /// All messages until now.
    pub(crate) fn so_far(&self) -> Vec<Vec<String>> {
        self.messages.lock().expect("no holder panics").clone()
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        // Ends the thread; that it may have ended before is no matter.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn hear(socket: &UnixDatagram, messages: &Messages) {
    let mut buffer = [0; 4096];
    // No one sends empty datagrams: this is the end.
    while let Ok(length @ 1..) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        let lines = text.lines().map(str::to_owned).collect();
        messages.lock().expect("no holder panics").push(lines);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait::wait_for;

    #[test]
    fn messages_are_heard_in_their_order() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("notify");
        let notices = Notices::listen(&path)?;
        let sender = UnixDatagram::unbound()?;
        sender.send_to(b"RELOADING=1\nMONOTONIC_USEC=1", &path)?;
        sender.send_to(b"READY=1", &path)?;
        let heard = wait_for("both", Duration::from_secs(5), || {
            Ok(Some(notices.so_far()).filter(|heard| heard.len() == 2))
        })?;
        let first = ["RELOADING=1", "MONOTONIC_USEC=1"].map(str::to_owned).to_vec();
        assert_eq!(heard, [first, vec!["READY=1".to_owned()]]);
        Ok(())
    }
}
