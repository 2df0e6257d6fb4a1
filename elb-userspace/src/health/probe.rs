//! One probe of one member: opens a connection and says what came of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::{Failure, grpc, http, tcp, tls, udp};
use crate::model::monitor::Check;
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
    pub check: Check,
    /// What the `Host` field of an HTTP request says unless the check has a domain name.
    pub default_host: IpAddr,
}

impl ProbeSpec {
    /// The probe of `member`, of `pool`, of `model`; `None` if the pool is not monitored.
    pub fn new(model: &Model, pool: &Pool, member: &Member, sources: ProbeSource) -> Option<Self> {
        let monitor = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up)?;
        Some(Self {
            target: SocketAddr::new(member.address, monitor.port(member)),
            source: sources.towards(member.address),
            timeout: monitor.timeout.duration(),
            check: monitor.check.clone(),
            default_host: model.default_host(&pool.name, member),
        })
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
pub struct Outcome {
    /// Whether the member works.
    pub result: Result<(), Failure>,
    /// How long the probe took; not much longer than its timeout.
    pub duration: Duration,
}

/// Runs a probe. Dropping the future closes its connection.
pub async fn run(probe: ProbeSpec) -> Outcome {
    let start = Instant::now();
    let deadline = start + probe.timeout;
    let result = match &probe.check {
        Check::Tcp => tcp::check(probe.target, probe.source, deadline).await,
        Check::UdpConnect => udp::check(&probe, deadline).await,
        Check::Http(check) => http::check(&probe, check, deadline).await,
        Check::Https(check) => http::check_over_tls(&probe, check, deadline).await,
        Check::Tls(check) => tls::check(&probe, check.domain_name.as_ref(), deadline).await,
        Check::Grpc(check) => grpc::check(&probe, check, deadline).await,
    };
    Outcome { result, duration: start.elapsed() }
}

#[cfg(test)]
mod tests;
