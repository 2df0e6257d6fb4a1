//! What makes two rings of a pool different rings, and who owns the slots of each.

use elb_common::listener::{CidPart, algorithm};
#[cfg(doc)]
use elb_common::ring::rounds;
use serde::{Deserialize, Serialize};

use super::rise::{self, RingEntry};
use super::schedule;
use crate::model::{LbAlgorithm, Pool};

/// How many slots a ring has and how a flow finds its own: where one of them changes, no slot means
/// what it meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Slots.
    pub size: u32,
    /// One of [`algorithm`].
    pub algorithm: u16,
    /// The part of a QUIC connection id that counts: bytes before it, and its own; zero where the
    /// algorithm does not look at it.
    pub cid: (u8, u8),
}

impl Shape {
    /// What a pool is to have.
    pub fn of(pool: &Pool) -> Self {
        let cid = pool.quic_cid_hash_strategy.map_or((0, 0), |strategy| strategy.part());
        Self { size: pool.ring_size.get(), algorithm: number(pool.lb_algorithm), cid }
    }

    /// As the map records have it.
    pub const fn cid_part(&self) -> CidPart {
        CidPart { offset: self.cid.0, length: self.cid.1 }
    }

    /// Whether new flows take the owners in turn, and every flow is recorded.
    pub const fn is_scheduled(&self) -> bool {
        matches!(self.algorithm, algorithm::ROUND_ROBIN | algorithm::LEAST_CONNECTIONS)
    }

    /// The id of the owner of each slot, 0 everywhere if no member has a weight. Where members have
    /// limits, the last turns of a schedule are rounds, see [`rounds`].
    ///
    /// # Panics
    /// As [`rise::table`] and [`schedule::by_weight`].
    pub fn owners(&self, members: &[RingEntry], has_limits: bool) -> Vec<u16> {
        let mut owners = match self.algorithm {
            algorithm::ROUND_ROBIN => schedule::by_share(members, has_limits, self.size),
            algorithm::LEAST_CONNECTIONS => schedule::by_presence(members, has_limits, self.size),
            _ => rise::table(members, self.size),
        };
        for owner in &mut owners {
            *owner = members.get(usize::from(*owner)).map_or(0, |one| one.id);
        }
        owners
    }
}

/// As the map records have it.
const fn number(algorithm: LbAlgorithm) -> u16 {
    match algorithm {
        LbAlgorithm::FiveTupleHash => algorithm::FIVE_TUPLE,
        LbAlgorithm::ThreeTupleHash => algorithm::THREE_TUPLE,
        LbAlgorithm::TwoTupleHash => algorithm::TWO_TUPLE,
        LbAlgorithm::SourceIp => algorithm::SOURCE,
        LbAlgorithm::QuicCid => algorithm::CONNECTION_ID,
        LbAlgorithm::RoundRobin => algorithm::ROUND_ROBIN,
        LbAlgorithm::LeastConnections => algorithm::LEAST_CONNECTIONS,
    }
}

/// The name of an algorithm of the map records.
pub const fn algorithm_name(number: u16) -> &'static str {
    match number {
        algorithm::FIVE_TUPLE => LbAlgorithm::FiveTupleHash.as_str(),
        algorithm::THREE_TUPLE => LbAlgorithm::ThreeTupleHash.as_str(),
        algorithm::TWO_TUPLE => LbAlgorithm::TwoTupleHash.as_str(),
        algorithm::SOURCE => LbAlgorithm::SourceIp.as_str(),
        algorithm::CONNECTION_ID => LbAlgorithm::QuicCid.as_str(),
        algorithm::ROUND_ROBIN => LbAlgorithm::RoundRobin.as_str(),
        algorithm::LEAST_CONNECTIONS => LbAlgorithm::LeastConnections.as_str(),
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ring::maglev::RingMember;
    use crate::control::ring::rise::Risen;

    #[test]
    fn owners_are_ids() {
        let members = [(1, 0, 10), (2, 1, 20), (3, 1, 30)].map(|(identity, weight, id)| {
            let member = RingMember { identity, weight };
            RingEntry { member, id, risen: Risen::FULL }
        });
        let shape = |algorithm| Shape { size: 101, algorithm, cid: (0, 0) };
        for algorithm in [algorithm::SOURCE, algorithm::ROUND_ROBIN, algorithm::LEAST_CONNECTIONS] {
            let owners = shape(algorithm).owners(&members, false);
            assert_eq!(owners.len(), 101);
            let on = |id| owners.iter().filter(|owner| **owner == id).count();
            assert_eq!((on(10), on(20) + on(30)), (0, 101), "{algorithm}");
            assert!(on(20).abs_diff(on(30)) <= 1, "{algorithm}");
            assert_eq!(shape(algorithm).owners(&members[..1], false), [0; 101], "{algorithm}");
        }
    }

    #[test]
    fn numbers_have_names() {
        for algorithm in LbAlgorithm::ALL {
            assert_eq!(algorithm_name(number(*algorithm)), algorithm.as_str());
        }
    }
}
