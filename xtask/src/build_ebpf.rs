//! `build-ebpf`: builds the BPF programs and puts them where `elb` embeds them from.

mod object_file;
mod stack;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::object_file::Code;
use crate::artifact;
use crate::bpf;
use crate::setup::{self, Purpose, Toolchain};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Features of `elb-ebpf` to build with, for example `trace`
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let toolchain = setup::prepare(Purpose::Build)?;
    build(&toolchain, &Workspace::locate()?, &options.features)
}

/// Builds every BPF program and reports the size of each.
pub(crate) fn build(
    toolchain: &Toolchain,
    workspace: &Workspace,
    features: &[String],
) -> Result<()> {
    let mut cargo = bpf::cargo("build", toolchain, workspace);
    for feature in features {
        cargo.args(["--features", &format!("elb-ebpf/{feature}")]);
    }
    let built = artifact::build(&mut cargo)?;
    let objects = built.iter().map(|object| finish(object)).collect::<Result<Vec<_>>>()?;
    let finished = publish(&objects, &workspace.bpf_dir())?;
    finished.iter().try_for_each(|object| report(object))
}

/// A finished object: what it is called, and its content.
type Object = (OsString, Vec<u8>);

/// Takes away what nothing loads: nine tenths of an object, which every binary would carry. What is left must fit into
/// the BPF stack of every kernel.
fn finish(object: &Path) -> Result<Object> {
    let name = object.file_name().context("cargo named an executable without a name")?;
    let content = object_file::without_dwarf(&fs::read(object)?);
    let content = content.and_then(|content| stack::check(&content).map(|()| content));
    Ok((name.to_owned(), content.with_context(|| object.display().to_string())?))
}

/// Makes `folder` hold these objects and no others. One that did not change keeps its time, so
/// that cargo does not rebuild what embeds it.
fn publish(objects: &[Object], folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut finished = Vec::new();
    for (name, content) in objects {
        let place = folder.join(name);
        if fs::read(&place).ok().as_ref() != Some(content) {
            fs::write(&place, content)
                .with_context(|| format!("cannot write {}", place.display()))?;
        }
        finished.push(place);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !finished.contains(&path) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(finished)
}

fn report(object: &Path) -> Result<()> {
    let content = fs::read(object)?;
    let code = object_file::code(&content).with_context(|| object.display().to_string())?;
    let total: u64 = code.iter().map(|code| code.instructions).sum();
    let sections: Vec<_> = code.iter().map(describe).collect();
    println!(
        "{}: {} bytes, {total} instructions ({})",
        object.display(),
        content.len(),
        sections.join(", ")
    );
    Ok(())
}

fn describe(code: &Code) -> String {
    format!("{} {}", code.section, code.instructions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_mirrors_the_build() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("bpf");
        let object = |content: &str| [("elb-xdp".into(), content.into())];
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("renamed-away"), "old").unwrap();

        let finished = publish(&object("first"), &folder).unwrap();
        assert_eq!(finished, [folder.join("elb-xdp")]);
        assert!(!folder.join("renamed-away").exists());

        let written = fs::metadata(&finished[0]).unwrap().modified().unwrap();
        publish(&object("first"), &folder).unwrap();
        assert_eq!(fs::metadata(&finished[0]).unwrap().modified().unwrap(), written);

        publish(&object("second"), &folder).unwrap();
        assert_eq!(fs::read_to_string(&finished[0]).unwrap(), "second");
    }
}
