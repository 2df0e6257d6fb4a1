//! One scrape: a snapshot of what the agent knows, and the counters of packets as they are now.

mod agent;
mod listeners;
mod members;
mod pools;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::encode::Writer;
use super::family::Scope;
use super::process::{self, ProcessFigures};
use super::snapshot::Snapshot;
use crate::kernel::bpf::{PacketCounts, WantedCounts};

/// What is to be written down.
#[derive(Debug)]
pub struct Scrape {
    snapshot: Arc<Snapshot>,
    scopes: Vec<Scope>,
    /// None: they cannot be read.
    counted: Option<PacketCounts>,
    process: Option<ProcessFigures>,
    took: Duration,
    errors: u64,
}

impl Scrape {
    /// Reads counters and the process.
    pub fn new(snapshot: Arc<Snapshot>, scopes: Vec<Scope>) -> Self {
        let begun = Instant::now();
        let counted = snapshot.counters.as_ref().map(|maps| maps.read(wanted(&snapshot, &scopes)));
        let counted = counted.and_then(|read| {
            read.inspect_err(|error| tracing::warn!(%error, "cannot read counters for metrics"))
                .ok()
        });
        let process = process::figures();
        let process = process
            .inspect_err(|error| tracing::warn!(%error, "cannot read figures of this process"))
            .ok();
        let errors = u64::from(counted.is_none()) + u64::from(process.is_none());
        Self { snapshot, scopes, counted, process, took: begun.elapsed(), errors }
    }

    /// One of counters that are known already.
    #[cfg(test)]
    pub(super) fn of(snapshot: Snapshot, scopes: &[Scope], counted: PacketCounts) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            scopes: scopes.to_vec(),
            counted: Some(counted),
            process: process::figures().ok(),
            took: Duration::ZERO,
            errors: 0,
        }
    }

    /// Writes all families of the scopes down.
    fn write(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        for scope in Scope::ALL.iter().filter(|scope| self.scopes.contains(scope)) {
            match scope {
                Scope::Agent => self.agent(out)?,
                Scope::Listener => self.listeners(out)?,
                Scope::Pool => self.pools(out)?,
                Scope::Member => self.members(out)?,
            }
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.write(&mut Writer(&mut encoder))
    }
}

/// The counters that are needed: up to the largest id.
fn wanted(snapshot: &Snapshot, scopes: &[Scope]) -> WantedCounts {
    let end = |ids: &mut dyn Iterator<Item = u16>| ids.max().map_or(0, |id| u32::from(id) + 1);
    let listeners = snapshot.listeners.iter().filter(|_| scopes.contains(&Scope::Listener));
    let members = snapshot.members.iter().filter(|_| scopes.contains(&Scope::Member));
    WantedCounts {
        listeners: end(&mut listeners.filter_map(|listener| listener.number)),
        backends: end(&mut members.filter_map(|member| member.number)),
    }
}
