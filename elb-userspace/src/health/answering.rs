//! Which members of a pool answer at each of its virtual addresses. Where none does, whatever their probes
//! come to there, and they answer at others, that address is what does not work: it is no reason to take
//! their clients of the other addresses away.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::ResourceId;

/// A virtual address, and the pool that serves there.
pub type Place = (IpAddr, ResourceId);

/// What is known of all places.
#[derive(Debug, Default)]
pub struct Answering {
    places: HashMap<Place, Members>,
}

#[derive(Debug, Default)]
struct Members {
    unprobed: HashSet<u32>,
    answering: HashSet<u32>,
    failing: HashSet<u32>,
}

/// What the other members of the pool do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// One answers, at least.
    Answer,
    /// None does, but some were not probed yet.
    Unknown,
    /// None does.
    Fail,
}

impl Answering {
    /// A member will be probed there.
    pub fn expect(&mut self, place: Place, member: u32) {
        let members = self.places.entry(place).or_default();
        if !members.has(member) {
            members.unprobed.insert(member);
        }
    }

    /// Takes in whether a member's probe succeeded there.
    pub fn note(&mut self, place: Place, member: u32, answers: bool) {
        let members = self.places.entry(place).or_default();
        members.forget(member);
        if answers { &mut members.answering } else { &mut members.failing }.insert(member);
    }

    /// What all but this member do there.
    pub fn others(&self, place: Place, member: u32) -> Others {
        let Some(members) = self.places.get(&place) else { return Others::Fail };
        let any = |of: &HashSet<u32>| of.len() > usize::from(of.contains(&member));
        match () {
            () if any(&members.answering) => Others::Answer,
            () if any(&members.unprobed) => Others::Unknown,
            () => Others::Fail,
        }
    }

    /// Forgets members that went, and places that are not probed any more.
    pub fn retain(&mut self, is_probed: impl Fn(Place, u32) -> bool) {
        for (place, members) in &mut self.places {
            let Members { unprobed, answering, failing } = members;
            for set in [unprobed, answering, failing] {
                set.retain(|member| is_probed(*place, *member));
            }
        }
        self.places.retain(|_, members| !members.is_empty());
    }
}

impl Members {
    fn has(&self, member: u32) -> bool {
        [&self.unprobed, &self.answering, &self.failing].iter().any(|set| set.contains(&member))
    }

    fn forget(&mut self, member: u32) {
        for set in [&mut self.unprobed, &mut self.answering, &mut self.failing] {
            set.remove(&member);
        }
    }

    fn is_empty(&self) -> bool {
        self.unprobed.is_empty() && self.answering.is_empty() && self.failing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> Place {
        ([10, 0, 0, 100].into(), ResourceId::of_pool("web"))
    }

    #[test]
    fn what_is_not_known_yet_is_no_failure() {
        let mut answering = Answering::default();
        [1, 2].into_iter().for_each(|member| answering.expect(place(), member));
        answering.note(place(), 1, false);
        answering.expect(place(), 1);
        assert_eq!(answering.others(place(), 1), Others::Unknown);
        assert_eq!(answering.others(place(), 2), Others::Fail);
        let other = (place().0, ResourceId::of_pool("echo"));
        answering.note(other, 3, true);
        assert_eq!(answering.others(place(), 2), Others::Fail, "another pool says nothing");
        answering.retain(|_, member| member == 3);
        assert_eq!(answering.others(place(), 9), Others::Fail);
        assert_eq!(answering.others(other, 9), Others::Answer);
    }

    proptest! {
        /// What counts is what the last probe of each other member came to.
        #[test]
        fn the_last_probe_counts(
            notes in prop::collection::vec((0u32..4, any::<bool>()), 0..40),
            gone in 0u32..5,
        ) {
            let (mut answering, mut last) = (Answering::default(), HashMap::new());
            for (member, answers) in notes {
                answering.note(place(), member, answers);
                last.insert(member, answers);
            }
            answering.retain(|_, member| member != gone);
            last.remove(&gone);
            for member in 0..4 {
                let any = last.iter().any(|(one, answers)| *one != member && *answers);
                let expected = if any { Others::Answer } else { Others::Fail };
                prop_assert_eq!(answering.others(place(), member), expected);
            }
        }
    }
}
