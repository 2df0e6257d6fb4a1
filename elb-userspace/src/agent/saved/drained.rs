//! Members that an operator drained. They stay drained until the operator says otherwise: across a restart,
//! a reboot, `elb detach`, and under another name of their pool.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read;

/// What is written down of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// The members, each with its pool.
    pub members: BTreeSet<SavedDrain>,
    /// Names of the pools that there were: another name is a new one.
    pub pools: BTreeSet<String>,
}

/// A member, in the pool where it is drained.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SavedDrain {
    /// Name of the pool.
    pub pool: String,
    /// Address, and port; 0 where the pool takes any.
    pub member: SocketAddr,
}

impl Drained {
    /// What is written down; none if nothing ever was.
    pub fn read(path: &Path) -> Option<Self> {
        read(path)
    }

    /// Lets drained members of pools that are gone be drained in the new pools that have them, `pools` being
    /// all that there are now. A pool that only is gone for now keeps its own.
    pub fn follow(&mut self, pools: &[(&str, BTreeSet<SocketAddr>)]) {
        let names: BTreeSet<&str> = pools.iter().map(|(name, _)| *name).collect();
        let is_new = |name: &str| !self.pools.contains(name);
        let mut moved = Vec::new();
        for drained in self.members.iter().filter(|one| !names.contains(one.pool.as_str())) {
            let has = |(name, members): &&(&str, BTreeSet<SocketAddr>)| {
                is_new(name) && members.contains(&drained.member)
            };
            let others = pools.iter().filter(has).map(|(name, _)| (*name).to_owned());
            moved.extend(others.map(|pool| (drained.clone(), pool)));
        }
        for (drained, pool) in moved {
            tracing::info!(from = drained.pool, to = pool, member = %drained.member, "drained under another name of the pool");
            self.members.insert(SavedDrain { pool, ..drained.clone() });
            self.members.remove(&drained);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 80))
    }

    fn drained(pool: &str, n: u8) -> SavedDrain {
        SavedDrain { pool: pool.to_owned(), member: member(n) }
    }

    fn of(pools: &[&str], members: &[SavedDrain]) -> Drained {
        let pools = pools.iter().map(|name| (*name).to_owned()).collect();
        Drained { members: members.iter().cloned().collect(), pools }
    }

    #[test]
    fn a_renamed_pool_keeps_them() {
        let mut all = of(&["web", "dns"], &[drained("web", 1), drained("dns", 2)]);
        let now = [("web-2", [member(1), member(3)].into()), ("dns", [member(2)].into())];
        all.follow(&now);
        assert_eq!(all.members, [drained("web-2", 1), drained("dns", 2)].into());
    }

    /// The member serves in another pool that the operator did not drain it in.
    #[test]
    fn a_pool_that_was_there_is_not_the_renamed_one() {
        let mut all = of(&["web", "api"], &[drained("web", 1)]);
        all.follow(&[("api", [member(1)].into())]);
        assert_eq!(all.members, [drained("web", 1)].into(), "until web is back");
    }
}
