//! Which members really got the new connections, next to what is due to them.

use std::collections::HashMap;

use super::super::core::Core;
use super::super::state::arrivals::{Arrived, is_wrong};
use crate::api::shape::status::{self, timestamp};
use crate::kernel::bpf::coarse_seconds;
use crate::model::time::Now;
use crate::model::{LbAlgorithm, Pool};

impl Core {
    /// Takes down what came for each member so far. Counters are read once for all who want to know: with
    /// tens of thousands of members that takes a while.
    pub(in super::super) fn note_arrivals(&mut self, now: Now) {
        let pools = self.serving.reconciler.assignments.pools.values();
        let members =
            pools.flat_map(|pool| pool.members.iter().map(move |one| (pool.forwarding, one.id)));
        let came: HashMap<_, _> =
            members.map(|(forwarding, id)| (id, self.came(forwarding, id))).collect();
        let opened = came.iter().map(|(id, came)| (*id, came.openings)).collect();
        self.journal.arrivals.sample(opened, now);
        self.journal.events.log_repeated(now.time);
        let packets = came.iter().map(|(id, came)| (*id, came.packets));
        self.drains.quiet.sample(packets, coarse_seconds());
        self.faults.followed.sample(came, now);
    }
}

/// As `elb status` shows it.
pub(super) fn shape(arrived: &Arrived) -> status::NewConnections {
    let Arrived { count, share, since } = *arrived;
    status::NewConnections { count, share, since: timestamp(since) }
}

/// What is wrong if a member got another part than the one that is due to it, of `all` connections of a
/// pool that are spread one by one: where a part of the address decides, or clients are remembered, few clients
/// make any part.
pub(super) fn problem(pool: &Pool, all: u64, member: &status::MemberStatus) -> Option<String> {
    let is_spread =
        matches!(pool.lb_algorithm, LbAlgorithm::FiveTupleHash | LbAlgorithm::RoundRobin)
            && pool.session_persistence.is_none();
    let new = member.new_connections.as_ref().filter(|_| is_spread)?;
    is_wrong(new.count, all, member.share).then(|| {
        format!(
            "pool {:?}, member {:?} got {:.1} % of the {all} connections opened since {}, of {:.1} % \
             due: look for clients that repeat their openings, and at `elb drops`",
            pool.name.as_str(),
            member.member.name,
            new.share * 100.0,
            new.since,
            member.share * 100.0
        )
    })
}
