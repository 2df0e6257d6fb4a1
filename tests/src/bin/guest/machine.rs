//! The machine itself: its file systems, its kernel modules, its end.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
};

/// Kinds and places of what every program expects.
const FILE_SYSTEMS: [(&str, &str); 5] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("bpf", "/sys/fs/bpf"),
    ("tmpfs", "/run"),
];

/// `MODULE_INIT_COMPRESSED_FILE` of linux/module.h: the kernel decompresses it (since 5.17).
const COMPRESSED: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);

pub fn mount_file_systems() -> Result<()> {
    for (kind, place) in FILE_SYSTEMS {
        fs::create_dir_all(place)?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {place}"))?;
    }
    fs::create_dir_all("/tmp").context("cannot create /tmp")
}

pub fn load_module(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let compressed = path.extension().is_some_and(|extension| extension != "ko");
    let flags = if compressed { COMPRESSED } else { ModuleInitFlags::empty() };
    finit_module(&file, c"", flags).with_context(|| format!("cannot load {}", path.display()))
}

/// Ends the machine. A reboot does, since its emulator is asked not to reboot; power management,
/// which switching off needs, is not.
pub fn end() -> ExitCode {
    let _ = io::stdout().flush();
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        Err(error) => eprintln!("guest: cannot end the machine: {error}"),
    }
    ExitCode::FAILURE
}
