//! The machine that measures, and who else used it meanwhile.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sys::utsname::uname;

/// The machine, from now on.
#[derive(Debug)]
pub struct Machine {
    start: Ticks,
}

/// Sums of `/proc/stat` over all CPUs, in its own unit.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    stolen: u64,
}

impl Machine {
    /// Starts to look at it.
    pub fn watch() -> Result<Self> {
        Ok(Self { start: Ticks::read()? })
    }

    /// What it is, in one line.
    pub fn describe(&self) -> Result<String> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
        };
        let model = field("model name").unwrap_or_else(|| "unknown CPU".to_owned());
        let virtual_machine = info.contains(" hypervisor");
        let count = info.lines().filter(|line| line.starts_with("processor")).count();
        let cores = format!("{count} {}", if virtual_machine { "virtual CPUs" } else { "CPUs" });
        let release = uname()?.release().to_string_lossy().into_owned();
        // What comes after the number says who built it.
        let kernel = release.split('-').next().unwrap_or_default();
        Ok(format!("{model}, {cores}, Linux {kernel}{}", returns()))
    }

    /// Who else used it until now, in one line.
    pub fn disturbed(&self) -> Result<String> {
        let now = Ticks::read()?;
        let (all, stolen) = (now.all - self.start.all, now.stolen - self.start.stolen);
        let share = stolen as f64 / all.max(1) as f64 * 100.0;
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(", ");
        Ok(format!("Load average {load}; the hypervisor took {share:.1} % of the time."))
    }
}

impl Ticks {
    fn read() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let first = stat.lines().next().unwrap_or_default();
        let numbers: Vec<u64> = first.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in the first two.
        let counted = numbers.get(..8).context("/proc/stat does not begin as it should")?;
        Ok(Self { all: counted.iter().sum(), stolen: counted[7] })
    }
}

/// Where a CPU is protected from itself at the price of every return, a call of a kernel function
/// costs several times as much.
fn returns() -> &'static str {
    let path = "/sys/devices/system/cpu/vulnerabilities/spec_rstack_overflow";
    let state = fs::read_to_string(path).unwrap_or_default();
    if state.contains("Safe RET") { ", with Safe RET" } else { "" }
}
