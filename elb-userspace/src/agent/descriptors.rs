//! How many files the agent may have open, which is how many members it can probe at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For everything but probes: maps, sockets, files.
const OTHERS: u64 = 256;
/// A probe takes so many at the most.
const OF_A_PROBE: u64 = 2;
/// If the limit is as low as that, other things fail first.
const LEAST: usize = 16;

/// Raises the limit to what is allowed, and returns how many probes may be under way. More
/// would fail for want of a socket, and members would look unhealthy.
pub(super) fn most_probes() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    probes_of(now)
}

/// As [`most_probes`], with the limit as it is now: it may have been lowered from outside.
pub(super) fn most_probes_now() -> usize {
    probes_of(getrlimit(Resource::Nofile).current)
}

fn probes_of(limit: Option<u64>) -> usize {
    let probes = limit.unwrap_or(u64::MAX).saturating_sub(OTHERS) / OF_A_PROBE;
    usize::try_from(probes).unwrap_or(usize::MAX).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_leave_descriptors_to_others() {
        assert_eq!(probes_of(Some(1024)), 384);
        assert_eq!(probes_of(Some(100)), LEAST);
        assert!(probes_of(None) > 1_000_000);
        assert!(most_probes() >= LEAST);
    }
}
