//! The kernel settings of a backend server, and the least change that brings them about.

use std::path::PathBuf;
use std::{fmt, fs, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::{BackendError, Mode};

/// The pseudo-interface whose value counts for every interface.
pub(super) const ALL: &str = "all";

/// The IPv4 setting of an interface. As text, it is what sysctl(8) calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Sysctl {
    /// The interface, or `all`.
    pub interface: String,
    /// What is set.
    pub key: SysctlKey,
}

/// What can be set. In all three the greater of the interface's value and that of `all` counts
/// (Linux, Documentation/networking/ip-sysctl.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SysctlKey {
    /// Which ARP requests are answered.
    ArpIgnore,
    /// Which source address ARP requests have.
    ArpAnnounce,
    /// Which source addresses packets may have.
    RpFilter,
}

/// A setting, what it is and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSysctl {
    /// The setting.
    pub sysctl: Sysctl,
    /// What it is.
    pub from: i32,
    /// What it must be.
    pub to: i32,
}

/// The value that is enough, for the one that is there.
type Enough = fn(i32) -> i32;

/// What must be set for packets to IPv4 addresses of `lo` that come in by `interface`, with `nat` for those
/// of clients to its own address; `read` returns what is.
///
/// Strict filtering drops packets out of tunnels. With `nat` it drops those of clients, wherever the main table
/// leads to them by another interface: the rules by port do not count for it.
pub(super) fn plan(
    interface: &str,
    mode: Mode,
    read: impl Fn(&Sysctl) -> Result<i32, BackendError>,
) -> Result<Vec<WantedSysctl>, BackendError> {
    let mut wanted = Vec::new();
    let sysctl = |interface: &str, key| Sysctl { interface: interface.to_owned(), key };
    let quiet: [(SysctlKey, Enough); 2] =
        [(SysctlKey::ArpIgnore, ignores), (SysctlKey::ArpAnnounce, announces)];
    let quiet = if mode.is_translated() { &[] } else { quiet.as_slice() };
    for &(key, enough) in quiet {
        for interface in [ALL, interface] {
            let sysctl = sysctl(interface, key);
            let from = read(&sysctl)?;
            wanted.push(WantedSysctl { sysctl, from, to: enough(from) });
        }
    }
    if mode != Mode::L2 {
        let all = read(&sysctl(ALL, SysctlKey::RpFilter))?;
        let sysctl = sysctl(interface, SysctlKey::RpFilter);
        let from = read(&sysctl)?;
        wanted.push(WantedSysctl { sysctl, from, to: passes(all, from) });
    }
    Ok(wanted)
}

/// 1: answer for addresses of the interface only; 2 and 8 are stricter. 3 does not answer for
/// addresses of scope `host`, which those put on `lo` have. Other values answer for all.
fn ignores(now: i32) -> i32 {
    if [1, 2, 3, 8].contains(&now) { now } else { 1 }
}

/// 2: use the interface's own address.
fn announces(now: i32) -> i32 {
    now.max(2)
}

/// Strict (1) becomes loose (2) by the interface's own value, so that others stay strict.
fn passes(all: i32, interface: i32) -> i32 {
    if all.max(interface) == 1 { 2 } else { interface }
}

impl Sysctl {
    /// Its value.
    pub(super) fn read(&self) -> Result<i32, BackendError> {
        let text = fs::read_to_string(self.path()).map_err(|error| self.error(error))?;
        text.trim().parse().map_err(|error| self.error(io::Error::other(error)))
    }

    /// Its value; `None` if its interface is gone.
    pub(super) fn read_if_there(&self) -> Result<Option<i32>, BackendError> {
        match self.read() {
            Ok(value) => Ok(Some(value)),
            Err(BackendError::Sysctl { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, value: i32) -> Result<(), BackendError> {
        fs::write(self.path(), format!("{value}\n")).map_err(|error| self.error(error))
    }

    fn path(&self) -> PathBuf {
        ["/proc/sys/net/ipv4/conf", &self.interface, self.key.name()].iter().collect()
    }

    fn error(&self, error: io::Error) -> BackendError {
        BackendError::Sysctl { sysctl: self.clone(), error }
    }
}

impl SysctlKey {
    const fn name(self) -> &'static str {
        match self {
            Self::ArpIgnore => "arp_ignore",
            Self::ArpAnnounce => "arp_announce",
            Self::RpFilter => "rp_filter",
        }
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // sysctl(8): a dot in the name of an interface is written as a slash.
        write!(f, "net.ipv4.conf.{}.{}", self.interface.replace('.', "/"), self.key.name())
    }
}

impl Serialize for Sysctl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
