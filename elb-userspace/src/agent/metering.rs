//! When a snapshot of what the agent knows is published for metrics.

mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::core::Core;
use crate::kernel::bpf::CounterMaps;

/// From one snapshot to the next, at least; a large one is made more rarely.
const PERIOD: Duration = Duration::from_secs(1);
/// A snapshot takes at most this part of the loop's time.
const PART: u32 = 50;

impl Core {
    /// Publishes a snapshot; how long the next one may wait.
    pub(super) fn meter(&mut self, tracers: usize) -> Duration {
        let begun = clock::now().time;
        self.metering.follow(&self.config.model);
        let counters = self.counter_maps();
        let snapshot = self.snapshot(tracers, counters);
        self.metering.snapshots.send_replace(Some(Arc::new(snapshot)));
        PERIOD.max(clock::now().time.since(begun) * PART)
    }

    /// The maps that packets count in, opened anew after others took their place.
    fn counter_maps(&mut self) -> Option<Arc<CounterMaps>> {
        let generation = self.serving.maps.generation;
        if let Some((_, maps)) = self.metering.counters.as_ref().filter(|(of, _)| *of == generation)
        {
            return Some(maps.clone());
        }
        let opened = CounterMaps::open(&self.host.object);
        let opened = opened.inspect_err(|error| tracing::warn!(%error, "cannot open counters"));
        let maps = Arc::new(opened.ok()?);
        self.metering.counters = Some((generation, maps.clone()));
        Some(maps)
    }
}
