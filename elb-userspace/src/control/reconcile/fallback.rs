//! Which pool serves a listener: its default pool, or the one that stands in for it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Listener, Model, Pool, ResourceId};

/// Members of each pool that take new flows; of pools whose first ring waits nothing is known.
pub(super) type Taking = BTreeMap<ResourceId, usize>;

/// How the pool stands that takes over a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fallback {
    /// Its name.
    pub pool: String,
    /// Whether it serves the listener.
    pub in_use: bool,
    /// How many members of the default pool take new connections; none: not known yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub default_serving: Option<u32>,
    /// While fewer do, it serves the listener.
    pub below: u32,
}

impl Fallback {
    /// That of a listener, with the pool, if it has one. `served` is the pool that serves it so far.
    pub(super) fn of<'m>(
        listener: &Listener,
        model: &'m Model,
        taking: &Taking,
        served: Option<ResourceId>,
    ) -> Option<(Self, &'m Pool)> {
        let pool = model.pool(listener.fallback_pool.as_ref()?)?;
        let default_pool = model.pool(&listener.default_pool)?;
        let below = listener.fallback_below.get();
        let serving = taking.get(&default_pool.id).copied();
        let is_short = serving.map(|count| count < below as usize);
        // What is not known yet changes nothing; a pool without a member takes nothing over, and keeps what it
        // has while the default pool cannot serve either.
        let was_in_use = served == Some(pool.id);
        let in_use = match taking.get(&pool.id) {
            Some(0) => was_in_use && serving.is_none_or(|count| count == 0),
            Some(_) => is_short.unwrap_or(was_in_use),
            None => was_in_use && is_short.unwrap_or(true),
        };
        let default_serving = serving.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        Some((Self { pool: pool.name.to_string(), in_use, default_serving, below }, pool))
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, in_use, default_serving, below } = self;
        match (in_use, default_serving) {
            (true, Some(serving)) => write!(
                f,
                "fallback pool {pool} in use: {serving} members of the default pool take new \
                 connections, fewer than {below}"
            ),
            (true, None) => write!(f, "fallback pool {pool} in use"),
            (false, _) => write!(f, "fallback pool {pool} not in use"),
        }
    }
}
