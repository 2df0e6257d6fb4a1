//! What policy promises to flows, in the plainest words; nothing of how it is kept.
//!
//! - An established flow that is never silent for longer than the idle timeout stays with its
//!   member, for as long as that serves the flows that it has.
//! - For UDP that goes, after a change, for flows that speak within the hold time.
//! - A member serves its flows until `connection_drain` is over after it left, or, where the pool
//!   rehashes, it fails; from then on it gets nothing.
//! - A new flow goes to a member that takes new ones, if there is any: one with a weight that is
//!   neither sick, drained nor removed.

use std::collections::{BTreeMap, BTreeSet};

use elb_userspace::model::Protocol;
use proptest::prelude::*;

use crate::script::{Change, MEMBERS, Packet, Pool};

/// Between two looks at the clock, in milliseconds. In the kernel it goes on while things happen.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

const SECOND: u64 = 1000;

pub struct Oracle {
    pool: Pool,
    flows: BTreeMap<u8, Flow>,
    /// When the flows of members that left are cut: not before, and not after. Clocks are read in
    /// whole seconds, so that it may be one later.
    cuts: BTreeMap<u8, Span>,
    /// Members that serve nothing, for sure.
    gone: BTreeSet<u8>,
    /// Until when UDP flows without a record may go to former owners.
    held_until: u64,
}

/// A flow, since its last packet.
struct Flow {
    member: u8,
    spoke: u64,
    /// The least idle timeout since.
    idle: u64,
    /// Changes do not matter to it: it is of TCP, or was recorded whatever the slot.
    is_recorded: bool,
    /// Until when it must speak otherwise, after the first change since.
    held_until: Option<u64>,
    /// Its member never ceased to serve it.
    is_served: bool,
}

impl Oracle {
    pub fn new(pool: Pool) -> Self {
        let (flows, cuts, gone) = Default::default();
        Self { pool, flows, cuts, gone, held_until: 0 }
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub fn change(&mut self, change: Change, span: Span) {
        self.pool.apply(change);
        for member in 1..=MEMBERS {
            let delay = self.pool.drain.filter(|_| !self.takes_new(member)).map(milliseconds);
            let Some(delay) = delay else {
                self.cuts.remove(&member);
                continue;
            };
            let (from, to) = (span.from + delay, span.to + delay + SECOND);
            let cut = self.cuts.entry(member).or_insert(Span { from, to });
            *cut = Span { from: cut.from.min(from), to: cut.to.min(to) };
        }
        let hold = milliseconds(self.pool.udp_hold);
        self.held_until = second(span.to) + hold;
        for flow in self.flows.values_mut() {
            flow.idle = flow.idle.min(milliseconds(self.pool.idle));
            if !flow.is_recorded {
                flow.held_until.get_or_insert(second(span.from) + hold);
            }
        }
    }

    /// Time passed, and the agent did what is due.
    pub fn look(&mut self, span: Span) {
        let is_sick = |member: &u8| self.pool.members.get(member).is_some_and(|member| member.sick);
        let rehashed = |member: &u8| self.pool.rehash && is_sick(member);
        let gone = |cut: fn(&Span) -> u64, at: u64| -> BTreeSet<u8> {
            let is_cut = |member: &u8| self.cuts.get(member).is_some_and(|span| cut(span) <= at);
            let leaves = |member: &u8| !self.takes_new(*member);
            (1..=MEMBERS).filter(leaves).filter(|m| rehashed(m) || is_cut(m)).collect()
        };
        let perhaps = gone(|cut| cut.from, span.to);
        self.gone = gone(|cut| cut.to, span.from);
        for flow in self.flows.values_mut().filter(|flow| perhaps.contains(&flow.member)) {
            flow.is_served = false;
        }
    }

    /// Whether a client would send such a packet.
    pub fn may_send(&self, flow: u8, packet: Packet) -> bool {
        self.is_udp() || packet == Packet::Opening || self.flows.contains_key(&flow)
    }

    /// A packet was answered by a member, or by nobody.
    pub fn sent(
        &mut self,
        (flow, packet): (u8, Packet),
        member: Option<u8>,
        span: Span,
    ) -> Result<(), TestCaseError> {
        let before = self.flows.remove(&flow);
        if let Some(member) = member {
            prop_assert!(!self.gone.contains(&member), "member {member} serves nothing any more");
        }
        let opens = !self.is_udp() && packet == Packet::Opening;
        let is_promised = !opens && before.as_ref().is_some_and(|before| before.is_promised(span));
        match &before {
            Some(before) if is_promised => {
                prop_assert_eq!(member, Some(before.member), "flow {} moved", flow);
            }
            _ if opens || self.is_udp() => {
                self.opened(before.as_ref().map(|before| before.member), member, span)?
            }
            _ => return Ok(()), // nothing is promised, and a broken connection does not go on
        }
        let ends = !self.is_udp() && packet == Packet::Rst;
        let after = match member {
            Some(member) => (!ends).then(|| self.spoke(member, span)),
            // It may go on, should its member serve again.
            None => before.map(|before| Flow { is_served: false, ..before }),
        };
        self.flows.extend(after.map(|after| (flow, after)));
        Ok(())
    }

    fn spoke(&self, member: u8, span: Span) -> Flow {
        Flow {
            member,
            spoke: span.from,
            idle: milliseconds(self.pool.idle),
            is_recorded: !self.is_udp() || self.pool.algorithm.is_tracked(),
            held_until: None,
            is_served: true,
        }
    }

    /// A packet opened a flow, for all that is promised.
    fn opened(
        &self,
        before: Option<u8>,
        member: Option<u8>,
        span: Span,
    ) -> Result<(), TestCaseError> {
        let is_held = self.is_udp() && second(span.from) < self.held_until;
        let goes_on = self.is_udp() && before == member;
        let Some(member) = member else {
            let served = (1..=MEMBERS).any(|member| self.takes_new(member));
            prop_assert!(!served, "nobody takes a new flow");
            return Ok(());
        };
        prop_assert!(
            self.takes_new(member) || is_held || goes_on,
            "member {member} takes no new flows"
        );
        Ok(())
    }

    fn is_udp(&self) -> bool {
        self.pool.protocol == Protocol::Udp
    }

    fn takes_new(&self, member: u8) -> bool {
        let member = self.pool.members.get(&member);
        member.is_some_and(|member| member.weight > 0 && !member.sick && !member.drained)
    }
}

impl Flow {
    fn is_promised(&self, span: Span) -> bool {
        let in_time = self.held_until.is_none_or(|until| second(span.to) < until);
        self.is_served && in_time && span.to - self.spoke <= self.idle
    }
}

fn milliseconds(seconds: u32) -> u64 {
    u64::from(seconds) * SECOND
}

/// When the second began that it is: so clocks are read.
fn second(time: u64) -> u64 {
    time / SECOND * SECOND
}
