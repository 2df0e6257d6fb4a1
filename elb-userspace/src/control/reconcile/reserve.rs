//! The backup members of a pool: they take new flows while too few of the others can serve.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReconcileInput;
use crate::model::{Member, Pool};

/// How the backup members of a pool stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reserve {
    /// Whether they take new connections.
    pub in_service: bool,
    /// How many of the other members can serve.
    pub others_serving: u32,
    /// While fewer of these can, backup members take new connections.
    pub below: u32,
}

impl Reserve {
    /// That of a pool, if it has backup members.
    pub(super) fn of(pool: &Pool, seen: &impl ReconcileInput) -> Option<Self> {
        if !pool.members.iter().any(|member| member.backup) {
            return None;
        }
        let others = pool.members.iter().filter(|member| !member.backup);
        let serving = others.filter(|member| can_serve(pool, member, seen)).count();
        let (others_serving, below) =
            (u32::try_from(serving).unwrap_or(u32::MAX), pool.backup_below.get());
        Some(Self { in_service: others_serving < below, others_serving, below })
    }
}

impl fmt::Display for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { in_service, others_serving, below } = self;
        match in_service {
            true => write!(
                f,
                "backup in service: {others_serving} of the others can serve, fewer than {below}"
            ),
            false => write!(f, "backup in reserve: {others_serving} of the others can serve"),
        }
    }
}

/// Whether a member can take new flows by itself: it works, has a weight, is not drained, and can be reached.
pub(super) fn can_serve(pool: &Pool, member: &Member, seen: &impl ReconcileInput) -> bool {
    member.weight.get() > 0
        && seen.serves(pool, member)
        && !seen.is_drained(pool, member)
        && seen.next_hop(member.address).is_some()
}
