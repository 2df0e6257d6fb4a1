//! Where lines go: a file, standard output, or the journal.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::file::LogFile;
use super::rotation::Rules;
use crate::source::file::{FlowLogSettings, FlowLogTarget};

/// The journal's socket, see systemd's JOURNAL_NATIVE_PROTOCOL.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// How long the journal may take for a line.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whole lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Batch {
    /// Adds a line, without its end.
    pub(super) fn add(&mut self, line: &impl serde::Serialize) {
        let begun = self.text.len();
        match serde_json::to_writer(&mut self.text, line) {
            Ok(()) => {
                self.text.push(b'\n');
                self.ends.push(self.text.len());
            }
            Err(_) => self.text.truncate(begun),
        }
    }

    pub(super) const fn lines(&self) -> usize {
        self.ends.len()
    }

    /// Whether it is time to write them.
    pub(super) const fn is_full(&self) -> bool {
        const MUCH: usize = 1 << 16;
        self.text.len() >= MUCH
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.text[begin..*end - 1])
    }
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    File(LogFile),
    Stdout,
    Journal(Journal),
}

/// The journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Sink {
    pub(super) fn new(settings: &FlowLogSettings) -> Self {
        match settings.to {
            FlowLogTarget::File => {
                let (size, age) = (settings.max_bytes(), settings.max_age());
                let rules = Rules { size, age, keep: settings.keep.get() };
                Self::File(LogFile::new(settings.file.clone(), rules))
            }
            FlowLogTarget::Stdout => Self::Stdout,
            FlowLogTarget::Journald => {
                Self::Journal(Journal { path: PathBuf::from(JOURNAL), socket: None })
            }
        }
    }

    /// Writes lines; how many it did not take, and why.
    pub(super) fn write(&mut self, batch: &Batch, now: Instant) -> (u64, Option<String>) {
        let all = |written: io::Result<()>| match written {
            Ok(()) => (0, None),
            Err(error) => (batch.lines() as u64, Some(error.to_string())),
        };
        match self {
            Self::File(file) => all(file.write(&batch.text, now)),
            Self::Stdout => all(to_stdout(&batch.text)),
            Self::Journal(journal) => {
                let mut lost = (0, None);
                for line in batch.each() {
                    if let Err(error) = journal.send(line) {
                        lost = (lost.0 + 1, Some(error.to_string()));
                    }
                }
                lost
            }
        }
    }
}

/// Past the standard library, whose buffer and lock others have, too.
fn to_stdout(mut text: &[u8]) -> io::Result<()> {
    let stdout = io::stdout();
    while !text.is_empty() {
        match nix::unistd::write(stdout.as_fd(), text) {
            Ok(written) => text = &text[written..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Journal {
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connected(&self.path)?,
        };
        // A line has no line break in it, so that this form is enough.
        let head: &[u8] = b"PRIORITY=6\nSYSLOG_IDENTIFIER=elb-flows\nMESSAGE=";
        socket.send(&[head, line, b"\n"].concat())?;
        // Where sending failed, the journal may have begun anew: another socket is tried.
        self.socket = Some(socket);
        Ok(())
    }
}

fn connected(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::default();
        lines.iter().for_each(|line| batch.add(line));
        batch
    }

    #[test]
    fn the_journal_gets_a_datagram_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut sink = Sink::Journal(Journal { path: path.clone(), socket: None });
        let (lost, why) = sink.write(&batch(&["a", "b"]), Instant::now());
        assert!(lost == 2 && why.is_some(), "there is no journal");
        let journal = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.write(&batch(&["a", "b"]), Instant::now()), (0, None));
        let mut buffer = [0; 256];
        let length = journal.recv(&mut buffer).unwrap();
        let wanted = "PRIORITY=6\nSYSLOG_IDENTIFIER=elb-flows\nMESSAGE=\"a\"\n";
        assert_eq!(std::str::from_utf8(&buffer[..length]), Ok(wanted));
    }

    #[test]
    fn a_file_that_takes_nothing_loses_whole_batches() {
        let settings = FlowLogSettings { file: "/dev/full".into(), ..Default::default() };
        let (lost, why) = Sink::new(&settings).write(&batch(&["a", "b", "c"]), Instant::now());
        assert!(lost == 3 && why.is_some());
    }
}
