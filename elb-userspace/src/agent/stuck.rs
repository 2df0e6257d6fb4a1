//! Members whose connections never get past the opening: SYNs come for them, and no packet that follows
//! one, or, where answers come back through this host, no SYN-ACK and no reset. Their answers do not reach the clients, though probes are answered: with direct server return
//! answers to clients take a way of their own.

use std::net::SocketAddr;

use super::core::Core;
use super::report::read;
use super::state::stuck::Came;
use crate::model::ipgroup::Cidr;
use crate::model::{Forwarding, Member, Pool, Protocol, SnatPrefixes};

impl Core {
    /// Openings of the last minute that nothing followed, of a member of a TCP pool.
    pub(super) fn stuck(&self, pool: &Pool, member: SocketAddr) -> Option<u64> {
        self.stuck_as(pool, self.probes.members.get(pool.id, member)?.backend?)
    }

    /// A line if connections to a member, which has this id, are stuck.
    pub(super) fn stuck_problem(&self, pool: &Pool, member: &Member, id: u16) -> Option<String> {
        let openings = self.stuck_as(pool, id)?;
        let sources = self.config.model.snat().seen_with(pool.forwarding);
        let let_in;
        let what = if let Some(sources) = sources {
            let_in = unanswered(pool.forwarding, sources);
            &let_in
        } else if pool.forwarding.translates() {
            "none was answered through this load balancer, with a SYN-ACK or a reset: its answers take another route, \
             or it does not answer; on that host `elb backend inspect --mode nat`"
        } else {
            "no packet followed one: its answers do not reach the clients, or the clients are a flood of openings; on \
             that host `elb backend inspect --client ADDRESS`"
        };
        Some(format!(
            "pool {:?}, member {:?}: {openings} openings of connections in the last minute, and {what}",
            pool.name.as_str(),
            member.name.as_str()
        ))
    }

    fn stuck_as(&self, pool: &Pool, id: u16) -> Option<u64> {
        (pool.protocol == Protocol::Tcp)
            .then(|| self.faults.followed.stuck(id, self.came(pool.forwarding, id)))?
    }

    /// What came for a member so far.
    pub(super) fn came(&self, forwarding: Forwarding, id: u16) -> Came {
        let answers = || read(self.serving.maps.backend_answers(id));
        Came {
            openings: read(self.serving.maps.backend_opened(id)),
            packets: read(self.serving.maps.backend_counter(id)).packets,
            answered: forwarding
                .translates()
                .then(answers)
                .map(|answers| answers.accepted.wrapping_add(answers.resets)),
        }
    }
}

/// Why a member may not answer what comes from these sources.
fn unanswered(forwarding: Forwarding, sources: Cidr) -> String {
    let why = match forwarding.embeds_clients() {
        true => format!(
            "it has no route to {sources} that leads through this load balancer, it does not let these addresses in"
        ),
        false => format!(
            "it does not let the source addresses {sources} in, its answers to them go elsewhere"
        ),
    };
    let from = SnatPrefixes::one_of(&sources);
    format!(
        "none was answered through this load balancer, with a SYN-ACK or a reset: {why}, or it does not answer; on that \
         host `elb backend inspect --mode {forwarding} --from {from}`"
    )
}
