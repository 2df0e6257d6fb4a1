//! Load by wrk: a new connection for each request.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::daemon::daemon;
use elb_tests::netns::NetNs;
use elb_tests::process;
use nix::unistd::{SysconfVar, sysconf};

/// How long wrk may take beyond what it is given.
const MORE: Duration = Duration::from_secs(10);

/// What a run did.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests that were answered, each on a connection of its own.
    pub connections: u64,
    /// Requests that were not.
    pub failed: u64,
    pub seconds: f64,
    /// CPU time of the whole machine meanwhile.
    pub cpu_seconds: f64,
}

impl Load {
    /// Connections a second.
    pub fn rate(&self) -> f64 {
        self.connections as f64 / self.seconds
    }
}

/// Runs wrk in a namespace.
pub fn run(netns: &NetNs, target: SocketAddr, length: Duration) -> Result<Load> {
    let mut wrk = daemon(netns, "wrk")?;
    wrk.args(["-t", "1", "-c", "64", "-d", &format!("{}s", length.as_secs())])
        .args(["--timeout", "2s", "-H", "Connection: close"])
        .arg(format!("http://{target}/"));
    let before = busy_seconds()?;
    let said = process::output(wrk, length + MORE)?;
    let cpu_seconds = busy_seconds()? - before;
    let (connections, seconds) = requests(&said).with_context(|| format!("wrk said: {said}"))?;
    Ok(Load { connections, failed: errors(&said), seconds, cpu_seconds })
}

/// Of `  40123 requests in 2.00s, 5.6MB read`.
fn requests(said: &str) -> Option<(u64, f64)> {
    let (count, rest) = said.lines().find_map(|line| line.trim().split_once(" requests in "))?;
    let (time, _) = rest.split_once(',')?;
    let seconds = match time.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse::<f64>().ok()? / 1e3,
        None => time.strip_suffix('s')?.parse().ok()?,
    };
    Some((count.parse().ok()?, seconds))
}

/// Of `  Socket errors: connect 0, read 1, write 0, timeout 2`.
fn errors(said: &str) -> u64 {
    let counts = said.lines().find_map(|line| line.trim().strip_prefix("Socket errors: "));
    let count = |one: &str| one.rsplit(' ').next()?.parse::<u64>().ok();
    counts.map_or(0, |counts| counts.split(", ").filter_map(count).sum())
}

/// CPU time of all, since the machine started.
fn busy_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let a_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
    // user, nice, system, idle, iowait, irq, softirq.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum::<f64>();
    Ok(busy / a_second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Running 2s test @ http://10.0.0.100:80/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms    1.04ms  19.27ms   87.90%
    Req/Sec    24.32k     1.20k   26.52k    73.68%
  48342 requests in 2.01s, 6.92MB read
  Socket errors: connect 0, read 3, write 0, timeout 2
Requests/sec:  24049.41
Transfer/sec:      3.44MB
";

    #[test]
    fn reads_what_wrk_says() {
        assert_eq!(requests(SAID), Some((48_342, 2.01)));
        assert_eq!(errors(SAID), 5);
        assert_eq!(requests("  7 requests in 500.00ms, 1KB read"), Some((7, 0.5)));
        assert_eq!(errors(""), 0);
    }
}
