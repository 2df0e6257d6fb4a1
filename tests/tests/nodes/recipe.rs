//! The files that docs/several-nodes.md prints, and the names in them that differ in a lab.

use anyhow::{Context as _, Result};

const DOCUMENT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/several-nodes.md"));

/// The file that begins with `first`, a comment; `names` are names in it, and what they are in a lab.
pub(crate) fn printed(first: &str, names: &[(&str, &str)]) -> Result<String> {
    let blocks = DOCUMENT.split("```").skip(1).step_by(2);
    let texts = blocks.filter_map(|block| Some(block.split_once('\n')?.1));
    let is_it = |text: &&str| text.lines().take(2).any(|line| line == first);
    let mut text = texts.into_iter().find(is_it).with_context(|| format!("no {first}"))?.to_owned();
    for (name, in_lab) in names {
        anyhow::ensure!(text.contains(name), "{first}: {name} is not in it");
        text = text.replace(name, in_lab);
    }
    Ok(text)
}
