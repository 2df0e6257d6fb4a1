//! Which calls that were refused have an audit record: a key that may change nothing can still ask for changes, and each
//! record is a write to the disk that is waited for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::AuditRecord;

/// Refused calls of one key that have a record, if they come at once.
const AT_ONCE: u32 = 60;
/// After those, one in this time.
const EACH: Duration = Duration::from_secs(2);
/// Keys that are known apart; others share what one has.
const KEYS: usize = 1000;
/// How often the log says that there were more.
const QUIET: Duration = Duration::from_secs(60);

/// Refused calls that have no record, since the process started.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Refused calls without an audit record, since the process started: there were too many.
pub fn unrecorded() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// What each key may still have written down.
#[derive(Default)]
pub(super) struct RefusedCalls {
    by_key: BTreeMap<String, Allowance>,
    said: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Allowance {
    records: u32,
    /// When it was reckoned.
    at: Instant,
}

impl RefusedCalls {
    /// Those of some records that are written down: all of calls that were done, and as many of refused ones as there
    /// may be.
    pub(super) fn admitted<'r>(
        &mut self,
        records: &'r [AuditRecord],
        now: Instant,
    ) -> Vec<&'r AuditRecord> {
        records.iter().filter(|one| one.is_done() || self.has_room(&one.actor, now)).collect()
    }

    fn has_room(&mut self, key: &str, now: Instant) -> bool {
        if self.by_key.len() >= KEYS && !self.by_key.contains_key(key) {
            self.by_key.retain(|_, one| one.now(now).records < AT_ONCE);
        }
        let key = if self.by_key.len() < KEYS || self.by_key.contains_key(key) { key } else { "" };
        let full = Allowance { records: AT_ONCE, at: now };
        let allowance = self.by_key.entry(key.to_owned()).or_insert(full);
        *allowance = allowance.now(now);
        if let Some(left) = allowance.records.checked_sub(1) {
            allowance.records = left;
            return true;
        }
        let all = LEFT_OUT.fetch_add(1, Ordering::Relaxed) + 1;
        if self.said.is_none_or(|said| said + QUIET <= now) {
            self.said = Some(now);
            tracing::warn!(
                key,
                since_start = all,
                "too many refused calls of the API: not all of them have an audit record"
            );
        }
        false
    }
}

impl Allowance {
    /// With what came since it was reckoned.
    fn now(self, now: Instant) -> Self {
        let new = now.duration_since(self.at).as_nanos() / EACH.as_nanos();
        let new = u32::try_from(new).unwrap_or(u32::MAX);
        match self.records.saturating_add(new) {
            all if all >= AT_ONCE => Self { records: AT_ONCE, at: now },
            records => Self { records, at: self.at + EACH * new },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(actor: &str, result: &str, count: usize) -> Vec<AuditRecord> {
        let (actor, result) = (actor.to_owned(), result.to_owned());
        vec![AuditRecord { actor, result, ..AuditRecord::default() }; count]
    }

    #[test]
    fn a_key_has_so_many_refused_calls_written_down_and_others_have_theirs() {
        let (mut refused, start) = (RefusedCalls::default(), Instant::now());
        let mut admitted = |records: &[AuditRecord], seconds| {
            refused.admitted(records, start + Duration::from_secs(seconds)).len()
        };
        assert_eq!(admitted(&of("reader", "SYS.0403", 1000), 0), 60);
        assert_eq!(admitted(&of("reader", "ELB.8902", 1000), 1), 0);
        assert_eq!(admitted(&of("reader", "SYS.0403", 1000), 3), 1);
        assert_eq!(admitted(&of("reader", "SYS.0403", 1000), 4), 1, "the odd second counts");
        assert_eq!(admitted(&of("other", "SYS.0403", 10), 4), 10);
        assert_eq!(admitted(&of("reader", "ok", 1000), 4), 1000, "what was done is not bounded");
        assert_eq!(admitted(&of("reader", "SYS.0403", 1000), 1000), 60);
        assert!(unrecorded() >= 939 + 1000 + 999);
    }

    #[test]
    fn many_keys_take_bounded_memory() {
        let (mut refused, now) = (RefusedCalls::default(), Instant::now());
        let mut all = 0;
        for n in 0..5000 {
            all += refused.admitted(&of(&n.to_string(), "SYS.0403", 1), now).len();
        }
        assert!(refused.by_key.len() <= KEYS + 1 && all <= KEYS + 60, "{all}");
    }
}
