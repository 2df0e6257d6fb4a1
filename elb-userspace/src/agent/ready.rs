//! Whether new connections are forwarded, for checks that run every second: nothing is counted for it.

use super::core::Core;
use crate::api::shape::ready::Readiness;
use crate::control::assign::AssignedPool;
use crate::kernel::host::kept::KeptObject;

impl Core {
    /// What is missing.
    pub(super) fn readiness(&self) -> Readiness {
        let missing = [self.unattached(), self.unpublished(), self.unserving()];
        Readiness { missing: missing.into_iter().flatten().collect() }
    }

    fn unattached(&self) -> Option<String> {
        let attachments = &self.host.attachments;
        let why = |interface: &String| {
            let object = KeptObject::Program(interface.clone());
            self.host.keeping.register.why_missing(&object)
        };
        let is_in_place = |interface: &String| why(interface).is_none();
        if attachments.iter().any(|one| is_in_place(&one.interface)) {
            return None;
        }
        let interfaces = &self.config.agent.interfaces;
        let why = interfaces.iter().find_map(why).unwrap_or("it is not there yet");
        Some(format!("the program is attached to no interface ({}): {why}", interfaces.join(", ")))
    }

    fn unpublished(&self) -> Option<String> {
        if self.is_unwritten() {
            return Some("the maps cannot be written (`elb status` says why)".to_owned());
        }
        let waits = self.serving.first_rings_wait;
        waits.then(|| "the maps are not complete: members' first probes are under way".to_owned())
    }

    fn unserving(&self) -> Option<String> {
        let model = &self.config.model;
        let pools = &self.serving.reconciler.assignments.pools;
        let has_member = |pool: &AssignedPool| self.serving.maps.is_any_owned(pool.region());
        let mut listeners = model.listeners().filter(|(lb, listener)| {
            lb.vips().next().is_some() && lb.admin_state_up && listener.admin_state_up
        });
        let serves = listeners.any(|(_, listener)| {
            let pool = self.serving_pool(listener);
            pool.and_then(|pool| pools.get(&pool.id)).is_some_and(has_member)
        });
        (!serves).then(|| "no listener has a member that takes new connections".to_owned())
    }
}
