//! Which interfaces are to get the program, and which are to lose it: wanted against found.

use super::found::HostState;
use crate::source::file::AttachMode;

/// What the file wants.
#[derive(Clone, Copy, Debug)]
pub struct WantedPrograms<'a> {
    /// Names of interfaces.
    pub interfaces: &'a [String],
    /// How they are to carry the program.
    pub mode: AttachMode,
}

/// A link that the agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLink {
    /// The index of its interface.
    pub index: u32,
    /// The program that it holds to an interface with that index, in whatever network namespace.
    pub program: Option<u32>,
}

/// What to do, in this order, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Links to let go, by index: their interface is gone, carries another program, or is not wanted.
    pub release: Vec<u32>,
    /// Interfaces to attach the program to: name and index.
    pub attach: Vec<(String, u32)>,
    /// Interfaces that carry the program in another mode than is wanted.
    pub change_mode: Vec<(String, u32)>,
    /// Names that no interface has.
    pub missing: Vec<String>,
    /// Interfaces that carry the program by another name than one that is wanted: index, name. They go on
    /// while a wanted one is missing, since it may be this one, renamed.
    pub renamed: Vec<(u32, String)>,
}

/// Compares. Nothing is done twice: after the plan was carried out, the next one is empty.
pub fn compare(wanted: WantedPrograms<'_>, held: &[HeldLink], found: &HostState) -> Plan {
    let mut plan = Plan::default();
    let (live, dead): (Vec<HeldLink>, Vec<HeldLink>) =
        held.iter().partition(|link| is_in_place(link, found));
    plan.release = dead.iter().map(|link| link.index).collect();
    let mut places = Vec::new();
    for name in wanted.interfaces {
        let Some(index) = found.index_of(name) else {
            plan.missing.push(name.clone());
            continue;
        };
        if places.contains(&index) {
            continue;
        }
        places.push(index);
        let place = (name.clone(), index);
        if !live.iter().any(|link| link.index == index) {
            plan.attach.push(place);
        } else if found.mode(index) != Some(wanted.mode) {
            plan.change_mode.push(place);
        }
    }
    for link in live.iter().filter(|link| !places.contains(&link.index)) {
        match found.interfaces.get(&link.index) {
            Some(now) if !plan.missing.is_empty() => {
                plan.renamed.push((link.index, now.name.clone()));
            }
            _ => plan.release.push(link.index),
        }
    }
    plan
}

/// Whether the interface of this index, in this network namespace, carries what the link holds.
fn is_in_place(link: &HeldLink, found: &HostState) -> bool {
    link.program.is_some() && found.program(link.index) == link.program
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::host::found::{Carried, HostInterface};

    const OURS: u32 = 70;

    fn interface(name: &str, program: Option<u32>) -> HostInterface {
        let mode = AttachMode::Native;
        let program = program.map(|id| Carried { id, mode });
        HostInterface { name: name.into(), program, ..HostInterface::default() }
    }

    fn found(interfaces: &[(u32, &str, Option<u32>)]) -> HostState {
        let interfaces = interfaces.iter().map(|(index, name, id)| (*index, interface(name, *id)));
        HostState { interfaces: interfaces.collect(), ..HostState::default() }
    }

    fn held(index: u32) -> HeldLink {
        HeldLink { index, program: Some(OURS) }
    }

    fn plan(names: &[&str], held: &[HeldLink], found: &HostState) -> Plan {
        let interfaces: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        compare(WantedPrograms { interfaces: &interfaces, mode: AttachMode::Native }, held, found)
    }

    fn place(name: &str, index: u32) -> (String, u32) {
        (name.to_owned(), index)
    }

    #[test]
    fn what_is_in_place_is_left_alone() {
        let found = found(&[(1, "lo", None), (2, "eth0", Some(OURS))]);
        assert_eq!(plan(&["eth0"], &[held(2)], &found), Plan::default());
    }

    #[test]
    fn an_interface_that_was_made_again_gets_the_program() {
        let gone = HeldLink { index: 2, program: None };
        let now = plan(&["eth0"], &[gone], &found(&[(7, "eth0", None)]));
        assert_eq!(now.attach, [place("eth0", 7)]);
        assert_eq!(now.release, [2]);
        assert!(now.missing.is_empty());
    }

    #[test]
    fn an_index_that_another_interface_has_now_is_not_the_one_that_was() {
        // The link holds the program to an interface of index 2, in another namespace.
        let now = plan(&["eth0"], &[held(2)], &found(&[(2, "eth0", None)]));
        assert_eq!((now.release, now.attach), (vec![2], vec![place("eth0", 2)]));
    }

    #[test]
    fn one_that_is_missing_keeps_no_other_waiting() {
        let now = plan(&["late0", "eth0"], &[], &found(&[(2, "eth0", None)]));
        assert_eq!((now.attach, now.missing), (vec![place("eth0", 2)], vec!["late0".to_owned()]));
    }

    #[test]
    fn a_renamed_interface_goes_on_until_another_has_the_name() {
        let renamed = [(2, "old0", Some(OURS))];
        let now = plan(&["eth0"], &[held(2)], &found(&renamed));
        assert_eq!(now.renamed, [(2, "old0".to_owned())]);
        assert!(now.release.is_empty() && now.attach.is_empty());
        let two = [(2, "old0", Some(OURS)), (3, "eth0", None)];
        let now = plan(&["eth0"], &[held(2)], &found(&two));
        assert_eq!((now.release, now.attach), (vec![2], vec![place("eth0", 3)]));
    }

    #[test]
    fn another_name_of_an_interface_is_one_of_its_names() {
        let mut found = found(&[(2, "enp1s0", None)]);
        found.interfaces.get_mut(&2).unwrap().other_names.push("eth0".into());
        assert_eq!(plan(&["eth0", "enp1s0"], &[], &found).attach, [place("eth0", 2)]);
    }

    #[test]
    fn another_mode_is_changed() {
        let mut found = found(&[(2, "eth0", Some(OURS))]);
        let generic = Carried { id: OURS, mode: AttachMode::Generic };
        found.interfaces.get_mut(&2).unwrap().program = Some(generic);
        assert_eq!(plan(&["eth0"], &[held(2)], &found).change_mode, [place("eth0", 2)]);
    }

    fn any_found() -> impl Strategy<Value = HostState> {
        let carried = prop_oneof![Just(None), Just(Some(OURS)), Just(Some(9))];
        prop::collection::btree_map(1..6u32, (0..4usize, carried), 0..5).prop_map(|all| {
            let all = all.into_iter().enumerate().map(|(n, (index, (name, program)))| {
                // Names are unique, as the kernel has them.
                let name = format!("eth{}", if name == 3 { n + 10 } else { n });
                (index, interface(&name, program))
            });
            HostState { interfaces: all.collect(), ..HostState::default() }
        })
    }

    proptest! {
        /// What the plan says, once done, leaves nothing to do; and no link that is in place of a wanted
        /// interface is let go.
        #[test]
        fn a_plan_carried_out_is_the_last(
            mut found in any_found(),
            indices in prop::collection::btree_set(1..6u32, 0..4),
        ) {
            let names = ["eth0", "eth1", "eth2"];
            let mut links: Vec<HeldLink> = indices.iter().map(|index| held(*index)).collect();
            let first = plan(&names, &links, &found);
            for index in &first.release {
                let kept = found.program(*index) == Some(OURS)
                    && names.contains(&found.interfaces[index].name.as_str());
                prop_assert!(!kept);
            }
            links.retain(|link| !first.release.contains(&link.index));
            for (_, index) in &first.attach {
                links.push(held(*index));
                let carried = Carried { id: OURS, mode: AttachMode::Native };
                found.interfaces.get_mut(index).unwrap().program = Some(carried);
            }
            let next = plan(&names, &links, &found);
            prop_assert!(next.release.is_empty() && next.attach.is_empty(), "{next:?}");
            prop_assert_eq!(next.missing, first.missing);
        }
    }
}
