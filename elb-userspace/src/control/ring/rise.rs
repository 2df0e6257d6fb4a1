//! Slow start: a member that is new in a pool gets its share of the new flows little by little.
//!
//! The share itself rises in proportion to time, whatever the weights and numbers of the members are:
//! at half of the time a member gets half of what will be its own in the end. What it does not get yet
//! is divided among those that have risen, by their weights.

use super::maglev::{self, EMPTY, RingMember};
use super::mix;

/// A member that takes new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingEntry {
    /// Who.
    pub member: RingMember,
    /// How slots name it.
    pub id: u16,
    /// How far it has risen to its share.
    pub risen: Risen,
}

/// How far a member has risen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Risen(u32);

impl Risen {
    /// It gets all of its share.
    pub const FULL: Self = Self(PARTS);

    /// The part of its share that it gets, 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(PARTS)
    }

    /// Against one that has risen as far or further.
    fn against(self, furthest: Self) -> Self {
        Self(scaled(self.0, PARTS, furthest.0).clamp(1, PARTS))
    }
}

impl Default for Risen {
    fn default() -> Self {
        Self::FULL
    }
}

/// Parts that a share is divided into.
const PARTS: u32 = 10_000;

/// A rise that began at a second and takes so many; its end is the full share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rise {
    /// When it began.
    pub since: u32,
    /// How long it takes.
    pub duration: u32,
}

impl Rise {
    /// Steps that a rise has, if each takes a second or more.
    const STEPS: u32 = 20;

    /// How far it is `now`; each step is the mean of its time.
    pub fn at(self, now: u32) -> Risen {
        let passed = now.saturating_sub(self.since);
        if passed >= self.duration {
            return Risen::FULL;
        }
        let begun = passed - passed % self.step();
        let ends = (begun + self.step()).min(self.duration);
        Risen(scaled(begun + ends, PARTS, 2 * self.duration).clamp(1, PARTS - 1))
    }

    /// When the next step is due, if there is one.
    pub fn next(self, now: u32) -> Option<u32> {
        let passed = now.saturating_sub(self.since);
        let ends = (passed - passed % self.step() + self.step()).min(self.duration);
        (passed < self.duration).then(|| self.since.saturating_add(ends))
    }

    /// When it is over.
    pub const fn end(self) -> u32 {
        self.since.saturating_add(self.duration)
    }

    /// Seconds that each step takes.
    fn step(self) -> u32 {
        self.duration.div_ceil(Self::STEPS).max(1)
    }
}

/// How far each member has risen against the one that has risen furthest: where none has its full share,
/// nothing is left over.
pub fn against_furthest(members: &[RingEntry]) -> Vec<Risen> {
    let weighted = members.iter().filter(|one| one.member.weight > 0);
    let furthest = weighted.map(|one| one.risen).max().unwrap_or_default();
    members.iter().map(|one| one.risen.against(furthest)).collect()
}

/// Weights by which members get as much as they have risen to, in a unit that is fine enough: the heaviest
/// member has about 10,000.
///
/// Of a member of weight `w` that has risen to the part `r` it is `r w R / (W - S)`, where `W` is the sum of
/// all weights, `R` that of the members that have risen, and `S` that of `r w` of the others: its part of all
/// weights is then `r w / W`.
pub fn weights(members: &[RingEntry]) -> Vec<u32> {
    let risen = against_furthest(members);
    let heaviest = members.iter().map(|one| one.member.weight).max().unwrap_or_default();
    let unit = (PARTS / heaviest.max(1)).max(1);
    let all = members.iter().zip(&risen).map(|(one, risen)| (u64::from(one.member.weight), *risen));
    let sum = |is_full: bool, part: fn(u64, Risen) -> u64| -> u64 {
        let some = all.clone().filter(|(_, risen)| (*risen == Risen::FULL) == is_full);
        some.map(|(weight, risen)| part(weight, risen)).sum()
    };
    let parts = u64::from(PARTS);
    let full = sum(true, |weight, _| weight);
    let rest = (full + sum(false, |weight, _| weight)) * parts
        - sum(false, |weight, risen| weight * u64::from(risen.0));
    let weight = |(weight, risen): (u64, Risen)| match (weight, risen) {
        (0, _) => 0,
        (_, Risen::FULL) => weight * u64::from(unit),
        _ => (weight * u64::from(unit) * u64::from(risen.0) * full / rest.max(1)).max(1),
    };
    all.clone().map(|one| u32::try_from(weight(one)).unwrap_or(u32::MAX)).collect()
}

/// The lookup table in which a member has as many of the slots that will be its own as it has risen to; the
/// others are still those of the members that have risen. A step gives it more of them and takes none away,
/// and no other slot ever changes.
///
/// # Panics
/// As [`maglev::build`].
pub fn table(members: &[RingEntry], size: u32) -> Vec<u16> {
    let risen = against_furthest(members);
    let ring: Vec<RingMember> = members.iter().map(|one| one.member).collect();
    let mut owners = maglev::build(&ring, size);
    if risen.iter().all(|one| *one == Risen::FULL) {
        return owners;
    }
    let without = |(one, risen): (&RingMember, &Risen)| match *risen {
        Risen::FULL => *one,
        _ => RingMember { weight: 0, ..*one },
    };
    let before: Vec<RingMember> = ring.iter().zip(&risen).map(without).collect();
    let before = maglev::build(&before, size);
    let mut held = vec![0; members.len()];
    let mut rising = Vec::new();
    for (slot, owner) in owners.iter().enumerate().filter(|(_, owner)| **owner != EMPTY) {
        let owner = usize::from(*owner);
        held[owner] += 1;
        if risen[owner] != Risen::FULL {
            rising.push((mix(ring[owner].identity ^ slot as u64), slot));
        }
    }
    let share =
        |(held, risen): (&u32, &Risen)| scaled(*held, risen.0, PARTS).clamp(1, (*held).max(1));
    let mut left: Vec<u32> = held.iter().zip(&risen).map(share).collect();
    rising.sort_unstable();
    for (_, slot) in rising {
        match &mut left[usize::from(owners[slot])] {
            0 => owners[slot] = before[slot],
            left => *left -= 1,
        }
    }
    owners
}

/// `n * by / of`, rounded.
fn scaled(n: u32, by: u32, of: u32) -> u32 {
    let (n, by, of) = (u64::from(n), u64::from(by), u64::from(of.max(1)));
    u32::try_from((n * by + of / 2) / of).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
