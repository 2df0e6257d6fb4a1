//! A control group with a limit of memory, which BPF maps that are made in it meet as well: a map is charged
//! to the group of the process that made it, wherever that process is later.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::wait::wait_for;

const MOUNT: &str = "/sys/fs/cgroup";
const PROCESSES: &str = "cgroup.procs";
const LIMIT: Duration = Duration::from_secs(10);
const PAGE: u64 = 4096;

/// A group of its own; dropping it moves its processes to where this one is, and removes it.
#[derive(Debug)]
pub struct Memory {
    group: PathBuf,
    /// The group of this process.
    outside: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Memory {
    /// Makes one.
    ///
    /// # Errors
    /// There is no memory controller, or this process may not use it.
    pub fn new(name: &str) -> Result<Self> {
        let name = format!("elb-{name}-{}", std::process::id());
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let path = |field: &str| {
            let line = own.lines().find_map(|line| line.split_once(field))?;
            Some(line.1.trim_start_matches('/').to_owned())
        };
        let v1 = Path::new(MOUNT).join("memory");
        let (outside, parent, version) = if v1.join(PROCESSES).exists() {
            let outside = v1.join(path(":memory:").context("it is in no memory group")?);
            (outside.clone(), outside, Version::V1)
        } else {
            // Only the root may have processes next to groups.
            let root = PathBuf::from(MOUNT);
            fs::write(root.join("cgroup.subtree_control"), "+memory")
                .context("there is no memory controller")?;
            (root.join(path("0::").context("it is in no group")?), root, Version::V2)
        };
        let group = parent.join(name);
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        Ok(Self { group, outside, version })
    }

    /// Words that start a program in it, which follow them.
    pub fn wrapper(&self) -> Vec<String> {
        let enter = format!("echo $$ > {}/{PROCESSES} && exec \"$@\"", self.group.display());
        ["sh", "-c", &enter, "sh"].map(str::to_owned).to_vec()
    }

    /// Takes a process out: what it made stays.
    pub fn take_out(&self, process: u32) -> Result<()> {
        fs::write(self.outside.join(PROCESSES), process.to_string())
            .with_context(|| format!("cannot move {process} to {}", self.outside.display()))
    }

    /// From now on there is no more than what is in use.
    pub fn close(&self) -> Result<()> {
        let [usage, limit] = match self.version {
            Version::V1 => ["memory.usage_in_bytes", "memory.limit_in_bytes"],
            Version::V2 => ["memory.current", "memory.max"],
        };
        // A limit that is too low for what is in use takes back first what no one needs.
        wait_for("nothing to be left to reclaim", LIMIT, || {
            let used: u64 = fs::read_to_string(self.group.join(usage))?.trim().parse()?;
            let lower = fs::write(self.group.join(limit), (used - used.min(PAGE)).to_string());
            let now: u64 = fs::read_to_string(self.group.join(usage))?.trim().parse()?;
            if lower.is_ok() && now < used {
                return Ok(None);
            }
            fs::write(self.group.join(limit), now.to_string())?;
            Ok(Some(()))
        })
    }

    /// There is no limit any more.
    pub fn open(&self) -> Result<()> {
        let (file, none) = match self.version {
            Version::V1 => ("memory.limit_in_bytes", "-1"),
            Version::V2 => ("memory.max", "max"),
        };
        fs::write(self.group.join(file), none).context("cannot lift the limit")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = self.open();
        let inside = fs::read_to_string(self.group.join(PROCESSES)).unwrap_or_default();
        for process in inside.lines().filter_map(|line| line.parse().ok()) {
            let _ = self.take_out(process);
        }
        if let Err(error) = fs::remove_dir(&self.group) {
            eprintln!("cannot remove {}: {error}", self.group.display());
        }
    }
}
