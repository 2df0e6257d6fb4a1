//! Draining: what is asked of the agent, and what it reports about it (`elb drain -o json`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::MemberRef;

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainAction {
    /// The member takes no new flows from now on.
    Start,
    /// It takes new flows again.
    Cancel,
    /// Nothing: how far is it?
    Look,
}

/// A question to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRequest {
    /// What is to happen.
    pub action: DrainAction,
    /// Name, address, or address and port of a member.
    pub member: String,
    /// The pool it is in; without one, all pools that it is in.
    pub pool: Option<String>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainReport {
    /// The member in each of its pools.
    pub members: Vec<DrainedMember>,
}

/// A member of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainedMember {
    /// Which one.
    #[serde(flatten)]
    pub member: MemberRef,
    /// SERVING, DRAINING, REMOVED, or CUT after its flows were.
    pub state: String,
    /// Slots of the ring that it owns: where new flows go to it.
    pub slots: u32,
    /// Slots whose former owner it is: where flows of before the change go to it.
    pub former_slots: u32,
    /// Records of its flows that count.
    pub flows: u32,
    /// Open connections, where the pool counts them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections: Option<u32>,
    /// Seconds since a packet went to it for its server id in a connection id, while flows of then
    /// count; no slot and no record shows these.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub named_ago: Option<u32>,
    /// Seconds without a packet after which a flow of it counts no more.
    pub idle_timeout: u32,
    /// Seconds for which no packet went to it for certain.
    #[serde(default)]
    pub quiet_for: u32,
    /// Other members of the pool that take new flows.
    pub others: usize,
    /// Seconds until its flows are cut, if they are to be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cut_in: Option<u32>,
}

impl DrainedMember {
    /// Whether no flow can go to it any more: nothing names it, or no packet came for as long as a flow
    /// may be idle.
    pub fn is_done(&self) -> bool {
        (self.slots, self.former_slots, self.flows, self.named_ago) == (0, 0, 0, None)
            || self.is_quiet(self.idle_timeout.max(1))
    }

    /// Whether it takes no new flows, and no packet went to it for so many seconds.
    pub fn is_quiet(&self, seconds: u32) -> bool {
        self.slots == 0 && self.quiet_for >= seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_drained_when_nothing_is_left() {
        let member = DrainedMember {
            member: MemberRef::new((None, "web"), None, Some("web-1"), ([10, 0, 0, 1], 80).into()),
            state: "DRAINING".to_owned(),
            slots: 0,
            former_slots: 0,
            flows: 0,
            connections: None,
            named_ago: None,
            idle_timeout: 300,
            quiet_for: 299,
            others: 1,
            cut_in: Some(10),
        };
        let is_done = |member: DrainedMember| member.is_done();
        assert!(is_done(member.clone()));
        assert!(!is_done(DrainedMember { slots: 1, ..member.clone() }));
        assert!(!is_done(DrainedMember { former_slots: 1, ..member.clone() }));
        assert!(!is_done(DrainedMember { flows: 1, ..member.clone() }));
        assert!(!is_done(DrainedMember { named_ago: Some(0), ..member.clone() }));
        let quiet = DrainedMember { quiet_for: 300, former_slots: 9, flows: 1, ..member };
        assert!(is_done(quiet.clone()));
        assert!(!is_done(DrainedMember { slots: 1, ..quiet }));
    }
}
