//! Pools and listeners that get another name.

use proptest::prelude::*;

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
    Renamed { from: ResourceId::of_pool(from), to: ResourceId::of_pool(to) }
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

const ONE: &str = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b";
const OTHER: &str = "2c4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b";

/// A load balancer, a listener, a pool and a member that are called so, with ids where these are given.
fn called(prefix: &str, ids: Option<&str>, members: &[u8]) -> Model {
    let id = |of: &str| ids.map_or(String::new(), |id| format!("id = \"{of}{}\"\n", &id[1..]));
    let (lb, listener, pool) = (id("a"), id("b"), id("c"));
    let mut text = format!(
        "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"{prefix}-lb\"\n{lb}\
         vip_address = \"192.0.2.10\"\n[[load_balancer.listener]]\nname = \"{prefix}-http\"\n\
         {listener}protocol = \"TCP\"\nprotocol_port = 80\ndefault_pool = \"{prefix}-web\"\n\
         ipgroup = {{ ipgroup = \"{prefix}-office\" }}\n[[ipgroup]]\nname = \"{prefix}-office\"\n\
         {pool}ip_list = []\n[[pool]]\nname = \"{prefix}-web\"\n{pool}protocol = \"TCP\"\n\
         forwarding = \"ipip\"\n"
    );
    for n in members {
        let id = id(&format!("{n:x}"));
        text += &format!(
            "[[pool.member]]\nname = \"{prefix}-{n}\"\naddress = \"10.0.0.{n}\"\n{id}protocol_port = 80\n"
        );
    }
    file::parse("test", &text).unwrap().model
}

/// Whether the second model has all numbers of the first, with nothing left over.
fn keeps_numbers(before: &Model, after: &Model) -> bool {
    let mut reconciler = reconciler();
    let first = reconciler.reconcile(before, &World::default());
    reconciler.follow_names(after);
    let then = reconciler.reconcile(after, &World::default());
    let same = |desired: &Desired| {
        let mut image = desired.image.clone();
        // A group may have another number, if it is filled before a listener names it.
        image.listeners.values_mut().for_each(|listener| listener.group = 0);
        (image.listeners, image.pools, image.backends, image.servers)
    };
    same(&first) == same(&then)
        && then.rings.is_empty()
        && then.freed.is_empty()
        && reconciler.assignments.leaving.is_empty()
}

#[test]
fn what_has_an_id_keeps_its_numbers_under_any_name() {
    let (before, after) = (called("old", Some(ONE), &[8, 9]), called("new", Some(ONE), &[9, 8]));
    assert!(keeps_numbers(&before, &after));
    // Not even the members need be the same.
    let mut reconciler = reconciler();
    reconciler.reconcile(&before, &World::default());
    let after = called("new", Some(ONE), &[10]);
    assert_eq!(reconciler.follow_names(&after), [], "there is nothing to follow");
    reconciler.reconcile(&after, &World::default());
    assert_eq!(reconciler.assignments.pools.len(), 1);
    let pool = reconciler.assignments.pools.values().next().unwrap();
    assert_eq!((pool.name.as_str(), pool.members.len(), pool.is_fresh), ("new-web", 3, false));
}

#[test]
fn what_gets_an_id_or_loses_it_keeps_its_numbers() {
    let (without, with) = (called("same", None, &[8, 9]), called("same", Some(ONE), &[8, 9]));
    assert!(keeps_numbers(&without, &with) && keeps_numbers(&with, &without));
    assert!(keeps_numbers(&without, &called("other", Some(ONE), &[8, 9])), "and a name at once");
    assert!(keeps_numbers(&without, &called("other", None, &[8, 9])));
}

/// Two ids that the file gave are those of two things, whatever these are called.
#[test]
fn what_gets_another_id_is_another() {
    let mut reconciler = reconciler();
    reconciler.reconcile(&called("same", Some(ONE), &[8]), &World::default());
    let after = called("same", Some(OTHER), &[8]);
    assert_eq!(reconciler.follow_names(&after), []);
    reconciler.reconcile(&after, &World::default());
    assert_eq!(reconciler.assignments.leaving.listeners.len(), 1);
}

/// What an agent before ids wrote down: by name, and without what it did not know.
fn by_name(assignments: &Assignments) -> Assignments {
    let mut json = serde_json::to_value(assignments).unwrap();
    for kind in ["listeners", "pools", "ip_groups"] {
        let all = json[kind].as_object_mut().unwrap();
        let named = std::mem::take(all).into_iter().map(|(_, mut one)| {
            let fields = one.as_object_mut().unwrap();
            let name = fields.remove("name").unwrap().as_str().unwrap().to_owned();
            fields.remove("load_balancer");
            for member in
                fields.get_mut("members").and_then(|all| all.as_array_mut()).into_iter().flatten()
            {
                member.as_object_mut().unwrap().remove("resource");
            }
            let number = || one["id"].clone();
            (name, if kind == "ip_groups" { number() } else { one.clone() })
        });
        *all = named.collect();
    }
    serde_json::from_value(json).unwrap()
}

#[test]
fn numbers_of_before_ids_are_those_of_the_same_things() {
    for ids in [None, Some(ONE)] {
        let mut before = reconciler();
        let model = called("same", None, &[8, 9]);
        let first = before.reconcile(&model, &World::default());
        let mut numbers = by_name(&before.assignments);
        let model = called("same", ids, &[8, 9]);
        numbers.follow_names(&model);
        let owners = numbers.pools.keys().map(|pool| (*pool, first.rings[0].owners.clone()));
        let owners = owners.collect();
        let mut after = Reconciler::new(numbers, owners, ROOM, EncapSource::default());
        let then = after.reconcile(&model, &World::default());
        assert_eq!(then.image, first.image, "{ids:?}");
        assert!(then.rings.is_empty() && after.assignments.leaving.is_empty(), "{ids:?}");
    }
}

/// Three pools, each with a listener and a member of its own; all have ids.
fn named(names: &[&str]) -> Model {
    let mut text = "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
                    vip_address = \"192.0.2.10\"\n"
        .to_owned();
    for (n, name) in names.iter().enumerate() {
        let (id, port) = (&ONE[1..], 80 + n);
        text += &format!(
            "[[load_balancer.listener]]\nname = \"{name}\"\nid = \"{n}{id}\"\nprotocol = \"TCP\"\n\
             protocol_port = {port}\ndefault_pool = \"{name}\"\n"
        );
    }
    for (n, name) in names.iter().enumerate() {
        let (id, port) = (&ONE[1..], 80 + n);
        text += &format!(
            "[[pool]]\nname = \"{name}\"\nid = \"{n}{id}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
             ring_size = 4093\n[[pool.member]]\naddress = \"10.0.1.{n}\"\nprotocol_port = {port}\n"
        );
    }
    file::parse("test", &text).unwrap().model
}

proptest! {
    /// Names may go round in a circle: with ids, nothing moves.
    #[test]
    fn names_are_exchanged_and_nothing_moves(
        names in Just(vec!["one", "two", "three", "four"]).prop_shuffle(),
    ) {
        let mut reconciler = reconciler();
        let first = reconciler.reconcile(&named(&["one", "two", "three"]), &World::default());
        let model = named(&names[..3]);
        prop_assert_eq!(reconciler.follow_names(&model), []);
        let then = reconciler.reconcile(&model, &World::default());
        prop_assert!(first.left_out.is_empty() && then.left_out.is_empty());
        prop_assert_eq!(then.image, first.image);
        prop_assert!(then.rings.is_empty() && then.freed.is_empty());
        let called = reconciler.assignments.pools.values().map(|pool| pool.name.as_str());
        prop_assert_eq!(called.collect::<Vec<_>>(), &names[..3]);
    }
}
