//! What the slots become on every kind of change, and the records that packets read with them.

use elb_common::listener::algorithm;
use elb_common::ring::Slot;

use super::scene::Scene;
use super::*;
use crate::control::ring::slots::Diff;

const NO_MEMBER: u16 = Slot::NO_MEMBER;

fn pairs<const N: usize>(pairs: [(u16, u16); N]) -> BTreeSet<(u16, u16)> {
    pairs.into()
}

/// A pool of these members and weights.
fn weighted(members: &[(u8, u32)], pool: &str) -> Model {
    let numbers: Vec<u8> = members.iter().map(|(n, _)| *n).collect();
    let mut text = text(&numbers, pool);
    for (n, weight) in members {
        let key = format!("address = \"10.0.0.{n}\"");
        text = text.replace(&key, &format!("{key}\nweight = {weight}"));
    }
    file::parse("test", &text).unwrap().model
}

#[test]
fn a_member_that_comes_takes_slots_from_all() {
    let mut scene = Scene::new(&model(&[11, 12], ""));
    assert_eq!(scene.pairs(), pairs([(1, 0), (2, 0)]));
    let desired = scene.follow(&model(&[11, 12, 13], ""));
    assert_eq!(scene.pairs(), pairs([(1, 0), (2, 0), (3, 1), (3, 2), (1, 2), (2, 1)]));
    let Diff { moved, minimum, .. } = desired.moved[&web()];
    assert!(moved >= minimum && minimum > 1_300, "{moved} {minimum}");
}

#[test]
fn a_member_that_goes_is_the_former_owner_until_its_flows_are_over() {
    let rest = model(&[12, 13], "");
    let mut scene = Scene::new(&model(&[11, 12, 13], ""));
    scene.follow(&rest);
    assert!(scene.pairs().is_superset(&pairs([(2, 0), (3, 0), (2, 1), (3, 1)])));
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
    scene.world.now += 301;
    assert!(scene.sweep(&rest) > 0);
    assert!(scene.pairs().is_superset(&pairs([(2, 0), (3, 0), (2, 1), (3, 1)])));
    scene.world.now += 1;
    assert!(scene.sweep(&rest) > 0);
    assert_eq!(scene.pairs(), pairs([(2, 0), (3, 0), (2, 2), (3, 3)]), "all flows are recorded");
    scene.world.now += 2;
    assert_eq!(scene.sweep(&rest), 0);
    assert_eq!(scene.pairs(), pairs([(2, 0), (3, 0)]));
    assert_eq!(scene.image.backends.keys().copied().collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_member_with_another_weight_trades_slots() {
    let mut scene = Scene::new(&weighted(&[(11, 1), (12, 1)], ""));
    scene.follow(&weighted(&[(11, 1), (12, 3)], ""));
    assert_eq!(scene.image.backends[&2].weight, 3);
    assert!(scene.pairs().is_superset(&pairs([(1, 0), (2, 0), (2, 1)])));
    let on_2 = scene.slots().iter().filter(|(cur, _)| *cur == 2).count();
    assert!(on_2.abs_diff(4_093 * 3 / 4) <= 2, "{on_2}");
}

#[test]
fn a_member_without_weight_takes_nothing_new_and_keeps_its_flows() {
    let mut scene = Scene::new(&weighted(&[(11, 1), (12, 1)], ""));
    scene.follow(&weighted(&[(11, 0), (12, 1)], ""));
    assert_eq!(scene.pairs(), pairs([(2, 0), (2, 1)]));
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
    scene.follow(&weighted(&[(11, 1), (12, 1)], ""));
    assert_eq!(scene.pairs(), pairs([(2, 0), (1, 1)]), "it is back where its flows are");
}

#[test]
fn a_member_that_fails_and_recovers_has_its_slots_back() {
    let model = model(&[11, 12], "");
    let mut scene = Scene::new(&model);
    scene.world.sick.insert(address(11));
    scene.follow(&model);
    assert_eq!(scene.pairs(), pairs([(2, 0), (2, 1)]));
    scene.world.sick.clear();
    scene.follow(&model);
    assert_eq!(scene.pairs(), pairs([(2, 0), (1, 1)]));
}

#[test]
fn the_flows_of_a_failed_member_go_elsewhere_where_the_pool_wants_it() {
    let model = model(&[11, 12], "flows_on_unhealthy = \"rehash\"");
    let mut scene = Scene::new(&model);
    scene.world.sick.insert(address(11));
    scene.follow(&model);
    assert_eq!(scene.pairs(), pairs([(2, 0), (2, 2)]), "flows are recorded where they go");
    assert_eq!(scene.image.backends[&1].flags, REACHABLE);
    scene.world.sick.clear();
    scene.follow(&model);
    assert_eq!(scene.pairs(), pairs([(2, 0), (1, 2)]), "and stay there");
}

#[test]
fn a_pool_that_loses_all_members_honours_what_is_recorded() {
    let model = model(&[11, 12], "flows_on_unhealthy = \"rehash\"");
    let mut scene = Scene::new(&model);
    scene.world.sick.extend([address(11), address(12)]);
    scene.follow(&model);
    assert_eq!(scene.pairs(), pairs([(0, NO_MEMBER)]));
    scene.world.sick.remove(&address(12));
    scene.follow(&model);
    assert_eq!(scene.pairs(), pairs([(2, 2)]));
}

#[test]
fn another_address_is_another_member() {
    let mut scene = Scene::new(&model(&[11, 12], ""));
    scene.follow(&model(&[11, 13], ""));
    assert!(scene.pairs().is_superset(&pairs([(1, 0), (3, 2)])));
    assert_eq!(scene.image.backends[&2].flags, REACHABLE | ESTABLISHED);
    assert_eq!(scene.image.backends[&3].flags, REACHABLE | ESTABLISHED | NEW);
}

/// Another size, and every pair of algorithms: the new ring moves as a whole, in another place, and
/// the old one is asked for older flows until all of it is quiet.
#[test]
fn another_shape_is_another_ring_with_the_old_one_before() {
    let shapes = [
        ("lb_algorithm = \"5_TUPLE_HASH\"", algorithm::FIVE_TUPLE),
        ("lb_algorithm = \"3_TUPLE_HASH\"", algorithm::THREE_TUPLE),
        ("lb_algorithm = \"2_TUPLE_HASH\"", algorithm::TWO_TUPLE),
        ("lb_algorithm = \"SOURCE_IP\"", algorithm::SOURCE),
        ("lb_algorithm = \"ROUND_ROBIN\"", algorithm::ROUND_ROBIN),
        ("lb_algorithm = \"LEAST_CONNECTIONS\"", algorithm::LEAST_CONNECTIONS),
    ];
    for (from, was) in shapes {
        let mut scene = Scene::new(&model(&[11, 12], from));
        assert_eq!((scene.listener().algorithm, scene.pool().former.size), (was, 0));
        for (to, is) in shapes.into_iter().filter(|(_, number)| *number != was) {
            let to = model(&[11, 12], to);
            let base = scene.listener().ring_base;
            let desired = scene.follow(&to);
            assert_eq!(desired.moved[&web()], Diff::whole(4_093));
            let is_scheduled = is >= algorithm::ROUND_ROBIN;
            let begins = if is_scheduled { [(1, 0), (2, 0)] } else { [(1, 1), (2, 2)] };
            assert_eq!(scene.pairs(), pairs(begins));
            let (listener, pool) = (scene.listener(), scene.pool());
            assert_eq!((listener.ring_size, listener.algorithm), (4_093, is));
            assert_eq!((pool.former.base, pool.former.size), (base, 4_093));
            assert_eq!((pool.former.algorithm, pool.udp_hold_until), (was, scene.world.now + 30));
            let tracked = listener.flags & listener_flags::TRACKED != 0;
            assert_eq!(tracked, is_scheduled);

            scene.world.now += 400;
            assert!(is_scheduled || scene.sweep(&to) > 0, "the ring before is asked until now");
            scene.sweep(&to);
            scene.world.now += 2;
            assert_eq!(scene.sweep(&to), 0);
            assert_eq!(scene.pairs(), pairs([(1, 0), (2, 0)]));
            assert_eq!(scene.pool().former.size, 0);
            let former = Region { base, size: 4_093 };
            assert!(scene.words(former).slots().all(|slot| slot == Slot::default()));
            let back = model(&[11, 12], from);
            scene.follow(&back);
            scene.world.now += 400;
            scene.sweep(&back);
            assert_eq!(scene.sweep(&back), 0);
        }
    }
}

#[test]
fn a_ring_of_another_size_is_another_ring() {
    let mut scene = Scene::new(&model(&[11], ""));
    let desired = scene.follow(&large());
    assert_eq!((desired.freed.len(), desired.rings[0].owners.len()), (0, 16_381));
    assert_eq!((scene.listener().ring_base, scene.listener().ring_size), (4_096, 16_381));
    assert_eq!((scene.pool().former.base, scene.pool().former.size), (0, 4_093));
}

#[test]
fn of_three_rings_the_oldest_is_asked_and_the_one_in_between_is_freed() {
    let round_robin = model(&[11, 12], "lb_algorithm = \"ROUND_ROBIN\"");
    let source = model(&[11, 12], "lb_algorithm = \"SOURCE_IP\"");
    let mut scene = Scene::new(&model(&[11, 12], ""));
    scene.follow(&round_robin);
    let between = Region { base: scene.listener().ring_base, size: 4_093 };
    scene.world.now += 200;
    let desired = scene.follow(&source);
    assert_eq!(desired.freed, [between]);
    assert_eq!(scene.pairs(), pairs([(1, 1), (2, 2)]));
    let pool = scene.pool();
    assert_eq!((pool.former.base, pool.former.algorithm), (0, algorithm::FIVE_TUPLE));
}

/// Flows without a record live on the former ring for an idle timeout, whatever the sweeps find.
#[test]
fn a_ring_that_replaces_another_is_asked_for_an_idle_timeout() {
    let source = model(&[11, 12], "lb_algorithm = \"SOURCE_IP\"");
    let mut scene = Scene::new(&model(&[11, 12], ""));
    scene.follow(&source);
    scene.world.now += 301;
    scene.sweep(&source);
    assert_eq!(scene.pool().former.size, 4_093);
    scene.world.now += 1;
    scene.sweep(&source);
    assert_eq!((scene.pool().former.size, scene.pairs()), (0, pairs([(1, 1), (2, 2)])));
    scene.sweep(&source);
    assert_eq!(scene.pairs(), pairs([(1, 0), (2, 0)]));
}

#[test]
fn a_schedule_follows_its_members_without_moving() {
    let round_robin = "lb_algorithm = \"ROUND_ROBIN\"";
    let mut scene = Scene::new(&weighted(&[(11, 1), (12, 1)], round_robin));
    let turns: Vec<u16> = scene.slots().iter().map(|(cur, _)| *cur).collect();
    let first = turns[0];
    assert!(turns.chunks_exact(2).all(|pair| pair == [first, 3 - first]), "they alternate");
    let desired = scene.follow(&weighted(&[(11, 1), (12, 3)], round_robin));
    assert!(desired.moved.is_empty() && desired.rings.len() == 1);
    assert_eq!(scene.pairs(), pairs([(1, 0), (2, 0)]));
    let on_2 = scene.slots().iter().filter(|(cur, _)| *cur == 2).count();
    assert!(on_2.abs_diff(4_093 * 3 / 4) <= 1, "{on_2}");

    let least = weighted(&[(11, 1), (12, 3)], "lb_algorithm = \"LEAST_CONNECTIONS\"");
    let scene = Scene::new(&least);
    let on_2 = scene.slots().iter().filter(|(cur, _)| *cur == 2).count();
    assert!(on_2.abs_diff(4_093 / 2) <= 1, "every member once a round: {on_2}");
    assert_eq!(scene.image.backends[&2].weight, 3);
}

/// Flows of a schedule are recorded on settled slots: a removed member stays until none has it.
#[test]
fn a_removed_member_of_a_schedule_stays_as_long_as_it_has_flows() {
    let pool = "lb_algorithm = \"ROUND_ROBIN\"";
    let mut scene = Scene::new(&model(&[11, 12], pool));
    let one = model(&[12], pool);
    scene.follow(&one);
    assert_eq!(scene.pairs(), pairs([(2, 0)]));
    scene.records.flows.insert(1, 5);
    scene.sweep(&one);
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
    scene.records.flows.clear();
    scene.sweep(&one);
    assert!(!scene.image.backends.contains_key(&1));
}

#[test]
fn a_longer_idle_timeout_brings_no_old_flow_back() {
    let with = |timeout: u32| {
        let listener = "default_pool = \"web\"";
        let text = text(&[11, 12], "");
        let text = text.replace(listener, &format!("{listener}\nkeepalive_timeout = {timeout}"));
        file::parse("test", &text).unwrap().model
    };
    let mut scene = Scene::new(&with(60));
    assert_eq!((scene.pool().idle_timeout, scene.pool().flows_since), (60, 0));
    scene.world.now = 5_000;
    scene.follow(&with(10));
    assert_eq!((scene.pool().idle_timeout, scene.pool().flows_since), (10, 0));
    scene.world.now = 5_100;
    scene.follow(&with(300));
    assert_eq!((scene.pool().idle_timeout, scene.pool().flows_since), (300, 5_090));
    scene.follow(&with(20));
    assert_eq!((scene.pool().idle_timeout, scene.pool().flows_since), (20, 5_090));
    scene.world.now = 5_105;
    scene.follow(&with(4_000));
    assert_eq!(scene.pool().flows_since, 5_090, "it only grows");
}

#[test]
fn udp_is_held_only_where_a_pool_has_a_past() {
    let all = model(&[11, 12], "");
    let mut scene = Scene::new(&model(&[], ""));
    scene.world.sick.insert(address(12));
    scene.follow(&all);
    scene.world.now += 29;
    scene.world.sick.clear();
    scene.follow(&all);
    assert!(scene.pairs().contains(&(2, 1)));
    assert_eq!(scene.pool().udp_hold_until, 0, "the first to be healthy does not keep all");
    scene.world.now += 1;
    scene.follow(&model(&[11, 12, 13], ""));
    assert_eq!(scene.pool().udp_hold_until, 1_060);
}

/// Whatever happened, a new agent with the saved numbers finds everything as it should be.
#[test]
fn a_restart_in_the_middle_of_everything_changes_nothing() {
    let source = "lb_algorithm = \"SOURCE_IP\"\nconnection_drain = { enable = true, timeout = 60 }";
    let steps = [model(&[11, 12, 13], ""), model(&[11, 12, 13], source), model(&[11, 13], source)];
    let mut scene = Scene::new(&steps[0]);
    for step in &steps {
        scene.world.now += 10;
        scene.follow(step);
        let (image, slots) = (scene.image.clone(), scene.slots());
        scene.restart();
        scene.world.now += 10;
        let desired = scene.follow(step);
        assert_eq!((&scene.image, scene.slots()), (&image, slots));
        assert!(desired.moved.is_empty() && desired.freed.is_empty());
    }
    assert_eq!(scene.reconciler.assignments.pools[&web()].members[1].cut_at, Some(1_111));
}

/// The agent died between saving the numbers of a new ring and writing its slots.
#[test]
fn a_restart_before_a_new_ring_was_written_protects_its_flows() {
    let source = model(&[11, 12], "lb_algorithm = \"SOURCE_IP\"");
    let mut scene = Scene::new(&model(&[11, 12], ""));
    scene.reconciler.reconcile(&source, &scene.world);
    scene.restart();
    scene.follow(&source);
    assert_eq!(scene.pairs(), pairs([(1, 1), (2, 2)]));
    assert_eq!(scene.pool().former.size, 4_093);
}

#[test]
fn a_pool_that_goes_frees_both_of_its_rings() {
    let mut scene = Scene::new(&model(&[11], ""));
    scene.follow(&model(&[11], "lb_algorithm = \"SOURCE_IP\""));
    let nothing = file::parse("test", "[agent]\ninterfaces = [\"eth0\"]\n").unwrap().model;
    let desired = scene.reconciler.reconcile(&nothing, &scene.world);
    assert_eq!(desired.freed.len(), 2);
    assert!(desired.image.listeners.is_empty() && desired.image.backends.is_empty());
}

/// All members failed while no agent ran: the ring that the last one left names them still.
#[test]
fn a_restart_after_which_no_member_serves_empties_the_ring() {
    let model = model(&[11, 12], "");
    let mut scene = Scene::new(&model);
    scene.restart();
    scene.world.sick.extend([11, 12].map(address));
    scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(0, 1), (0, 2)]));
}
