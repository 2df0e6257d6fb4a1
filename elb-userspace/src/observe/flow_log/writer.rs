//! Who writes the flow log, as the agent sees it: it never waits for the thread that does.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::shared::{Command, Noted, Shared, Written};
use super::task::Task;
use crate::kernel::bpf::{FlowRing, LoggedCounts};
use crate::source::file::{FlowLogSettings, SflowSettings};

/// How long the last lines may take.
const LAST: Duration = Duration::from_secs(1);

/// The agent's end.
pub struct FlowWriter {
    commands: Sender<Command>,
    bell: UnixStream,
    shared: Arc<Shared>,
}

impl FlowWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread, or no descriptor, to be had.
    pub fn start(
        ring: FlowRing,
        counted: impl Fn() -> Option<LoggedCounts> + Send + Sync + 'static,
        noted: Noted,
    ) -> io::Result<Self> {
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        let (commands, asked) = channel();
        let written = Mutex::default();
        let shared = Arc::new(Shared { noted: Mutex::new(noted), written });
        let task = Task::new((ring, Arc::new(counted)), asked, rung, shared.clone());
        thread::Builder::new().name("elb-flow-log".to_owned()).spawn(move || task.run())?;
        Ok(Self { commands, bell, shared })
    }

    /// Writes by these settings from now on. So much was counted before.
    pub fn begin(&self, settings: &FlowLogSettings, before: LoggedCounts) {
        self.ask(Command::Begin(Box::new(settings.clone()), before));
    }

    /// Sends samples by these settings from now on, or none. So much was counted before.
    pub fn sample(&self, settings: Option<&SflowSettings>, before: LoggedCounts) {
        self.ask(Command::Sample(settings.cloned().map(Box::new), before));
    }

    /// Writes what there is, and then nothing more.
    pub fn end(&self) {
        self.ask(Command::End(None));
    }

    /// As [`Self::end`], and waits for it, not for long.
    pub fn end_at_last(&self) {
        let (said, waiting) = sync_channel(1);
        self.ask(Command::End(Some(said)));
        let _ = waiting.recv_timeout(LAST);
    }

    /// Reads another ring.
    pub fn follow(
        &self,
        ring: FlowRing,
        counted: impl Fn() -> Option<LoggedCounts> + Send + Sync + 'static,
    ) {
        self.ask(Command::Follow(ring, Arc::new(counted)));
    }

    /// Describes events so from now on.
    pub fn describe(&self, noted: Noted) {
        *self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner) = noted;
    }

    /// What became of lines, since the thread started.
    pub fn written(&self) -> Written {
        self.shared.wrote(|written| written.clone())
    }

    fn ask(&self, command: Command) {
        let _ = self.commands.send(command);
        let _ = (&self.bell).write(&[0]);
    }
}
