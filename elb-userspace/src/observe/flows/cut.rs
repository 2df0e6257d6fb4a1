//! `elb flows --cut`: what can be cut, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FlowState, Key};

/// What a cut reaches, of the flows that are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reach {
    /// Recorded TCP connections: they can be cut.
    pub connections: u64,
    /// Recorded flows of datagrams, which no reset ends.
    pub datagrams: u64,
    /// Records on settled slots, which no packet looks at.
    pub settled: u64,
    /// Slots of the rings that the flows may be on, if flows on settled slots have no record there.
    pub slots: u64,
    /// Settled ones among them.
    pub settled_slots: u64,
}

impl Reach {
    /// One more record.
    pub fn add(&mut self, key: &Key, state: FlowState) {
        match state {
            _ if can_be_cut(key, state) => self.connections += 1,
            FlowState::Open => self.datagrams += 1,
            FlowState::Settled => self.settled += 1,
            FlowState::Closed | FlowState::Cut | FlowState::MemberGone | FlowState::Over => {}
        }
    }
}

/// Whether a record is of a connection that lives. One that its client closed may go on the other way.
pub fn can_be_cut(key: &Key, state: FlowState) -> bool {
    const TCP: u8 = 6;
    let (_, _, protocol) = key.five_tuple();
    protocol == TCP && matches!(state, FlowState::Open | FlowState::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_tcp_can_be_cut() {
        let [client, vip] = ["198.51.100.7:1", "192.0.2.10:80"].map(|text| text.parse().unwrap());
        let [tcp, udp] = [6, 17].map(|protocol| Key::new(client, vip, protocol));
        let mut reach = Reach::default();
        for state in [
            FlowState::Open,
            FlowState::Settled,
            FlowState::Closed,
            FlowState::Cut,
            FlowState::Over,
        ] {
            reach.add(&tcp, state);
            reach.add(&udp, state);
        }
        let wanted = Reach { connections: 2, datagrams: 1, settled: 2, ..Reach::default() };
        assert_eq!(reach, wanted);
    }
}
