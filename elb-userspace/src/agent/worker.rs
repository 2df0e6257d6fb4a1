//! Threads with a runtime of their own, whose work cannot hold up the agent's loop.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Runs what `work` makes, which is dropped with the process, and returns its result; the answer fails
/// if it panics.
///
/// # Errors
/// No thread or no runtime can be started.
pub(super) fn spawn<T, F>(
    name: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<oneshot::Receiver<T>>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let result = runtime.block_on(async { work().await });
        // The caller may have given up.
        let _ = ended.send(result);
    })?;
    Ok(end)
}
