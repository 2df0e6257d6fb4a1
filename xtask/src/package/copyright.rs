//! What the licences ask for: our own terms, and the notices of all crates inside.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

use super::components::{Component, Components};
use super::family::Family;
use crate::workspace::root;

/// Beginnings of the names of files with licences.
const NOTICES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];

/// Debian's rule: this licence's text is not repeated.
const DEBIAN_HAS_IT: &str = " On Debian systems, the text is in /usr/share/common-licenses/Apache-2.0; it is in\n \
                             third-party-licenses.gz, too.\n";

/// In Debian's machine-readable form.
pub(crate) fn ours(family: Family) -> Result<String> {
    let read = |name: &str| {
        let file = root().join(name);
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    };
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: elb\n\
         Comment: Crates of others are inside the binary; third-party-licenses.gz has their terms.\n\n\
         Files: *\nCopyright: the elb developers\nLicense: MIT or Apache-2.0\n\n\
         License: MIT\n{}\nLicense: Apache-2.0\n{}",
        indented(&read("LICENSE-MIT")?),
        match family {
            Family::Deb => DEBIAN_HAS_IT.to_owned(),
            Family::Rpm => indented(&read("LICENSE-APACHE")?),
        }
    ))
}

/// Every crate with its licence, then each text once, after the crates that it is of.
pub(crate) fn others(components: &Components) -> Result<String> {
    let mut text = String::from("elb contains these crates:\n\n");
    let mut notices: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for component in components.0.iter().filter(|one| !one.is_ours) {
        text += &format!("  {}: {}\n", component.id(), component.license);
        for notice in notices_of(component)? {
            notices.entry(notice).or_default().push(component.id());
        }
    }
    for (notice, crates) in notices {
        text += &format!("\n{}\n{}:\n\n{notice}\n", "=".repeat(80), crates.join(", "));
    }
    Ok(text)
}

fn notices_of(component: &Component) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&component.folder).with_context(|| component.id())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && NOTICES.iter().any(|begins| name.starts_with(begins)) {
            found.push(String::from_utf8_lossy(&fs::read(path)?).trim_end().to_owned());
        }
    }
    Ok(found)
}

fn indented(text: &str) -> String {
    let line =
        |line: &str| if line.trim().is_empty() { " .\n".to_owned() } else { format!(" {line}\n") };
    text.trim().lines().map(line).collect()
}
