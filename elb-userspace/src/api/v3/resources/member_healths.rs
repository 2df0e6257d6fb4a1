//! How members are, as the agent knows it now: answers need not ask its loop, which may be busy with a change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::health::{Failure, OperatingStatus};
use crate::model::ResourceId;

/// A status, and why it is OFFLINE.
pub type KnownHealth = (OperatingStatus, Option<Failure>);

/// What is known of the health of members, by their ids. Its clones are the same.
#[derive(Clone, Debug, Default)]
pub struct MemberHealths(Arc<RwLock<HashMap<ResourceId, KnownHealth>>>);

impl MemberHealths {
    /// What is known of a member.
    pub fn get(&self, member: ResourceId) -> Option<KnownHealth> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&member).cloned()
    }

    /// A member is so now.
    pub fn note(&self, member: ResourceId, known: KnownHealth) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(member, known);
    }

    /// These are all there are.
    pub fn replace(&self, all: impl Iterator<Item = (ResourceId, KnownHealth)>) {
        let all = all.collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }
}
