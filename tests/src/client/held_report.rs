//! What became of TCP connections that stay.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::failure::{Failure, FailureKind};

/// What became of one connection.
#[derive(Clone, Debug)]
pub struct HeldConnection {
    /// When it began to be opened.
    pub opened: Instant,
    /// The client's end.
    pub local: Option<SocketAddr>,
    /// The backend that gave the first answer.
    pub backend: Option<Arc<str>>,
    /// How many answers there were.
    pub round_trips: u64,
    /// The longest time that an answer took.
    pub slowest: Duration,
    /// Why it ended before it was asked to.
    pub failure: Option<Failure>,
}

impl HeldConnection {
    fn begin() -> Self {
        Self {
            opened: Instant::now(),
            local: None,
            backend: None,
            round_trips: 0,
            slowest: Duration::ZERO,
            failure: None,
        }
    }

    /// Takes in an answer of `backend`, which must be the one that gave the first.
    pub(super) fn answered(&mut self, backend: &str, took: Duration) -> Result<(), Failure> {
        let first = self.backend.get_or_insert_with(|| backend.into());
        if **first != *backend {
            let text = format!("{backend} answers on a connection with {first}");
            return Err(Failure::new(FailureKind::OtherBackend, text));
        }
        self.round_trips += 1;
        self.slowest = self.slowest.max(took);
        Ok(())
    }
}

/// What became of all of them.
#[derive(Clone, Debug)]
pub struct HeldReport {
    /// Each connection, in the order in which they were begun.
    pub connections: Vec<HeldConnection>,
}

impl HeldReport {
    /// Those that ended before they were asked to.
    pub fn broken(&self) -> Vec<&HeldConnection> {
        let broken = |connection: &&HeldConnection| connection.failure.is_some();
        self.connections.iter().filter(broken).collect()
    }

    /// Whether each connection got at least `more` answers since `before`, a report on the same ones.
    pub fn is_beyond(&self, before: &Self, more: u64) -> bool {
        let mut pairs = self.connections.iter().zip(&before.connections);
        pairs.all(|(now, before)| now.round_trips >= before.round_trips + more)
    }

    /// Those with `backend`.
    pub fn on(&self, backend: &str) -> Vec<&HeldConnection> {
        let on = |connection: &&HeldConnection| connection.backend.as_deref() == Some(backend);
        self.connections.iter().filter(on).collect()
    }

    /// The longest time that an answer took on any of them.
    pub fn slowest(&self) -> Duration {
        self.connections.iter().map(|connection| connection.slowest).max().unwrap_or_default()
    }
}

/// The connections of a load that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(Arc<Mutex<Vec<HeldConnection>>>);

impl Records {
    /// Takes a connection in, which begins to be opened now.
    pub(super) fn begin(&self) -> Record {
        let index = self.look(|all| {
            all.push(HeldConnection::begin());
            all.len() - 1
        });
        Record { records: self.clone(), index }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Vec<HeldConnection>) -> T) -> T {
        look(&mut self.0.lock().expect("no worker panics"))
    }

    pub(super) fn report(&self) -> HeldReport {
        HeldReport { connections: self.look(|all| all.clone()) }
    }
}

/// The place of one connection in the report.
#[derive(Debug)]
pub(super) struct Record {
    records: Records,
    index: usize,
}

impl Record {
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut HeldConnection) -> T) -> T {
        self.records.look(|all| change(&mut all[self.index]))
    }

    /// Notes why the connection ended, if no one asked it to.
    pub(super) fn keep(&self, ended: Result<(), Failure>) {
        self.update(|connection| connection.failure = ended.err());
    }
}
