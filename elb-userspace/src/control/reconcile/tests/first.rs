//! The first ring of a pool: what it waits for, how long, and that it has no past.

use elb_common::ring::Slot;
use proptest::prelude::*;

use super::scene::Scene;
use super::*;

/// Nothing is known of these members.
fn unknown(members: &[u8]) -> Scene {
    let mut scene = Scene::empty();
    scene.world.undecided.extend(members.iter().map(|n| address(*n)));
    scene
}

/// Where a probe may take so many seconds.
fn timeout(members: &[u8], seconds: u32) -> Model {
    let text = text(members, "");
    let monitor = "type = \"TCP\"";
    let text = text.replace(monitor, &format!("{monitor}\ntimeout = {seconds}"));
    file::parse("test", &text).unwrap().model
}

fn unmonitored(members: &[u8]) -> Model {
    let text = text(members, "");
    let off = "[pool.healthmonitor]\nadmin_state_up = false";
    file::parse("test", &text.replace("[pool.healthmonitor]", off)).unwrap().model
}

impl Scene {
    /// Members turn out to work.
    fn work(&mut self, members: &[u8]) {
        members.iter().for_each(|n| assert!(self.world.undecided.remove(&address(*n))));
    }

    fn is_empty(&self) -> bool {
        self.slots().iter().all(|pair| *pair == (0, 0))
    }
}

#[test]
fn it_waits_for_every_first_verdict_and_is_settled() {
    let model = model(&[11, 12, 13], "");
    let mut scene = unknown(&[11, 12, 13]);
    let desired = scene.follow(&model);
    assert!(scene.is_empty() && desired.rings.is_empty());
    assert_eq!(desired.next_first, Some(1_005), "a second, a timeout, and one for the clock");
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
    assert_eq!(scene.image.listeners.len(), 1, "all else is there");

    scene.world.sick.insert(address(11));
    scene.work(&[11]);
    scene.work(&[12]);
    let desired = scene.follow(&model);
    assert!(scene.is_empty() && desired.next_first == Some(1_004), "{:?}", desired.next_first);
    assert_eq!(
        scene.image.backends[&2].flags,
        REACHABLE | ESTABLISHED | NEW,
        "its health is known"
    );

    scene.work(&[13]);
    let desired = scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(2, 0), (3, 0)]));
    assert!(desired.moved.is_empty() && desired.next_first.is_none());
    assert_eq!(scene.pool().udp_hold_until, 0);
    scene.world.sick.clear();
    let desired = scene.follow(&model);
    assert!(desired.moved.contains_key(&web()), "from now on it has a past");
    assert!(scene.pairs().contains(&(1, 2)));
}

#[test]
fn it_is_what_another_node_has_at_rest() {
    let model = model(&[11, 12, 13], "");
    let settled = Scene::new(&model);
    let mut late = unknown(&[11, 12, 13]);
    for n in [13, 11, 12] {
        late.work(&[n]);
        late.follow(&model);
    }
    // The ids are the same since the members are in the same order.
    assert_eq!(late.slots(), settled.slots());
}

/// A member that is late joins as any new one does.
#[test]
fn it_waits_for_one_timeout() {
    let model = model(&[11, 12, 13], "");
    let mut scene = unknown(&[11, 12, 13]);
    scene.follow(&model);
    scene.world.now = 1_004;
    scene.work(&[11]);
    assert_eq!(scene.follow(&model).next_first, Some(1_005));
    assert!(scene.is_empty());
    scene.world.now = 1_005;
    let desired = scene.follow(&model);
    assert_eq!((scene.pairs(), desired.next_first), (BTreeSet::from([(1, 0)]), None));
    assert!(desired.moved.is_empty());
    scene.work(&[12]);
    assert!(scene.follow(&model).moved.contains_key(&web()));
    assert!(scene.pairs().contains(&(2, 1)));
}

#[test]
fn the_first_one_after_that_serves_at_once() {
    let model = model(&[11, 12], "");
    let mut scene = unknown(&[11, 12]);
    scene.follow(&model);
    scene.world.now = 1_005;
    assert_eq!(scene.follow(&model).next_first, None, "nothing is known, and nothing to do");
    assert!(scene.is_empty());
    scene.world.now = 1_100;
    scene.work(&[12]);
    scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(2, 0)]));
}

/// One member that is silent does not keep the others out for as long as a probe may take.
#[test]
fn with_long_timeouts_it_waits_for_a_moment_once_a_member_works() {
    let model = timeout(&[11, 12], 50);
    let mut scene = unknown(&[11, 12]);
    assert_eq!(scene.follow(&model).next_first, Some(1_052));
    scene.world.now = 1_020;
    scene.work(&[11]);
    assert_eq!(scene.follow(&model).next_first, Some(1_024));
    scene.world.now = 1_023;
    assert_eq!(scene.follow(&model).next_first, Some(1_024));
    scene.world.now = 1_024;
    scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0)]));
}

#[test]
fn next_hops_are_waited_for_as_long() {
    for (model, until) in [(model(&[11, 12], ""), 1_004), (unmonitored(&[11, 12]), 1_002)] {
        let mut scene = Scene::empty();
        scene.world.unreachable.insert(address(12));
        scene.world.resolving.insert(address(12));
        assert_eq!(scene.follow(&model).next_first, Some(until));
        assert!(scene.is_empty());
        scene.world.unreachable.clear();
        assert_eq!(scene.follow(&model).next_first, None);
        assert_eq!(scene.pairs(), BTreeSet::from([(1, 0), (2, 0)]));

        let mut scene = Scene::empty();
        scene.world.unreachable.insert(address(12));
        scene.world.resolving.insert(address(12));
        scene.follow(&model);
        scene.world.now = until;
        assert_eq!(scene.follow(&model).next_first, None);
        assert_eq!(scene.pairs(), BTreeSet::from([(1, 0)]));
    }
}

#[test]
fn it_does_not_wait_where_nothing_better_comes() {
    // No route.
    let mut scene = Scene::empty();
    scene.world.unreachable.insert(address(12));
    assert_eq!(scene.follow(&model(&[11, 12], "")).next_first, None);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0)]));
    // It is drained, or has no weight.
    let mut scene = unknown(&[12]);
    scene.world.drained.insert(address(12));
    assert_eq!(scene.follow(&model(&[11, 12], "")).next_first, None);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0)]));
    let key = "address = \"10.0.0.12\"";
    let text = text(&[11, 12], "").replace(key, &format!("{key}\nweight = 0"));
    let mut scene = unknown(&[12]);
    assert_eq!(scene.follow(&file::parse("test", &text).unwrap().model).next_first, None);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0)]));
}

/// Those without a verdict do not serve for want of a healthy one.
#[test]
fn a_pool_that_would_serve_with_all_waits_too() {
    let model = model(&[11, 12], "pool_health = { minimum_healthy_member_count = 1 }");
    let mut scene = unknown(&[11, 12]);
    assert_eq!(scene.follow(&model).next_first, Some(1_005));
    assert!(scene.is_empty());
    scene.world.sick.extend([address(11), address(12)]);
    scene.work(&[11, 12]);
    scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0), (2, 0)]));
}

#[test]
fn a_pool_that_a_reload_adds_waits_and_disturbs_no_other() {
    let mut scene = Scene::new(&model(&[11], ""));
    let before = scene.slots();
    scene.world.now = 5_000;
    scene.world.undecided.insert(address(21));
    let both = format!(
        "{}[[pool]]\nname = \"new\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\nring_size = 4093\n\
         [pool.healthmonitor]\ntype = \"TCP\"\n[[pool.member]]\naddress = \"10.0.0.21\"\n\
         protocol_port = 80\n",
        text(&[11], "")
    );
    let both = file::parse("test", &both).unwrap().model;
    let desired = scene.follow(&both);
    assert_eq!((desired.next_first, desired.rings.len()), (Some(5_005), 0));
    scene.work(&[21]);
    let desired = scene.follow(&both);
    assert_eq!(owners(&desired), BTreeSet::from([2]));
    assert!(desired.moved.is_empty() && scene.slots() == before);
}

/// Another shape while it waits: no flow lives on a ring that never was.
#[test]
fn another_ring_takes_the_place_of_one_that_waits() {
    let source = model(&[11, 12], "lb_algorithm = \"SOURCE_IP\"");
    let mut scene = unknown(&[11, 12]);
    scene.follow(&model(&[11, 12], ""));
    scene.world.now = 1_002;
    let desired = scene.follow(&source);
    assert_eq!(desired.freed, [Region { base: 0, size: 4_093 }]);
    assert_eq!(desired.next_first, Some(1_005), "it waits no longer for that");
    scene.work(&[11, 12]);
    let desired = scene.follow(&source);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0), (2, 0)]));
    assert_eq!((scene.pool().former.size, scene.pool().udp_hold_until), (0, 0));
    assert!(desired.moved.is_empty());
}

#[test]
fn a_new_agent_waits_on() {
    let model = model(&[11, 12], "");
    let mut scene = unknown(&[11, 12]);
    scene.follow(&model);
    scene.work(&[11]);
    scene.follow(&model);
    scene.restart();
    scene.world.now = 1_060;
    assert_eq!(scene.follow(&model).next_first, Some(1_064), "its probes start now");
    assert!(scene.is_empty());
    scene.work(&[12]);
    let desired = scene.follow(&model);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0), (2, 0)]));
    assert!(desired.moved.is_empty());
}

/// The agent died before it wrote the first ring, or after that and before it saved anything else.
#[test]
fn a_new_agent_knows_from_the_maps_whether_there_was_a_ring() {
    let model = model(&[11, 12], "");
    let mut scene = unknown(&[12]);
    scene.world.now = 1_010;
    scene.reconciler.reconcile(&model, &scene.world);
    scene.work(&[12]);
    scene.reconciler.reconcile(&model, &scene.world);
    scene.restart();
    scene.world.undecided.insert(address(12));
    assert_eq!(scene.follow(&model).next_first, Some(1_014));
    assert!(scene.is_empty());

    scene.work(&[12]);
    scene.follow(&model);
    assert!(scene.reconciler.assignments.pools[&web()].is_fresh, "as it is saved");
    scene.restart();
    scene.world.undecided.insert(address(12));
    assert_eq!(scene.follow(&model).next_first, None);
    assert_eq!(scene.pairs(), BTreeSet::from([(1, 0), (1, 2)]), "it lost a member");
}

/// What happens to a pool before it has a ring.
#[derive(Clone, Debug)]
enum Event {
    Works(u8),
    Fails(u8),
    Resolves(u8),
    Passes(u32),
    Restarts,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u8..5).prop_map(Event::Works),
        1 => (0u8..5).prop_map(Event::Fails),
        2 => (0u8..5).prop_map(Event::Resolves),
        3 => (0u32..3).prop_map(Event::Passes),
        1 => Just(Event::Restarts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever order things come in: nothing is published before all is known or the time is up,
    /// what is then has no former owner, and the wait ends by itself.
    #[test]
    fn the_first_ring_is_settled_whatever_comes(
        events in prop::collection::vec(event(), 0..30),
        seconds in 1u32..9,
    ) {
        let numbers: Vec<u8> = (0..5).collect();
        let model = timeout(&numbers, seconds);
        let mut scene = unknown(&numbers);
        let unresolved: Vec<IpAddr> = numbers[3..].iter().map(|n| address(*n)).collect();
        scene.world.unreachable.extend(&unresolved);
        scene.world.resolving.extend(&unresolved);
        scene.follow(&model);
        let mut begun = 1_000;
        for event in events {
            match event {
                Event::Works(n) => drop(scene.world.undecided.remove(&address(n))),
                Event::Fails(n) if scene.world.undecided.remove(&address(n)) => {
                    scene.world.sick.insert(address(n));
                }
                Event::Fails(_) => {}
                Event::Resolves(n) => drop(scene.world.unreachable.remove(&address(n))),
                Event::Passes(seconds) => scene.world.now += seconds,
                Event::Restarts => {
                    scene.restart();
                    begun = scene.world.now;
                }
            }
            let desired = scene.follow(&model);
            let waited = scene.world.now - begun;
            let World { undecided, sick, unreachable, .. } = &scene.world;
            let awaited = numbers.iter().map(|n| address(*n)).filter(|one| {
                undecided.contains(one) || !sick.contains(one) && unreachable.contains(one)
            });
            let awaited = awaited.count();
            prop_assert!(desired.moved.is_empty());
            prop_assert!(desired.next_first.is_none_or(|at| at <= begun + seconds + 2));
            if scene.is_empty() {
                prop_assert_eq!(desired.next_first.is_some(), awaited > 0 && waited < seconds + 2);
                continue;
            }
            prop_assert!(awaited == 0 || waited >= seconds + 2 || waited >= 4, "{awaited} {waited}");
            prop_assert!(scene.slots().iter().all(|(cur, prev)| *cur != 0 && *prev == 0));
            prop_assert!(!scene.pairs().contains(&(Slot::NO_MEMBER, 0)));
            return Ok(());
        }
    }
}
