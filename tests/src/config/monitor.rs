//! How a pool's members are probed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::is_no_time;

#[derive(Clone, Debug, Serialize)]
pub struct HealthMonitor {
    pub admin_state_up: bool,
    #[serde(rename = "type")]
    pub kind: MonitorKind,
    /// Seconds between two probes; 0: `more` says.
    #[serde(skip_serializing_if = "is_no_time")]
    pub delay: u32,
    /// Seconds that a probe may take; 0: `more` says.
    #[serde(skip_serializing_if = "is_no_time")]
    pub timeout: u32,
    /// Successes that bring a member up.
    pub max_retries: u32,
    /// Failures that take it down.
    pub max_retries_down: u32,
    /// The port that is probed, if not the member's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_codes: Option<String>,
    /// vip or direct; vip if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_path: Option<&'static str>,
    /// Keys that few tests set.
    #[serde(flatten)]
    pub more: BTreeMap<&'static str, toml::Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MonitorKind {
    Tcp,
    UdpConnect,
    Http,
    Https,
    Tls,
    Grpc,
    Command,
}

impl HealthMonitor {
    /// As quick as the API allows: a dead member is known after two probes, a second apart.
    pub fn quick(kind: MonitorKind) -> Self {
        Self {
            admin_state_up: true,
            kind,
            delay: 1,
            timeout: 1,
            max_retries: 2,
            max_retries_down: 2,
            monitor_port: None,
            url_path: None,
            domain_name: None,
            expected_codes: None,
            probe_path: None,
            more: BTreeMap::new(),
        }
    }

    /// With fractions of a second between two probes, and for one.
    pub fn brisk(mut self, delay: f64, timeout: f64) -> Self {
        (self.delay, self.timeout) = (0, 0);
        self.with("delay", delay).with("timeout", timeout)
    }

    /// Sets a key that few tests set.
    pub fn with(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.more.insert(key, value.into());
        self
    }

    /// As [`HealthMonitor::quick`], with more time for each probe: for what a busy machine may be
    /// slow to answer.
    pub fn patient(kind: MonitorKind) -> Self {
        Self { timeout: 5, ..Self::quick(kind) }
    }

    /// Asks for this path.
    pub fn path(mut self, path: &str) -> Self {
        self.url_path = Some(path.to_owned());
        self
    }

    /// Wants these codes.
    pub fn codes(mut self, codes: &str) -> Self {
        self.expected_codes = Some(codes.to_owned());
        self
    }

    /// Names this host.
    pub fn host(mut self, name: &str) -> Self {
        self.domain_name = Some(name.to_owned());
        self
    }

    /// Probes this port.
    pub fn port(mut self, port: u16) -> Self {
        self.monitor_port = Some(port);
        self
    }

    /// Probes members at their own addresses.
    pub fn direct(mut self) -> Self {
        self.probe_path = Some("direct");
        self
    }
}
