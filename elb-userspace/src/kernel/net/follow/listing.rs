//! When the kernel's routing tables are listed for clients, and what follows from them is found: in the
//! background, with rests, since a table may have a million routes.

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::mirror::Mirror;
use super::tables::{self, Tables};
use super::{CALM, FollowError, REST};

/// A listing under way, and when the next may begin.
#[derive(Debug)]
pub(super) struct TableListing {
    task: Option<JoinHandle<Result<Tables, FollowError>>>,
    begun: Instant,
    list_at: Instant,
    find_at: Instant,
}

impl TableListing {
    pub(super) const fn new(now: Instant) -> Self {
        Self { task: None, begun: now, list_at: now, find_at: now }
    }

    /// Something changed: more will, in a moment.
    pub(super) fn wait(&mut self, now: Instant) {
        self.list_at = self.list_at.max(now + CALM);
    }

    /// Does what is due.
    pub(super) fn catch_up(&mut self, mirror: &mut Mirror, now: Instant) {
        if self.task.is_none() && mirror.has_stale_tables() && self.list_at <= now {
            mirror.lists_tables();
            self.begun = now;
            self.task = Some(tokio::spawn(tables::list()));
        }
        if mirror.has_doubted_clients() && self.find_at <= now {
            mirror.find_clients();
            let after = Instant::now();
            self.find_at = after + (after - now) * REST;
        }
    }

    /// Waits until the tables are listed.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub(super) async fn done(&mut self) -> Result<Tables, FollowError> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let listed = task.await;
        self.task = None;
        let now = Instant::now();
        self.list_at = now + (now - self.begun) * REST;
        listed.map_err(|error| FollowError::Socket(std::io::Error::other(error)))?
    }

    /// When there is something to do.
    pub(super) fn next(&self, mirror: &Mirror) -> Option<Instant> {
        let list = (self.task.is_none() && mirror.has_stale_tables()).then_some(self.list_at);
        let find = mirror.has_doubted_clients().then_some(self.find_at);
        list.into_iter().chain(find).min()
    }
}

impl Drop for TableListing {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}
