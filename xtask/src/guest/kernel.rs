//! Debian's kernels: an image to boot, and the modules that tests need.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup::apt;
use crate::setup::unpacked::unpack;

/// The long-term kernels that elb is tried on: the oldest that it is for, and the one after it.
pub(crate) const SERIES: [&str; 2] = ["6.1", "6.12"];

/// Each after those that it needs: the wires of a lab, the tunnels that backends end, and a
/// card with RSS.
const MODULES: [&str; 15] = [
    "llc",
    "stp",
    "bridge",
    "veth",
    "tunnel4",
    "tunnel6",
    "ip_tunnel",
    "ipip",
    "sit",
    "ip6_tunnel",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "fou",
    "fou6",
    "vmxnet3",
];

pub(crate) struct Kernel {
    pub(crate) series: &'static str,
    pub(crate) image: PathBuf,
    /// In the order to load them in.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    pub(crate) fn find_or_fetch(series: &'static str, folder: &Path) -> Result<Self> {
        let unpacked = folder.join(series);
        unpack(&unpacked, || Ok(vec![package(series)?])).with_context(|| {
            let place = unpacked.display();
            format!(
                "no kernel {series}; where another Debian has its package, unpack it to {place}"
            )
        })?;
        Self::find(series, &unpacked)
            .with_context(|| format!("{} is not what it was; remove it", unpacked.display()))
    }

    fn find(series: &'static str, unpacked: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        list(unpacked, &mut files)?;
        let image = files.iter().find(|(name, _)| name.starts_with("vmlinuz-"));
        let (_, image) = image.context("it has no vmlinuz")?;
        let built_in = files.get("modules.builtin").context("it has no modules.builtin")?;
        let built_in = fs::read_to_string(built_in)?;
        let mut modules = Vec::new();
        for module in MODULES {
            let names = [format!("{module}.ko"), format!("{module}.ko.xz")];
            match names.iter().find_map(|name| files.get(name)) {
                Some(file) => modules.push(file.clone()),
                None if built_in.lines().any(|line| line.ends_with(&format!("/{}", names[0]))) => {}
                None => bail!("it has no module {module}"),
            }
        }
        Ok(Self { series, image: image.clone(), modules })
    }

    pub(crate) fn describe(&self) -> String {
        format!("kernel {}: {}", self.series, self.image.display())
    }
}

/// The package of the newest kernel of a series; its name changes with each, so it is what another
/// package depends on. Those for clouds have the same network stack and half the size.
fn package(series: &str) -> Result<String> {
    let newest =
        [format!("linux-image-{series}-cloud-amd64"), "linux-image-cloud-amd64".to_owned()];
    let kernel = format!("linux-image-{series}.");
    let found = newest.iter().find_map(|package| apt::dependency(package, &kernel));
    found.with_context(|| format!("apt knows no package {kernel}*"))
}

/// All files below a folder, by name.
fn list(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_a_file_or_built_in_or_missing() {
        let scratch = tempfile::tempdir().unwrap();
        let modules = scratch.path().join("lib/modules/6.12.1");
        fs::create_dir_all(&modules).unwrap();
        for module in &MODULES[1..] {
            fs::write(modules.join(format!("{module}.ko.xz")), "").unwrap();
        }
        fs::write(modules.join("vmlinuz-6.12.1"), "").unwrap();
        fs::write(modules.join("modules.builtin"), "kernel/net/llc/llc.ko\n").unwrap();
        let kernel = Kernel::find("6.12", scratch.path()).unwrap();
        assert_eq!(kernel.image, modules.join("vmlinuz-6.12.1"));
        assert_eq!(kernel.modules.first(), Some(&modules.join("stp.ko.xz")));
        assert_eq!(kernel.modules.len(), MODULES.len() - 1);

        fs::remove_file(modules.join("fou.ko.xz")).unwrap();
        let error = Kernel::find("6.12", scratch.path()).err().unwrap();
        assert_eq!(error.to_string(), "it has no module fou");
    }
}
