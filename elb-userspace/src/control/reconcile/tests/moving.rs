//! Listeners that go from one pool to another.

use elb_common::listener::{Listener as Record, NO_POOL, listener_pool_flags};

use super::scene::Scene;
use super::*;

/// Pools "web" (10.0.0.11), "blue" (.21) and "green" (.31); the listener serves one of them. Those that
/// are not named are missing.
fn pools(serves: &str, there: &[&str]) -> Model {
    let web =
        text(&[11], "").replace("default_pool = \"web\"", &format!("default_pool = {serves:?}"));
    let mut text = web.clone();
    let start = web.find("[[pool]]").expect("a pool");
    for (name, address) in [("blue", "10.0.0.21"), ("green", "10.0.0.31")] {
        if there.contains(&name) {
            text += &web[start..]
                .replace("\"web\"", &format!("{name:?}"))
                .replace("10.0.0.11", address);
        }
    }
    if !there.contains(&"web") {
        let end = text[start + 1..].find("[[pool]]").map_or(text.len(), |end| start + 1 + end);
        text.replace_range(start..end, "");
    }
    file::parse("test", &text).unwrap().model
}

fn record(scene: &Scene) -> Record {
    *scene.image.listeners.values().next().unwrap()
}

const ALL: [&str; 3] = ["web", "blue", "green"];

#[test]
fn a_listener_that_moves_asks_its_former_pool_for_an_idle_timeout() {
    let mut scene = Scene::new(&pools("web", &ALL));
    let before = record(&scene);
    assert_eq!((before.former_pool, before.flags & listener_flags::MOVED), (NO_POOL, 0));
    let blue = pools("blue", &ALL);
    scene.follow(&blue);
    let moved = record(&scene);
    assert_eq!((moved.former_pool, moved.former_hold_until), (before.pool, 1_030));
    assert_ne!((moved.pool, moved.ring_base), (before.pool, before.ring_base));
    let known = scene.image.listener_pools[&moved.id];
    assert!(known.pool == moved.pool && known.exists() && known.is_moved());
    scene.world.now += 302;
    scene.records.moved.insert(moved.id);
    scene.sweep(&blue);
    let converted = record(&scene);
    assert_eq!(converted.former_pool, NO_POOL, "all flows are recorded");
    assert_eq!(converted.flags & listener_flags::MOVED, listener_flags::MOVED);
    scene.records.moved.clear();
    scene.sweep(&blue);
    assert_eq!(record(&scene).flags & listener_flags::MOVED, 0, "no flow is left there");
    assert_eq!(scene.image.listener_pools[&moved.id].flags, listener_pool_flags::EXISTS);
}

#[test]
fn of_three_pools_the_oldest_is_asked() {
    let mut scene = Scene::new(&pools("web", &ALL));
    let web = record(&scene).pool;
    scene.follow(&pools("blue", &ALL));
    scene.world.now += 100;
    scene.follow(&pools("green", &ALL));
    assert_eq!((record(&scene).former_pool, record(&scene).former_hold_until), (web, 1_130));
    let back = pools("web", &ALL);
    scene.follow(&back);
    assert_eq!((record(&scene).pool, record(&scene).former_pool), (web, web));
    scene.world.now += 202;
    scene.sweep(&back);
    assert_eq!(record(&scene).former_pool, NO_POOL, "the timeout runs from the first move");
}

#[test]
fn a_pool_that_is_removed_serves_the_flows_of_its_listener() {
    let mut scene = Scene::new(&pools("web", &["web"]));
    let old = record(&scene).pool;
    let blue = pools("blue", &["blue"]);
    scene.follow(&blue);
    assert_eq!(record(&scene).former_pool, old);
    assert!(scene.image.pools.contains_key(&old));
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
    scene.world.now += 302;
    scene.records.moved.insert(record(&scene).id);
    scene.records.flows.insert(1, 1);
    scene.reconciler.convert(scene.world.now, |_| 0);
    scene.reconciler.swept(&scene.records, scene.world.now, |_, _| false);
    scene.follow(&blue);
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED, "a record names it");
    scene.records = scene::Records::default();
    scene.reconciler.swept(&scene.records, scene.world.now, |_, _| false);
    let desired = scene.follow(&blue);
    assert!(!scene.image.pools.contains_key(&old) && !scene.image.backends.contains_key(&1));
    assert_eq!(desired.freed.len(), 1);
}

#[test]
fn a_pool_that_goes_with_its_listener_leaves_numbers_only() {
    let mut scene = Scene::new(&pools("web", &ALL));
    let nothing = file::parse("test", "[agent]\ninterfaces = [\"eth0\"]\n").unwrap().model;
    let desired = scene.reconciler.reconcile(&nothing, &scene.world);
    assert_eq!(desired.freed.len(), 3);
    let leaving: BTreeSet<u16> =
        scene.reconciler.assignments.leaving.backends.iter().copied().collect();
    assert_eq!(leaving, [1, 2, 3].into());
    assert_eq!(scene.reconciler.assignments.leaving.listeners.len(), 1);
    assert!(scene.reconciler.is_lasting());
}
