//! What the agent and the thread that writes the flow log have in common.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::kernel::bpf::{FlowRing, LoggedCounts};
use crate::observe::names::Names;
use crate::observe::sflow::SflowSent;
use crate::source::file::{FlowLogSettings, SflowSettings};

/// What events are described by, and what is lost before they are read. The agent keeps it up to date.
#[derive(Clone, Debug)]
pub struct Noted {
    /// What numbers are called.
    pub names: Arc<Names>,
    /// When the monotonic clock was at zero.
    pub booted: SystemTime,
}

/// What became of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Lines that were written.
    pub lines: u64,
    /// Events, or lines, that were not.
    pub lost: u64,
    /// Why the last were not, if so.
    pub why: Option<String>,
    /// What became of samples.
    pub sflow: SflowSent,
}

/// What the kernel counts. `None`: that cannot be read.
pub(super) type Counted = Arc<dyn Fn() -> Option<LoggedCounts> + Send + Sync>;

/// What the thread is asked for.
pub(super) enum Command {
    /// Lines are written by these settings. What was lost until now, is not said.
    Begin(Box<FlowLogSettings>, LoggedCounts),
    /// Nothing more is written; says so.
    End(Option<SyncSender<()>>),
    /// Samples are sent by these settings from now on, or none are. What was lost until now, is not said.
    Sample(Option<Box<SflowSettings>>, LoggedCounts),
    /// Events come from here, and this says what is lost.
    Follow(FlowRing, Counted),
}

/// What both sides have.
pub(super) struct Shared {
    pub(super) noted: Mutex<Noted>,
    pub(super) written: Mutex<Written>,
}

impl Shared {
    /// What events are described by now.
    pub(super) fn noted(&self) -> Noted {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What became of samples until now.
    pub(super) fn sent(&self) -> SflowSent {
        self.wrote(|written| written.sflow.clone())
    }

    /// Changes what became of lines.
    pub(super) fn wrote<T>(&self, change: impl FnOnce(&mut Written) -> T) -> T {
        change(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
