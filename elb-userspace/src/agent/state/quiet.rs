//! Since when no packet went to a member: a flow that sent none for the idle timeout counts no more, so a
//! member that got none for as long has no flow at all, whatever slots still name it.

use std::collections::HashMap;

/// Packets that went to each member, by backend id, and since when they are so many.
#[derive(Debug, Default)]
pub(in crate::agent) struct Quiet(HashMap<u16, Count>);

#[derive(Clone, Copy, Debug)]
struct Count {
    packets: u64,
    since: u32,
}

impl Quiet {
    /// Takes down the counts of all members at a second. Nothing is known of the time before the first.
    pub(in crate::agent) fn sample(&mut self, counts: impl Iterator<Item = (u16, u64)>, now: u32) {
        let before = std::mem::take(&mut self.0);
        let count = |(id, packets): (u16, u64)| {
            let known = before.get(&id).filter(|known| known.packets == packets);
            (id, known.copied().unwrap_or(Count { packets, since: now }))
        };
        self.0 = counts.map(count).collect();
    }

    /// Seconds for which a member, which has got so many packets by now, has got none for certain.
    pub(in crate::agent) fn time(&self, id: u16, packets: u64, now: u32) -> u32 {
        let known = self.0.get(&id).filter(|known| known.packets == packets);
        known.map_or(0, |known| now.saturating_sub(known.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_quiet_since_its_count_stands_still() {
        let mut quiet = Quiet::default();
        assert_eq!(quiet.time(1, 5, 100), 0, "nothing is known");
        quiet.sample([(1, 5), (2, 7)].into_iter(), 100);
        quiet.sample([(1, 5), (2, 8)].into_iter(), 110);
        assert_eq!((quiet.time(1, 5, 115), quiet.time(2, 8, 115)), (15, 5));
        assert_eq!(quiet.time(1, 6, 115), 0, "a packet came since");
        quiet.sample([(1, 6)].into_iter(), 120);
        assert_eq!((quiet.time(1, 6, 121), quiet.time(2, 8, 121)), (1, 0));
    }
}
