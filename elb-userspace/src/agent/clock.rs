//! The agent's clocks.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::fault;
use crate::model::time::{Now, Time};

/// The time. The monotonic one counts from the first call.
#[expect(clippy::disallowed_methods, reason = "all others are given the time")]
pub(super) fn now() -> Now {
    let time = Time::from_nanos(u64::try_from(origin().elapsed().as_nanos()).unwrap_or(u64::MAX));
    Now { time, wall: fault::shown(SystemTime::now()) }
}

pub(super) fn instant(time: Time) -> Instant {
    origin() + Duration::from_nanos(time.as_nanos())
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}
