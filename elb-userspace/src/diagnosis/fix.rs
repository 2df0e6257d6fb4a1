//! What to do, as commands to run.

use std::net::IpAddr;

use super::evidence::{Evidence, PoolWanted, Wanted};
use crate::model::{Forwarding, Protocol};

/// What makes the agent take a changed file over.
const APPLY: &str = "elb check && systemctl reload elb";

/// A change of the health monitor of a member's pool.
pub fn monitor(wanted: &Wanted, change: &str) -> String {
    let Wanted { file, pool, .. } = wanted;
    let name = &pool.name;
    format!(
        "set {change} in [pool.healthmonitor] of pool {name:?} in {}, then {APPLY}",
        file.display()
    )
}

/// A change of the file.
pub fn file(wanted: &Wanted, change: &str) -> String {
    format!("{change} in {}, then {APPLY}", wanted.file.display())
}

/// The command that tells what only the member's host knows, run from the load balancer.
pub fn inspect(evidence: &Evidence) -> String {
    let on_host = inspect_on_host(evidence).join(" ");
    let Wanted { pool, member, .. } = &evidence.wanted;
    let target = quoted(&format!("member:{}/{member}", pool.name));
    let address = evidence.address();
    format!("elb diagnose {target} --ssh {address} (it runs `elb {on_host}` there)")
}

/// The arguments of `elb` that let a member's host look at itself, as JSON.
pub fn inspect_on_host(evidence: &Evidence) -> Vec<String> {
    let protocol = match evidence.wanted.pool.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let mut words: Vec<String> =
        ["backend", "inspect", "--protocol", protocol].map(str::to_owned).into();
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("--port", evidence.target().port().to_string());
    if let Some(source) = evidence.way.source {
        option("--from", source.to_string());
    }
    option("--to", evidence.address().to_string());
    for vip in vips(&evidence.wanted.pool) {
        option("--vip", vip.to_string());
    }
    option("--mode", mode(evidence.wanted.pool.forwarding).to_owned());
    option("-o", "json".to_owned());
    words
}

/// The command that makes a member's host take packets for the virtual addresses.
pub fn backend_up(pool: &PoolWanted) -> String {
    let vips: String = vips(pool).map(|vip| format!(" --vip {vip}")).collect();
    format!("elb backend up{vips} --mode {}", mode(pool.forwarding))
}

/// The virtual addresses of a pool's listeners, each once.
pub fn vips(pool: &PoolWanted) -> impl Iterator<Item = IpAddr> {
    let all: std::collections::BTreeSet<IpAddr> =
        pool.listeners.iter().flat_map(|served| served.vips.iter().copied()).collect();
    all.into_iter()
}

/// How `elb backend` calls a way of forwarding.
const fn mode(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::L2 => "l2",
        Forwarding::Ipip => "ipip",
        Forwarding::Gue => "gue",
    }
}

/// A word that a shell leaves as it is.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@[]".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
