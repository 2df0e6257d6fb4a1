//! Takes connections to the API socket, also after it was bound again, and where no file may be opened any
//! more: a descriptor is kept for that, so that a client hears why it is refused.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use super::socket::BoundSocket;

/// How long to wait where no connection can be taken at all.
const AGAIN: Duration = Duration::from_millis(200);
/// How often a line of the log says that none can be taken.
const QUIET: Duration = Duration::from_secs(60);

/// Where connections come in.
pub(super) struct Entrance {
    listening: BoundSocket,
    listener: UnixListener,
    spare: Spare,
    scarcity: Scarcity,
}

/// A descriptor that is closed to make room for one connection. The limit is on the numbers of descriptors: it
/// may be lowered below those that are open, so that only one of the first is of use.
#[derive(Clone, Debug)]
pub struct Spare(Arc<Mutex<Option<File>>>);

impl Spare {
    /// To be called before anything else is opened.
    pub fn keep() -> Self {
        let spare = Self(Arc::default());
        spare.refill();
        spare
    }

    /// Keeps one again that was spent.
    fn refill(&self) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *file = file.take().or_else(|| File::open("/dev/null").ok());
    }

    /// Closes it; false if there is none.
    fn spend(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// A connection.
pub(super) enum Taken {
    /// It may be served.
    Served(UnixStream),
    /// It took the last descriptor: it is to be refused, and closed.
    Refused(UnixStream),
}

impl Entrance {
    /// To be made where it is used: it belongs to the runtime.
    pub(super) fn new(mut listening: BoundSocket, spare: Spare) -> io::Result<Self> {
        let listener = listener(&mut listening)?;
        Ok(Self { listening, listener, spare, scarcity: Scarcity::default() })
    }

    /// The next connection.
    pub(super) async fn accept(&mut self) -> io::Result<Taken> {
        loop {
            self.spare.refill();
            match self.next().await? {
                Ok(stream) => return Ok(Taken::Served(stream)),
                Err(error) if is_scarce(&error) => {
                    self.scarcity.met(&error, Instant::now());
                    if !self.spare.spend() {
                        sleep(AGAIN).await;
                    } else if let Ok(Ok((stream, _))) = timeout(AGAIN, self.listener.accept()).await
                    {
                        return Ok(Taken::Refused(stream));
                    }
                }
                Err(error) => {
                    self.scarcity.met(&error, Instant::now());
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// The next connection, or why it cannot be taken.
    async fn next(&mut self) -> io::Result<io::Result<UnixStream>> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => return Ok(accepted.map(|(stream, _)| stream)),
                // Where the agent ends, it is not bound again.
                Ok(()) = self.listening.changed() => {
                    self.listener = listener(&mut self.listening)?;
                }
            }
        }
    }
}

fn listener(listening: &mut BoundSocket) -> io::Result<UnixListener> {
    UnixListener::from_std(listening.borrow_and_update().try_clone()?)
}

/// Whether the process or the host has too many files open.
fn is_scarce(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}

/// Connections that could not be taken.
#[derive(Default)]
struct Scarcity {
    said: Option<Instant>,
    /// Since the last line.
    count: u64,
}

impl Scarcity {
    fn met(&mut self, error: &io::Error, now: Instant) {
        if let Some(connections) = self.count(now) {
            tracing::warn!(
                %error,
                connections,
                "cannot take connections to the API socket; elb doctor compares open files with their \
                 limit (LimitNOFILE= of the unit)"
            );
        }
    }

    /// Counts one; how many there were since the last line, if it is time for another.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.said.is_some_and(|said| now < said + QUIET) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute_says_how_many_connections_were_not_taken() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut scarcity = Scarcity::default();
        let said = [0, 0, 1, 59, 60, 61, 300].map(|seconds| scarcity.count(at(seconds)));
        assert_eq!(said, [Some(1), None, None, None, Some(4), None, Some(2)]);
    }

    #[test]
    fn too_many_open_files_are_known() {
        let errors = [Errno::MFILE, Errno::NFILE, Errno::CONNABORTED];
        let known = errors.map(|one| is_scarce(&io::Error::from(one)));
        assert_eq!(known, [true, true, false]);
    }
}
