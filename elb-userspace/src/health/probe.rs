//! One probe of one member: opens a connection and says what came of it.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::path::{AtVip, PathResults, ProbeRoute, vip_first};
pub use super::spec::{ProbeSource, ProbeSpec};
use super::{Failure, command, grpc, http, talk, tcp, tls, udp};
use crate::model::monitor::{HealthCheck, ProbePath};

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// Whether the member works.
    pub result: Result<(), Failure>,
    /// How long the probe took; not much longer than its timeout.
    pub duration: Duration,
    /// The path that the result is of.
    pub path: ProbePath,
    /// What the other path came to, if it was tried: the member's own address, where the virtual one
    /// did not do.
    pub other: Option<Result<(), Failure>>,
    /// What it came to at each virtual address that was asked.
    pub vips: Vec<AtVip>,
}

impl ProbeOutcome {
    /// What each path came to.
    pub fn paths(&self) -> PathResults {
        let (result, other) = (Some(self.result.clone()), self.other.clone());
        let (vip, direct) = match self.path {
            ProbePath::Vip => (result, other),
            ProbePath::Direct => (other, result),
        };
        PathResults { path: self.path, vip, direct }
    }
}

/// Runs a probe, at the virtual addresses that there are routes to, all at once. Dropping the future closes its connections.
pub async fn run(probe: ProbeSpec, routes: Vec<ProbeRoute>) -> ProbeOutcome {
    let start = Instant::now();
    let deadline = start + probe.timeout;
    if routes.is_empty() {
        let result = check(&probe, deadline).await;
        let (duration, path) = (start.elapsed(), ProbePath::Direct);
        return ProbeOutcome { result, duration, path, other: None, vips: Vec::new() };
    }
    let routed: Vec<_> = routes.into_iter().map(|route| probe.by(route)).collect();
    let patience = start + probe.timeout / 2;
    let (at_vips, other) =
        vip_first(at_all(&routed, deadline), check(&probe, deadline), patience).await;
    let (Ok(vips) | Err(vips)) = at_vips;
    let result = vips.iter().find_map(|(_, result)| result.clone().err()).map_or(Ok(()), Err);
    ProbeOutcome { result, duration: start.elapsed(), path: ProbePath::Vip, other, vips }
}

/// What came of all probes; an error if any failed.
async fn at_all(routed: &[ProbeSpec], deadline: Instant) -> Result<Vec<AtVip>, Vec<AtVip>> {
    let one = async |routed: &ProbeSpec| (routed.target.ip(), check(routed, deadline).await);
    let all = join_all(routed.iter().map(one)).await;
    if all.iter().all(|(_, result)| result.is_ok()) { Ok(all) } else { Err(all) }
}

/// Each kind of check is in a box of its own: otherwise every probe, and there are thousands at a
/// time, had room twice for the largest.
async fn check(probe: &ProbeSpec, deadline: Instant) -> Result<(), Failure> {
    match &probe.check {
        HealthCheck::Tcp => Box::pin(tcp::check(probe, deadline)).await,
        HealthCheck::Talk(check) => Box::pin(talk::check(probe, check, deadline)).await,
        HealthCheck::UdpConnect => Box::pin(udp::check(probe, deadline)).await,
        HealthCheck::Http(check) => Box::pin(http::check(probe, check, deadline)).await,
        HealthCheck::Https(check) => Box::pin(http::check_over_tls(probe, check, deadline)).await,
        HealthCheck::Tls(check) => {
            Box::pin(tls::check(probe, check.domain_name.as_ref(), deadline)).await
        }
        HealthCheck::Grpc(check) => Box::pin(grpc::check(probe, check, deadline)).await,
        HealthCheck::Command(check) => Box::pin(command::check(probe, check)).await,
    }
}

#[cfg(test)]
mod tests;
