//! Network namespaces of our own: made, entered and removed here.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Once,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};

use crate::{environment::require_root, host, process, wait::STUCK};

/// A named network namespace; the name goes with the last clone.
#[derive(Clone, Debug)]
pub struct NetNs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    handle: File,
}

impl NetNs {
    /// Makes a namespace named after this process, a running number, and `role`; its loopback is up.
    pub fn new(role: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);

        require_root()?;
        SWEEP.call_once(|| {
            if let Err(error) = host::remove_dead_labs() {
                eprintln!("cannot remove what earlier labs left: {error:#}");
            }
        });
        let name = host::netns_name(NEXT.fetch_add(1, Ordering::Relaxed), role);
        add(&name)?;
        let path = Path::new(host::NETNS_DIR).join(&name);
        let opened = File::open(&path).with_context(|| format!("cannot open {}", path.display()));
        let handle = opened.inspect_err(|_| host::remove_netns(&path))?;
        let netns = Self(Arc::new(Inner { path, handle }));
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// As [`NetNs::new`], one that sends nothing by itself.
    pub fn quiet(role: &str) -> Result<Self> {
        let netns = Self::new(role)?;
        for scope in ["all", "default"] {
            netns.sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "1")?;
        }
        Ok(netns)
    }

    /// The index of one of its devices.
    pub fn index_of(&self, device: &str) -> Result<u32> {
        self.run(|| nix::net::if_::if_nametoindex(device))?
            .with_context(|| format!("no device {device} in {}", self.name()))
    }

    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        let name = self.0.path.file_name().and_then(OsStr::to_str);
        name.expect("the name was a string when the namespace was made")
    }

    /// Its name in the file system.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The command that opens a shell in it.
    pub fn how_to_enter(&self) -> String {
        format!("nsenter --net={}", self.path().display())
    }

    /// Runs `task` inside, on a thread of its own, and waits for it; a panic goes on in the caller.
    pub fn run<T: Send>(&self, task: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || -> Result<T> {
            self.enter()?;
            Ok(task())
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Starts `task` inside, on a thread that ends with it.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let netns = self.clone();
        thread::spawn(move || {
            netns.enter()?;
            Ok(task())
        })
    }

    /// A command that will run inside.
    ///
    /// Only the network changes: `ip netns exec` would also mount another `/sys` and hide pins.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let netns = self.clone();
        let enter =
            move || setns(&netns.0.handle, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        // SAFETY: between fork and exec only async-signal-safe work is allowed; `enter` is one
        // setns system call on a descriptor that the closure keeps open.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Runs lines of the `ip` command inside, stops at the first that fails; returns the output.
    pub fn ip(&self, lines: &str) -> Result<String> {
        let batch = tempfile::NamedTempFile::new()?;
        fs::write(batch.path(), lines)?;
        let mut command = Command::new("ip");
        command.args(["-netns", self.name(), "-batch"]).arg(batch.path());
        process::output(command, STUCK).with_context(|| format!("ip refused:\n{lines}"))
    }

    /// Sets a network sysctl inside; `key` is the path below `/proc/sys/net`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(key);
        self.run(|| fs::write(&path, value))?
            .with_context(|| format!("cannot set {} to {value} in {}", path.display(), self.name()))
    }

    fn enter(&self) -> Result<()> {
        setns(&self.0.handle, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter {}", self.path().display()))
    }
}

fn add(name: &str) -> Result<()> {
    // The first `ip netns add` of a host prepares /run/netns, which two of them cannot do at once.
    let _lock = host::lock()?;
    let mut command = Command::new("ip");
    command.args(["netns", "add", name]);
    process::output(command, STUCK).map(drop)
}

impl Drop for Inner {
    fn drop(&mut self) {
        host::remove_netns(&self.path);
    }
}
