//! What runs in machines: our programs in a profile for them, and the system's that those call.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::initramfs::Initramfs;
use crate::artifact;
use crate::process;
use crate::workspace::Workspace;

/// Where ours are in a machine.
pub(crate) const PLACE: &str = "/elb";
/// Where those of the system are.
pub(crate) const SYSTEM_PLACE: &str = "/bin";
const SYSTEM: [&str; 2] = ["ip", "ethtool"];

const BUILD: [&str; 21] = [
    "build",
    "--profile",
    "guest",
    "--package",
    "elb-userspace",
    "--package",
    "elb-tests",
    "--bin",
    "elb",
    "--bin",
    "guest",
    "--bin",
    "lab-server",
    "--bin",
    "bench",
    "--test",
    "program",
    "--test",
    "lab",
    "--test",
    "devices",
];

pub(crate) struct Programs {
    ours: BTreeMap<String, PathBuf>,
    bpf: PathBuf,
}

impl Programs {
    /// Builds ours; the BPF objects must be built.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        let ours = artifact::build_named(&mut workspace.cargo(&BUILD))?;
        Ok(Self { ours: ours.into_iter().collect(), bpf: workspace.bpf_dir() })
    }

    pub(super) fn add_to(&self, initramfs: &mut Initramfs) -> Result<()> {
        for (name, file) in &self.ours {
            let place =
                if name == "guest" { "/init".to_owned() } else { format!("{PLACE}/{name}") };
            initramfs.add_program(&place, file)?;
        }
        for program in SYSTEM {
            let file = process::find_program(program)
                .with_context(|| format!("no {program}; run: cargo xtask setup"))?;
            initramfs.add_program(&format!("{SYSTEM_PLACE}/{program}"), &file)?;
        }
        for object in self.bpf.read_dir()? {
            let object = object?;
            let name = object.file_name().to_string_lossy().into_owned();
            initramfs.add_file(&format!("{}/{name}", bpf_place()), &object.path())?;
        }
        Ok(())
    }
}

/// Where the BPF objects are in a machine.
pub(super) fn bpf_place() -> String {
    format!("{PLACE}/bpf")
}
