//! Backup members: when they take new flows, what becomes of those that they have, and what is waited for.

use proptest::prelude::*;

use super::scene::Scene;
use super::*;

const DRAIN: &str = "connection_drain = { enable = true, timeout = 30 }";

/// A pool of these members, of which those from 20 on are a backup.
fn pool(members: &[u8], keys: &str) -> Model {
    let text = text(members, keys);
    let mark = |text: String, n: &u8| {
        let key = format!("address = \"10.0.0.{n}\"\n");
        text.replace(&key, &format!("{key}backup = true\n"))
    };
    let backup = members.iter().filter(|n| **n >= 20);
    file::parse("test", &backup.fold(text, mark)).unwrap().model
}

impl Scene {
    fn now_owners(&self) -> BTreeSet<u16> {
        self.slots().into_iter().map(|(owner, _)| owner).collect()
    }
}

#[test]
fn they_take_new_flows_while_no_other_can_serve_and_keep_what_they_have() {
    let model = pool(&[11, 12, 21, 22], DRAIN);
    let mut scene = Scene::new(&model);
    assert_eq!(scene.now_owners(), BTreeSet::from([1, 2]));
    assert_eq!(scene.image.backends[&3].flags, REACHABLE | ESTABLISHED, "in reserve");

    scene.world.sick.insert(address(11));
    let desired = scene.follow(&model);
    assert!(!desired.reserves[&web()].in_service, "one is enough");
    // A member that is drained, or cannot be reached, does not serve.
    for (n, how) in [(0, "drained"), (1, "unreachable"), (2, "sick")] {
        let of = |world: &mut World| match n {
            0 => world.drained.insert(address(12)),
            1 => world.unreachable.insert(address(12)),
            _ => world.sick.insert(address(12)),
        };
        of(&mut scene.world);
        let desired = scene.follow(&model);
        let reserve = desired.reserves[&web()];
        assert_eq!((reserve.in_service, reserve.others_serving), (true, 0), "{how}");
        assert_eq!(scene.now_owners(), BTreeSet::from([3, 4]), "{how}");
        assert_eq!(scene.image.backends[&3].flags, REACHABLE | ESTABLISHED | NEW, "{how}");
        scene.world = World {
            sick: HashSet::from([address(11)]),
            now: scene.world.now + 5,
            ..World::default()
        };
        let desired = scene.follow(&model);
        assert_eq!(scene.now_owners(), BTreeSet::from([2]), "{how}: it is back");
        assert_eq!(desired.next_cut, Some(1_031), "{how}: only of the one that is sick");
    }
    scene.world.now += 100;
    scene.follow(&model);
    assert_eq!(scene.image.backends[&3].flags, REACHABLE | ESTABLISHED, "nothing is cut");
}

#[test]
fn of_fewer_than_are_wanted_they_serve_next_to_the_others() {
    let model = pool(&[11, 12, 21], "backup_below = 2");
    let mut scene = Scene::new(&model);
    assert_eq!(scene.now_owners(), BTreeSet::from([1, 2]));
    scene.world.sick.insert(address(11));
    let desired = scene.follow(&model);
    assert_eq!(scene.now_owners(), BTreeSet::from([2, 3]));
    let words = "backup in service: 1 of the others can serve, fewer than 2";
    assert_eq!(desired.reserves[&web()].to_string(), words);
    scene.world.sick.clear();
    let desired = scene.follow(&model);
    assert_eq!(scene.now_owners(), BTreeSet::from([1, 2]));
    let words = "backup in reserve: 2 of the others can serve";
    assert_eq!(desired.reserves[&web()].to_string(), words);
    let desired = scene.follow(&self::model(&[11, 12], ""));
    assert!(desired.reserves.is_empty());
}

#[test]
fn a_sick_one_leaves_as_any_other() {
    let keys = format!("{DRAIN}\nflows_on_unhealthy = \"rehash\"");
    let model = pool(&[11, 21], &keys);
    let mut scene = Scene::new(&model);
    scene.world.sick.insert(address(21));
    let desired = scene.follow(&model);
    assert_eq!(scene.image.backends[&2].flags, REACHABLE);
    assert_eq!(desired.next_cut, None, "it is gone");
}

#[test]
fn with_all_sick_all_serve_where_the_pool_wants_it() {
    let sick = World { sick: HashSet::from([address(11), address(21)]), ..World::default() };
    let open = "pool_health = { minimum_healthy_member_count = 1 }";
    let desired = reconciler().reconcile(&pool(&[11, 21], open), &sick);
    assert_eq!(owners(&desired), BTreeSet::from([1, 2]));
    let desired = reconciler().reconcile(&pool(&[11, 21], ""), &sick);
    assert!(desired.rings.is_empty() && desired.reserves[&web()].in_service);
}

/// The first ring is of the members, once they are known, whatever is known of the backup first; and a
/// backup that is not needed is not waited for.
#[test]
fn a_first_ring_waits_for_the_others_alone() {
    let model = pool(&[11, 21], "");
    let mut scene = Scene::empty();
    scene.world.undecided.extend([address(11)]);
    let desired = scene.follow(&model);
    assert!(desired.rings.is_empty() && desired.reserves.is_empty());
    assert_eq!(desired.next_first, Some(1_005), "the backup is ready, which hastens nothing");
    scene.world.undecided.clear();
    scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0)]));

    let mut scene = Scene::empty();
    scene.world.undecided.extend([address(21)]);
    scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0)]));

    let mut scene = Scene::empty();
    scene.world.undecided.extend([address(21)]);
    scene.world.sick.insert(address(11));
    let desired = scene.follow(&model);
    assert!(desired.next_first.is_some(), "it is needed");
}

proptest! {
    /// Whoever is sick, drained or not reachable: the owners are the members that can serve, those in reserve
    /// only where the others are too few; and the way there does not matter.
    #[test]
    fn owners_are_those_that_the_rule_names(
        steps in prop::collection::vec((0u8..6, 0u8..3, any::<bool>()), 1..30),
        below in 1usize..4,
    ) {
        let all = [11, 12, 13, 21, 22, 23];
        let model = pool(&all, &format!("backup_below = {below}\n{DRAIN}"));
        let mut scene = Scene::new(&model);
        for (n, how, is_so) in steps {
            let world = &mut scene.world;
            let sets = [&mut world.sick, &mut world.drained, &mut world.unreachable];
            let set = sets.into_iter().nth(how.into()).unwrap();
            let one = address(all[usize::from(n)]);
            if is_so { set.insert(one) } else { set.remove(&one) };
            world.now += 1;
            let desired = scene.follow(&model);
            let world = &scene.world;
            let serves = |n: u8| {
                let at = address(n);
                ![&world.sick, &world.drained, &world.unreachable].iter().any(|set| set.contains(&at))
            };
            let others = all.iter().filter(|n| **n < 20 && serves(**n)).count();
            let is_short = others < below;
            let wanted: BTreeSet<u16> = (1..)
                .zip(all)
                .filter(|(_, n)| serves(*n) && (*n < 20 || is_short))
                .map(|(id, _)| id)
                .collect();
            let wanted = if wanted.is_empty() { BTreeSet::from([0]) } else { wanted };
            prop_assert_eq!(scene.now_owners(), wanted);
            prop_assert_eq!(desired.reserves[&web()].in_service, is_short);
            for (id, n) in (1..).zip(all) {
                let leaves = world.sick.contains(&address(n)) || world.drained.contains(&address(n));
                let cut_at = scene.reconciler.assignments.pools[&web()].members[id - 1].cut_at;
                prop_assert_eq!(cut_at.is_some(), leaves, "member {}", n);
            }
        }
    }
}
