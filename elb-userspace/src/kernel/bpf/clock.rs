//! The clock that the packet path reads.

use std::time::Duration;

/// Seconds of the clock that the packet path reads, `CLOCK_MONOTONIC_COARSE`.
pub fn coarse_seconds() -> u32 {
    u32::try_from(coarse_time().tv_sec).unwrap_or(u32::MAX)
}

/// How long it is until a second of that clock has begun for sure: it stands still between two ticks, of
/// which there are a hundred in a second at least.
pub fn coarse_until(second: u32) -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let time = coarse_time();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    let now = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
        + Duration::from_nanos(nanos);
    (Duration::from_secs(second.into()) + TICK).saturating_sub(now)
}

fn coarse_time() -> rustix::time::Timespec {
    rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse)
}
