use proptest::prelude::*;

use super::super::fixture;
use super::*;

fn packets(traffic: Traffic) -> Option<f64> {
    traffic.packets_per_second
}

#[test]
fn two_looks_give_rates() {
    let (before, after) = fixture::looks();
    let report = report("lb-1", Some(&before), &after);
    assert_eq!(report.seconds, 2.0);
    let listener = &report.listeners.as_ref().unwrap()[0];
    assert_eq!(listener.traffic.packets_per_second, Some(100.0));
    assert_eq!(listener.traffic.bytes_per_second, Some(6000.0));
    let members = report.members.as_ref().unwrap();
    assert_eq!(members.iter().map(|one| packets(one.traffic)).collect::<Vec<_>>(), [Some(50.0); 2]);
    // 124 in 62 seconds.
    assert_eq!(members[0].new_connections_per_second, Some(2.0));
    assert_eq!((members[0].share, members[0].got), (0.5, Some(0.5)));
    let pool = &report.pools.as_ref().unwrap()[0];
    assert_eq!((packets(pool.traffic), pool.members, pool.members_up), (Some(100.0), 2, 1));
    let drops = report.drops.as_ref().unwrap();
    assert_eq!((drops[0].total.reason.as_str(), drops[0].packets_per_second), ("no_backend", 5.0));
    let total = &report.total;
    assert_eq!((packets(total.traffic), total.dropped_per_second), (Some(100.0), Some(5.0)));
    assert_eq!((total.members, total.members_up, total.members_down), (2, 1, 1));
}

#[test]
fn answers_have_rates_where_they_are_known() {
    let (mut before, mut after) = fixture::looks();
    for (look, packets) in [(&mut before, 10), (&mut after, 50)] {
        let (accepted, resets) = (Some(packets / 2), Some(packets / 10));
        let replies = Some(Replies { packets, bytes: 1_000 * packets, accepted, resets });
        look.status.pools[0].members[1].replies = replies;
        look.status.load_balancers[0].listeners[0].replies = replies;
    }
    let report = report("lb-1", Some(&before), &after);
    let replies =
        |traffic: Traffic| (traffic.reply_packets_per_second, traffic.reply_bytes_per_second);
    let known = (Some(20.0), Some(20_000.0));
    let members = report.members.as_ref().unwrap();
    assert_eq!([0, 1].map(|one: usize| replies(members[one].traffic)), [(None, None), known]);
    assert_eq!(replies(report.pools.as_ref().unwrap()[0].traffic), known);
    assert_eq!(replies(report.listeners.as_ref().unwrap()[0].traffic), known);
    assert_eq!(replies(report.total.traffic), known);
    let total = report.total.traffic;
    assert_eq!((total.accepted_per_second, total.resets_per_second), (Some(10.0), Some(2.0)));
}

#[test]
fn one_look_gives_none() {
    let (_, after) = fixture::looks();
    let report = report("lb-1", None, &after);
    assert_eq!(packets(report.total.traffic), None);
    assert_eq!(report.total.dropped_per_second, None);
    assert_eq!(report.listeners.unwrap()[0].traffic, NOTHING);
}

#[test]
fn a_counter_that_is_less_began_anew_at_zero() {
    let (before, mut after) = fixture::looks();
    after.status = fixture::status(1, [30, 20, 510], 3);
    let shown = report("lb-1", Some(&before), &after);
    let rate = |index: usize| packets(shown.members.as_ref().unwrap()[index].traffic);
    assert_eq!(
        (packets(shown.total.traffic), rate(0), rate(1)),
        (Some(15.0), Some(10.0), Some(5.0))
    );
}

#[test]
fn another_agent_with_maps_of_its_own_gives_no_rate_at_first() {
    let (before, mut after) = fixture::looks();
    after.status.agent.pid = 2;
    let shown = report("lb-1", Some(&before), &after);
    assert_eq!(packets(shown.total.traffic), None);
    after.status.agent.adopted = true;
    let shown = report("lb-1", Some(&before), &after);
    assert_eq!(packets(shown.total.traffic), Some(100.0), "it took the maps over");
}

#[test]
fn what_was_not_there_has_no_rate() {
    let (mut before, after) = fixture::looks();
    before.status.pools[0].members.remove(1);
    before.status.load_balancers.clear();
    let shown = report("lb-1", Some(&before), &after);
    let members = shown.members.as_ref().unwrap();
    assert_eq!((packets(members[0].traffic), packets(members[1].traffic)), (Some(50.0), None));
    assert_eq!(shown.listeners.as_ref().unwrap()[0].traffic, NOTHING);
}

#[test]
fn a_short_or_wrong_window_says_nothing_of_new_connections() {
    let (_, mut after) = fixture::looks();
    for since in ["2026-01-02T01:01:00Z", "2026-01-02T09:00:00Z", "yesterday"] {
        let new = after.status.pools[0].members[0].new_connections.as_mut().unwrap();
        new.since = since.to_owned();
        let shown = report("lb-1", None, &after);
        assert_eq!(shown.members.unwrap()[0].new_connections_per_second, None, "{since}");
    }
}

proptest! {
    #[test]
    fn rates_are_finite_and_not_negative(
        before: Option<u64>,
        after: u64,
        nanos in 0..u64::MAX / 2,
    ) {
        let rate = rate(before, after, Duration::from_nanos(nanos).as_secs_f64());
        prop_assert_eq!(rate.is_some(), before.is_some() && nanos > 0);
        prop_assert!(rate.is_none_or(|rate| rate.is_finite() && rate >= 0.0));
    }

    #[test]
    fn members_add_up_to_their_pool(counts in proptest::array::uniform3(0..1_u64 << 40)) {
        let (before, mut after) = fixture::looks();
        after.status = fixture::status(1, counts, 50);
        let shown = report("lb-1", Some(&before), &after);
        let members = shown.members.unwrap();
        let sum: f64 = members.iter().filter_map(|one| packets(one.traffic)).sum();
        let pool = packets(shown.pools.unwrap()[0].traffic).unwrap();
        prop_assert!((sum - pool).abs() <= sum * 1e-9);
    }
}
