//! What all labs of a host share: one lock, the BPF file system, and what dead labs left.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use tempfile::TempDir;

/// Where `ip netns` keeps the names of network namespaces.
pub(crate) const NETNS_DIR: &str = "/run/netns";

const BPFFS: &str = "/sys/fs/bpf";
const LOCK: &str = "/run/elb-lab.lock";
const RUN_DIR: &str = "/run";
const NETNS_PREFIX: &str = "elb-";
const LAB_PREFIX: &str = "elb-lab-";

/// Held while host-wide state changes, so that labs of several processes can start together.
pub(crate) fn lock() -> Result<File> {
    let file = File::create(LOCK).with_context(|| format!("cannot create {LOCK}"))?;
    file.lock().with_context(|| format!("cannot lock {LOCK}"))?;
    Ok(file)
}

/// The file name of a namespace; it names its process, so that a later one can show the dead.
pub(crate) fn netns_name(number: u32, role: &str) -> String {
    format!("{NETNS_PREFIX}{}-{number}-{role}", process::id())
}

/// A directory for the files of a lab; its name says whose, as that of a namespace does.
pub(crate) fn files() -> Result<TempDir> {
    let prefix = format!("{LAB_PREFIX}{}-", process::id());
    TempDir::with_prefix_in(prefix, RUN_DIR)
        .with_context(|| format!("cannot create a directory in {RUN_DIR}"))
}

/// A directory of its own in the BPF file system, removed with everything pinned in it.
#[derive(Debug)]
pub struct PinDir(PathBuf);

impl PinDir {
    /// Creates the directory, and mounts the BPF file system where no one has.
    pub fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);

        mount_bpffs()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(BPFFS).join(format!("{LAB_PREFIX}{}-{number}", process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PinDir {
    fn drop(&mut self) {
        remove_dir(&self.0);
    }
}

fn mount_bpffs() -> Result<()> {
    let _lock = lock()?;
    let now = statfs(BPFFS).with_context(|| format!("cannot look at {BPFFS}"))?;
    if now.filesystem_type() == BPF_FS_MAGIC {
        return Ok(());
    }
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
        .with_context(|| format!("cannot mount the BPF file system on {BPFFS}"))
}

/// Removes what labs of processes that no longer run have left.
pub(crate) fn remove_dead_labs() -> Result<()> {
    let _lock = lock()?;
    remove_labs(|owner| !Path::new("/proc").join(owner.to_string()).exists());
    Ok(())
}

/// Removes every lab of this process, for an end that runs no destructors.
pub fn remove_own_labs() {
    remove_labs(|owner| owner == process::id());
}

fn remove_labs(of: impl Fn(u32) -> bool) {
    for path in owned_entries(NETNS_DIR, NETNS_PREFIX, &of) {
        remove_netns(&path);
    }
    for directory in [BPFFS, RUN_DIR] {
        for path in owned_entries(directory, LAB_PREFIX, &of) {
            remove_dir(&path);
        }
    }
}

/// Entries named prefix, process id, `-`, and anything, whose process id satisfies `of`.
fn owned_entries(directory: &str, prefix: &str, of: impl Fn(u32) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let owner = |path: &PathBuf| -> Option<u32> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(prefix)?.split('-').next()?.parse().ok()
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| owner(path).is_some_and(&of))
        .collect()
}

fn remove_dir(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("cannot remove {}: {error}", path.display());
    }
}

/// Takes the name away; the kernel ends the namespace when nothing runs in it any more.
pub(crate) fn remove_netns(path: &Path) {
    // A name that was never mounted is an ordinary file: removing it is all there is to do.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    if let Err(error) = fs::remove_file(path) {
        eprintln!("cannot remove {}: {error}", path.display());
    }
}
