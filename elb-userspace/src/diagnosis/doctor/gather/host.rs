//! What procfs and sysfs say about the host, and whether its kernel takes the program.

use std::error::Error;
use std::fs;
use std::io::Read as _;
use std::iter::successors;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::backend::privilege;
use crate::diagnosis::doctor::cpus;
use crate::diagnosis::doctor::facts::{Bpffs, Kernel, Trial};
use crate::diagnosis::doctor::host::missing;
use crate::kernel::bpf::{self, LoadError};

/// `BPF_FS_MAGIC`, linux/magic.h.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// The longest file of procfs or sysfs that is read, in bytes.
const LONGEST: u64 = 1 << 20;

pub(super) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        release: rustix::system::uname().release().to_string_lossy().into_owned(),
        program: trial(bpf::accepts_program()),
        jit: sysctl("core/bpf_jit_enable"),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
    }
}

fn trial(result: Result<(), LoadError>) -> Trial {
    let Err(error) = result else { return Trial::Accepted };
    let causes: Vec<&(dyn Error + 'static)> =
        successors(Some(&error as &(dyn Error + 'static)), |&error| error.source()).collect();
    // The verifier refuses with EACCES, too, but only what a process may load at all.
    if causes.iter().any(|cause| denied(*cause)) && !privileged() {
        return Trial::NotAllowed;
    }
    Trial::Refused(causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

fn denied(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| matches!(io.raw_os_error(), Some(libc::EPERM | libc::EACCES)))
}

fn privileged() -> bool {
    privilege::effective().is_some_and(|effective| missing(effective).is_empty())
}

pub(super) fn bpffs(pin_dir: &Path) -> Bpffs {
    let Some(there) = pin_dir.ancestors().find(|path| path.exists()) else {
        return Bpffs::Unknown(format!("{} cannot be looked at", pin_dir.display()));
    };
    match rustix::fs::statfs(there) {
        Err(error) => Bpffs::Unknown(format!("{} cannot be looked at: {error}", there.display())),
        Ok(found) if found.f_type != BPF_FS_MAGIC => Bpffs::Missing,
        Ok(_) if rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok() => {
            Bpffs::Writable
        }
        Ok(_) => Bpffs::ReadOnly,
    }
}

pub(super) fn forwarding() -> [bool; 2] {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map(|key| sysctl(key).unwrap_or(0) != 0)
}

pub(super) fn cpus() -> usize {
    let online = text("/sys/devices/system/cpu/online").and_then(|list| cpus::parse(&list));
    online.map_or(1, |cpus| cpus.len())
}

/// A network setting; `key` is its path below `/proc/sys/net`.
pub(super) fn sysctl(key: &str) -> Option<u8> {
    let path: PathBuf = ["/proc/sys/net", key].iter().collect();
    text(path)?.trim().parse().ok()
}

/// What is in a file, up to what is read of it.
pub(super) fn text(path: impl AsRef<Path>) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}
