//! Finds a rustc that can build `core` for the BPF target.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::version::Version;
use crate::process;
use crate::workspace::root;

/// The LLVM that the BPF linker is built with: it reads bitcode of this and older versions.
pub(crate) const LLVM: u32 = 22;
const SYSTEM: &str = "/usr/bin/rustc";
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Downloading the library source takes seconds; a machine that cannot must not wait for long.
const COMPONENT_LIMIT: Duration = Duration::from_secs(20);
const TOOLCHAIN_LIMIT: Duration = Duration::from_secs(300);

/// A rustc with the source of `core` next to it.
pub(crate) struct Compiler {
    pub(crate) rustc: PathBuf,
    version: Version,
    llvm: u32,
}

impl Compiler {
    /// The active toolchain's, else that of the oldest toolchain we support (it stays usable when
    /// the active one outgrows the linker's LLVM), else the system's.
    pub(crate) fn find() -> Option<Self> {
        let active = active_sysroot().map(|sysroot| sysroot.join("bin/rustc"));
        active.into_iter().chain(oldest_toolchain()).chain([SYSTEM.into()]).find_map(usable)
    }

    pub(crate) fn name(&self) -> String {
        format!("rustc {} (LLVM {})", self.version, self.llvm)
    }

    pub(crate) fn describe(&self) -> String {
        format!("{} with the source of core: {}", self.name(), self.rustc.display())
    }

    pub(crate) fn is_the_systems(&self) -> bool {
        self.rustc == Path::new(SYSTEM)
    }

    /// The `cargo-clippy` that belongs to this rustc.
    pub(crate) fn clippy(&self) -> Option<PathBuf> {
        Some(self.rustc.with_file_name("cargo-clippy")).filter(|clippy| clippy.is_file())
    }
}

pub(crate) fn oldest_version() -> Option<Version> {
    Version::find(OLDEST)
}

/// The rustup command that makes [`Compiler::find`] succeed.
pub(crate) fn rustup_arguments() -> Vec<&'static str> {
    if active_llvm().is_some_and(|llvm| llvm <= LLVM) {
        return vec!["component", "add", "rust-src"];
    }
    let install = ["toolchain", "install", OLDEST, "--profile", "minimal"];
    [&install[..], &["--component", "rust-src", "--component", "clippy"]].concat()
}

/// Lets rustup fetch the source, if there is a rustup.
pub(crate) fn fetch_with_rustup() -> Result<()> {
    if process::find_program("rustup").is_none() {
        return Ok(());
    }
    let arguments = rustup_arguments();
    let limit = if arguments[0] == "component" { COMPONENT_LIMIT } else { TOOLCHAIN_LIMIT };
    process::run_within(limit, Command::new("rustup").args(arguments).current_dir(root()))
}

fn usable(rustc: PathBuf) -> Option<Compiler> {
    let sysroot = process::output(Command::new(&rustc).args(["--print", "sysroot"])).ok()?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    let (version, llvm) = versions(&rustc)?;
    let fits = source.is_file() && version >= oldest_version()? && llvm <= LLVM;
    fits.then_some(Compiler { rustc, version, llvm })
}

fn active_sysroot() -> Option<PathBuf> {
    let mut rustc = Command::new("rustc");
    let sysroot = process::output(rustc.args(["--print", "sysroot"]).current_dir(root())).ok()?;
    Some(sysroot.trim().into())
}

fn active_llvm() -> Option<u32> {
    Some(versions(&active_sysroot()?.join("bin/rustc"))?.1)
}

fn oldest_toolchain() -> Option<PathBuf> {
    let home = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".rustup")))?;
    let name = format!("{OLDEST}-{}-unknown-linux-gnu", env::consts::ARCH);
    Some(home.join("toolchains").join(name).join("bin/rustc"))
}

fn versions(rustc: &Path) -> Option<(Version, u32)> {
    parse_versions(&process::output(Command::new(rustc).arg("-vV")).ok()?)
}

fn parse_versions(verbose: &str) -> Option<(Version, u32)> {
    let field = |name| verbose.lines().find_map(|line| Version::find(line.strip_prefix(name)?));
    Some((field("release: ")?, field("LLVM version: ")?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_of_rustc_and_llvm() {
        let verbose = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\n\
                       host: x86_64-unknown-linux-gnu\nrelease: 1.97.0-nightly\n\
                       LLVM version: 22.1.4\n";
        assert_eq!(parse_versions(verbose), Some((Version(1, 97, 0), 22)));
        assert_eq!(parse_versions("rustc 1.97.0\nrelease: 1.97.0\n"), None);
    }
}
