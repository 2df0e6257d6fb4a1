//! Runs probes apart from the agent's loop: neither holds up the other.

use std::io;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::apart;
use super::clock::now;
use super::members::DueProbe;
use super::probing::Probed;
use crate::health::Cause;
use crate::health::probe::{self, Outcome, ProbeSpec};

/// The thread of probes. They are as many as [`super::core::Probing`] lets be under way.
pub(super) struct Runner {
    due: UnboundedSender<DueProbe>,
    done: UnboundedReceiver<Probed>,
}

impl Runner {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is none to be had.
    pub(super) fn new() -> io::Result<Self> {
        let (due, waiting) = mpsc::unbounded_channel();
        let (results, done) = mpsc::unbounded_channel();
        apart::spawn("elb-probes", move || run(waiting, results))?;
        Ok(Self { due, done })
    }

    /// Starts a probe; its result comes to [`Self::done`], whatever happens.
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
    while let Some(DueProbe { member, due, spec, vip }) = due.recv().await {
        let results = results.clone();
        tokio::spawn(async move {
            let late = now().time.since(due);
            let mut promise = Promise { member, late, spec: spec.clone(), results, outcome: None };
            promise.outcome = Some(probe::run(spec, vip).await);
        });
    }
}

/// Sends a result when it goes, even if the probe panicked.
struct Promise {
    member: u32,
    late: std::time::Duration,
    spec: ProbeSpec,
    results: UnboundedSender<Probed>,
    outcome: Option<Outcome>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        let Self { member, late, .. } = *self;
        let outcome = self.outcome.take().unwrap_or_else(|| panicked(&self.spec));
        // The agent may have ended.
        let _ = self.results.send(Probed { member, late, outcome });
    }
}

/// It says nothing of the member.
fn panicked(spec: &ProbeSpec) -> Outcome {
    tracing::error!(target = %spec.target, "a probe panicked");
    let error = "a fault of elb itself, see its log".to_owned();
    Outcome {
        result: Err(Cause::NoLocalResource { error }.into()),
        duration: std::time::Duration::ZERO,
        path: crate::model::monitor::ProbePath::Direct,
        other: None,
    }
}
