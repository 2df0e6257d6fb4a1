//! Pools and listeners that get another name.

use super::*;

/// Pools of these names and members; listener "http" serves the first.
fn pools(listener: &str, pools: &[(&str, &[u8])]) -> Model {
    let web = text(&[], "");
    let (head, tail) = web.split_at(web.find("[[pool]]").expect("a pool"));
    let head = head.replace("\"http\"", &format!("{listener:?}"));
    let mut all =
        head.replace("default_pool = \"web\"", &format!("default_pool = {:?}", pools[0].0));
    for (name, members) in pools {
        all += &tail.replace("\"web\"", &format!("{name:?}"));
        for n in *members {
            all += &format!("[[pool.member]]\naddress = \"10.0.0.{n}\"\nprotocol_port = 80\n");
        }
    }
    file::parse("test", &all).unwrap().model
}

fn renamed(from: &str, to: &str) -> Renamed {
    Renamed { from: from.to_owned(), to: to.to_owned() }
}

#[test]
fn a_pool_and_a_listener_with_other_names_are_the_same() {
    let mut reconciler = reconciler();
    let before = reconciler.reconcile(&pools("http", &[("web", &[11, 12])]), &World::default());
    let model = pools("www", &[("blue", &[11, 12])]);
    assert_eq!(reconciler.follow_names(&model), [renamed("web", "blue")]);
    let after = reconciler.reconcile(&model, &World::default());
    assert_eq!(after.image, before.image);
    assert!(after.rings.is_empty() && after.freed.is_empty());
    assert!(reconciler.assignments.leaving.is_empty());
}

#[test]
fn half_of_the_members_make_a_pool_the_same() {
    for (members, is_same) in
        [(&[11, 12][..], true), (&[11, 13], true), (&[13, 14], false), (&[], false)]
    {
        let mut reconciler = reconciler();
        reconciler.reconcile(&pools("http", &[("web", &[11, 12])]), &World::default());
        let found = reconciler.follow_names(&pools("http", &[("blue", members)]));
        assert_eq!(!found.is_empty(), is_same, "{members:?}");
    }
}

#[test]
fn the_pool_with_most_members_in_common_is_it_and_only_once() {
    let mut reconciler = reconciler();
    let before = pools("http", &[("a", &[11, 12, 13]), ("b", &[11, 12])]);
    reconciler.reconcile(&before, &World::default());
    let after = pools("http", &[("c", &[11, 12, 13]), ("d", &[11, 12])]);
    assert_eq!(reconciler.follow_names(&after), [renamed("a", "c"), renamed("b", "d")]);
}

#[test]
fn a_pool_that_stays_is_not_taken_for_another() {
    let mut reconciler = reconciler();
    reconciler.reconcile(&pools("http", &[("web", &[11])]), &World::default());
    let both = pools("http", &[("web", &[11]), ("blue", &[11])]);
    assert_eq!(reconciler.follow_names(&both), []);
}

/// Another pool's listener, in the place of one that went.
#[test]
fn a_listener_with_another_name_and_another_pool_is_another() {
    let mut reconciler = reconciler();
    let both = |listener, order: [(&str, &[u8]); 2]| {
        pools(listener, &[(order[0].0, order[0].1), (order[1].0, order[1].1)])
    };
    let ours: (&str, &[u8]) = ("ours", &[11]);
    let theirs: (&str, &[u8]) = ("theirs", &[12]);
    let before = reconciler.reconcile(&both("http", [ours, theirs]), &World::default());
    let model = both("www", [theirs, ours]);
    reconciler.follow_names(&model);
    let after = reconciler.reconcile(&model, &World::default());
    let id = |desired: &Desired| desired.image.listeners.values().next().unwrap().id;
    assert_ne!(id(&before), id(&after));
    assert_eq!(reconciler.assignments.leaving.listeners, [id(&before)]);
}
