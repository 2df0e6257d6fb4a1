//! Pictures that could not be put into force.

use super::*;

fn started() -> Reconciler {
    let mut reconciler = reconciler();
    reconciler.reconcile(&model(&[11, 12], ""), &World::default());
    reconciler.reconcile(&model(&[11, 12], ""), &World::default());
    reconciler
}

#[test]
fn without_new_numbers_what_is_known_goes_on() {
    let mut reconciler = started();
    let numbers = reconciler.assignments.clone();
    let desired =
        reconciler.reconcile_without_new_numbers(&model(&[11, 12, 13], ""), &World::default());
    assert!(!reconciler.assignments.gives_more_than(&numbers));
    assert!(desired.rings.is_empty(), "the ring is as it was");
    assert_eq!(desired.left_out.len(), 1, "{:?}", desired.left_out);
    // The disk has room again.
    let desired = reconciler.reconcile(&model(&[11, 12, 13], ""), &World::default());
    assert!(reconciler.assignments.gives_more_than(&numbers));
    assert_eq!(owners(&desired), BTreeSet::from([1, 2, 3]));
}

#[test]
fn a_ring_that_was_not_written_is_wanted_again() {
    let mut reconciler = started();
    let before = reconciler.clone();
    let changed = model(&[11, 12, 13], "");
    let desired = reconciler.reconcile(&changed, &World::default());
    let bases: Vec<u32> = desired.rings.iter().map(|ring| ring.base).collect();
    assert!(!bases.is_empty());
    assert!(
        reconciler.reconcile(&changed, &World::default()).rings.is_empty(),
        "taken for written"
    );
    reconciler.take_back(&before, &bases, Vec::new());
    let again = reconciler.reconcile(&changed, &World::default());
    assert_eq!(owners(&again), owners(&desired));
}

#[test]
fn regions_are_freed_later() {
    let mut reconciler = started();
    let before = reconciler.clone();
    let freed = reconciler.reconcile(&other(), &World::default()).freed;
    assert!(!freed.is_empty());
    reconciler.take_back(&before, &[], freed.clone());
    assert_eq!(reconciler.reconcile(&other(), &World::default()).freed, freed);
}
