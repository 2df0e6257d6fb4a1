//! Slow start: who rises and who does not, when it goes on, and what is left alone meanwhile.

use proptest::prelude::*;

use super::scene::Scene;
use super::*;
use crate::control::ring::slots::Diff;

const RISE: u32 = 40;

/// A pool of these members whose new ones rise for 40 seconds, in steps of two.
fn pool(members: &[u8], keys: &str) -> Model {
    model(members, &format!("slow_start = {RISE}\n{keys}"))
}

impl Scene {
    /// The part of the slots that a member owns, by its number.
    fn share(&self, id: u16) -> f64 {
        let slots = self.slots();
        slots.iter().filter(|(owner, _)| *owner == id).count() as f64 / slots.len() as f64
    }

    fn passes(&mut self, seconds: u32, model: &Model) -> Desired {
        self.world.now += seconds;
        self.follow(model)
    }

    #[track_caller]
    fn has_share(&self, id: u16, due: f64) {
        let share = self.share(id);
        assert!((share - due).abs() < 0.01, "{share} of {due}");
    }
}

#[test]
fn a_first_ring_has_no_rise_and_a_member_that_comes_has() {
    let mut scene = Scene::new(&pool(&[11], ""));
    scene.has_share(1, 1.0);
    let model = pool(&[11, 12], "");
    let desired = scene.passes(100, &model);
    assert_eq!(desired.next_step, Some(scene.world.now + 2));
    scene.has_share(2, 0.5 / 40.0);
    let rising = scene.reconciler.rising(&model.pools()[0], scene.world.now);
    assert_eq!(rising.keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(rising[&2].to_string(), "rises: 2 % of its share, all of it in 40 s");

    let desired = scene.passes(1, &model);
    assert!(desired.rings.is_empty(), "not between steps");
    let desired = scene.passes(1, &model);
    assert_eq!(desired.steps, BTreeSet::from([web()]));
    let Diff { moved, minimum, .. } = desired.moved[&web()];
    assert_eq!((moved, desired.next_step), (minimum, Some(scene.world.now + 2)));

    // Half of the time, half of the share.
    let desired = scene.passes(17, &model);
    assert_eq!(desired.next_step, Some(scene.world.now + 1));
    scene.has_share(2, 0.5 * 19.0 / 40.0);
    scene.passes(20, &model);
    scene.has_share(2, 0.5 * 39.0 / 40.0);
    let desired = scene.passes(1, &model);
    scene.has_share(2, 0.5);
    assert_eq!((desired.next_step, desired.steps.len()), (None, 1));
    assert!(scene.reconciler.rising(&model.pools()[0], scene.world.now).is_empty());
    assert!(scene.passes(100, &model).rings.is_empty());
}

/// Failing, draining, a weight of 0 and a lost way: who comes back begins anew.
#[test]
fn a_member_that_was_away_rises_again() {
    let keys = "connection_drain = { enable = true, timeout = 30 }";
    let all = pool(&[11, 12], keys);
    let weightless = "10.0.0.12\"\nprotocol_port = 80";
    let without = text(&[11, 12], &format!("slow_start = {RISE}\n{keys}"))
        .replace(weightless, &format!("{weightless}\nweight = 0"));
    let without = file::parse("test", &without).unwrap().model;
    for how in ["sick", "drained", "unreachable", "weight"] {
        let mut scene = Scene::new(&all);
        scene.has_share(2, 0.5);
        match how {
            "sick" => drop(scene.world.sick.insert(address(12))),
            "drained" => drop(scene.world.drained.insert(address(12))),
            "unreachable" => drop(scene.world.unreachable.insert(address(12))),
            _ => {}
        }
        let desired = scene.passes(5, if how == "weight" { &without } else { &all });
        assert_eq!((scene.share(2), desired.next_step), (0.0, None), "{how}");
        scene.world = World { now: scene.world.now, ..World::default() };
        scene.passes(5, &all);
        scene.has_share(2, 0.5 / 40.0);
        scene.passes(20, &all);
        scene.has_share(2, 0.5 * 21.0 / 40.0);
        scene.passes(20, &all);
        scene.has_share(2, 0.5);
    }
}

/// One that fails while it rises begins anew, too: what it was does not matter.
#[test]
fn a_rise_that_ends_early_counts_for_nothing() {
    let model = pool(&[11, 12], "");
    let mut scene = Scene::new(&pool(&[11], ""));
    scene.passes(10, &model);
    scene.passes(36, &model);
    scene.world.sick.insert(address(12));
    scene.passes(1, &model);
    scene.world.sick.clear();
    scene.passes(1, &model);
    scene.has_share(2, 0.5 / 40.0);
}

/// Where no other takes new flows, a member has all of them.
#[test]
fn no_member_rises_alone() {
    let model = pool(&[11, 12, 13], "");
    let mut scene = Scene::new(&model);
    scene.world.sick.extend([11, 12, 13].map(address));
    scene.passes(5, &model);
    // Two of three come back together, and the last a second later.
    scene.world.sick = HashSet::from([address(13)]);
    scene.passes(5, &model);
    scene.has_share(1, 0.5);
    scene.has_share(2, 0.5);
    scene.world.sick.clear();
    scene.passes(1, &model);
    scene.has_share(3, 0.5 / 40.0 * 2.0 / 3.0);
    // Those that have risen leave: the one that rises has everything, and no other is slowed down by it.
    scene.world.sick.extend([11, 12].map(address));
    scene.passes(1, &model);
    scene.has_share(3, 1.0);
    assert!(scene.reconciler.rising(&model.pools()[0], scene.world.now).is_empty());
}

#[test]
fn who_serves_as_a_last_resort_does_not_rise() {
    let keys = "pool_health = { minimum_healthy_member_count = 1 }";
    let model = pool(&[11, 12], keys);
    let mut scene = Scene::new(&model);
    scene.world.sick.insert(address(12));
    scene.passes(5, &model);
    assert_eq!(scene.share(2), 0.0);
    scene.world.sick.insert(address(11));
    scene.passes(5, &model);
    scene.has_share(2, 0.5);
    // It leaves when the other works, and rises when it does itself.
    scene.world.sick.remove(&address(11));
    scene.passes(5, &model);
    assert_eq!(scene.share(2), 0.0);
    scene.world.sick.clear();
    scene.passes(5, &model);
    scene.has_share(2, 0.5 / 40.0);
}

/// A backup that works is ready when it is called; one that has just begun to work is not.
#[test]
fn a_backup_rises_in_reserve() {
    let model = |members: &[u8]| {
        let key = "address = \"10.0.0.21\"\n";
        let text = text(members, &format!("slow_start = {RISE}\nbackup_below = 2"));
        let text = text.replace(key, &format!("{key}backup = true\n"));
        file::parse("test", &text).unwrap().model
    };
    let (two, all) = (model(&[11, 12]), model(&[11, 12, 21]));
    for (waits, due) in [(RISE, 0.5), (RISE / 2, 0.5 * 21.0 / 40.0)] {
        let mut scene = Scene::new(&two);
        scene.passes(5, &all);
        assert_eq!(scene.share(3), 0.0);
        scene.world.now += waits;
        scene.world.sick.insert(address(12));
        scene.follow(&all);
        scene.has_share(3, due);
    }
}

#[test]
fn a_restart_goes_on_where_the_last_agent_was() {
    let model = pool(&[11, 12], "");
    let mut scene = Scene::new(&pool(&[11], ""));
    scene.passes(10, &model);
    scene.passes(10, &model);
    let before = scene.slots();
    scene.restart();
    let desired = scene.passes(1, &model);
    assert!(desired.rings.is_empty() && scene.slots() == before, "the same step");
    assert_eq!(desired.next_step, Some(scene.world.now + 1));
    // The next is away for longer than the rest takes.
    scene.restart();
    scene.passes(100, &model);
    scene.has_share(2, 0.5);
}

/// Without what was saved, the maps show who took new flows.
#[test]
fn a_restart_without_a_saved_state_slows_no_member_down() {
    let model = pool(&[11, 12], "");
    let mut scene = Scene::new(&model);
    for assigned in &mut scene.reconciler.assignments.pools.get_mut(&web()).unwrap().members {
        assigned.ascent = None;
    }
    scene.restart();
    let desired = scene.passes(5, &model);
    assert!(desired.rings.is_empty() && desired.next_step.is_none());
    scene.has_share(2, 0.5);
}

#[test]
fn a_pool_gets_it_and_loses_it_while_it_serves() {
    let mut scene = Scene::new(&model(&[11, 12], ""));
    let [risen, plain] = [pool(&[11, 12, 13], ""), model(&[11, 12, 13], "")];
    let desired = scene.passes(5, &risen);
    assert_eq!(
        desired.image.backends[&1].weight, 10_000,
        "a unit in which parts of a weight are whole"
    );
    scene.has_share(1, 0.5);
    scene.has_share(3, 1.0 / 3.0 / 40.0);
    let desired = scene.passes(5, &plain);
    scene.has_share(3, 1.0 / 3.0);
    assert_eq!((desired.image.backends[&1].weight, desired.next_step), (1, None));
    // Nor does it begin where a longer time comes into force.
    scene.passes(5, &risen);
    scene.has_share(3, 1.0 / 3.0);
    scene.passes(5, &model(&[11, 12, 13], "slow_start = 1200"));
    scene.has_share(3, 1.0 / 3.0);
}

/// Least connections go by the weights in the records; all other figures as well.
#[test]
fn records_have_the_weights_that_members_have_risen_to() {
    for algorithm in ["LEAST_CONNECTIONS", "ROUND_ROBIN", "5_TUPLE_HASH"] {
        let keys = format!("lb_algorithm = {algorithm:?}");
        let model = pool(&[11, 12], &keys);
        let mut scene = Scene::new(&pool(&[11], &keys));
        scene.passes(10, &model);
        let desired = scene.passes(19, &model);
        let weights = [1, 2].map(|id| f64::from(desired.image.backends[&id].weight));
        let share = weights[1] / (weights[0] + weights[1]);
        assert!((share - 0.5 * 19.0 / 40.0).abs() < 0.001, "{share}");
        scene.has_share(2, share);
    }
}

proptest! {
    /// Whatever happens to members: who takes new flows is who may, shares of those that rise are what is due
    /// or more, and without another event everyone has its share in the end.
    #[test]
    fn all_have_their_share_in_the_end(
        steps in prop::collection::vec((0u8..4, any::<bool>(), 0u32..30, any::<bool>()), 1..25),
    ) {
        let members = [11, 12, 13, 14];
        let model = pool(&members, "");
        let mut scene = Scene::new(&model);
        let mut away: HashSet<u8> = HashSet::new();
        for (n, fails, passed, restarts) in steps {
            let one = members[usize::from(n)];
            let is_news = if fails { away.insert(one) } else { away.remove(&one) };
            scene.world.sick = away.iter().map(|n| address(*n)).collect();
            if restarts {
                scene.restart();
            }
            let desired = scene.passes(passed, &model);
            for (id, n) in (1..).zip(members) {
                prop_assert_eq!(scene.share(id) > 0.0, !away.contains(&n));
            }
            let rising = scene.reconciler.rising(&model.pools()[0], scene.world.now);
            let serving = members.len() - away.len();
            for (id, one) in &rising {
                let due = one.part / serving as f64;
                prop_assert!((scene.share(*id) - due).abs() < 0.01, "{} of {due}", scene.share(*id));
                prop_assert!(one.full_in > 0 && one.full_in <= RISE);
            }
            prop_assert!(rising.is_empty() || desired.next_step.is_some());
            if !fails && is_news && serving > 1 {
                let id = u16::from(n) + 1;
                prop_assert!(rising.get(&id).is_none_or(|one| one.full_in == RISE));
            }
        }
        while let Some(next) = scene.follow(&model).next_step {
            prop_assert!(next > scene.world.now);
            scene.world.now = next;
        }
        let serving = members.len() - away.len();
        for (id, _) in (1..).zip(members).filter(|(_, n)| !away.contains(n)) {
            let share = scene.share(id);
            prop_assert!((share - 1.0 / serving as f64).abs() < 0.01, "{share}");
        }
    }
}
