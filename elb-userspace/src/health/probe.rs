//! One probe of one member: opens a connection and says what came of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::{Failure, http, tcp};
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
    pub fn new(model: &Model, pool: &Pool, member: &Member) -> Option<Self> {
        let monitor = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up)?;
        Some(Self {
            target: SocketAddr::new(member.address, monitor.port(member)),
            source: None,
            timeout: monitor.timeout.duration(),
            check: monitor.check.clone(),
            default_host: model.default_host(&pool.name, member),
        })
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
        Check::Http(check) => http::check(&probe, check, deadline).await,
    };
    Outcome { result, duration: start.elapsed() }
}

#[cfg(test)]
mod tests;
