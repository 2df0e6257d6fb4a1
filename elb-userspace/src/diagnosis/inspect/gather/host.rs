//! Load, sysctls, and the files of tcp wrappers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::thread::available_parallelism;

use procfs::Current as _;

use crate::diagnosis::inspect::facts::{Known, Load, Wrappers};

/// Larger files are cut off: none of those that are read here comes near.
const MOST: u64 = 1 << 20;

pub(super) fn name() -> String {
    text("/proc/sys/kernel/hostname")
        .map_or_else(|| "this host".to_owned(), |name| name.trim().to_owned())
}

/// What cannot be read, and what it takes: privileges, unless there are all.
pub(super) fn needs_root(what: &str) -> String {
    if rustix::process::geteuid().is_root() {
        return what.to_owned();
    }
    format!("{what}; run as root to see it")
}

pub(super) fn load() -> Load {
    let pressure = procfs::MemoryPressure::current().ok();
    Load {
        average: procfs::LoadAverage::current().ok().map(|load| load.one.into()),
        cpus: available_parallelism().map_or(1, usize::from),
        memory_pressure: pressure.map(|pressure| pressure.some.avg10.into()),
        counters: text("/proc/thread-self/net/netstat")
            .map(|text| counters(&text))
            .unwrap_or_default(),
        files: procfs::sys::fs::file_nr().ok().map(|files| (files.allocated, files.max)),
        connections: number("/proc/sys/net/netfilter/nf_conntrack_count")
            .zip(number("/proc/sys/net/netfilter/nf_conntrack_max")),
    }
}

/// `TcpExt: NAME …` and below it `TcpExt: VALUE …`.
fn counters(text: &str) -> BTreeMap<String, u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return BTreeMap::new() };
    let pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// The settings that checks ask for; those that are not there are left out.
pub(super) fn sysctls() -> BTreeMap<String, i64> {
    let mut keys: Vec<String> = [
        "net.ipv4.icmp_echo_ignore_all",
        "net.ipv6.icmp.echo_ignore_all",
        "net.ipv4.icmp_ratelimit",
        "net.ipv4.icmp_ratemask",
    ]
    .map(str::to_owned)
    .to_vec();
    let interfaces = fs::read_dir("/proc/sys/net/ipv4/conf");
    for interface in interfaces.into_iter().flatten().flatten() {
        if let Ok(name) = interface.file_name().into_string() {
            keys.push(format!("net.ipv4.conf.{name}.rp_filter"));
        }
    }
    let value = |key: String| {
        let value = match key.strip_prefix("net.ipv4.conf.") {
            // An interface may have dots in its name.
            Some(rest) => {
                let (name, key) = rest.rsplit_once('.')?;
                text(&format!("/proc/sys/net/ipv4/conf/{name}/{key}"))
            }
            None => text(&format!("/proc/sys/{}", key.replace('.', "/"))),
        };
        Some((key, value?.trim().parse().ok()?))
    };
    keys.into_iter().filter_map(value).collect()
}

pub(super) fn wrappers() -> Known<Wrappers> {
    Ok(Wrappers { allow: if_there("/etc/hosts.allow")?, deny: if_there("/etc/hosts.deny")? })
}

fn if_there(path: &str) -> Known<Option<String>> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{path} cannot be read: {error}")),
    }
}

/// A file's text; none, if it cannot be read.
pub(super) fn text(path: &str) -> Option<String> {
    read(path).ok()
}

fn number(path: &str) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

fn read(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_names() {
        let text = "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 1 23\nIpExt: InNoRoutes\n";
        let counters = counters(text);
        assert_eq!(counters.get("ListenOverflows"), Some(&23));
        assert_eq!(counters.len(), 2);
        for broken in ["", "TcpExt:", "TcpExt: A\n", "TcpExt: A B\nTcpExt: x -1\n"] {
            assert!(super::counters(broken).is_empty());
        }
    }
}
