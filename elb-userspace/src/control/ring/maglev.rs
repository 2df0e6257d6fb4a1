//! The Maglev lookup table (Eisenbud et al., NSDI 2016, §3.4) with weights.
//!
//! Every member has a permutation of the slots that comes from its identity alone, and the members
//! take turns in filling the next slot of their own permutation that is still free. Turns are
//! handed out in rounds: in `ROUNDS` rounds a member of weight `w` gets `w` turns, evenly spread,
//! and within a round the members go in the order of their identities. So neither the order of the
//! input nor the weight of another member changes *when* a member has its turns, which keeps the
//! disruption by any change small.

use std::collections::HashMap;

mod modulus;

use modulus::Modulus;

use super::mix;

/// What stands in a slot when no member has a weight.
pub const EMPTY: u16 = u16::MAX;

/// Rounds in which a member gets as many turns as its weight says: the greatest weight of the V3
/// API.
const ROUNDS: u64 = 100;

/// A member as the ring sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingMember {
    /// [`super::identity`] of its address and port.
    pub identity: u64,
    /// Its part of the new connections, relative to the others; 0 takes none.
    pub weight: u32,
}

/// The index into `members` of the owner of each of the `size` slots, or [`EMPTY`] everywhere if
/// all weights are 0.
///
/// The table depends on the set of (identity, weight) only, not on the order of `members`.
/// Members with equal identities share one permutation and both get their turns.
///
/// # Panics
/// If `size` is not an odd prime below 2^31 (a permutation then would not reach every slot), or if
/// there are more than 65,535 members.
pub fn build(members: &[RingMember], size: u32) -> Vec<u16> {
    assert!(modulus::is_odd_prime(size), "the ring's size {size} is not an odd prime below 2^31");
    assert!(members.len() <= usize::from(EMPTY), "more than 65,535 members in one ring");
    let turns = Turns::new(members, size);
    let mut turns = turns.members.iter().copied().cycle().take(size as usize);
    let mut table = Table::new(members, size);
    // A turn costs size/free steps if walked and `free` steps if compared: meet in the middle.
    let last = size.isqrt();
    table.fill_walking(turns.by_ref().take((size - last) as usize));
    table.fill_comparing(turns);
    table.owners
}

/// A table that is being filled.
struct Table {
    size: Modulus,
    walks: Vec<Walk>,
    owners: Vec<u16>,
}

impl Table {
    fn new(members: &[RingMember], size: u32) -> Self {
        let walks = members.iter().map(|m| Walk::new(m.identity, size));
        Self {
            size: Modulus::new(size),
            walks: walks.collect(),
            owners: vec![EMPTY; size as usize],
        }
    }

    /// Gives each of `turns` the next free slot of its walk, step by step: quick while many are
    /// free.
    fn fill_walking(&mut self, turns: impl Iterator<Item = u16>) {
        let mut taken = vec![0u64; self.owners.len() / 64 + 1];
        for member in turns {
            let slot = self.walks[usize::from(member)].next_free(&taken, self.size) as usize;
            taken[slot / 64] |= 1 << (slot % 64);
            self.owners[slot] = member;
        }
    }

    /// Does the same by computing which of the free slots comes first: quick when few are free.
    fn fill_comparing(&mut self, turns: impl Iterator<Item = u16>) {
        let slots = (0u32..).zip(&self.owners);
        let mut free: Vec<u32> = slots.filter(|(_, o)| **o == EMPTY).map(|(s, _)| s).collect();
        let mut inverses = HashMap::new();
        for member in turns {
            let walk = &mut self.walks[usize::from(member)];
            let inverse = *inverses.entry(member).or_insert_with(|| self.size.inverse(walk.skip));
            let steps = |slot| self.size.multiply(self.size.subtract(slot, walk.at), inverse);
            let Some(nearest) = (0..free.len()).min_by_key(|&at| steps(free[at])) else {
                return;
            };
            let slot = free.swap_remove(nearest);
            walk.at = self.size.add(slot, walk.skip);
            self.owners[slot as usize] = member;
        }
    }
}

/// Where a member stands in its permutation: slots `offset + i * skip` modulo the ring's size.
struct Walk {
    at: u32,
    skip: u32,
}

impl Walk {
    fn new(identity: u64, size: u32) -> Self {
        let at = scale(mix(identity ^ u64::from_be_bytes(*b"offset\0\0")), size);
        let skip = 1 + scale(mix(identity ^ u64::from_be_bytes(*b"skip\0\0\0\0")), size - 1);
        Self { at, skip }
    }

    #[inline]
    fn next_free(&mut self, taken: &[u64], size: Modulus) -> u32 {
        loop {
            let slot = self.at;
            self.at = size.add(slot, self.skip);
            if (taken[slot as usize / 64] >> (slot % 64)) & 1 == 0 {
                return slot;
            }
        }
    }
}

/// Maps 64 even bits to `0..size` (Lemire 2019: a multiplication in place of a division).
#[expect(clippy::cast_possible_truncation, reason = "the product's high half is below `size`")]
const fn scale(bits: u64, size: u32) -> u32 {
    ((bits as u128 * size as u128) >> 64) as u32
}

/// Whose turn it is: the members in order, one period of [`ROUNDS`] rounds or as much of it as
/// fills the ring.
struct Turns {
    members: Vec<u16>,
}

impl Turns {
    fn new(members: &[RingMember], size: u32) -> Self {
        let mut order: Vec<(u64, u32, u16)> = (0..)
            .zip(members)
            .filter(|(_, member)| member.weight > 0)
            .map(|(index, member)| (member.identity, member.weight, index))
            .collect();
        order.sort_unstable();
        let mut credits = vec![0u64; order.len()];
        let mut turns = Self { members: Vec::with_capacity(size as usize) };
        for _ in 0..ROUNDS {
            for (credit, &(_, weight, index)) in credits.iter_mut().zip(&order) {
                *credit += u64::from(weight);
                while *credit >= ROUNDS && turns.members.len() < size as usize {
                    *credit -= ROUNDS;
                    turns.members.push(index);
                }
            }
            if turns.members.len() == size as usize {
                break;
            }
        }
        turns
    }
}

#[cfg(test)]
mod tests;
