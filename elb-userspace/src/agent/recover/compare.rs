//! What was written down against the maps in force. Connections depend on the maps, so where the two
//! contradict each other the maps are right: the file may be an old one, or of before a crash.
//!
//! A file that is ahead of the maps contradicts nothing: numbers are written down before the maps know them.

use std::collections::BTreeSet;

use super::fits;
use crate::control::assign::{AssignedListener, AssignedMember, AssignedPool, Assignments};
use crate::control::plan::{Image, Region};
use crate::model::{Model, Pool, ResourceId};

/// Corrects what was written down by what was found in the maps; the pools that are as found.
pub(in crate::agent) fn prefer_maps(
    written: &mut Assignments,
    found: &Assignments,
    model: &Model,
    observed: &Image,
    named: impl Fn(Region) -> BTreeSet<u16>,
) -> Vec<ResourceId> {
    let mut others = Vec::new();
    for (resource, is) in &found.pools {
        let said = written.pools.get(resource);
        let pool = model.pool_with(*resource);
        let agrees = |said: &AssignedPool| {
            pool.is_some_and(|pool| members_agree(pool, said, observed))
                && places_agree(said, is)
                && names_only_members(said, &named)
        };
        if said.is_some_and(agrees) {
            continue;
        }
        tracing::warn!(
            pool = is.name,
            "the saved numbers are not those of the maps in force: the maps count"
        );
        written.pools.remove(resource);
        while let Some(other) = in_the_way(written, is) {
            written.pools.remove(&other);
        }
        written.adopt(*resource, is.clone());
        others.push(*resource);
    }
    listeners(written, found);
    for (address, number) in &found.vips {
        written.vips.retain(|other, taken| other == address || taken != number);
        written.vips.insert(*address, *number);
    }
    for (resource, group) in &found.ip_groups {
        written.ip_groups.retain(|other, taken| other == resource || taken.id != group.id);
        written.ip_groups.insert(*resource, group.clone());
    }
    others
}

/// Listeners have the ids of their records, and a pool that these allow.
fn listeners(written: &mut Assignments, found: &Assignments) {
    for (resource, is) in &found.listeners {
        let agrees = |said: &AssignedListener| {
            let pools = [Some(said.pool), said.former.as_ref().map(|former| former.pool)];
            said.id == is.id && pools.contains(&Some(is.pool))
        };
        if !written.listeners.get(resource).is_some_and(agrees) {
            written.listeners.retain(|_, other| other.id != is.id);
            written.listeners.insert(*resource, is.clone());
        }
    }
}

/// No record of a backend has another address than the member with its id.
fn members_agree(pool: &Pool, said: &AssignedPool, observed: &Image) -> bool {
    let is_it = |member: &AssignedMember| {
        let record = observed.backends.get(&member.id);
        record
            .is_none_or(|record| super::address(pool, record).is_none_or(|is| is == member.address))
    };
    said.members.iter().all(is_it)
}

/// The pool has its id, and a ring where its packets look for one.
fn places_agree(said: &AssignedPool, is: &AssignedPool) -> bool {
    let rings = [Some(said.ring), said.former].into_iter().flatten();
    said.id == is.id
        && rings
            .into_iter()
            .any(|ring| ring.base == is.ring.base && ring.shape.size == is.ring.shape.size)
}

/// Its slots name no backend that is not its member.
fn names_only_members(said: &AssignedPool, named: &impl Fn(Region) -> BTreeSet<u16>) -> bool {
    let members: BTreeSet<u16> = said.members.iter().map(|member| member.id).collect();
    said.regions().all(|region| named(region).is_subset(&members))
}

/// A pool whose numbers are those of another one.
fn in_the_way(written: &Assignments, is: &AssignedPool) -> Option<ResourceId> {
    let alone = |other: &AssignedPool| {
        let mut one = Assignments::default();
        one.adopt(ResourceId::of_pool(""), other.clone());
        one
    };
    let mut pools = written.pools.iter();
    pools.find(|(_, other)| !fits(&alone(other), is)).map(|(resource, _)| *resource)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use elb_common::backend::{Backend, mode};

    use super::super::Shape;
    use super::*;
    use crate::control::assign::AssignedRing;
    use crate::source::file;

    const SIZE: u32 = 4096;

    fn id(pool: &str) -> ResourceId {
        ResourceId::of_pool(pool)
    }

    fn socket(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 80))
    }

    /// A pool with this id in this place, whose members have these ids.
    fn pool(id: u16, base: u32, members: &[(u8, u16)]) -> AssignedPool {
        let shape = Shape { size: SIZE, algorithm: 0, cid: (0, 0) };
        let mut pool = AssignedPool::new(id, AssignedRing { base, shape }, 0);
        pool.members = members.iter().map(|(n, id)| AssignedMember::new(*id, socket(*n))).collect();
        pool
    }

    fn all(pools: &[(&str, &AssignedPool)]) -> Assignments {
        let mut all = Assignments::default();
        pools.iter().for_each(|(name, pool)| all.adopt(id(name), (*pool).clone()));
        all
    }

    fn model() -> Model {
        let pool = |name: &str| {
            format!("[[pool]]\nname = \"{name}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n")
        };
        let text = "[agent]\ninterfaces = [\"eth0\"]\n".to_owned() + &pool("web") + &pool("dns");
        file::parse("test", &text).unwrap().model
    }

    fn image(backends: &[(u16, u8)]) -> Image {
        let record = |n: u8| {
            let mut address = [0; 16];
            address[..4].copy_from_slice(&[10, 0, 0, n]);
            let mode = mode::IPIP_V4;
            Backend { mode, address: bytemuck::cast(address), ..Backend::default() }
        };
        Image {
            backends: backends.iter().map(|(id, n)| (*id, record(*n))).collect(),
            ..Image::default()
        }
    }

    /// What becomes of what was written down, where the slots of all rings name these ids.
    fn corrected(
        written: &Assignments,
        found: &Assignments,
        backends: &[(u16, u8)],
        slots: &[(u32, &[u16])],
    ) -> (Assignments, Vec<ResourceId>) {
        let named = |region: Region| {
            let here = slots.iter().filter(|(base, _)| *base == region.base);
            here.flat_map(|(_, ids)| ids.iter().copied()).collect()
        };
        let mut all = written.clone();
        let others = prefer_maps(&mut all, found, &model(), &image(backends), named);
        (all, others)
    }

    fn id_of(all: &Assignments, name: &str, n: u8) -> Option<u16> {
        let members = &all.pools.get(&id(name))?.members;
        let address: IpAddr = socket(n).ip();
        members.iter().find(|member| member.address == address).map(|member| member.id)
    }

    #[test]
    fn what_agrees_stays_as_it_was_written_down() {
        let mut said = pool(0, 0, &[(1, 1), (2, 2), (9, 3)]);
        said.members[2].removed = true;
        said.flows_since = 77;
        let written = all(&[("web", &said)]);
        let found = all(&[("web", &pool(0, 0, &[(1, 1), (2, 2)]))]);
        let (is, others) = corrected(&written, &found, &[(1, 1), (2, 2), (3, 9)], &[(0, &[1, 2])]);
        assert_eq!((is, others), (written, Vec::new()));
    }

    /// The members came in another order: an old file swaps them.
    #[test]
    fn an_old_file_swaps_no_members() {
        let written = all(&[("web", &pool(0, 0, &[(1, 1), (2, 2)]))]);
        let found = all(&[("web", &pool(0, 0, &[(2, 1), (1, 2)]))]);
        let (is, others) = corrected(&written, &found, &[(1, 2), (2, 1)], &[(0, &[1, 2])]);
        assert_eq!(others, [id("web")]);
        assert_eq!((id_of(&is, "web", 1), id_of(&is, "web", 2)), (Some(2), Some(1)));
    }

    #[test]
    fn a_member_that_the_file_does_not_know_keeps_its_slots() {
        let written = all(&[("web", &pool(0, 0, &[(1, 1)]))]);
        let found = all(&[("web", &pool(0, 0, &[(1, 1), (2, 2)]))]);
        let (is, _) = corrected(&written, &found, &[(1, 1), (2, 2)], &[(0, &[1, 2])]);
        assert_eq!(id_of(&is, "web", 2), Some(2));
    }

    #[test]
    fn a_pool_that_the_file_puts_into_anothers_place_gives_way() {
        let written = all(&[("dns", &pool(0, 0, &[(5, 1)]))]);
        let found = all(&[("web", &pool(0, 0, &[(1, 1)]))]);
        let (is, others) = corrected(&written, &found, &[(1, 1)], &[(0, &[1])]);
        assert_eq!(others, [id("web")]);
        assert_eq!(is.pools.keys().collect::<Vec<_>>(), [&id("web")]);
    }

    /// The agent was killed between writing the file and writing the maps.
    #[test]
    fn a_file_that_is_ahead_of_the_maps_is_right() {
        let mut said = pool(0, 8192, &[(1, 1), (2, 2), (3, 3)]);
        said.former = Some(AssignedRing { base: 0, ..said.ring });
        let written = all(&[("web", &said), ("dns", &pool(1, 16_384, &[(5, 4)]))]);
        let found = all(&[("web", &pool(0, 0, &[(1, 1), (2, 2)]))]);
        let (is, others) = corrected(&written, &found, &[(1, 1), (2, 2)], &[(0, &[1, 2])]);
        assert_eq!((is, others), (written, Vec::new()));
    }

    #[test]
    fn listeners_have_the_ids_of_their_records() {
        let listener = |id, pool| AssignedListener { id, pool, ..AssignedListener::default() };
        let [http, dns] = ["http", "dns"].map(id);
        let (mut written, mut found) = (Assignments::default(), Assignments::default());
        written.listeners.insert(http, listener(0, 0));
        written.listeners.insert(dns, listener(1, 1));
        found.listeners.insert(http, listener(1, 0));
        listeners(&mut written, &found);
        assert_eq!(written.listeners, found.listeners, "no two have one id");
    }
}
