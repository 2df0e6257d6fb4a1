//! Faults of this host's that are proved to drop a member's probes, and which probes they are looked for by.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use super::core::Core;
use crate::diagnosis::instrument::{self, Fault};
use crate::health::probe::{ProbeOutcome, ProbeSource};

impl Core {
    /// Where probes of this member are proved to be dropped on this host, and by what.
    pub(super) fn proved(&self, member: u32, outcome: &ProbeOutcome) -> BTreeMap<IpAddr, Fault> {
        let failed = outcome.result.is_err() || outcome.vips.iter().any(|(_, one)| one.is_err());
        let spec = self.probes.members.watched(member).and_then(|one| one.probe.as_ref());
        let Some(spec) = spec.filter(|_| failed) else { return BTreeMap::new() };
        let faults = self.probes.looked.drops();
        if faults.is_empty() {
            return BTreeMap::new();
        }
        let dialogs = instrument::dialogs_of(spec, &self.network);
        let by = |dialog: &instrument::Dialog| {
            let fault = faults.iter().find(|fault| fault.drops.contains(dialog))?;
            Some((dialog.to.ip(), fault.clone()))
        };
        dialogs.iter().filter_map(by).collect()
    }

    /// Probes that are looked at: those of silent members first.
    pub(super) fn suspected_dialogs(&self, sources: ProbeSource) -> Vec<instrument::Dialog> {
        const MOST: usize = 64;
        let members = &self.probes.members;
        let silent = members.judging.proving.some(MOST);
        let specs = silent.filter_map(|number| members.watched(number)?.probe.as_ref());
        let first = specs.flat_map(|spec| instrument::dialogs_of(spec, &self.network));
        let others = instrument::dialogs(&self.config.model, &self.network, sources);
        let mut seen = HashSet::new();
        first.chain(others).filter(|dialog| seen.insert(dialog.clone())).collect()
    }
}
