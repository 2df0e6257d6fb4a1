//! What a lab must be given: root, the binary under test, and the BPF objects.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::geteuid,
};

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

/// Lets this process, and those it starts from now on, have as many open files as they may. Fails
/// if that is not enough for `count` more than a program has that holds no connections.
pub fn allow_descriptors(count: usize) -> Result<()> {
    const OTHERS: u64 = 1000;
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if now < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    let needed = u64::try_from(count)? + OTHERS;
    ensure!(
        needed <= most,
        "{count} connections need {needed} open files in one process, and the hard limit is \
         {most}: raise it (`ulimit -Hn`)"
    );
    Ok(())
}

/// Python with the public SDK of the API, as `cargo xtask setup` makes it.
pub fn python() -> Result<PathBuf> {
    path_from("ELB_PYTHON", "Python with the SDK of the API")
}

/// How many of something a lab has: what the variable `name` says, or as many as usual.
pub fn number(name: &str, usual: usize) -> Result<usize> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is not a number")),
        Err(_) => Ok(usual),
    }
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
