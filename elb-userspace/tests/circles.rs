//! No modules import each other in a circle, in this crate, `elb-common` and `elb-ebpf`. A module and those
//! within it may: they are one subject.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::imports::{Module, modules};

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["elb-common", "elb-ebpf", "elb-userspace", "xtask"] {
        let modules = modules(&root.join(name).join("src")).unwrap();
        let imports: BTreeMap<&Module, Vec<&Module>> =
            modules.iter().map(|(module, (_, used))| (module, apart(module, used))).collect();
        assert!(imports.len() > 5 && imports.values().any(|used| !used.is_empty()), "{name}");
        for module in imports.keys() {
            let circle = circle(&imports, module);
            assert!(circle.is_none(), "{name}: {circle:?}");
        }
    }
}

/// Those of the modules that are neither around `module` nor within it.
fn apart<'a>(module: &Module, used: &'a BTreeSet<Module>) -> Vec<&'a Module> {
    used.iter().filter(|other| !other.starts_with(module) && !module.starts_with(other)).collect()
}

/// A way from a module back to it.
fn circle<'a>(
    imports: &BTreeMap<&'a Module, Vec<&'a Module>>,
    module: &'a Module,
) -> Option<Vec<&'a Module>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![module]];
    while let Some(way) = ways.pop() {
        for next in imports.get(way[way.len() - 1]).into_iter().flatten() {
            if *next == module {
                return Some(way);
            }
            if seen.insert(*next) {
                ways.push([&way[..], &[*next]].concat());
            }
        }
    }
    None
}

#[test]
fn a_circle_is_found() {
    let [a, b, c] = ["a", "b", "c"].map(|name| vec![name.to_owned()]);
    let mut imports = BTreeMap::from([(&a, vec![&b]), (&b, vec![&c]), (&c, vec![])]);
    assert_eq!(circle(&imports, &a), None);
    imports.insert(&c, vec![&b]);
    assert_eq!(circle(&imports, &a), None, "it is not in one itself");
    assert_eq!(circle(&imports, &b), Some(vec![&b, &c]));
}
