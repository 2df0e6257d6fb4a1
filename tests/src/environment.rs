//! What a lab must be given: root, the binary under test, and the BPF objects.

use std::{env, path::PathBuf};

use anyhow::{Result, bail, ensure};
use nix::unistd::geteuid;

/// Fails unless this process may create namespaces and load BPF programs.
pub fn require_root() -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "labs need root for network namespaces and BPF: run through `sudo cargo xtask test`"
    );
    Ok(())
}

/// The binary under test.
pub fn elb_bin() -> Result<PathBuf> {
    path_from("ELB_BIN", "the binary under test")
}

/// The directory of the BPF objects, each named after its program.
pub fn bpf_dir() -> Result<PathBuf> {
    path_from("ELB_BPF_DIR", "the directory of the BPF objects")
}

fn path_from(name: &str, what: &str) -> Result<PathBuf> {
    let Some(value) = env::var_os(name) else {
        bail!("{name} is not set, it names {what}: run through `cargo xtask test`");
    };
    let path = PathBuf::from(value);
    ensure!(
        path.exists(),
        "{name} names {}, which does not exist: run through `cargo xtask test`",
        path.display()
    );
    Ok(path)
}
