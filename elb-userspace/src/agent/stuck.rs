//! Members whose connections never get past the opening: SYNs come for them, and no packet that follows
//! one. Their answers do not reach the clients, though probes are answered: with direct server return
//! answers to clients take a way of their own.

use std::net::SocketAddr;

use super::core::Core;
use super::report::read;
use super::state::stuck::Came;
use crate::model::{Member, Pool, Protocol};

impl Core {
    /// Openings of the last minute that nothing followed, of a member of a TCP pool.
    pub(super) fn stuck(&self, pool: &Pool, member: SocketAddr) -> Option<u64> {
        self.stuck_as(pool, self.probes.members.get(pool.id, member)?.backend?)
    }

    /// A line if connections to a member, which has this id, are stuck.
    pub(super) fn stuck_problem(&self, pool: &Pool, member: &Member, id: u16) -> Option<String> {
        let openings = self.stuck_as(pool, id)?;
        let (why, option) = match pool.forwarding.translates() {
            true => ("its answers do not come back through this load balancer", "--mode nat"),
            false => ("its answers do not reach the clients", "--client ADDRESS"),
        };
        Some(format!(
            "pool {:?}, member {:?}: {openings} openings of connections in the last minute, and no \
             packet followed one: {why}, or the clients are a flood of openings; on that host \
             `elb backend inspect {option}`",
            pool.name.as_str(),
            member.name.as_str()
        ))
    }

    fn stuck_as(&self, pool: &Pool, id: u16) -> Option<u64> {
        (pool.protocol == Protocol::Tcp).then(|| self.faults.followed.stuck(id, self.came(id)))?
    }

    /// What came for a member so far.
    pub(super) fn came(&self, id: u16) -> Came {
        Came {
            openings: read(self.serving.maps.backend_opened(id)),
            packets: read(self.serving.maps.backend_counter(id)).packets,
        }
    }
}
