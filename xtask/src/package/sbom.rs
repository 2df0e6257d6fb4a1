//! The list of components, in CycloneDX 1.5 (JSON).
//!
//! Written from cargo's own resolution, as the list of licences is: cargo-cyclonedx knows the crates of `elb` only,
//! not those of the BPF programs inside, and no C. It would be four minutes' compiling for the shorter list.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::components::{Component, Components};
use super::release::Release;
use super::target::Target;

/// What no crate's entry names: where it comes from, and its licence.
const NOT_CRATES: [(&str, &str, &str); 4] = [
    ("BoringSSL", "C and assembly in the crate ring", "OpenSSL AND ISC AND Apache-2.0"),
    ("Rust standard library", "std, core, alloc, compiler-builtins", "MIT OR Apache-2.0"),
    ("SQLite", "C in the crate libsqlite3-sys", "blessing"),
    ("musl", "C library, linked by static builds; comes with Rust's standard library", "MIT"),
];

/// Returns the list's name. No number or time in it changes with the run.
pub(crate) fn write(
    release: &Release,
    target: &Target,
    elb: &Path,
    components: &Components,
    out: &Path,
) -> Result<String> {
    let name = format!("elb-{}-{}.cdx.json", release.version, target.triple);
    let text =
        serde_json::to_string_pretty(&list(release, target, carries_list(elb)?, &components.0))?
            + "\n";
    fs::write(out.join(&name), text)?;
    Ok(name)
}

/// Whether the binary names its crates itself, in the section of cargo-auditable.
fn carries_list(elb: &Path) -> Result<bool> {
    const SECTION: &[u8] = b"\0.dep-v0\0";
    Ok(fs::read(elb)?.windows(SECTION.len()).any(|bytes| bytes == SECTION))
}

fn list(release: &Release, target: &Target, audited: bool, components: &[Component]) -> Value {
    let main = json!({
        "type": "application", "bom-ref": "elb", "name": "elb", "version": release.version,
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "properties": [
            {"name": "elb:target", "value": target.triple},
            {"name": "elb:cargo-auditable", "value": audited.to_string()},
        ],
    });
    let others = NOT_CRATES.iter().filter(|(name, ..)| *name != "musl" || target.is_static());
    let others = others.map(|(name, description, license)| {
        json!({"type": "library", "bom-ref": name, "name": name, "description": description,
            "licenses": [{"expression": license}]})
    });
    let roots = components.iter().filter(|one| one.is_ours).map(Component::id);
    let tree = components.iter().map(|one| json!({"ref": one.id(), "dependsOn": one.dependencies}));
    let whole = json!({"ref": "elb", "dependsOn": roots.collect::<Vec<_>>()});
    let dependencies: Vec<Value> = [whole].into_iter().chain(tree).collect();
    let components: Vec<Value> = components.iter().map(library).chain(others).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": main},
        "components": components,
        "dependencies": dependencies,
    })
}

fn library(component: &Component) -> Value {
    let mut library = json!({
        "type": "library", "bom-ref": component.id(), "name": component.name,
        "version": component.version,
    });
    if !component.license.is_empty() {
        library["licenses"] = json!([{"expression": component.license}]);
    }
    if !component.is_ours {
        library["purl"] = json!(format!("pkg:cargo/{}", component.id()));
    }
    library
}
