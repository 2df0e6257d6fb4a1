//! Which members really got the new connections, beside what is due to them.

use std::collections::HashMap;

use super::super::arrivals::{Arrived, is_wrong};
use super::super::core::Core;
use super::read;
use crate::assign::AssignedPool;
use crate::kernel::coarse_seconds;
use crate::model::{LbAlgorithm, Pool, Protocol};
use crate::status::{self, timestamp};
use crate::time::Now;

impl Core {
    /// Takes down how many connections each member got so far.
    pub(in super::super) fn note_arrivals(&mut self, now: Now) {
        let pools = self.reconciler.assignments.pools.values();
        let counts = pools.flat_map(|pool| self.opened(pool)).collect();
        self.arrivals.sample(counts, now);
        let pools = self.reconciler.assignments.pools.values();
        let ids = pools.flat_map(|pool| pool.members.iter().map(|member| member.id));
        let packets = ids.map(|id| (id, read(self.maps.backend_counter(id)).packets));
        self.quiet.sample(packets, coarse_seconds());
    }

    /// What the members of a pool got lately; nothing where packets do not say what is new.
    pub(super) fn arrived(&self, pool: &Pool, assigned: &AssignedPool) -> HashMap<u16, Arrived> {
        if pool.protocol != Protocol::Tcp {
            return HashMap::new();
        }
        self.arrivals.of(pool.name.as_str(), &self.opened(assigned))
    }

    fn opened(&self, pool: &AssignedPool) -> HashMap<u16, u64> {
        let ids = pool.members.iter().map(|member| member.id);
        ids.map(|id| (id, read(self.maps.backend_opened(id)))).collect()
    }
}

/// As `elb status` shows it.
pub(super) fn shape(arrived: &Arrived) -> status::NewConnections {
    let Arrived { count, share, since } = *arrived;
    status::NewConnections { count, share, since: timestamp(since) }
}

/// Members that get other parts than those that are due to them, of pools whose connections are spread
/// one by one: where a part of the address decides, few clients make any part.
pub(super) fn problems(pools: &[status::Pool]) -> Vec<String> {
    let one_by_one = [LbAlgorithm::FiveTupleHash, LbAlgorithm::RoundRobin].map(LbAlgorithm::as_str);
    let spread = pools.iter().filter(|pool| one_by_one.contains(&pool.lb_algorithm.as_str()));
    spread.flat_map(wrong_members).collect()
}

fn wrong_members(pool: &status::Pool) -> impl Iterator<Item = String> {
    let came = |member: &status::Member| member.new_connections.as_ref().map_or(0, |new| new.count);
    let all = pool.members.iter().map(came).sum();
    pool.members.iter().filter_map(move |member| {
        let new = member.new_connections.as_ref()?;
        is_wrong(new.count, all, member.share).then(|| {
            format!(
                "pool {:?}, member {:?} got {:.1} % of the {all} connections opened since {}, of {:.1} % \
                 due: look for clients that repeat their openings, and at `elb drops`",
                pool.name,
                member.name,
                new.share * 100.0,
                new.since,
                member.share * 100.0
            )
        })
    })
}
