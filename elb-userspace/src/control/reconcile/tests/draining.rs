//! Members that leave: how long their flows go on, and what cuts them.

use super::scene::Scene;
use super::*;

const DRAIN: &str = "connection_drain = { enable = true, timeout = 30 }";

/// What makes the first of two members leave, and come back.
type Leave = (&'static str, fn(&mut Scene), fn(&mut Scene));

const LEAVES: [Leave; 4] = [
    ("removed", |scene| drop(scene.follow(&model(&[12], DRAIN))), |_| {}),
    ("weight 0", |scene| drop(scene.follow(&without_weight())), |_| {}),
    (
        "failed",
        |scene| {
            scene.world.sick.insert(address(11));
            scene.follow(&model(&[11, 12], DRAIN));
        },
        |scene| scene.world.sick.clear(),
    ),
    (
        "drained",
        |scene| {
            scene.world.drained.insert(address(11));
            scene.follow(&model(&[11, 12], DRAIN));
        },
        |scene| scene.world.drained.clear(),
    ),
];

fn without_weight() -> Model {
    let text = text(&[11, 12], DRAIN);
    let key = "address = \"10.0.0.11\"";
    file::parse("test", &text.replace(key, &format!("{key}\nweight = 0"))).unwrap().model
}

fn all() -> Model {
    model(&[11, 12], DRAIN)
}

/// The same again, at a later time.
fn later(scene: &mut Scene, how: &str, seconds: u32) -> Desired {
    scene.world.now += seconds;
    match how {
        "removed" => scene.follow(&model(&[12], DRAIN)),
        "weight 0" => scene.follow(&without_weight()),
        _ => scene.follow(&all()),
    }
}

/// These flags; the record of a member that is drained says so.
fn with(how: &str, flags: u8) -> u8 {
    if how == "drained" { flags | DRAINED } else { flags }
}

#[test]
fn flows_go_on_for_the_delay_and_are_cut_at_its_end() {
    for (how, leave, _) in LEAVES {
        let mut scene = Scene::new(&all());
        leave(&mut scene);
        assert_eq!(scene.pairs(), BTreeSet::from([(2, 0), (2, 1)]), "{how}");
        let desired = later(&mut scene, how, 30);
        assert_eq!(desired.next_cut, Some(1_031), "{how}");
        assert_eq!(scene.image.backends[&1].flags, with(how, REACHABLE | ESTABLISHED), "{how}");
        let desired = later(&mut scene, how, 1);
        assert_eq!(scene.image.backends[&1].flags, with(how, REACHABLE), "{how}");
        assert_eq!(scene.pairs(), BTreeSet::from([(2, 0), (2, 2)]), "{how}");
        assert_eq!(desired.next_cut, None, "{how}");
        let desired = later(&mut scene, how, 1);
        assert!(desired.rings.is_empty(), "{how}: once is enough");
    }
}

#[test]
fn a_member_that_comes_back_in_time_is_as_before() {
    for (how, leave, come_back) in LEAVES {
        let mut scene = Scene::new(&all());
        leave(&mut scene);
        scene.world.now += 29;
        come_back(&mut scene);
        let desired = scene.follow(&all());
        assert_eq!((desired.next_cut, scene.pairs().contains(&(1, 1))), (None, true), "{how}");
        scene.world.now += 100;
        scene.follow(&all());
        assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED | NEW, "{how}");
    }
}

#[test]
fn a_deadline_outlives_the_agent() {
    for (how, leave, _) in LEAVES {
        let mut scene = Scene::new(&all());
        leave(&mut scene);
        scene.restart();
        let desired = later(&mut scene, how, 10);
        assert_eq!(desired.next_cut, Some(1_031), "{how}");
        scene.restart();
        later(&mut scene, how, 21);
        assert_eq!(scene.image.backends[&1].flags, with(how, REACHABLE), "{how}");
        assert_eq!(scene.pairs(), BTreeSet::from([(2, 0), (2, 2)]), "{how}");
        scene.restart();
        later(&mut scene, how, 20);
        assert_eq!(scene.image.backends[&1].flags, with(how, REACHABLE), "{how}: it stays cut");
    }
}

#[test]
fn without_the_delay_flows_live_until_they_end() {
    let (both, one) = (model(&[11, 12], ""), model(&[12], ""));
    let mut scene = Scene::new(&both);
    scene.follow(&one);
    scene.world.now += 100_000;
    let desired = scene.follow(&one);
    assert_eq!(desired.next_cut, None);
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
}

#[test]
fn flows_that_go_elsewhere_at_once_are_not_drained() {
    let pool = format!("{DRAIN}\nflows_on_unhealthy = \"rehash\"");
    let both = model(&[11, 12], &pool);
    let mut scene = Scene::new(&both);
    scene.world.sick.insert(address(11));
    let desired = scene.follow(&both);
    assert_eq!((scene.image.backends[&1].flags, desired.next_cut), (REACHABLE, None));
}

#[test]
fn where_all_serve_because_none_is_healthy_none_is_cut() {
    let pool = format!("{DRAIN}\npool_health = {{ minimum_healthy_member_count = 1 }}");
    let both = model(&[11, 12], &pool);
    let mut scene = Scene::new(&both);
    scene.world.sick.extend([address(11), address(12)]);
    let desired = scene.follow(&both);
    assert_eq!(desired.next_cut, None);
    scene.world.now += 100;
    scene.follow(&both);
    assert!(scene.image.backends.values().all(|b| b.flags == REACHABLE | ESTABLISHED | NEW));
}

#[test]
fn members_of_a_schedule_are_cut_too() {
    let pool = format!("{DRAIN}\nlb_algorithm = \"LEAST_CONNECTIONS\"");
    let mut scene = Scene::new(&model(&[11, 12], &pool));
    let one = model(&[12], &pool);
    scene.follow(&one);
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
    scene.world.now += 31;
    scene.follow(&one);
    assert_eq!(scene.image.backends[&1].flags, REACHABLE);
    assert_eq!(scene.pairs(), BTreeSet::from([(2, 0)]));
}
