//! Wrong credentials: who shows them waits for the answer, longer each time, and they are counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The first wrong one costs this.
const FIRST: Duration = Duration::from_millis(100);
/// And no one more than this.
const LONGEST: Duration = Duration::from_secs(3);
/// After so long without another one, all is forgotten.
const QUIET: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const MOST: usize = 10_000;

/// Requests with wrong credentials, since the process started.
static ALL: AtomicU64 = AtomicU64::new(0);

/// Requests with wrong credentials, since the process started.
pub fn wrong_credentials() -> u64 {
    ALL.load(Ordering::Relaxed)
}

/// Wrong credentials by the address that they came from.
#[derive(Default)]
pub(super) struct Failures {
    by_address: HashMap<IpAddr, (u32, Instant)>,
    said: Option<Instant>,
}

impl Failures {
    /// Notes one; how long the answer is to wait.
    pub(super) fn note(&mut self, from: IpAddr, now: Instant) -> Duration {
        ALL.fetch_add(1, Ordering::Relaxed);
        if self.by_address.len() >= MOST {
            self.by_address.retain(|_, (_, last)| *last + QUIET > now);
        }
        if self.by_address.len() >= MOST && !self.by_address.contains_key(&from) {
            return LONGEST;
        }
        let (count, last) = self.by_address.entry(from).or_insert((0, now));
        *count = if *last + QUIET > now { *count + 1 } else { 1 };
        *last = now;
        FIRST.saturating_mul(1 << (*count - 1).min(8)).min(LONGEST)
    }

    /// Whether it is time to say how many there were.
    pub(super) fn is_to_be_said(&mut self, now: Instant) -> bool {
        let is_due = self.said.is_none_or(|said| said + QUIET <= now);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_costs_more_until_it_is_quiet() {
        let mut failures = Failures::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        let waits = [100, 200, 400, 800, 1600, 3000, 3000].map(Duration::from_millis);
        assert_eq!([(); 7].map(|()| failures.note(one, start)), waits);
        assert_eq!(failures.note(other, start), FIRST);
        assert_eq!(failures.note(one, start + QUIET), FIRST);
        assert!(wrong_credentials() >= 9);
        assert!(failures.is_to_be_said(start) && !failures.is_to_be_said(start));
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for n in 0..20_000_u32 {
            failures.note(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(failures.by_address.len() <= MOST);
    }
}
