//! What the agent counts of itself for metrics.

pub(in crate::agent) mod entries;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::watched::Watched;
use crate::api::shape::events::EventKind;
use crate::control::plan::Command;
use crate::health::reason::ReasonCode;
use crate::kernel::bpf::{CounterMaps, MapError};
use crate::model::time::Time;
use crate::model::{Model, ResourceId};
use crate::observe::metrics::{Histogram, PUBLISH_ENDS, PoolProbes, Snapshot, Writes};
use crate::source::file::MetricsSettings;

/// What is counted.
pub(in crate::agent) struct Metering {
    pub(in crate::agent) snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    settings: watch::Sender<MetricsSettings>,
    /// Of the maps with this number.
    pub(in crate::agent) counters: Option<(u32, Arc<CounterMaps>)>,
    pub(in crate::agent) probes: BTreeMap<ResourceId, PoolProbes>,
    pub(in crate::agent) moved: BTreeMap<ResourceId, u64>,
    pub(in crate::agent) writes: BTreeMap<&'static str, Writes>,
    /// When probes ended whose verdicts packets do not meet yet.
    waiting: Vec<Time>,
    pub(in crate::agent) verdicts: Histogram,
    pub(in crate::agent) publications: Histogram,
    pub(in crate::agent) ring_builds: Histogram,
    /// Members that turned unhealthy, that recovered, and backup members in service and in reserve again.
    pub(in crate::agent) events: [u64; 8],
}

impl Default for Metering {
    fn default() -> Self {
        Self {
            snapshots: watch::channel(None).0,
            settings: watch::channel(MetricsSettings::default()).0,
            counters: None,
            probes: BTreeMap::new(),
            moved: BTreeMap::new(),
            writes: entries::WRITTEN.map(|map| (map, Writes::default())).into(),
            waiting: Vec::new(),
            verdicts: Histogram::new(PUBLISH_ENDS),
            publications: Histogram::new(PUBLISH_ENDS),
            ring_builds: Histogram::new(PUBLISH_ENDS),
            events: [0; 8],
        }
    }
}

impl Metering {
    /// Where snapshots come.
    pub(in crate::agent) fn subscribe(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.subscribe()
    }

    /// Where settings come, the first of which are these.
    pub(in crate::agent) fn follow_settings(
        &self,
        first: &MetricsSettings,
    ) -> watch::Receiver<MetricsSettings> {
        self.take_settings(first);
        self.settings.subscribe()
    }

    /// Metrics are to be served by these settings, whose files are read again.
    pub(in crate::agent) fn take_settings(&self, settings: &MetricsSettings) {
        self.settings.send_replace(settings.clone());
    }

    /// A probe of a member is over, if there was one more than so many.
    pub(in crate::agent) fn probed(&mut self, member: &Watched, before: u64) {
        let last = member.history.probes().last().filter(|_| member.probes() > before);
        let Some(last) = last else { return };
        let kind = member.probe.as_ref().map_or("", |probe| probe.check.check_type().as_str());
        let pool = self.probes.entry(member.pool).or_insert_with(|| PoolProbes::new(kind));
        if pool.kind != kind {
            *pool = PoolProbes::new(kind);
        }
        pool.durations.note(last.duration);
        if let Some(failure) = &last.failure {
            let place = ReasonCode::ALL.iter().position(|code| *code == failure.code());
            place.into_iter().for_each(|place| pool.failures[place] += 1);
        }
    }

    /// Something happened to a member, or a listener.
    pub(in crate::agent) const fn happened(&mut self, event: EventKind) {
        match event {
            EventKind::Unhealthy => self.events[0] += 1,
            EventKind::Recovered => self.events[1] += 1,
            EventKind::InService => self.events[2] += 1,
            EventKind::InReserve => self.events[3] += 1,
            EventKind::SlowStart => self.events[4] += 1,
            EventKind::SlowStartOver => self.events[5] += 1,
            EventKind::Fallback => self.events[6] += 1,
            EventKind::FallbackOver => self.events[7] += 1,
        }
    }

    /// A probe that ended then changed a verdict.
    pub(in crate::agent) fn decided(&mut self, ended: Time) {
        self.waiting.push(ended);
    }

    /// The maps were brought in step, between these times.
    pub(in crate::agent) fn published(&mut self, begun: Time, now: Time) {
        self.publications.note(now.since(begun));
        for ended in self.waiting.drain(..) {
            self.verdicts.note(now.since(ended));
        }
    }

    /// Rings were computed, between these times.
    pub(in crate::agent) fn built(&mut self, begun: Time, now: Time) {
        self.ring_builds.note(now.since(begun));
    }

    /// Slots of a pool changed their owners.
    pub(in crate::agent) fn moved(&mut self, pool: ResourceId, slots: u32) {
        *self.moved.entry(pool).or_default() += u64::from(slots);
    }

    /// A command was carried out, or failed.
    pub(in crate::agent) fn wrote(&mut self, command: &Command, result: &Result<(), MapError>) {
        self.writes.entry(entries::map_of(command)).or_default().all += 1;
        if let Err(error) = result {
            self.writes.entry(error.map()).or_default().failed += 1;
        }
    }

    /// Nothing is known any more of pools that are gone.
    pub(in crate::agent) fn follow(&mut self, model: &Model) {
        self.probes.retain(|pool, _| model.pool_with(*pool).is_some());
        self.moved.retain(|pool, _| model.pool_with(*pool).is_some());
    }
}
