//! Work that many events ask for and that is done once for all of them, no more often than it leaves
//! time for everything else.

use std::time::Duration;

use tokio::time::Instant;

/// When to do a piece of work.
#[derive(Debug)]
pub(super) struct Chore {
    at: Option<Instant>,
    rests_until: Instant,
    /// How long it rested the last time.
    rest: Duration,
}

impl Chore {
    /// Not asked for yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self { at: None, rests_until: now, rest: Duration::ZERO }
    }

    /// It is to be done within this time, or when it has rested.
    pub(super) fn ask(&mut self, now: Instant, within: Duration) {
        let at = (now + within).max(self.rests_until);
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
    }

    /// When it is to be done.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.at
    }

    /// Whether it is asked for, and took no longer than this the last time, so that it need not wait.
    pub(super) fn may_be_early(&self, most: Duration) -> bool {
        self.at.is_some() && self.rest <= most
    }

    /// It is being done: what is asked for from now on is for the next time.
    pub(super) const fn begin(&mut self) {
        self.at = None;
    }

    /// It was done, and is to rest for so long.
    pub(super) fn rest(&mut self, now: Instant, rest: Duration) {
        self.rests_until = now + rest;
        self.rest = rest;
        self.at = self.at.map(|at| at.max(self.rests_until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wishes_are_one_piece_of_work() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut chore = Chore::new(start);
        assert_eq!(chore.due(), None);
        chore.ask(at(5), Duration::from_millis(100));
        chore.ask(at(7), Duration::ZERO);
        chore.ask(at(8), Duration::from_millis(50));
        assert_eq!(chore.due(), Some(at(7)), "the earliest wish");
        chore.begin();
        chore.ask(at(9), Duration::ZERO);
        chore.rest(at(10), Duration::from_millis(20));
        assert_eq!(chore.due(), Some(at(30)), "asked for while it was done");
        chore.begin();
        chore.ask(at(40), Duration::ZERO);
        assert_eq!(chore.due(), Some(at(40)), "it has rested");
    }

    #[test]
    fn only_short_work_is_done_early() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut chore = Chore::new(start);
        assert!(!chore.may_be_early(ms(50)), "it is not asked for");
        chore.ask(start, ms(10));
        assert!(chore.may_be_early(ms(50)));
        chore.rest(start, ms(51));
        assert!(!chore.may_be_early(ms(50)), "it takes long");
    }
}
