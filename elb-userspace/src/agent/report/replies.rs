//! What members answered, where that comes back through this host.

use elb_common::counter::{Answers, Counter};

use super::read;
use crate::agent::core::Core;
use crate::api::shape::status::Replies;
use crate::control::assign::AssignedMember;
use crate::model::{Listener, Pool, Protocol};

impl Core {
    /// Whether answers of members come back through this host, in any of the pools that may serve a listener.
    pub(in crate::agent) fn is_answered_here(&self, listener: &Listener) -> bool {
        let mut pools = listener.pools().filter_map(|name| self.config.model.pool(name));
        pools.any(|pool| pool.forwarding.translates())
    }

    /// What was answered to clients of a listener.
    pub(super) fn listener_replies(&self, listener: &Listener) -> Option<Replies> {
        let assigned = self.serving.reconciler.assignments.listeners.get(&listener.id)?;
        let is_known = self.is_answered_here(listener);
        let counter = is_known.then(|| read(self.serving.maps.listener_replies(assigned.id)))?;
        let answers = || read(self.serving.maps.listener_answers(assigned.id));
        Some(replies(counter, (listener.protocol == Protocol::Tcp).then(answers)))
    }

    /// What a member of a pool answered.
    pub(super) fn backend_replies(
        &self,
        pool: &Pool,
        member: Option<&AssignedMember>,
    ) -> Option<Replies> {
        let member = member.filter(|_| pool.forwarding.translates())?;
        let counter = read(self.serving.maps.backend_replies(member.id));
        let answers = || read(self.serving.maps.backend_answers(member.id));
        Some(replies(counter, (pool.protocol == Protocol::Tcp).then(answers)))
    }
}

fn replies(counter: Counter, answers: Option<Answers>) -> Replies {
    Replies {
        packets: counter.packets,
        bytes: counter.bytes,
        accepted: answers.map(|answers| answers.accepted),
        resets: answers.map(|answers| answers.resets),
    }
}
