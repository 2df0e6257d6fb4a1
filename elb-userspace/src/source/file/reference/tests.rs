//! The reference is complete, and the committed file is what the code says.

use std::collections::BTreeSet;
use std::fs;

use super::*;

/// Every key of every table is described, and none that the reader does not ask for.
#[test]
fn every_key_is_described_once() {
    let keys = keys();
    let described: Vec<&[&str]> = SECTIONS.iter().map(|section| section.table).collect();
    let tables: BTreeSet<&[&str]> = keys.tables().filter(|table| !table.is_empty()).collect();
    assert_eq!(described.iter().copied().collect::<BTreeSet<_>>(), tables);
    assert_eq!(described.len(), tables.len(), "a table has one section");
    for section in SECTIONS {
        let mut names: Vec<_> = section.keys.iter().map(|key| key.name).collect();
        names.sort_unstable();
        assert_eq!(names, keys.of(section.table).collect::<Vec<_>>(), "{:?}", section.table);
    }
}

/// Defaults in words of their own, too: they must not hide one that the reader has as a constant, unless
/// there are several.
#[test]
fn constants_are_not_written_twice() {
    let keys = keys();
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| !key.default.is_empty()) {
            let defaults = &keys.get(section.table, key.name).unwrap().defaults;
            assert_ne!(defaults.len(), 1, "{} {}", section.heading, key.name);
            for value in defaults {
                assert!(key.default.contains(&format!("`{value}`")), "{}: {value}", key.name);
            }
        }
    }
}

#[test]
fn examples_are_toml() {
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| !key.example.starts_with('[')) {
            let text = format!("{} = {}", key.name, key.example);
            assert!(DeTable::parse(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn the_committed_reference_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    if std::env::var_os("ELB_WRITE_DOCS").is_some() {
        fs::write(path, markdown()).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(committed == markdown(), "{path} differs; run: cargo xtask docs");
}
