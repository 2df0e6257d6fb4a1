//! What packages are for: a processor, and a C library that is inside or that is asked for.

use std::env;
use std::time::Duration;

use anyhow::{Result, bail};
use object::elf;

use crate::setup::musl;
use crate::stages::Stages;

const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) triple: String,
    pub(crate) processor: &'static Processor,
}

/// What a processor is called.
#[derive(Debug, PartialEq)]
pub(crate) struct Processor {
    /// By Rust and by rpm.
    pub(crate) name: &'static str,
    /// By dpkg and in images.
    pub(crate) deb: &'static str,
    /// In ELF files.
    pub(crate) machine: elf::Machine,
    musl: &'static str,
}

const PROCESSORS: [Processor; 2] = [
    Processor { name: "x86_64", deb: "amd64", machine: elf::EM_X86_64, musl: musl::X86_64 },
    Processor { name: "aarch64", deb: "arm64", machine: elf::EM_AARCH64, musl: musl::AARCH64 },
];

impl Target {
    /// What was asked for, else a static binary for this machine if that can be had.
    pub(crate) fn choose(wanted: Option<&str>, stages: &mut Stages) -> Result<Self> {
        if let Some(wanted) = wanted {
            return Self::named(wanted);
        }
        let here = Self::named(&format!("{}-unknown-linux-gnu", env::consts::ARCH))?;
        let musl = here.processor.musl;
        match musl::provide_std(musl, LIMIT) {
            Ok(()) => Self::named(musl),
            Err(error) => {
                stages.skip(format!(
                    "a static binary: no standard library for {musl}: {error:#}; the binary is for \
                     glibc, and needs a system as new as this one"
                ));
                Ok(here)
            }
        }
    }

    pub(crate) fn named(triple: &str) -> Result<Self> {
        let processor = PROCESSORS.iter().find(|one| triple.starts_with(one.name));
        let known = ["-unknown-linux-musl", "-unknown-linux-gnu"];
        let known = |one: &&Processor| known.iter().any(|end| triple == one.name.to_owned() + end);
        match processor.filter(known) {
            Some(processor) => Ok(Self { triple: triple.to_owned(), processor }),
            None => bail!(
                "packages are made for x86_64 and aarch64, -unknown-linux-musl and -gnu; not for {triple}"
            ),
        }
    }

    pub(crate) fn is_static(&self) -> bool {
        self.triple.ends_with("musl")
    }

    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.processor.name == env::consts::ARCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_names_for_every_kind_of_package() {
        let target = Target::named("aarch64-unknown-linux-musl").unwrap();
        assert_eq!((target.processor.name, target.processor.deb), ("aarch64", "arm64"));
        assert!(target.is_static());
        assert!(!Target::named("x86_64-unknown-linux-gnu").unwrap().is_static());
        for other in ["riscv64gc-unknown-linux-musl", "x86_64-apple-darwin", "x86_64"] {
            assert!(Target::named(other).unwrap_err().to_string().contains(other));
        }
    }
}
