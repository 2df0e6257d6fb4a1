//! Metrics, in Prometheus' formats. The agent's loop publishes a [`Snapshot`] of what it knows; a scrape adds
//! what packets counted, read by descriptors of its own, and never waits for the loop. Series are those of the
//! present model: what is removed is gone with the next scrape.

mod encode;
pub mod family;
mod histogram;
mod pages;
mod process;
pub mod reference;
mod scrape;
mod snapshot;

use std::io;
use std::sync::{Arc, Weak};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{Mutex, watch};

pub use self::encode::Format;
use self::encode::encoded;
pub use self::family::Scope;
pub use self::histogram::Histogram;
pub use self::pages::Pages;
use self::scrape::Scrape;
pub use self::snapshot::*;

/// What scrapes are made of. There is one for all who scrape.
#[derive(Clone, Debug)]
pub struct Exporter {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    last: Arc<Mutex<Option<Last>>>,
}

/// How a scrape is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeRequest {
    /// What it is about.
    pub scopes: Vec<Scope>,
    /// Its format.
    pub format: Format,
    /// Whether it is compressed.
    pub gzip: bool,
}

/// The last scrape.
#[derive(Debug)]
struct Last {
    begun: Instant,
    request: ScrapeRequest,
    /// It is kept by those only who send it.
    text: Weak<Pages>,
}

impl Exporter {
    /// Of the snapshots that come.
    pub fn new(snapshots: watch::Receiver<Option<Arc<Snapshot>>>) -> Self {
        Self { snapshots, last: Arc::default() }
    }

    /// What the agent knew last; none: nothing yet.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.borrow().clone()
    }

    /// Scrapes. Only one is made at a time; who waited for one that began later than this and is the same
    /// gets that.
    ///
    /// # Errors
    /// The agent has not begun to serve.
    pub async fn scrape(&self, request: ScrapeRequest) -> io::Result<Arc<Pages>> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        let fits = |last: &&Last| last.begun >= asked && last.request == request;
        if let Some(text) = last.as_ref().filter(fits).and_then(|last| last.text.upgrade()) {
            return Ok(text);
        }
        let snapshot = self.snapshot();
        let snapshot = snapshot.ok_or_else(|| io::Error::other("the agent is starting"))?;
        let begun = Instant::now();
        let wanted = request.clone();
        let text = tokio::task::spawn_blocking(move || made(snapshot, wanted)).await;
        let text = Arc::new(text.map_err(io::Error::other)??);
        *last = Some(Last { begun, request, text: Arc::downgrade(&text) });
        Ok(text)
    }
}

fn made(snapshot: Arc<Snapshot>, request: ScrapeRequest) -> io::Result<Pages> {
    let scrape = Scrape::new(snapshot, request.scopes);
    if !request.gzip {
        return encoded(scrape, request.format, Pages::default());
    }
    let compressed = GzEncoder::new(Pages::default(), Compression::fast());
    encoded(scrape, request.format, compressed)?.finish()
}

#[cfg(test)]
mod tests;
