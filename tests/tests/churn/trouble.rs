//! Which connections may break: those that were under way while a member was out of order.

use std::time::Instant;

use elb_tests::client::HeldConnection;

/// A time in which a member was out of order.
#[derive(Debug)]
struct Trouble {
    member: usize,
    began: Instant,
    /// Since when it gets no new connections.
    noticed: Option<Instant>,
    /// Since when it is in order again.
    ended: Option<Instant>,
}

/// All of these times.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Vec<Trouble>);

impl Troubles {
    /// A member is about to be out of order.
    pub(crate) fn begin(&mut self, member: usize, now: Instant) {
        self.0.push(Trouble { member, began: now, noticed: None, ended: None });
    }

    /// Members out of order that new connections may still be sent to.
    pub(crate) fn unnoticed(&self) -> Vec<usize> {
        let unnoticed = |one: &&Trouble| one.noticed.is_none() && one.ended.is_none();
        self.0.iter().filter(unnoticed).map(|trouble| trouble.member).collect()
    }

    /// No new connection is sent to a member any more, until it is in order.
    pub(crate) fn notice(&mut self, member: usize, now: Instant) {
        for trouble in self.open(member) {
            trouble.noticed.get_or_insert(now);
        }
    }

    /// A member is in order again.
    pub(crate) fn end(&mut self, member: usize, now: Instant) {
        for trouble in self.open(member) {
            trouble.ended = Some(now);
        }
    }

    /// Whether a connection may have broken. With an answer, its member must have been out of order
    /// meanwhile. Without, no one knows which member it was sent to: it may be any that was out of
    /// order and had not been noticed.
    pub(crate) fn excuse(&self, broken: &HeldConnection, member: Option<usize>) -> bool {
        let Some(failure) = &broken.failure else { return false };
        self.0.iter().any(|trouble| {
            let end = match member {
                Some(_) => trouble.ended,
                None => trouble.noticed.or(trouble.ended),
            };
            member.is_none_or(|member| member == trouble.member)
                && trouble.began <= failure.at
                && end.is_none_or(|end| broken.opened <= end)
        })
    }

    fn open(&mut self, member: usize) -> impl Iterator<Item = &mut Trouble> {
        self.0.iter_mut().filter(move |one| one.member == member && one.ended.is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use elb_tests::client::{Failure, FailureKind};

    use super::*;

    /// Member 4 is out of order from 10 s to 30 s, and nothing is sent to it since 12 s.
    fn troubles(start: Instant) -> Troubles {
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut troubles = Troubles::default();
        troubles.begin(4, at(10));
        assert_eq!(troubles.unnoticed(), [4]);
        troubles.notice(4, at(12));
        troubles.notice(4, at(14));
        assert!(troubles.unnoticed().is_empty());
        troubles.end(4, at(30));
        troubles
    }

    /// Whether a connection of `member` may break that was opened and broke at these seconds.
    fn excused(member: Option<usize>, opened: u64, broke: u64) -> bool {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (kind, text) = (FailureKind::Reset, String::new());
        let broken = HeldConnection {
            opened: at(opened),
            local: None,
            backend: None,
            round_trips: 0,
            slowest: Duration::ZERO,
            failure: Some(Failure { kind, text, at: at(broke) }),
        };
        troubles(start).excuse(&broken, member)
    }

    #[test]
    fn a_connection_may_break_with_its_member_only() {
        assert!(excused(Some(4), 5, 11));
        assert!(excused(Some(4), 5, 40), "it was cut off, and noticed it late");
        assert!(!excused(Some(4), 5, 9), "before");
        assert!(!excused(Some(4), 31, 40), "after");
        assert!(!excused(Some(0), 5, 40), "another member");
    }

    #[test]
    fn a_connection_without_an_answer_may_break_until_the_member_is_out() {
        assert!(excused(None, 5, 11));
        assert!(excused(None, 12, 32));
        assert!(!excused(None, 5, 9), "before");
        assert!(!excused(None, 13, 20), "it was sent to another member");
    }
}
