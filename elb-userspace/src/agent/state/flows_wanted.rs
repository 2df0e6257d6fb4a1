//! What a configuration wants of flows: lines about them, samples of packets, or both.

use crate::kernel::bpf::FlowsAsked;
use crate::source::file::{Config, FlowLogSettings, SflowSettings};
use crate::source::flow_log::EventsPerSecond;

/// Lines about flows, and samples of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::agent) struct FlowsWanted {
    pub(super) log: Option<FlowLogSettings>,
    pub(super) sflow: Option<SflowSettings>,
}

impl FlowsWanted {
    /// What a configuration wants.
    pub(in crate::agent) fn of(config: &Config) -> Self {
        let log = Some(&config.flow_log).filter(|log| log.enabled);
        Self { log: log.cloned(), sflow: config.sflow.clone() }
    }

    /// Whether it is anything.
    pub(in crate::agent) const fn is_anything(&self) -> bool {
        self.log.is_some() || self.sflow.is_some()
    }

    /// What the kernel is to write down for it.
    pub(super) fn asked(&self) -> FlowsAsked {
        const USUAL: EventsPerSecond = EventsPerSecond::constant(10_000);
        let sflow = self.sflow.as_ref();
        let most = self.log.as_ref().map_or(USUAL, |log| log.events_per_second);
        FlowsAsked {
            log: self.log.is_some(),
            discards: sflow.is_some_and(|sflow| sflow.discards_per_second.get() != 0),
            sampling: sflow.map_or(0, |sflow| sflow.sampling_rate.get()),
            events_per_second: most.get(),
        }
    }
}
