//! Metrics of pools.

use std::fmt;

use super::super::encode::{Value, Writer};
use super::super::family::*;
use super::super::snapshot::{PoolFigures, STATUSES};
use super::Scrape;
use crate::health::reason::ReasonCode;

impl Scrape {
    pub(super) fn pools(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let pools = &self.snapshot.pools;
        let members = pools
            .iter()
            .flat_map(|one| STATUSES.into_iter().zip(one.members).map(move |n| (one, n)));
        out.all(
            &POOL_MEMBERS,
            members.map(|(one, (status, n))| ([name(one), status], Value::Whole(n.into()))),
        )?;
        let counts = |count: fn(&PoolFigures) -> u64| {
            pools.iter().map(move |one| ([name(one)], Value::Whole(count(one))))
        };
        out.all(&POOL_LISTENERS, counts(|one| one.listeners as u64))?;
        let backup = pools.iter().filter_map(|one| Some(([name(one)], one.backup_used?.into())));
        out.all(&POOL_BACKUP_USED, backup)?;
        // A pool without a monitor has no probes.
        let probed = || pools.iter().filter(|one| !one.probes.kind.is_empty());
        let failures = probed().flat_map(|one| {
            let codes = ReasonCode::ALL.iter().zip(one.probes.failures);
            codes.map(move |(code, n)| ([name(one), code.as_str()], Value::Whole(n)))
        });
        out.all(&POOL_PROBE_FAILURES, failures)?;
        let durations = probed()
            .map(|one| ([name(one), one.probes.kind], Value::Histogram(&one.probes.durations)));
        out.all(&PROBE_DURATION, durations)?;
        out.all(&RING_SLOTS, counts(|one| one.slots.into()))?;
        let moving = pools.iter().filter_map(|one| Some((one, one.moving?)));
        out.all(&RING_MOVING_SLOTS, moving.map(|(one, n)| ([name(one)], Value::Whole(n.into()))))?;
        out.all(&RING_MOVED_SLOTS, counts(|one| one.moved))
    }
}

fn name(pool: &PoolFigures) -> &str {
    &pool.name
}
