//! Runs probes apart from the agent's loop: neither holds up the other.

use std::io;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::clock::now;
use super::containment::caught;
use super::probing::Probed;
use super::state::members::DueProbe;
use super::{fault, worker};
use crate::health::probe;

/// The thread of probes. They are as many as [`super::state::Probes`] lets be under way.
pub(super) struct Runner {
    due: UnboundedSender<DueProbe>,
    done: UnboundedReceiver<Probed>,
}

impl Runner {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn new() -> io::Result<Self> {
        let (due, waiting) = mpsc::unbounded_channel();
        let (results, done) = mpsc::unbounded_channel();
        worker::spawn("elb-probes", move || run(waiting, results))?;
        Ok(Self { due, done })
    }

    /// Starts a probe; its result arrives at [`Self::done`], whatever happens.
    pub(super) fn start(&self, probe: DueProbe) {
        // Without the thread, no result will come, and `done` says so.
        let _ = self.due.send(probe);
    }

    /// The next result; `None`: the thread is gone.
    pub(super) async fn done(&mut self) -> Option<Probed> {
        self.done.recv().await
    }

    /// A result that is there already.
    pub(super) fn try_done(&mut self) -> Option<Probed> {
        self.done.try_recv().ok()
    }
}

async fn run(mut due: UnboundedReceiver<DueProbe>, results: UnboundedSender<Probed>) {
    while let Some(DueProbe { member, due, spec, routes }) = due.recv().await {
        let results = results.clone();
        tokio::spawn(async move {
            let late = now().time.since(due);
            let work = async {
                fault::reach("probe");
                probe::run(spec, routes).await
            };
            let outcome = caught(work).await;
            // The agent may have ended.
            let _ = results.send(Probed { member, late, ended: now().time, outcome });
        });
    }
}
