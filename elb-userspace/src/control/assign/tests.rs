//! Tests of `assign`.

use super::*;
use proptest::prelude::*;

const ROOM: IdSpace = IdSpace { listeners: 4, pools: 4, backends: 9, slots: 4_000 };

fn socket(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

fn pool(name: &str) -> ResourceId {
    ResourceId::of_pool(name)
}

fn listener(name: &str) -> ResourceId {
    ResourceId::of_listener(ResourceId::of_load_balancer("lb"), name)
}

fn shape(size: u32) -> Shape {
    Shape { size, ..Shape::default() }
}

/// A pool "a" of these members; who has which number.
fn members(all: &mut Assignments, present: &[u8]) -> Vec<(u8, u16)> {
    let mut used = all.backend_ids();
    all.members(pool("a"), present.iter().map(|n| socket(*n)), ROOM, &mut used);
    present.iter().filter_map(|n| Some((*n, present_id(all, *n)?))).collect()
}

/// The number of a member of "a" that is not removed.
fn present_id(all: &Assignments, n: u8) -> Option<u16> {
    let members = &all.pools[&pool("a")].members;
    let member = members.iter().find(|member| member.socket() == socket(n))?;
    (!member.removed).then_some(member.id)
}

#[test]
fn numbers_stay_and_freed_ones_are_used_last() {
    let mut all = Assignments::default();
    all.pool(pool("a"), shape(101), 0, ROOM, &[]).unwrap();
    assert_eq!(members(&mut all, &[1]), [(1, 1)]);
    assert_eq!(members(&mut all, &[1, 2]), [(1, 1), (2, 2)]);
    all.pools.get_mut(&pool("a")).unwrap().members.remove(1);
    assert_eq!(members(&mut all, &[1, 3]), [(1, 1), (3, 3)]);
    let present = [1, 3, 4, 5, 6, 7, 8, 9];
    let numbers = [(1, 1), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (9, 2)];
    assert_eq!(members(&mut all, &present), numbers);
    let mut used = all.backend_ids();
    let more = present.iter().chain(&[10]).map(|n| socket(*n));
    let left_out = all.members(pool("a"), more, ROOM, &mut used);
    assert_eq!(left_out[0].0, socket(10));
    assert!(left_out[0].1.to_string().contains("max_backends = 9"), "{left_out:?}");
}

#[test]
fn a_removed_member_that_comes_back_is_the_same() {
    let mut all = Assignments::default();
    all.pool(pool("a"), shape(101), 0, ROOM, &[]).unwrap();
    members(&mut all, &[1, 2]);
    assert_eq!(members(&mut all, &[2]), [(2, 2)]);
    assert_eq!(present_id(&all, 1), None);
    assert_eq!(all.pools[&pool("a")].members.len(), 2);
    assert_eq!(members(&mut all, &[1, 2]), [(1, 1), (2, 2)]);
}

#[test]
fn a_number_in_use_is_not_given() {
    let mut all = Assignments::default();
    all.pool(pool("a"), shape(101), 0, ROOM, &[]).unwrap();
    let mut used: Ids = [1, 2].into_iter().collect();
    all.members(pool("a"), [socket(1)].into_iter(), ROOM, &mut used);
    assert_eq!(all.pools[&pool("a")].members[0].id, 3);
}

#[test]
fn numbers_of_what_went_are_not_given_until_no_record_names_them() {
    let mut all = Assignments::default();
    all.pool(pool("a"), shape(101), 0, ROOM, &[]).unwrap();
    members(&mut all, &[1, 2]);
    let id = all.pools[&pool("a")].id;
    all.listener(listener("l"), id, ROOM).unwrap();
    assert_eq!(all.remove_pool(pool("a")), [Region { base: 0, size: 101 }]);
    all.remove_listener(listener("l"), 0);
    let (mut other, used) = (all.clone(), all.backend_ids());
    assert!(used.contains(1) && used.contains(2));
    other.pool(pool("b"), shape(101), 0, ROOM, &[]).unwrap();
    assert_ne!(other.pools[&pool("b")].id, id);
    assert_eq!(other.listener(listener("m"), 1, ROOM).unwrap().id, 1);
    all.leaving = Leaving::default();
    all.pool(pool("b"), shape(101), 0, ROOM, &[]).unwrap();
    assert_eq!(all.pools[&pool("b")].id, id);
    assert_eq!(all.listener(listener("m"), id, ROOM).unwrap().id, 0);
}

#[test]
fn of_many_rings_the_oldest_and_the_newest_are_kept() {
    let mut all = Assignments::default();
    let bases = |all: &Assignments| {
        let one = &all.pools[&pool("a")];
        (one.ring.base, one.former.map(|ring| ring.base))
    };
    assert_eq!(all.pool(pool("a"), shape(101), 0, ROOM, &[]), Ok(None));
    assert_eq!(all.pool(pool("a"), shape(101), 9, ROOM, &[]), Ok(None));
    assert_eq!(bases(&all), (0, None));
    let freed = Region { base: 0, size: 101 };
    assert_eq!(all.pool(pool("a"), shape(97), 9, ROOM, &[]), Ok(Some(freed)), "no packet met it");
    let freed = Region { base: 112, size: 97 };
    assert_eq!(all.pool(pool("a"), shape(101), 9, ROOM, &[]), Ok(Some(freed)));
    all.pools.get_mut(&pool("a")).unwrap().is_fresh = false;
    assert_eq!(bases(&all), (0, None));
    assert_eq!(all.pool(pool("a"), shape(103), 9, ROOM, &[]), Ok(None));
    assert_eq!(bases(&all), (112, Some(0)));
    let other = Shape { algorithm: 3, ..shape(103) };
    let freed = Region { base: 112, size: 103 };
    assert_eq!(all.pool(pool("a"), other, 9, ROOM, &[]), Ok(Some(freed)));
    assert_eq!(bases(&all), (224, Some(0)));
    assert!(all.pool(pool("a"), shape(4_000), 9, ROOM, &[]).is_err());
    assert_eq!((bases(&all), all.pools[&pool("a")].ring.shape), ((224, Some(0)), other));
}

proptest! {
    /// Whatever comes and goes: regions never overlap and stay within the map.
    #[test]
    fn regions_do_not_overlap(
        steps in prop::collection::vec((0u8..6, prop::option::of(1u32..900)), 1..40)
    ) {
        let mut all = Assignments::default();
        for (name, size) in steps {
            let name = pool(&name.to_string());
            match size {
                Some(size) => drop(all.pool(name, shape(size), 0, ROOM, &[])),
                None => {
                    all.remove_pool(name);
                    all.leaving = Leaving::default();
                }
            }
            let mut regions: Vec<_> =
                all.pools.values().flat_map(AssignedPool::regions).collect();
            regions.sort_by_key(|region| region.base);
            for region in &regions {
                prop_assert!(region.base % CHUNK == 0 && region.base + region.size <= ROOM.slots);
            }
            for pair in regions.windows(2) {
                prop_assert!(pair[0].base + pair[0].size <= pair[1].base);
            }
        }
    }
}
