//! Where the workspace and what it builds live, and the cargo that builds it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{self, search_path};

/// Names to `elb-userspace` the folder that holds the BPF objects that it embeds, and the tests which
/// objects to load.
pub(crate) const BPF_DIR_VARIABLE: &str = "ELB_BPF_DIR";

pub(crate) struct Workspace {
    target: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let json =
            process::output(cargo_at_root().args(["metadata", "--no-deps", "--format-version=1"]))?;
        let metadata: serde_json::Value = serde_json::from_str(&json)?;
        let target =
            metadata["target_directory"].as_str().context("cargo names no target folder")?;
        Ok(Self { target: target.into() })
    }

    /// The folder of all that is built.
    pub(crate) fn target_dir(&self) -> &Path {
        &self.target
    }

    /// The folder of the finished BPF objects.
    pub(crate) fn bpf_dir(&self) -> PathBuf {
        self.target.join("bpf")
    }

    /// The target folder of the BPF builds, apart so that they and host builds do not wait for
    /// each other.
    pub(crate) fn bpf_build_dir(&self) -> PathBuf {
        self.target.join("bpf-build")
    }

    /// The folder of kernels to test on, and of what runs them.
    pub(crate) fn kernels_dir(&self) -> PathBuf {
        self.target.join("kernels")
    }

    /// The virtual environment of Python with the SDK that labs run.
    pub(crate) fn python_dir(&self) -> PathBuf {
        self.target.join("python")
    }

    /// The folder of daemons that labs run and that are not installed.
    pub(crate) fn daemons_dir(&self) -> PathBuf {
        self.target.join("daemons")
    }

    /// A bare Debian root.
    pub(crate) fn debian_dir(&self) -> PathBuf {
        self.target.join("debian")
    }

    /// The folder of packages.
    pub(crate) fn package_dir(&self) -> PathBuf {
        self.target.join("package")
    }

    /// The folder of a second build, which is to be the same as the first.
    pub(crate) fn second_dir(&self) -> PathBuf {
        self.target.join("second")
    }

    /// The folder of programs that packages are made with.
    pub(crate) fn tools_dir(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A cargo for host crates, which embeds the finished BPF objects.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = cargo_at_root();
        cargo.args(arguments).env(BPF_DIR_VARIABLE, self.bpf_dir()).env("PATH", search_path());
        cargo
    }
}

/// The cargo that runs us (it is the one of the workspace's toolchain), in the workspace's root. What
/// it set for our own package is not for it: some build scripts would run again for that, and
/// everything after them, each time that cargo is called without us.
pub(crate) fn cargo_at_root() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if about_us.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root());
    cargo
}

/// Cargo says where we are at run time; what it said at build time may be another checkout, if
/// both share a target folder.
pub(crate) fn root() -> PathBuf {
    let xtask =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let xtask = PathBuf::from(xtask);
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_owned)
}
