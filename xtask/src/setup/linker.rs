//! Finds or builds the BPF linker.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::compiler::LLVM;
use super::version::Version;
use crate::process;
use crate::workspace::cargo_at_root;

const NEEDED: Version = Version(0, 13, 0);
/// Lets programs load whole words at odd addresses, as the JITs for x86-64 and arm64 do.
pub(crate) const CPU_FEATURE: &str = "allows-misaligned-mem-access";

pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    version: Version,
}

impl Linker {
    /// Looks on `PATH`, then where `cargo install` puts programs.
    pub(crate) fn find() -> Option<Self> {
        let installed = cargo_home().map(|home| home.join("bin/bpf-linker"));
        process::find_program("bpf-linker").into_iter().chain(installed).find_map(probe)
    }

    pub(crate) fn name(&self) -> String {
        format!("bpf-linker {}", self.version)
    }

    pub(crate) fn describe(&self) -> String {
        format!("{}: {}", self.name(), self.path.display())
    }
}

/// Builds and installs the linker with cargo; takes a minute or two.
pub(crate) fn install(llvm_prefix: &Path) -> Result<()> {
    let mut cargo = cargo_at_root();
    cargo
        .args(["install", "bpf-linker", "--locked", "--force", "--no-default-features"])
        .args(["--version", &NEEDED.to_string(), "--features", &format!("llvm-{LLVM}")])
        .env("LLVM_PREFIX", llvm_prefix);
    for meant_for_the_workspace in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "RUSTC"]
    {
        cargo.env_remove(meant_for_the_workspace);
    }
    process::run(&mut cargo)
}

/// The LLVM to build the linker with: `LLVM_PREFIX`, else Debian's.
pub(crate) fn llvm_prefix() -> Option<PathBuf> {
    let prefix = env::var_os("LLVM_PREFIX").map(PathBuf::from);
    let prefix = prefix.unwrap_or_else(|| format!("/usr/lib/llvm-{LLVM}").into());
    Some(prefix).filter(|prefix| prefix.join("lib/libLLVM.so").exists())
}

/// What to run where the system has no package of that LLVM: the linker's own prebuilt program.
pub(crate) fn install_prebuilt() -> String {
    format!("cargo install cargo-binstall && cargo binstall bpf-linker@{NEEDED}")
}

fn probe(path: PathBuf) -> Option<Linker> {
    let version = process::output(Command::new(&path).arg("--version")).ok()?;
    let help = process::output(Command::new(&path).arg("--help")).ok()?;
    Some(Linker { path, version: suitable(&version, &help)? })
}

fn suitable(version: &str, help: &str) -> Option<Version> {
    let version = Version::find(version)?;
    (version >= NEEDED && help.contains(CPU_FEATURE)).then_some(version)
}

pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "--cpu-features <features>  LLVM 22 builds also support \
                        allows-misaligned-mem-access.";

    #[test]
    fn a_linker_must_be_new_enough_and_know_the_feature() {
        assert_eq!(suitable("bpf-linker 0.13.0\n", HELP), Some(NEEDED));
        assert_eq!(suitable("bpf-linker 0.14.2\n", HELP), Some(Version(0, 14, 2)));
        assert_eq!(suitable("bpf-linker 0.9.15\n", HELP), None);
        assert_eq!(suitable("bpf-linker 0.13.0\n", "--cpu-features <features>"), None);
        assert_eq!(suitable("", HELP), None);
    }
}
