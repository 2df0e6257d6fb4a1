//! How cargo is called for the BPF target.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::paths;
use crate::setup::{Toolchain, linker};
use crate::workspace::{Workspace, cargo_at_root, root};

/// The crates whose binaries are BPF programs.
const PACKAGES: [&str; 2] = ["elb-ebpf", "elb-tests-ebpf"];
const TARGET: &str =
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

/// `cargo <verb>` over every BPF program.
pub(crate) fn cargo(verb: &str, toolchain: &Toolchain, workspace: &Workspace) -> Command {
    let mut cargo = cargo_at_root();
    cargo.arg(verb);
    aim(&mut cargo, toolchain, workspace);
    cargo
}

/// `cargo clippy` over every BPF program, with the clippy that belongs to the compiler.
pub(crate) fn clippy(clippy: &Path, toolchain: &Toolchain, workspace: &Workspace) -> Command {
    let mut command = Command::new(clippy);
    command.arg("clippy").current_dir(root());
    aim(&mut command, toolchain, workspace);
    command
}

fn aim(cargo: &mut Command, toolchain: &Toolchain, workspace: &Workspace) {
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    cargo
        .args(["--bins", "--profile", "bpf", "-Zbuild-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(workspace.bpf_build_dir())
        .env("RUSTC", &toolchain.compiler.rustc)
        // A released compiler may build `core` only when asked to.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(linker_variable(), &toolchain.linker.path)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(toolchain, workspace).join("\x1f"));
    for meant_for_the_host in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"] {
        cargo.env_remove(meant_for_the_host);
    }
}

fn rust_flags(toolchain: &Toolchain, workspace: &Workspace) -> Vec<String> {
    let mut flags = flags(env::consts::ARCH);
    flags.extend(paths::without_places(&toolchain.compiler.rustc, workspace));
    flags
}

fn flags(host_arch: &str) -> Vec<String> {
    vec![
        format!("--cfg=bpf_target_arch=\"{host_arch}\""),
        "-Ctarget-cpu=v3".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clink-arg=--cpu-features=+{}", linker::CPU_FEATURE),
    ]
}

fn linker_variable() -> String {
    format!("CARGO_TARGET_{}_LINKER", TARGET.to_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_holds_no_separator_of_flags() {
        assert!(flags("x86_64").iter().all(|flag| !flag.contains('\x1f')));
        assert_eq!(flags("aarch64")[0], "--cfg=bpf_target_arch=\"aarch64\"");
    }
}
