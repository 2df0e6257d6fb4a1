//! What the binary is made of: the crates of `elb` and of the BPF programs inside, as cargo resolves them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::target::Target;
use crate::process;
use crate::workspace::cargo_at_root;

/// The crates that all others are dependencies of.
const ROOTS: [&str; 2] = ["elb-userspace", "elb-ebpf"];

pub(crate) struct Components(pub(crate) Vec<Component>);

pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: String,
    /// Where its source is.
    pub(crate) folder: PathBuf,
    pub(crate) is_ours: bool,
    /// `NAME@VERSION` of each.
    pub(crate) dependencies: Vec<String>,
}

impl Component {
    pub(crate) fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl Components {
    /// Those that are linked for `target`; not what only builds or tests.
    pub(crate) fn of(target: &Target) -> Result<Self> {
        let mut cargo = cargo_at_root();
        cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform"]);
        let said = process::output(cargo.arg(&target.triple))?;
        Self::read(&serde_json::from_str(&said)?)
    }

    fn read(metadata: &Value) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let packages: BTreeMap<String, Value> =
            list(&metadata["packages"]).into_iter().map(|one| (text(&one["id"]), one)).collect();
        let linked: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                (text(&node["id"]), list(&node["deps"]).iter().filter_map(linked).collect())
            })
            .collect();
        let is_root = |id: &&String| ROOTS.contains(&&*text(&packages[*id]["name"]));
        let mut waiting: Vec<String> = packages.keys().filter(is_root).cloned().collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if seen.insert(id.clone()) {
                waiting.extend(linked.get(&id).into_iter().flatten().cloned());
            }
        }
        let ids = |id: &String| linked.get(id).into_iter().flatten();
        let component = |id: &String| {
            let package = &packages[id];
            let name = |id: &String| {
                format!("{}@{}", text(&packages[id]["name"]), text(&packages[id]["version"]))
            };
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            Ok(Component {
                name: text(&package["name"]),
                version: text(&package["version"]),
                // An old way to write OR.
                license: text(&package["license"]).replace('/', " OR ").replace("  ", " "),
                folder: manifest.parent().context("a manifest is in a folder")?.to_owned(),
                is_ours: package["source"].is_null(),
                dependencies: ids(id).map(name).collect(),
            })
        };
        let mut components = seen.iter().map(component).collect::<Result<Vec<_>>>()?;
        components.sort_by_key(Component::id);
        Ok(Self(components))
    }
}

/// The package of a dependency that ends up in the binary.
fn linked(dependency: &Value) -> Option<String> {
    let kinds = dependency["dep_kinds"].as_array()?;
    kinds.iter().any(|kind| kind["kind"].is_null()).then(|| text(&dependency["pkg"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_builds_or_tests_is_not_inside() {
        let package = |name: &str| {
            serde_json::json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0",
                "source": "registry", "manifest_path": "/crates/x/Cargo.toml"})
        };
        let dependency = |name: &str, kind: Value| serde_json::json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["elb-userspace", "serde", "cc", "proptest", "unrelated"].map(package);
        let metadata = serde_json::json!({
            "packages": packages,
            "resolve": {"nodes": [
                {"id": "elb-userspace", "deps": [dependency("serde", Value::Null),
                    dependency("cc", "build".into()), dependency("proptest", "dev".into())]},
                {"id": "serde", "deps": []},
            ]},
        });
        let components = Components::read(&metadata).unwrap().0;
        assert_eq!(
            components.iter().map(Component::id).collect::<Vec<_>>(),
            ["elb-userspace@1.0.0", "serde@1.0.0"]
        );
        assert_eq!(components[0].dependencies, ["serde@1.0.0"]);
        assert_eq!(components[1].license, "MIT OR Apache-2.0");
    }
}
