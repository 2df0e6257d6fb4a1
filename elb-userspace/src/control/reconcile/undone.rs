//! A picture that could not be put into force: what it relied on is taken back, and decided again.

use super::{Desired, ReconcileInput, Reconciler};
use crate::control::assign::IdSpace;
use crate::control::plan::Region;
use crate::model::Model;

impl Reconciler {
    /// The picture of the maps for a model without any number that was not given before. What would need one
    /// is left out.
    pub fn reconcile_without_new_numbers(
        &mut self,
        model: &Model,
        seen: &impl ReconcileInput,
    ) -> Desired {
        let room = std::mem::replace(&mut self.room, IdSpace::NONE);
        let desired = self.reconcile(model, seen);
        self.room = room;
        desired
    }

    /// Takes back that rings were written that begin at these slots, and keeps regions that are still to be
    /// freed. `before` is as it was before the picture.
    pub fn take_back(&mut self, before: &Self, unwritten: &[u32], still_to_free: Vec<Region>) {
        for (resource, pool) in &self.assignments.pools {
            if !unwritten.contains(&pool.ring.base) {
                continue;
            }
            match before.published.get(resource) {
                Some(published) => drop(self.published.insert(*resource, published.clone())),
                None => drop(self.published.remove(resource)),
            }
        }
        self.freed.extend(still_to_free);
    }
}
