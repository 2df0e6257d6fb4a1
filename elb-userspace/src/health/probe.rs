//! One probe of one member: opens a connection and says what came of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::path::{AtVip, Lead, PathResults, VipWay, vip_first};
use super::{Failure, grpc, http, tcp, tls, udp};
use crate::model::monitor::{HealthCheck, ProbePath};
use crate::model::{Member, Model, Pool};

/// All that a probe needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// Where the member is to be asked.
    pub target: SocketAddr,
    /// The local address to ask from; `None`: what the routes say.
    pub source: Option<IpAddr>,
    /// For the whole probe.
    pub timeout: Duration,
    /// What is asked.
    pub check: HealthCheck,
    /// Where it is to be asked as traffic is: at each virtual address that leads to it.
    pub vips: Vec<SocketAddr>,
    /// What brings the probe to the member, if `target` is not its own address.
    pub lead: Option<Lead>,
    /// What the `Host` field of an HTTP request says unless the check has a domain name.
    pub default_host: IpAddr,
}

impl ProbeSpec {
    /// The probe of `member`, of `pool`, of `model`; `None` if the pool is not monitored.
    pub fn new(model: &Model, pool: &Pool, member: &Member, sources: ProbeSource) -> Option<Self> {
        let monitor = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up)?;
        let vips = match monitor.probe_path {
            ProbePath::Direct => Vec::new(),
            ProbePath::Vip => model.vips_towards(&pool.name, member),
        };
        let at = |vip| SocketAddr::new(vip, monitor.port(member));
        Some(Self {
            target: SocketAddr::new(member.address, monitor.port(member)),
            vips: vips.into_iter().map(at).collect(),
            lead: None,
            source: sources.towards(member.address),
            timeout: monitor.timeout.duration(),
            check: monitor.check.clone(),
            default_host: model.default_host(&pool.name, member),
        })
    }

    /// The same by the virtual address.
    fn by(&self, way: VipWay) -> Self {
        let VipWay { target, source, lead } = way;
        Self { target, source: Some(source), lead: Some(lead), ..self.clone() }
    }
}

/// The addresses that probes are sent from; `None`: what the routes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeSource {
    /// For members with an IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// For members with an IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl ProbeSource {
    fn towards(self, member: IpAddr) -> Option<IpAddr> {
        match member {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }
}

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

/// Runs a probe, at the virtual addresses that there are ways to, all at once. Dropping the future closes its connections.
pub async fn run(probe: ProbeSpec, ways: Vec<VipWay>) -> ProbeOutcome {
    let start = Instant::now();
    let deadline = start + probe.timeout;
    if ways.is_empty() {
        let result = check(&probe, deadline).await;
        let (duration, path) = (start.elapsed(), ProbePath::Direct);
        return ProbeOutcome { result, duration, path, other: None, vips: Vec::new() };
    }
    let led: Vec<_> = ways.into_iter().map(|way| probe.by(way)).collect();
    let patience = start + probe.timeout / 2;
    let (at_vips, other) =
        vip_first(at_all(&led, deadline), check(&probe, deadline), patience).await;
    let (Ok(vips) | Err(vips)) = at_vips;
    let result = vips.iter().find_map(|(_, result)| result.clone().err()).map_or(Ok(()), Err);
    ProbeOutcome { result, duration: start.elapsed(), path: ProbePath::Vip, other, vips }
}

/// What came of all probes; an error if any failed.
async fn at_all(led: &[ProbeSpec], deadline: Instant) -> Result<Vec<AtVip>, Vec<AtVip>> {
    let one = async |led: &ProbeSpec| (led.target.ip(), check(led, deadline).await);
    let all = join_all(led.iter().map(one)).await;
    if all.iter().all(|(_, result)| result.is_ok()) { Ok(all) } else { Err(all) }
}

/// Each kind of check is in a box of its own: otherwise every probe, and there are thousands at a
/// time, had room twice for the largest.
async fn check(probe: &ProbeSpec, deadline: Instant) -> Result<(), Failure> {
    match &probe.check {
        HealthCheck::Tcp => Box::pin(tcp::check(probe, deadline)).await,
        HealthCheck::UdpConnect => Box::pin(udp::check(probe, deadline)).await,
        HealthCheck::Http(check) => Box::pin(http::check(probe, check, deadline)).await,
        HealthCheck::Https(check) => Box::pin(http::check_over_tls(probe, check, deadline)).await,
        HealthCheck::Tls(check) => {
            Box::pin(tls::check(probe, check.domain_name.as_ref(), deadline)).await
        }
        HealthCheck::Grpc(check) => Box::pin(grpc::check(probe, check, deadline)).await,
    }
}

#[cfg(test)]
mod tests;
