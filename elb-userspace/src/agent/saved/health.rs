//! What is known of the members' health, as it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{boot_id, read};
use crate::api::shape::events::AgentEvent;
use crate::health::{History, Verdict};
use crate::model::ResourceId;

/// What is known of the members' health.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct SavedHealth {
    /// The boot that it was seen in.
    pub boot: String,
    /// Members by pool.
    pub pools: BTreeMap<ResourceId, Vec<SavedMember>>,
    /// Load balancers that have or had an address.
    pub bound_load_balancers: BTreeSet<ResourceId>,
    /// The last events, the oldest first.
    pub events: Vec<AgentEvent>,
}

/// What is known of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedMember {
    /// The member.
    pub member: SocketAddr,
    /// The last verdict on it, if there is one.
    pub verdict: Option<Verdict>,
    /// What was seen of it.
    #[serde(default)]
    pub history: History,
}

/// What may be written down.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    boot: String,
    #[serde(default)]
    pools: BTreeMap<ResourceId, Vec<SavedMember>>,
    #[serde(default)]
    bound_load_balancers: BTreeSet<ResourceId>,
    #[serde(default)]
    events: Vec<AgentEvent>,
    /// By the names of their pools, by versions before ids.
    #[serde(default)]
    members: BTreeMap<String, Vec<SavedMember>>,
    /// Names of load balancers, by versions before ids.
    #[serde(default)]
    bound: BTreeSet<String>,
}

impl From<Written> for SavedHealth {
    fn from(written: Written) -> Self {
        let Written { boot, mut pools, mut bound_load_balancers, events, members, bound } = written;
        let by_name = members.into_iter();
        pools.extend(by_name.map(|(pool, members)| (ResourceId::of_pool(&pool), members)));
        bound_load_balancers.extend(bound.iter().map(|lb| ResourceId::of_load_balancer(lb)));
        Self { boot, pools, bound_load_balancers, events }
    }
}

impl SavedHealth {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What an earlier agent wrote down; of another boot the events only, since verdicts are old then.
    pub fn read(path: &Path) -> Self {
        let mut health: Self = read(path).unwrap_or_default();
        if !health.boot.is_empty() && health.boot != boot_id() {
            health.pools.clear();
        }
        health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_by_name_is_read() {
        let text = r#"{"boot": "b", "members": {"web": [{"member": "10.0.0.1:80", "verdict": null}]},
            "bound": ["lb"], "events": []}"#;
        let read: SavedHealth = serde_json::from_str(text).unwrap();
        let member = SocketAddr::from(([10, 0, 0, 1], 80));
        let one = SavedMember { member, verdict: None, history: History::default() };
        assert_eq!(read.pools, BTreeMap::from([(ResourceId::of_pool("web"), vec![one])]));
        assert_eq!(read.bound_load_balancers, [ResourceId::of_load_balancer("lb")].into());
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<SavedHealth>(&written).unwrap(), read, "{written}");
    }
}
