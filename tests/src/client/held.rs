//! TCP connections that stay, each with a ping-pong of lines of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinSet,
};

use super::{
    background::{Background, Stop},
    failure::Failure,
    held_report::{HeldConnection, HeldReport, Record, Records},
    talk::Talk,
};
use crate::{environment::allow_descriptors, netns::NetNs, wait::wait_for};

/// For all of them together; each has its own limit, and ten thousand take a busy machine a while.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(120);

/// Connections that are opened at a time: no more than fit into every queue on their way.
const OPENING: usize = 128;

/// Connections to an echo service, until they are stopped.
#[derive(Debug)]
pub struct HeldConnections {
    background: Background,
    records: Records,
}

impl HeldConnections {
    /// Opens `count` connections from inside `netns`, a line on each in every `interval`; when this
    /// returns, each has got its first answer.
    pub fn open(
        netns: &NetNs,
        target: SocketAddr,
        count: usize,
        interval: Duration,
    ) -> Result<Self> {
        Self::open_for(netns, count, Talk::to(target, interval))
    }

    /// As [`HeldConnections::open`], with more to say about how they talk.
    pub fn open_for(netns: &NetNs, count: usize, talk: Talk) -> Result<Self> {
        allow_descriptors(count)?;
        let records = Records::default();
        let shared = records.clone();
        let work = move |stop| hold_all(talk, count, stop, shared);
        let held = Self { background: Background::start(netns, work), records };
        let what = format!("{count} connections to {}", talk.target);
        wait_for(&what, ESTABLISH_LIMIT, || held.all_answered(count))?;
        Ok(held)
    }

    /// What has happened until now.
    pub fn so_far(&self) -> HeldReport {
        self.records.report()
    }

    /// The first of those that ended before they were asked to.
    pub fn first_broken(&self) -> Option<HeldConnection> {
        self.records.look(|all| all.iter().find(|one| one.failure.is_some()).cloned())
    }

    /// Closes the connections and returns what happened.
    pub fn stop(self) -> Result<HeldReport> {
        let Self { background, records } = self;
        background.stop()?;
        Ok(records.report())
    }

    fn all_answered(&self, count: usize) -> Result<Option<()>> {
        if let Some(failure) = self.first_broken().and_then(|broken| broken.failure) {
            bail!("{failure}");
        }
        let answered = |all: &mut Vec<HeldConnection>| {
            all.len() == count && all.iter().all(|connection| connection.round_trips > 0)
        };
        Ok(self.records.look(answered).then_some(()))
    }
}

async fn hold_all(talk: Talk, count: usize, stop: Stop, records: Records) {
    let turns = Arc::new(Semaphore::new(OPENING));
    let mut workers = JoinSet::new();
    for _ in 0..count {
        let (stop, records, turns) = (stop.clone(), records.clone(), turns.clone());
        workers.spawn(async move {
            let turn = turns.acquire().await.expect("the semaphore is never closed");
            if stop.requested() {
                return;
            }
            let record = records.begin();
            record.keep(hold(talk, turn, stop, &record).await);
        });
    }
    workers.join_all().await;
}

async fn hold(
    talk: Talk,
    turn: SemaphorePermit<'_>,
    stop: Stop,
    record: &Record,
) -> Result<(), Failure> {
    let socket = talk.socket().map_err(|error| Failure::from_error(&error))?;
    let stream = talk.connect(socket, record).await?;
    drop(turn);
    talk.converse(stream, None, stop, record).await
}
