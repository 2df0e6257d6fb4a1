//! How often XDP programs ran and how long that took, which the kernel measures while `kernel.bpf_stats_enabled`
//! is 1.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Duration;

use elb_common::names;

use super::super::object::LoadedObject;

/// Runs of a program since it was loaded, those that were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    /// Its name.
    pub program: &'static str,
    /// How many there were.
    pub count: u64,
    /// How long they took together.
    pub time: Duration,
}

/// The programs that run for packets.
#[derive(Debug)]
pub(super) struct Programs(Vec<(&'static str, OwnedFd)>);

impl Programs {
    pub(super) fn of(object: &LoadedObject) -> Self {
        let all =
            [names::PROGRAM, names::TRACED_PROGRAM, names::LOGGED_PROGRAM, names::PROBE_PROGRAM];
        let opened = all.into_iter().filter_map(|name| {
            let fd = object.ebpf.program(name)?.fd().ok()?;
            Some((name, fd.as_fd().try_clone_to_owned().ok()?))
        });
        Self(opened.collect())
    }

    /// None while the kernel does not measure.
    pub(super) fn runs(&self) -> Vec<ProgramRuns> {
        let measures = fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled");
        if measures.is_ok_and(|text| text.trim() != "1") {
            return Vec::new();
        }
        let runs = self.0.iter().filter_map(|(program, fd)| {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
            let time = Duration::from_nanos(value(&info, "run_time_ns")?);
            Some(ProgramRuns { program, count: value(&info, "run_cnt")?, time })
        });
        runs.collect()
    }
}

/// A number of /proc/PID/fdinfo, see proc(5).
fn value(info: &str, key: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_whole_key() {
        let info = "prog_type:\t6\nrun_time_ns:\t1234\nrun_cnt:\t5\n";
        assert_eq!((value(info, "run_time_ns"), value(info, "run_cnt")), (Some(1234), Some(5)));
        assert_eq!(value(info, "run"), None);
    }
}
