//! Programs of others that labs run next to elb: keepalived, BIRD, nginx, Knot DNS and others.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::netns::NetNs;

/// Where `cargo xtask setup` unpacks those that the system does not have.
const UNPACKED: &str = "ELB_DAEMONS";
const SYSTEM: [&str; 5] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin"];

/// A command in `netns` that runs `program` of the system, or the one that was unpacked.
pub fn daemon(netns: &NetNs, program: &str) -> Result<Command> {
    let found = Found::search(program)?;
    found.ready(netns.command(&found.file))
}

/// As [`daemon`], for a program that needs no network.
pub fn tool(program: &str) -> Result<Command> {
    let found = Found::search(program)?;
    found.ready(Command::new(&found.file))
}

struct Found {
    file: PathBuf,
    /// Where its package was unpacked; `None`: it is the system's.
    unpacked: Option<PathBuf>,
}

impl Found {
    fn search(program: &str) -> Result<Self> {
        let system = SYSTEM.iter().map(|folder| Path::new(folder).join(program));
        if let Some(file) = system.into_iter().find(|file| file.is_file()) {
            return Ok(Self { file, unpacked: None });
        }
        for folder in unpacked()? {
            let places = ["usr/sbin", "usr/bin"].map(|place| folder.join(place).join(program));
            if let Some(file) = places.into_iter().find(|file| file.is_file()) {
                return Ok(Self { file, unpacked: Some(folder) });
            }
        }
        bail!("no {program}: run `cargo xtask setup`")
    }

    /// With the libraries that were unpacked with it.
    fn ready(&self, mut command: Command) -> Result<Command> {
        if let Some(folder) = &self.unpacked {
            command.env("LD_LIBRARY_PATH", env::join_paths(libraries(folder)?)?);
        }
        Ok(command)
    }
}

/// A folder a package, with those that it needs.
fn unpacked() -> Result<Vec<PathBuf>> {
    env::var_os(UNPACKED).map_or_else(|| Ok(Vec::new()), |place| folders(Path::new(&place)))
}

fn libraries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for place in ["lib", "usr/lib"].map(|place| folder.join(place)) {
        if place.is_dir() {
            all.extend(folders(&place)?);
        }
    }
    Ok(all)
}

fn folders(place: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(place).with_context(|| format!("cannot read {}", place.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}
