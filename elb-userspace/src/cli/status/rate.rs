//! How fast counts rise, from two looks.

use std::collections::HashMap;
use std::time::Duration;

use super::units::in_units;
use crate::api::shape::status::{
    ListenerStatus, MeasuredRate, MemberStatus, Replies, ReplyRate, Status,
};

/// The columns.
pub(super) const HEADER: [&str; 3] = ["PACKETS/S", "BYTES/S", "NEW/S"];
/// Those of what members answer.
pub(super) const REPLY_HEADER: [&str; 2] = ["REPLIES/S", "REPLY BYTES/S"];

/// Fills the rates of everything that was there in both looks, so much time apart.
pub(super) fn fill(status: &mut Status, before: &Status, time: Duration) {
    let members: HashMap<_, _> =
        before.pools.iter().flat_map(|pool| &pool.members).map(|one| (key(one), one)).collect();
    let mut by_pool = HashMap::new();
    for pool in &mut status.pools {
        for member in &mut pool.members {
            member.rate = members.get(&key(member)).and_then(|then| of_member(member, then, time));
        }
        if pool.listeners == 1 {
            let new = pool.members.iter().filter_map(|one| one.rate?.new_connections);
            let is_known = pool.members.iter().any(|one| one.opened.is_some());
            by_pool.insert(pool.name.clone(), is_known.then(|| new.sum::<f64>()));
        }
    }
    let listeners: HashMap<_, _> = before.load_balancers.iter().flat_map(named).collect();
    for lb in &mut status.load_balancers {
        for listener in &mut lb.listeners {
            let name = (lb.name.as_str(), listener.name.as_str());
            let new_connections = by_pool.get(listener.serving_pool()).copied().flatten();
            listener.rate = listeners.get(&name).and_then(|then| {
                Some(MeasuredRate {
                    packets: per_second(listener.packets, then.packets, time)?,
                    bytes: per_second(listener.bytes, then.bytes, time)?,
                    new_connections,
                    replies: of_replies(listener.replies, then.replies, time),
                })
            });
        }
    }
}

/// In the place of a listener's counts.
pub(super) fn of_listener(rate: Option<MeasuredRate>) -> String {
    let [packets, bytes, new] = columns(rate);
    let replies = rate.and_then(|rate| rate.replies);
    let replies = replies.map(|_| {
        let [packets, bytes] = reply_columns(rate);
        format!(", replies {packets} packets/s, {bytes}/s")
    });
    format!("{packets} packets/s, {bytes}/s, {new} new/s{}", replies.unwrap_or_default())
}

/// The cells of a row.
pub(super) fn columns(rate: Option<MeasuredRate>) -> [String; 3] {
    let Some(MeasuredRate { packets, bytes: sent, new_connections, .. }) = rate else {
        return ["-", "-", "-"].map(str::to_owned);
    };
    [shown(packets), in_units(sent), new_connections.map_or("-".to_owned(), shown)]
}

/// The cells of what members answer.
pub(super) fn reply_columns(rate: Option<MeasuredRate>) -> [String; 2] {
    let Some(ReplyRate { packets, bytes, .. }) = rate.and_then(|rate| rate.replies) else {
        return ["-", "-"].map(str::to_owned);
    };
    [shown(packets), in_units(bytes)]
}

fn shown(number: f64) -> String {
    if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

/// A member, also of two pools of one name, one after the other.
fn key(member: &MemberStatus) -> (String, std::net::SocketAddr) {
    (member.member.pool.clone(), member.member.socket())
}

fn named(
    lb: &crate::api::shape::status::LoadBalancerStatus,
) -> impl Iterator<Item = ((&str, &str), &ListenerStatus)> {
    lb.listeners.iter().map(|one| ((lb.name.as_str(), one.name.as_str()), one))
}

fn of_member(now: &MemberStatus, then: &MemberStatus, time: Duration) -> Option<MeasuredRate> {
    Some(MeasuredRate {
        packets: per_second(now.packets, then.packets, time)?,
        bytes: per_second(now.bytes, then.bytes, time)?,
        new_connections: now
            .opened
            .zip(then.opened)
            .and_then(|(now, then)| per_second(now, then, time)),
        replies: of_replies(now.replies, then.replies, time),
    })
}

/// None where it is not known, or was not.
fn of_replies(now: Option<Replies>, then: Option<Replies>, time: Duration) -> Option<ReplyRate> {
    let (now, then) = (now?, then?);
    Some(ReplyRate {
        packets: per_second(now.packets, then.packets, time)?,
        bytes: per_second(now.bytes, then.bytes, time)?,
        accepted: now.accepted.zip(then.accepted).and_then(|(n, then)| per_second(n, then, time)),
        resets: now.resets.zip(then.resets).and_then(|(n, then)| per_second(n, then, time)),
    })
}

/// None: the counter began anew.
fn per_second(now: u64, then: u64, time: Duration) -> Option<f64> {
    Some(now.checked_sub(then)? as f64 / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::*;

    #[test]
    fn counts_of_two_looks_are_rates() {
        let before = status();
        let mut after = status();
        let member = &mut after.pools[1].members[0];
        (member.packets, member.bytes, member.opened) = (300, 4_096, Some(50));
        after.load_balancers[0].listeners[0].packets = 30;
        let mut before_one = before.clone();
        before_one.pools[1].members[0].opened = Some(20);
        fill(&mut after, &before_one, Duration::from_secs(2));
        let rate = after.pools[1].members[0].rate;
        let wanted = MeasuredRate {
            packets: 150.0,
            bytes: 2_048.0,
            new_connections: Some(15.0),
            replies: None,
        };
        assert_eq!(rate, Some(wanted));
        assert_eq!(columns(rate), ["150", "2.0 KiB", "15"]);
        // Two listeners share the pool: whose the new connections are is not known.
        let listener = after.load_balancers[0].listeners[0].rate;
        assert_eq!(of_listener(listener), "15 packets/s, 0 B/s, - new/s");
    }

    #[test]
    fn answers_have_rates_where_they_are_known() {
        let (mut before, mut after) = (status(), status());
        let replies = |packets| {
            let resets = Some(packets / 10);
            Some(Replies { packets, bytes: packets * 1_024, resets, accepted: None })
        };
        before.pools[1].members[0].replies = replies(10);
        after.pools[1].members[0].replies = replies(40);
        after.pools[0].members[0].replies = replies(7);
        before.load_balancers[0].listeners[0].replies = replies(100);
        after.load_balancers[0].listeners[0].replies = replies(300);
        fill(&mut after, &before, Duration::from_secs(2));
        let rates = [1, 0].map(|pool| after.pools[pool].members[0].rate);
        assert_eq!(rates.map(reply_columns), [["15", "15.0 KiB"], ["-", "-"]]);
        let replies = after.pools[1].members[0].rate.unwrap().replies.unwrap();
        assert_eq!((replies.resets, replies.accepted), (Some(1.5), None));
        let listeners = &after.load_balancers[0].listeners;
        let said = [0, 1].map(|one| of_listener(listeners[one].rate));
        let plain = "0.0 packets/s, 0 B/s, - new/s";
        let replies = ", replies 100 packets/s, 100.0 KiB/s";
        assert_eq!(said, [format!("{plain}{replies}"), plain.to_owned()]);
    }

    #[test]
    fn what_began_anew_or_is_new_has_no_rate() {
        let (mut before, mut after) = (status(), status());
        before.pools[1].members[0].packets = 7;
        before.pools.remove(0);
        fill(&mut after, &before, Duration::from_secs(1));
        assert_eq!(after.pools[0].members[0].rate, None);
        assert_eq!(after.pools[1].members[0].rate, None);
        assert_eq!(columns(None), ["-", "-", "-"]);
    }
}
