//! Log lines, which never hold anything up: a thread of its own writes them to standard error. What it
//! cannot write, since that is closed, full or not read, is dropped and counted.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait at most.
const WAITING: usize = 1024;
/// How long the last lines may take.
const FLUSH: Duration = Duration::from_millis(500);
/// How long what a command has to say at its end may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

static QUEUED: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Where log lines go.
#[derive(Clone, Debug)]
pub struct Queue(SyncSender<Vec<u8>>);

/// Starts the thread.
///
/// # Errors
/// No thread can be started.
pub fn start() -> io::Result<Queue> {
    let (lines, waiting) = sync_channel(WAITING);
    thread::Builder::new().name("elb-log".to_owned()).spawn(move || write_all(&waiting))?;
    Ok(Queue(lines))
}

/// Lines that were dropped.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Waits a little for the lines that are not yet written.
pub fn flush() {
    let begun = Instant::now();
    while WRITTEN.load(Ordering::Relaxed) < QUEUED.load(Ordering::Relaxed) {
        if begun.elapsed() > FLUSH {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Writes a line to standard error, if that takes it soon.
pub fn say(line: &str) {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let timeout = PollTimeout::try_from(LAST_WORDS).unwrap_or(PollTimeout::ZERO);
    if poll(&mut ready, timeout) == Ok(1) {
        // A pipe that is ready has room for this much, which therefore does not block.
        let end = line.len().min(4000);
        let _ = write(&[&line.as_bytes()[..end], b"\n"].concat());
    }
}

impl Queue {
    fn offer(&self, line: &[u8]) {
        match self.0.try_send(line.to_vec()) {
            Ok(()) => QUEUED.fetch_add(1, Ordering::Relaxed),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                LOST.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.offer(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

fn write_all(waiting: &Receiver<Vec<u8>>) {
    let mut said = 0;
    while let Ok(line) = waiting.recv() {
        let lost = lost();
        if lost > said
            && write(format!("{} log lines were dropped\n", lost - said).as_bytes()).is_ok()
        {
            said = lost;
        }
        if write(&line).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        WRITTEN.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes past the lock of the standard library, for which a panic's message would wait otherwise.
fn write(mut bytes: &[u8]) -> Result<(), Errno> {
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match nix::unistd::write(stderr.as_fd(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut ready, PollTimeout::NONE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_for_who_does_not_read() {
        let (lines, waiting) = sync_channel(2);
        let queue = Queue(lines);
        let before = lost();
        for line in [&b"a"[..], b"b", b"c", b"d"] {
            assert_eq!((&queue).write(line).unwrap(), 1);
        }
        assert_eq!(lost() - before, 2);
        assert_eq!(waiting.try_iter().collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
