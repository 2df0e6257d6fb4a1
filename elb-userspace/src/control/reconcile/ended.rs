//! Members' endpoints whose connections are over: either side is reset that still sends, as long as one may.

use std::collections::BTreeMap;

use elb_common::addr::{Be16, Be128};
use elb_common::reply::{Reply, reply_flags};

use super::protocol_number;
use crate::control::plan::ListenerKey;
use crate::model::Protocol;

/// Idle timeout of connections that were served before this agent started, in seconds.
const UNKNOWN_IDLE: u32 = 300;

/// What endpoints stand for, by endpoint.
type Replies = BTreeMap<ListenerKey, Reply>;

/// Endpoints that were in the picture before, and those that went since.
#[derive(Clone, Debug, Default)]
pub(super) struct EndedReplies {
    /// Of the last picture, each with the idle timeout of its connections.
    last: BTreeMap<ListenerKey, (Reply, u32)>,
    /// Those that went, and until when they are in the picture.
    gone: BTreeMap<ListenerKey, (Reply, u32)>,
}

impl EndedReplies {
    /// What maps hold of before.
    pub(super) fn found(replies: &Replies, now: u32) -> Self {
        let mut found = Self::default();
        for (key, reply) in replies {
            if is_over(reply) {
                found.gone.insert(*key, (*reply, now.saturating_add(UNKNOWN_IDLE)));
            } else {
                found.last.insert(*key, (*reply, UNKNOWN_IDLE));
            }
        }
        found
    }

    /// The virtual address and port that an endpoint stood for in the last picture.
    pub(super) fn before(&self, key: &ListenerKey) -> Option<(Be128, Be16)> {
        self.last.get(key).map(|(reply, _)| (reply.vip, reply.port))
    }

    /// Adds to a picture the endpoints that went not longer ago than their connections may have been idle, while there
    /// is `room` for so many of an IP version. When the first of them is to be forgotten.
    pub(super) fn add(
        &mut self,
        replies: &mut Replies,
        idle: &BTreeMap<ListenerKey, u32>,
        room: usize,
        now: u32,
    ) -> Option<u32> {
        let wanted = replies
            .iter()
            .map(|(key, reply)| (*key, (*reply, idle.get(key).copied().unwrap_or(UNKNOWN_IDLE))));
        let last = std::mem::replace(&mut self.last, wanted.collect());
        let is_segment = |key: &ListenerKey| key.protocol == protocol_number(Protocol::Tcp);
        // Of connections from source addresses, which are of IPv4, their ports say whether they are over.
        let has_port =
            |key: &ListenerKey, reply: &Reply| is_of_probes(reply) && key.address.is_ipv4();
        let last =
            last.into_iter().filter(|(key, (reply, _))| is_segment(key) && !has_port(key, reply));
        for (key, (mut reply, idle)) in last {
            reply.flags |= reply_flags::ENDED;
            self.gone.entry(key).or_insert((reply, now.saturating_add(idle)));
        }
        self.gone.retain(|key, (_, until)| now < *until && !replies.contains_key(key));
        let mut left = [true, false].map(|is_v4| {
            let used = replies.keys().filter(|key| key.address.is_ipv4() == is_v4).count();
            room.saturating_sub(used)
        });
        // Those without a place are forgotten at once, so that never more are kept than maps hold.
        self.gone.retain(|key, (reply, _)| {
            let left = &mut left[usize::from(key.address.is_ipv6())];
            let fits = *left > 0;
            if fits {
                *left -= 1;
                replies.insert(*key, *reply);
            }
            fits
        });
        self.gone.values().map(|(_, until)| *until).min()
    }
}

/// Whether the connections of an endpoint are over.
pub(super) const fn is_over(reply: &Reply) -> bool {
    reply.flags & reply_flags::ENDED != 0
}

/// Whether the member answers addresses of ours: of what it sends to others, only answers of health probes are translated.
pub(super) const fn is_of_probes(reply: &Reply) -> bool {
    reply.flags & reply_flags::PROBES != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_000;

    fn key(last: u8, protocol: Protocol) -> ListenerKey {
        let address = [10, 0, 0, last].into();
        ListenerKey { address, port: 80, protocol: protocol_number(protocol) }
    }

    fn picture(keys: &[ListenerKey]) -> Replies {
        keys.iter().map(|key| (*key, Reply { listener: 3, ..Reply::default() })).collect()
    }

    /// The endpoints of a picture that are over.
    fn over(replies: &Replies) -> Vec<ListenerKey> {
        replies.iter().filter(|(_, reply)| is_over(reply)).map(|(key, _)| *key).collect()
    }

    #[test]
    fn what_went_is_over_as_long_as_its_connections_may_be_idle() {
        let (one, other) = (key(1, Protocol::Tcp), key(2, Protocol::Tcp));
        let idle = BTreeMap::from([(one, 40), (other, 60)]);
        let mut ended = EndedReplies::default();
        assert_eq!(ended.add(&mut picture(&[one, other]), &idle, 9, NOW), None);
        let next = |ended: &mut EndedReplies, wanted: &[ListenerKey], now| {
            let mut replies = picture(wanted);
            let again = ended.add(&mut replies, &idle, 9, now);
            (over(&replies), again)
        };
        assert_eq!(next(&mut ended, &[other], NOW), (vec![one], Some(NOW + 40)));
        assert_eq!(next(&mut ended, &[], NOW + 39), (vec![one, other], Some(NOW + 40)));
        assert_eq!(next(&mut ended, &[], NOW + 40), (vec![other], Some(NOW + 99)));
        assert_eq!(next(&mut ended, &[other], NOW + 41), (vec![], None), "it came back");
        assert_eq!(next(&mut ended, &[other], NOW + 999), (vec![], None));
    }

    #[test]
    fn datagrams_have_no_end() {
        let udp = key(1, Protocol::Udp);
        let mut ended = EndedReplies::default();
        assert_eq!(ended.add(&mut picture(&[udp]), &BTreeMap::new(), 9, NOW), None);
        let mut replies = Replies::new();
        assert_eq!(ended.add(&mut replies, &BTreeMap::new(), 9, NOW), None);
        assert!(replies.is_empty());
    }

    #[test]
    fn what_is_served_comes_first() {
        let keys = [1, 2, 3].map(|last| key(last, Protocol::Tcp));
        let mut ended = EndedReplies::default();
        ended.add(&mut picture(&keys[..2]), &BTreeMap::new(), 2, NOW);
        let mut replies = picture(&keys[2..]);
        ended.add(&mut replies, &BTreeMap::new(), 2, NOW);
        assert_eq!((replies.len(), over(&replies).len()), (2, 1));
        assert!(replies.contains_key(&keys[2]));
        assert_eq!(ended.gone.len(), 1, "no more are kept than there is room for");
    }

    #[test]
    fn an_agent_that_starts_goes_on() {
        let (one, other) = (key(1, Protocol::Tcp), key(2, Protocol::Tcp));
        let mut before = picture(&[one, other]);
        before.get_mut(&one).unwrap().flags = reply_flags::ENDED;
        let mut ended = EndedReplies::found(&before, NOW);
        let mut replies = Replies::new();
        let again = ended.add(&mut replies, &BTreeMap::new(), 9, NOW);
        assert_eq!((over(&replies), again), (vec![one, other], Some(NOW + UNKNOWN_IDLE)));
    }
}
