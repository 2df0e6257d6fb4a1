//! What is kept in the host, and what was last found there.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::kernel::bpf::Program;
use crate::kernel::host::found::HostState;
use crate::kernel::host::kept::{KeptObject, Register};
use crate::kernel::host::segments::Pair;

/// What is kept, and what was last found.
pub(in crate::agent) struct Keeping {
    pub(in crate::agent) found: Arc<HostState>,
    pub(in crate::agent) register: Register,
    /// What interfaces are to carry.
    pub(in crate::agent) program: Program,
    /// Counts what the agent itself changes, for the task that looks.
    pub(in crate::agent) revision: watch::Sender<u64>,
    /// Interfaces of one segment.
    pub(in crate::agent) joined: BTreeSet<Pair>,
    /// Interfaces that leave it to others to say where virtual addresses are.
    pub(in crate::agent) quiet: BTreeSet<u32>,
    /// Modes that an interface refused: asking again would only make another gap.
    pub(in crate::agent) refused: BTreeSet<(u32, &'static str)>,
}

impl Keeping {
    /// With a first look, and with what could not be attached by then, and why.
    pub(in crate::agent) fn new(found: HostState, failed: Vec<(String, String)>) -> Self {
        let mut register = Register::default();
        for (interface, why) in failed {
            register.missing(&KeptObject::Program(interface), why);
        }
        Self {
            found: Arc::new(found),
            register,
            program: Program::Plain,
            revision: watch::channel(0).0,
            joined: BTreeSet::new(),
            quiet: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    /// The agent changed something: what was looked at before says nothing of it.
    pub(in crate::agent) fn changed(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Interfaces may be asked for modes again that they refused.
    pub(in crate::agent) fn ask_again(&mut self) {
        self.refused.clear();
        self.changed();
    }
}
