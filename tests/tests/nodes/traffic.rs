//! Connections that are held while nodes die, and new ones.

use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{
    address::Family,
    client::{HeldConnections, HttpLoad, Load, Talk, http_requests},
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::edge::Edge;

/// How long anything may take that is not measured.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const CONNECTIONS: usize = 100;

/// Connections to the echo service, with an answer on each.
pub(crate) fn hold(edge: &Edge) -> Result<HeldConnections> {
    let target = edge.lab.service(Family::V4, ECHO_PORT);
    let talk = Talk { patience: LIMIT, ..Talk::to(target, Duration::from_millis(50)) };
    HeldConnections::open_for(&edge.client, CONNECTIONS, talk)
}

/// New connections from now on, about a hundred a second.
pub(crate) fn load(edge: &Edge) -> HttpLoad {
    let target = edge.lab.service(Family::V4, HTTP_PORT);
    let (pause, limit) = (Duration::from_millis(20), 4 * LIMIT);
    let timeout = Duration::from_millis(500);
    HttpLoad::start(
        &edge.client,
        Load { concurrency: 2, pause, timeout, limit, ..Load::on(target) },
    )
}

/// Each connection gets more answers than were under way, and none breaks.
pub(crate) fn goes_on(held: &HeldConnections, what: &str) -> Result<()> {
    let (before, begun) = (held.so_far(), Instant::now());
    wait_for("answers on every connection, or one that breaks", LIMIT, || {
        let done = held.first_broken().is_some() || held.so_far().is_beyond(&before, 3);
        Ok(done.then_some(()))
    })?;
    let report = held.so_far();
    let broken = report.broken();
    println!(
        "{what}: {} of {CONNECTIONS} broke, all answered after {:?}",
        broken.len(),
        begun.elapsed()
    );
    assert_eq!(broken.len(), 0, "{broken:?}");
    Ok(())
}

/// Each connection gets more answers, or breaks.
pub(crate) fn wait_for_all(held: &HeldConnections) -> Result<()> {
    let before = held.so_far();
    wait_for("answers on every connection that does not break", LIMIT, || {
        let now = held.so_far();
        let mut pairs = now.connections.iter().zip(&before.connections);
        let all = pairs.all(|(now, before)| {
            now.failure.is_some() || now.round_trips >= before.round_trips + 3
        });
        Ok(all.then_some(()))
    })
}

/// New connections work.
pub(crate) fn serves(edge: &Edge) -> Result<()> {
    let target = edge.lab.service(Family::V4, HTTP_PORT);
    let report = http_requests(&edge.client, Load::on(target), CONNECTIONS)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}

/// What new connections saw meanwhile, as a figure.
pub(crate) fn report(load: HttpLoad, what: &str) -> Result<()> {
    let report = load.stop()?;
    let failed = report.failures().len();
    println!(
        "{what}: {} new connections, {failed} not answered in time, the longest pause {:?}",
        report.total(),
        report.longest_gap()
    );
    Ok(())
}
