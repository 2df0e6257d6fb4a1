//! What an agent left or keeps here: its answer, its pins, the path of health probes.

use super::Duty;
use crate::diagnosis::doctor::facts::KeptFacts;
use crate::kernel::bpf;
use crate::kernel::lock::{LockHolder, holder_of};
use crate::kernel::net::probe_route::RouteNames;

pub(super) async fn kept(duty: &Duty) -> KeptFacts {
    let pins = !bpf::directories(&duty.pin_dir).is_empty();
    let Some(agent) = &duty.agent else {
        return KeptFacts { agent: false, pins, ..KeptFacts::default() };
    };
    // An agent that does without the path says why.
    let probe_path = if agent.probes_by_vip {
        let names = RouteNames::of(&duty.pin_dir, duty.probe_mark);
        names.missing(&duty.vips).await.unwrap_or_default()
    } else {
        None
    };
    KeptFacts { agent: true, pins, missing: agent.missing.clone(), probe_path }
}

/// What only one agent may use, and the process that has it.
pub(super) fn holders(duty: &Duty) -> Vec<String> {
    let held = duty.locked.iter().filter_map(|(key, path)| {
        let LockHolder { pid, command } = holder_of(path)?;
        Some(format!("{key} {} is in use by process {pid} ({command})", path.display()))
    });
    held.collect()
}
