//! What a probe needs to know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::path::{ProbeRoute, Routing};
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
    /// Where it is to be probed as traffic reaches it: at each virtual address that it serves.
    pub vips: Vec<SocketAddr>,
    /// What brings the probe to the member, if `target` is not its own address.
    pub routing: Option<Routing>,
    /// What the `Host` field of an HTTP request says unless the check has a domain name.
    pub default_host: IpAddr,
    /// How the member is called, where the check asks for that.
    pub names: Option<MemberNames>,
}

/// How a member is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberNames {
    /// The name of its pool.
    pub pool: String,
    /// Its own.
    pub member: String,
}

impl ProbeSpec {
    /// The probe of `member`, of `pool`, of `model`; `None` if the pool is not monitored.
    pub fn new(model: &Model, pool: &Pool, member: &Member, sources: ProbeSource) -> Option<Self> {
        let monitor = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up)?;
        let vips = match monitor.probe_path {
            ProbePath::Direct => Vec::new(),
            ProbePath::Vip => model.vips_towards(&pool.name, member),
        };
        let is_command = matches!(monitor.check, HealthCheck::Command(_));
        let names = is_command
            .then(|| MemberNames { pool: pool.name.to_string(), member: member.name.to_string() });
        let at = |vip| SocketAddr::new(vip, monitor.port(member));
        Some(Self {
            target: SocketAddr::new(member.address, monitor.port(member)),
            vips: vips.into_iter().map(at).collect(),
            routing: None,
            source: sources.towards(member.address),
            timeout: monitor.timeout.duration(),
            check: monitor.check.clone(),
            default_host: model.default_host(&pool.name, member),
            names,
        })
    }

    /// The same by the virtual address.
    pub(super) fn by(&self, route: ProbeRoute) -> Self {
        let ProbeRoute { target, source, routing } = route;
        Self { target, source: Some(source), routing: Some(routing), ..self.clone() }
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
