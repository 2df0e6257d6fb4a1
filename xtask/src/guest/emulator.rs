//! The emulator: the system's QEMU, else Debian's, unpacked next to the kernels.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::apt;
use crate::setup::unpacked::unpack;

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

pub(crate) struct Emulator {
    program: PathBuf,
    /// Where it looks for libraries first.
    libraries: Vec<PathBuf>,
}

impl Emulator {
    /// Debian's is not installed: its package removes others that come from later releases.
    pub(crate) fn find_or_fetch(folder: &Path) -> Result<Self> {
        if let Some(program) = process::find_program(PROGRAM) {
            return Ok(Self { program, libraries: Vec::new() });
        }
        let unpacked = folder.join("qemu");
        unpack(&unpacked, || apt::missing_with(PACKAGE))
            .with_context(|| format!("no {PROGRAM}; install your system's package of QEMU"))?;
        let libraries = LIBRARIES.map(|library| unpacked.join(library));
        Ok(Self { program: unpacked.join("usr/bin").join(PROGRAM), libraries: libraries.into() })
    }

    pub(crate) fn describe(&self) -> String {
        format!("QEMU: {}", self.program.display())
    }

    /// The emulator, ended after so many seconds, even if we are not there any more.
    pub(crate) fn command(&self, seconds: u32) -> Result<Command> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", &seconds.to_string()]).arg(&self.program);
        if !self.libraries.is_empty() {
            command.env("LD_LIBRARY_PATH", env::join_paths(&self.libraries)?);
        }
        Ok(command)
    }
}
