//! Work in a namespace on a thread and a runtime of its own, until it is stopped.

use std::{future::Future, panic::resume_unwind, thread::JoinHandle, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{runtime, sync::watch, task::yield_now, time::sleep};

use crate::netns::NetNs;

/// Makes work stop.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// For work that ends by itself.
    pub(super) fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it is time.
    pub(super) fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Sleeps for `pause`, or until it is time to stop.
    pub(super) async fn pause(&mut self, pause: Duration) {
        if pause.is_zero() {
            // Others on the same thread must get their turn.
            yield_now().await;
            return;
        }
        tokio::select! {
            () = sleep(pause) => {}
            Ok(_) = self.0.wait_for(|stop| *stop) => {}
        }
    }
}

/// Work under way; dropping it stops it and waits for its end.
#[derive(Debug)]
pub(super) struct Background {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Background {
    /// Starts `work` inside `netns`.
    pub(super) fn start<F: Future<Output = ()>>(
        netns: &NetNs,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let thread = netns.spawn(move || block_on(work(Stop(stopped))));
        Self { stop, thread: Some(thread) }
    }

    /// Stops it and waits until what is under way has ended; a panic of it goes on here.
    pub(super) fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let ended = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        ended.and_then(|worked| worked).context("no load could be made")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("a load generator panicked");
        }
    }
}

/// Runs `work` on the calling thread, in whose namespace its sockets then are.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
