//! How many files the agent may have open, which is how many members it can probe at once.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For everything but probes: maps, sockets, files.
const OTHERS: u64 = 256;
/// A probe takes so many at the most.
const OF_A_PROBE: u64 = 2;
/// If the limit is as low as that, other things fail first.
const LEAST: usize = 16;

/// Raises the limit to what is allowed, and returns how many probes may be under way. More
/// would fail for lack of a socket, and members would look unhealthy.
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

/// Adds to why the agent cannot start what raises the limit, where it is that.
pub(super) fn explained(error: anyhow::Error) -> anyhow::Error {
    if !error.chain().any(is_limit) {
        return error;
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    error.context(format!(
        "this process may open {limit} files, and an agent needs {OTHERS}, and {OF_A_PROBE} more for each \
         probe that is under way: raise LimitNOFILE= of the unit, or ulimit -n"
    ))
}

/// Whether too many files are open, as the kernel says or a library repeats.
fn is_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let code = Errno::MFILE.raw_os_error();
    let kernel = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    kernel == Some(code) || error.to_string().contains(&format!("(os error {code})"))
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

    #[test]
    fn a_start_without_descriptors_says_what_raises_the_limit() {
        let full = || io::Error::from(Errno::MFILE);
        let by_library = anyhow::anyhow!("cannot create map: {}", full());
        for error in [anyhow::Error::new(full()).context("cannot load"), by_library] {
            let said = format!("{:#}", explained(error));
            assert!(said.starts_with("this process may open "), "{said}");
            assert!(said.contains("needs 256") && said.contains("LimitNOFILE="), "{said}");
            assert!(said.contains("Too many open files"), "{said}");
        }
        let other = explained(anyhow::Error::new(io::Error::from(Errno::PERM)));
        assert!(!format!("{other:#}").contains("LimitNOFILE"));
    }
}
