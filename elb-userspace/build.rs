//! Embeds the BPF objects into the binary.
//!
//! `cargo xtask build` builds them and names their folder in `ELB_BPF_DIR`. Without it, empty files
//! are embedded: `cargo check`, clippy and the host tests need no BPF toolchain, and such an agent
//! says what it lacks.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const OBJECTS: [&str; 2] = ["elb-xdp", "elb-decap"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=ELB_BPF_DIR");
    let from = env::var_os("ELB_BPF_DIR").map(PathBuf::from);
    let to = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for name in OBJECTS {
        let bytes = match &from {
            Some(from) => read(&from.join(name))?,
            None => Vec::new(),
        };
        fs::write(to.join(name), bytes)?;
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read(path).map_err(|error| {
        let hint = "ELB_BPF_DIR must name the folder that `cargo xtask build-ebpf` writes to";
        io::Error::new(error.kind(), format!("{}: {error}; {hint}", path.display()))
    })
}
