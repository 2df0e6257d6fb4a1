//! A listener that another pool takes over: when, for how long, and what its flows without a record do.

use elb_common::listener::NO_POOL;
use proptest::prelude::*;

use super::*;
use crate::control::reconcile::Fallback;

/// A listener of pool "web" (11, 12), which pool "spare" (21, 22) takes over.
fn pools(below: u8) -> Model {
    let fallback = format!("fallback_pool = \"spare\"\nfallback_below = {below}");
    let sample = sample::balancer("lb").listener("http", 80, "web").keys(&fallback);
    let pool = |sample: Sample, name: &str, members: [u8; 2]| {
        let sample = sample.pool(name).keys("ring_size = 4093").keys(MONITOR);
        members.iter().fold(sample, |sample, n| sample.member(&format!("10.0.0.{n}"), 80))
    };
    pool(pool(sample, "web", [11, 12]), "spare", [21, 22]).model()
}

/// A reconciler, what it sees, and its last decision.
struct Run {
    reconciler: Reconciler,
    world: World,
    model: Model,
}

impl Run {
    fn new(below: u8) -> Self {
        let world = World { now: 1_000, ..World::default() };
        Self { reconciler: reconciler(), world, model: pools(below) }
    }

    fn step(&mut self) -> (Fallback, bool, elb_common::listener::Listener) {
        self.world.now += 1;
        let desired = self.reconciler.reconcile(&self.model, &self.world);
        let listener = *desired.image.listeners.values().next().unwrap();
        let fallback = desired.fallbacks.into_values().next().unwrap();
        (fallback, !desired.turned.is_empty(), listener)
    }

    fn set(&mut self, sick: &[u8]) -> (Fallback, bool, elb_common::listener::Listener) {
        self.world.sick = sick.iter().map(|n| address(*n)).collect();
        self.step()
    }
}

#[test]
fn it_takes_over_below_the_number_and_gives_back() {
    let mut run = Run::new(2);
    let (fallback, turned, listener) = run.step();
    assert_eq!((fallback.in_use, turned, listener.pool), (false, false, 0));
    let (fallback, turned, listener) = run.set(&[11]);
    assert_eq!((fallback.in_use, turned, listener.pool), (true, true, 1));
    assert_eq!(listener.former_pool, 0, "flows without a record live there");
    let words = "fallback pool spare in use: 1 members of the default pool take new connections, \
                 fewer than 2";
    assert_eq!(fallback.to_string(), words);
    let (_, turned, _) = run.step();
    assert!(!turned, "it is said once");
    let (fallback, turned, listener) = run.set(&[]);
    assert_eq!((fallback.in_use, turned, listener.pool), (false, true, 0));
    assert_eq!(fallback.to_string(), "fallback pool spare not in use");
}

#[test]
fn a_pool_without_a_member_takes_nothing_over() {
    let mut run = Run::new(1);
    run.step();
    let (fallback, _, listener) = run.set(&[11, 12, 21, 22]);
    assert_eq!((fallback.in_use, listener.pool), (false, 0));
    let (fallback, _, listener) = run.set(&[11, 12, 21]);
    assert_eq!((fallback.in_use, listener.pool), (true, 1), "one of it is back");
    let (fallback, turned, _) = run.set(&[11, 12, 21, 22]);
    assert_eq!((fallback.in_use, turned), (true, false), "neither serves: nothing moves");
    let (fallback, _, listener) = run.set(&[11, 21, 22]);
    assert_eq!((fallback.in_use, listener.pool), (false, 0));
}

#[test]
fn drained_and_unreachable_members_do_not_count() {
    let mut run = Run::new(1);
    run.step();
    run.world.drained.insert(address(11));
    run.world.unreachable.insert(address(12));
    assert!(run.step().0.in_use);
    run.world.drained.clear();
    assert!(!run.step().0.in_use);
}

#[test]
fn what_is_not_known_yet_turns_nothing() {
    let mut run = Run::new(1);
    run.world.undecided.extend([address(11), address(12)]);
    let (fallback, turned, _) = run.step();
    assert_eq!((fallback.in_use, turned, fallback.default_serving), (false, false, None));
    let mut run = Run::new(1);
    run.world.undecided.extend([address(21), address(22)]);
    let (fallback, _, listener) = run.set(&[11, 12]);
    assert_eq!((fallback.in_use, listener.pool), (false, 0), "its ring waits");
    run.world.undecided.clear();
    let (fallback, _, listener) = run.step();
    assert_eq!((fallback.in_use, listener.pool), (true, 1));
}

#[test]
fn the_next_agent_goes_on_with_it() {
    let mut run = Run::new(1);
    run.step();
    assert!(run.set(&[11, 12]).1);
    let json = serde_json::to_vec(&run.reconciler.assignments).unwrap();
    let assignments = serde_json::from_slice(&json).unwrap();
    let encap = EncapSource::default();
    run.reconciler = Reconciler::new(assignments, BTreeMap::new(), ROOM, encap);
    let (fallback, turned, listener) = run.step();
    assert_eq!((fallback.in_use, turned, listener.pool), (true, false, 1));
    assert_ne!(listener.former_pool, NO_POOL);
    assert!(run.set(&[]).1);
}

proptest! {
    /// It serves exactly while too few others do and a member of it does, whatever happened before, but where
    /// neither pool can: then what serves stays. Each turn is said once.
    #[test]
    fn the_serving_pool_is_the_one_that_the_rule_names(
        steps in prop::collection::vec((0u8..4, any::<bool>()), 1..40),
        below in 1u8..3,
    ) {
        let all = [11, 12, 21, 22];
        let mut run = Run::new(below);
        run.step();
        let mut in_use = false;
        for (n, is_sick) in steps {
            let one = address(all[usize::from(n)]);
            let sick = &mut run.world.sick;
            if is_sick { sick.insert(one) } else { sick.remove(&one) };
            let works = |from: u8| {
                let its = all.iter().filter(|n| **n / 10 == from);
                its.filter(|n| !run.world.sick.contains(&address(**n))).count()
            };
            let (own, others) = (works(1), works(2));
            let is_short = own < usize::from(below);
            let wanted = is_short && (others > 0 || (in_use && own == 0));
            let (fallback, turned, listener) = run.step();
            prop_assert_eq!(fallback.in_use, wanted);
            prop_assert_eq!(turned, wanted != in_use);
            prop_assert_eq!(listener.pool, u16::from(wanted));
            in_use = wanted;
        }
    }
}
