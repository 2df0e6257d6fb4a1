//! Static binaries: the standard library and the C compiler for musl.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::apt::{self, Need};
use crate::process;
use crate::workspace::root;

pub(crate) const X86_64: &str = "x86_64-unknown-linux-musl";
pub(crate) const AARCH64: &str = "aarch64-unknown-linux-musl";

/// Finds the standard library for `target`, or lets rustup fetch it within `limit`.
///
/// # Errors
/// It is not there and cannot be fetched.
pub(crate) fn provide_std(target: &str, limit: Duration) -> Result<()> {
    if has_std(target)? {
        return Ok(());
    }
    ensure!(
        process::find_program("rustup").is_some(),
        "there is no rustup to fetch it, and Debian has no package of it"
    );
    let mut rustup = Command::new("rustup");
    process::run_within(limit, rustup.args(["target", "add", target]).current_dir(root()))?;
    ensure!(has_std(target)?, "rustup brought none to the toolchain that builds");
    Ok(())
}

/// Debian's C compiler for musl, of this machine's processor.
pub(crate) fn c_compiler() -> Need {
    need("musl-gcc", vec!["musl-tools"])
}

/// Debian's C compiler for aarch64.
pub(crate) fn cross_compiler() -> Need {
    need("aarch64-linux-gnu-gcc", vec!["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"])
}

/// Finds a compiler, or installs it; its name.
///
/// # Errors
/// It is not there and cannot be installed.
pub(crate) fn provide_compiler(need: Need) -> Result<&'static str> {
    let name = need.what;
    if process::find_program(name).is_none() {
        let unmet = apt::install(&[need])?;
        ensure!(unmet.is_empty(), "{}", unmet.join("; "));
    }
    Ok(name)
}

/// The variable that names the C compiler to crates that compile C.
pub(crate) fn compiler_variable(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}

fn need(what: &'static str, packages: Vec<&'static str>) -> Need {
    let otherwise = format!("install your system's package of it (Debian's is {})", packages[0]);
    Need { what, packages, least: None, otherwise }
}

fn has_std(target: &str) -> Result<bool> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]).current_dir(root());
    let folder = process::output(&mut rustc).context("rustc does not know the target")?;
    Ok(std::fs::read_dir(folder.trim()).is_ok_and(|mut files| files.next().is_some()))
}
