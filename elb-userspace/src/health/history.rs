//! What was seen of one member: its last probes, and how many there were of which kind.
//!
//! Bounded: 20 probes of 40 bytes and, shared by those that failed alike, the failures themselves:
//! less than 1 KiB a member in all but odd cases, 10 MiB for 10,000 members.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Failure;

/// Probes of a member that are remembered.
pub const LAST: usize = 20;
/// The end of the year 9999, in milliseconds after 1970.
const LATEST: u64 = 253_402_300_799_999;

/// A probe that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastProbe {
    /// When it started, to the millisecond.
    pub started: SystemTime,
    /// How long it took, to the microsecond.
    pub duration: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Arc<Failure>>,
}

/// How often what happened, since the member is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeCounts {
    /// Probes that succeeded.
    pub probes_ok: u64,
    /// Probes that failed.
    pub probes_failed: u64,
    /// Times that it became OFFLINE.
    pub turned_unhealthy: u64,
    /// Times that it became ONLINE after it was OFFLINE.
    pub recovered: u64,
}

/// What was seen of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct History {
    /// How often what happened.
    pub counts: ProbeCounts,
    probes: VecDeque<PastProbe>,
}

impl History {
    /// Takes in a probe that is over; the oldest one is forgotten if there are [`LAST`].
    pub fn note(&mut self, started: SystemTime, duration: Duration, result: Result<(), &Failure>) {
        let count = match result {
            Ok(()) => &mut self.counts.probes_ok,
            Err(_) => &mut self.counts.probes_failed,
        };
        *count += 1;
        let failure = result.err().map(|failure| self.shared(failure));
        self.push(PastProbe { started, duration, failure });
    }

    /// The last probes, the oldest first.
    pub fn probes(&self) -> impl Iterator<Item = &PastProbe> {
        self.probes.iter()
    }

    fn push(&mut self, probe: PastProbe) {
        if self.probes.len() == LAST {
            self.probes.pop_front();
        }
        self.probes.push_back(probe);
    }

    /// A member mostly fails as it failed before.
    fn shared(&self, failure: &Failure) -> Arc<Failure> {
        let known = self.probes.iter().rev().filter_map(|probe| probe.failure.as_ref());
        let known = known.into_iter().find(|known| ***known == *failure);
        known.cloned().unwrap_or_else(|| Arc::new(failure.clone()))
    }
}

/// A history in a file: short, since there may be 65,535.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    counts: ProbeCounts,
    failures: Vec<Failure>,
    /// Milliseconds since 1970, microseconds, and which of the failures.
    probes: Vec<(u64, u32, Option<u8>)>,
}

/// A history that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Unreadable {
    #[error("a probe failed as number {0}, and there are {1} failures")]
    Failure(u8, usize),
    #[error("a probe started {0} ms after 1970, which is no time")]
    Time(u64),
}

impl From<History> for Written {
    fn from(history: History) -> Self {
        let mut failures: Vec<Failure> = Vec::new();
        let mut number = |failure: &Failure| {
            let number = failures.iter().position(|known| known == failure).unwrap_or_else(|| {
                failures.push(failure.clone());
                failures.len() - 1
            });
            u8::try_from(number).unwrap_or(u8::MAX)
        };
        let probe = |probe: &PastProbe| {
            let since = probe.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let started = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            let micros = u32::try_from(probe.duration.as_micros()).unwrap_or(u32::MAX);
            (started, micros, probe.failure.as_deref().map(&mut number))
        };
        let probes = history.probes.iter().map(probe).collect();
        Self { counts: history.counts, failures, probes }
    }
}

impl TryFrom<Written> for History {
    type Error = Unreadable;

    fn try_from(written: Written) -> Result<Self, Unreadable> {
        let failures: Vec<Arc<Failure>> = written.failures.into_iter().map(Arc::new).collect();
        let mut history = Self { counts: written.counts, probes: VecDeque::new() };
        for (millis, micros, failure) in written.probes {
            let since = Some(millis).filter(|millis| *millis <= LATEST).map(Duration::from_millis);
            let started = since.map(|since| SystemTime::UNIX_EPOCH + since);
            let failure = failure.map(|number| {
                let known = failures.get(usize::from(number)).cloned();
                known.ok_or(Unreadable::Failure(number, failures.len()))
            });
            history.push(PastProbe {
                started: started.ok_or(Unreadable::Time(millis))?,
                duration: Duration::from_micros(micros.into()),
                failure: failure.transpose()?,
            });
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::health::{Cause, Stage};

    const REFUSED: Failure = Failure::new(Cause::Refused { by: IpAddr::V4(Ipv4Addr::LOCALHOST) });
    const TIMEOUT: Failure = Failure::new(Cause::Timeout { stage: Stage::Connect });

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const SHORT: Duration = Duration::from_micros(1500);

    #[test]
    fn the_last_twenty_are_remembered_and_all_are_counted() {
        let mut history = History::default();
        for n in 0..50 {
            let result = if n % 5 == 0 { Err(&REFUSED) } else { Ok(()) };
            history.note(at(n), SHORT, result);
        }
        assert_eq!((history.counts.probes_ok, history.counts.probes_failed), (40, 10));
        let started: Vec<_> = history.probes().map(|probe| probe.started).collect();
        assert_eq!(started, (30..50).map(at).collect::<Vec<_>>());
        let failures: Vec<_> = history.probes().filter_map(|p| p.failure.as_ref()).collect();
        assert_eq!(failures.len(), 4);
        assert!(failures.iter().all(|one| Arc::ptr_eq(one, failures[0])), "they share it");
    }

    #[test]
    fn comes_back_from_a_file_as_it_was() {
        let mut history = History::default();
        let counts = &mut history.counts;
        (counts.turned_unhealthy, counts.recovered) = (3, 2);
        history.note(at(1), SHORT, Ok(()));
        for failure in [TIMEOUT, REFUSED, TIMEOUT] {
            history.note(at(2), Duration::from_secs(3), Err(&failure));
        }
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(text.matches("CONNECT_TIMEOUT").count(), 1, "written once: {text}");
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
    }

    #[test]
    fn a_file_that_contradicts_itself_is_refused() {
        let read = |failures: &str, probes: &str| {
            serde_json::from_str::<History>(&format!(
                r#"{{"probes_ok":1,"probes_failed":0,"turned_unhealthy":0,"recovered":0,
                    "failures":{failures},"probes":{probes}}}"#
            ))
        };
        assert!(read("[]", "[[1,2,null]]").is_ok());
        let error = read("[]", "[[1,2,0]]").unwrap_err().to_string();
        assert!(error.contains("failed as number 0, and there are 0"), "{error}");
        assert!(read("[]", "[[253402300799999,2,null]]").is_ok());
        assert!(read("[]", "[[253402300800000,2,null]]").is_err());
        assert!(read("[]", "[[1,2,256]]").is_err());
        let many = format!("[{}[1,2,null]]", "[1,2,null],".repeat(100));
        assert_eq!(read("[]", &many).unwrap().probes().count(), LAST);
    }
}
