//! Pools that a later model has under another name.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::{Model, Pool};

impl Model {
    /// Pools that `after` has under another name, in pairs of both names. A pool that comes is one that
    /// goes if protocol and health monitor are the same and they have members in common; of several,
    /// that with most of them. Each is one other at the most.
    pub fn renamed_in<'a>(&'a self, after: &'a Self) -> Vec<(&'a str, &'a str)> {
        let mut goes: Vec<&Pool> =
            self.pools.iter().filter(|pool| after.pool(&pool.name).is_none()).collect();
        let comes = after.pools.iter().filter(|pool| self.pool(&pool.name).is_none());
        let mut pairs = Vec::new();
        for pool in comes {
            let sockets: HashSet<SocketAddr> = sockets(pool).collect();
            let candidates = goes.iter().enumerate().filter(|(_, before)| is_alike(before, pool));
            let shared = candidates.map(|(at, before)| (in_common(before, &sockets), at));
            // Of two that are as good, the earlier one.
            let best = shared.filter(|(shared, _)| *shared > 0).max_by_key(|(n, at)| (*n, !*at));
            if let Some((_, at)) = best {
                pairs.push((goes.remove(at).name.as_str(), pool.name.as_str()));
            }
        }
        pairs
    }
}

fn is_alike(before: &Pool, after: &Pool) -> bool {
    (before.protocol, &before.healthmonitor) == (after.protocol, &after.healthmonitor)
}

fn in_common(pool: &Pool, others: &HashSet<SocketAddr>) -> usize {
    sockets(pool).filter(|socket| others.contains(socket)).count()
}

fn sockets(pool: &Pool) -> impl Iterator<Item = SocketAddr> {
    pool.members.iter().map(|member| SocketAddr::new(member.address, member.protocol_port))
}

#[cfg(test)]
mod tests {
    use crate::config;

    use super::*;

    /// Pools by name, protocol, delay of the monitor, and last numbers of the members' addresses.
    fn model(pools: &[(&str, &str, u32, &[u8])]) -> Model {
        let mut text = "[agent]\ninterfaces = [\"eth0\"]\n".to_owned();
        for (name, protocol, delay, members) in pools {
            let check = if *protocol == "TCP" { "TCP" } else { "UDP_CONNECT" };
            text += &format!(
                "[[pool]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nforwarding = \"ipip\"\n\
                 healthmonitor = {{ type = \"{check}\", delay = {delay} }}\n"
            );
            for member in *members {
                text += &format!(
                    "[[pool.member]]\naddress = \"10.0.0.{member}\"\nprotocol_port = 80\n"
                );
            }
        }
        config::parse("test", &text).unwrap().model
    }

    #[test]
    fn a_pool_with_the_same_members_is_the_same() {
        let before = model(&[
            ("stays", "TCP", 5, &[1, 2]),
            ("dns", "UDP", 5, &[1, 2]),
            ("web", "TCP", 5, &[1, 2]),
            ("slow", "TCP", 9, &[1, 2]),
        ]);
        let after = model(&[
            ("site", "TCP", 5, &[1, 2]),
            ("names", "UDP", 5, &[2, 1]),
            ("stays", "TCP", 5, &[1, 2]),
            ("second", "TCP", 5, &[1, 2]),
            ("quick", "TCP", 7, &[1, 2]),
        ]);
        assert_eq!(before.renamed_in(&after), [("web", "site"), ("dns", "names")]);
        assert_eq!(before.renamed_in(&before), []);
    }

    #[test]
    fn of_several_the_one_with_most_members_in_common_is_it() {
        let before = model(&[("a", "TCP", 5, &[1, 2, 3]), ("b", "TCP", 5, &[3, 4, 5])]);
        let after = model(&[("c", "TCP", 5, &[3, 4, 9]), ("d", "TCP", 5, &[3, 8])]);
        assert_eq!(before.renamed_in(&after), [("b", "c"), ("a", "d")]);
        let others = model(&[("c", "TCP", 5, &[6, 7])]);
        assert_eq!(before.renamed_in(&others), []);
    }
}
