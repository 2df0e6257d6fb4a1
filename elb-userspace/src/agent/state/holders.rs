//! Others that answer for the virtual addresses: which are known, which are new, and when they are forgotten.

use crate::kernel::net::holders::{AddressHolder, HolderQuestion};

/// Looks in a row that must not find a holder before it is forgotten: an answer may be lost.
const FORGET: u8 = 2;

/// Those who answered.
#[derive(Debug, Default)]
pub(in crate::agent) struct Holders {
    /// Each with the looks that did not find it since.
    pub(in crate::agent) known: Vec<(AddressHolder, u8)>,
}

impl Holders {
    /// What a look at these questions found; those that are new.
    pub(in crate::agent) fn found(
        &mut self,
        questions: &[HolderQuestion],
        found: &[AddressHolder],
    ) -> Vec<AddressHolder> {
        let asked = |holder: &AddressHolder| {
            questions.iter().any(|one| (one.ifindex, one.vip) == (holder.ifindex, holder.vip))
        };
        for (holder, missed) in self.known.iter_mut().filter(|(holder, _)| asked(holder)) {
            *missed = if found.contains(holder) { 0 } else { *missed + 1 };
        }
        self.known.retain(|(_, missed)| *missed < FORGET);
        let is_new =
            |holder: &&AddressHolder| !self.known.iter().any(|(known, _)| known == *holder);
        let new: Vec<AddressHolder> = found.iter().filter(is_new).copied().collect();
        self.known.extend(new.iter().map(|holder| (*holder, 0)));
        new
    }

    /// Forgets those of addresses that are not announced any more.
    pub(in crate::agent) fn retain(&mut self, announced: &[HolderQuestion]) {
        let is = |holder: &AddressHolder| {
            announced.iter().any(|one| (one.ifindex, one.vip) == (holder.ifindex, holder.vip))
        };
        self.known.retain(|(holder, _)| is(holder));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use elb_common::addr::Mac;

    use super::*;

    #[test]
    fn a_holder_is_new_once_and_forgotten_when_it_is_silent() {
        let vip: IpAddr = "192.0.2.10".parse().unwrap();
        let holder = AddressHolder { ifindex: 2, vip, mac: Mac::new([2, 0, 0, 0, 0, 7]) };
        let question = HolderQuestion { ifindex: 2, mac: Mac::new([2, 0, 0, 0, 0, 1]), vip };
        let mut holders = Holders::default();
        assert_eq!(holders.found(&[question], &[holder]), [holder]);
        assert_eq!(holders.found(&[question], &[holder]), []);
        // What was not asked for says nothing.
        let other = HolderQuestion { ifindex: 3, ..question };
        for _ in 0..5 {
            assert_eq!(holders.found(&[other], &[]), []);
        }
        assert_eq!(holders.found(&[question], &[]), []);
        assert_eq!(holders.known.len(), 1, "an answer may be lost");
        holders.found(&[question], &[]);
        assert!(holders.known.is_empty());
        assert_eq!(holders.found(&[question], &[holder]), [holder]);
        holders.retain(&[other]);
        assert!(holders.known.is_empty());
    }
}
