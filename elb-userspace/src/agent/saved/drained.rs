//! Members that an operator drained. They stay drained until the operator says otherwise: across a restart,
//! a reboot, `elb detach`, and under another name of their own or of their pool.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read;
use crate::model::ResourceId;

/// What is written down of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Drained {
    /// The members.
    pub drained: BTreeSet<SavedDrain>,
    /// The pools that there were: another one is new.
    pub known_pools: BTreeSet<ResourceId>,
}

/// A member that is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SavedDrain {
    /// The member.
    pub id: ResourceId,
    /// Its pool.
    pub pool: ResourceId,
    /// Address, and port; 0 where the pool takes any.
    pub member: SocketAddr,
}

/// What may be written down of them.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    drained: BTreeSet<SavedDrain>,
    #[serde(default)]
    known_pools: BTreeSet<ResourceId>,
    /// By versions before ids.
    #[serde(default)]
    members: Vec<ByName>,
    /// Names of pools, by versions before ids.
    #[serde(default)]
    pools: BTreeSet<String>,
}

/// A member as versions before ids wrote it down.
#[derive(Deserialize)]
struct ByName {
    pool: String,
    member: SocketAddr,
}

impl From<Written> for Drained {
    fn from(written: Written) -> Self {
        let Written { mut drained, mut known_pools, members, pools } = written;
        let by_name = members.into_iter().map(|ByName { pool, member }| (pool, member));
        drained.extend(by_name.map(|(pool, member)| SavedDrain::by_name(&pool, member)));
        known_pools.extend(pools.iter().map(|pool| ResourceId::of_pool(pool)));
        Self { drained, known_pools }
    }
}

impl Drained {
    /// What is written down; none if nothing ever was.
    pub fn read(path: &Path) -> Option<Self> {
        read(path)
    }

    /// As versions before ids wrote it down: members by the names of their pools, and all pools.
    pub fn by_name<'a>(
        members: &BTreeMap<String, Vec<SocketAddr>>,
        pools: impl Iterator<Item = &'a ResourceId>,
    ) -> Self {
        let of_pool = |(pool, members): (&String, &Vec<SocketAddr>)| {
            let of_pool = members.iter().map(|member| SavedDrain::by_name(pool, *member));
            of_pool.collect::<Vec<_>>()
        };
        let drained = members.iter().flat_map(of_pool).collect();
        Self { drained, known_pools: pools.copied().collect() }
    }
}

impl SavedDrain {
    fn by_name(pool: &str, member: SocketAddr) -> Self {
        let pool = ResourceId::of_pool(pool);
        Self { id: ResourceId::of_member(pool, member), pool, member }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_by_name_is_read() {
        let text = r#"{"members": [{"pool": "web", "member": "10.0.0.1:80"}], "pools": ["web"]}"#;
        let read: Drained = serde_json::from_str(text).unwrap();
        let pool = ResourceId::of_pool("web");
        let member = SocketAddr::from(([10, 0, 0, 1], 80));
        let one = SavedDrain { id: ResourceId::of_member(pool, member), pool, member };
        assert_eq!(read, Drained { drained: [one].into(), known_pools: [pool].into() });
        let members = BTreeMap::from([("web".to_owned(), vec![member])]);
        assert_eq!(Drained::by_name(&members, [pool].iter()), read, "and next to the numbers");
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Drained>(&written).unwrap(), read, "{written}");
    }
}
