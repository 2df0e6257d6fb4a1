//! The health monitor of a pool: what a probe does and how its results count.

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::Serialize;

pub use super::codes::{ExpectedCodes, GrpcCodes};
use super::command::CommandCheck;
pub use super::probe_text::ProbeText;
pub use super::seconds::ProbeSeconds;
use super::value::{Invalid, Ranged, ValueRule, choice};
use super::{Member, Protocol, ResourceId};

/// How many results in a row change a verdict.
pub type Retries = Ranged<1, 10>;

/// How the members of a pool are probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthMonitor {
    /// Unique among health monitors.
    pub id: ResourceId,
    /// False: members are not probed and count as healthy.
    pub admin_state_up: bool,
    /// What a probe does.
    #[serde(flatten)]
    pub check: HealthCheck,
    /// From the end of a probe to the start of the next, in seconds.
    pub delay: ProbeSeconds,
    /// For a whole probe, in seconds.
    pub timeout: ProbeSeconds,
    /// Successes in a row that make an OFFLINE member ONLINE.
    pub max_retries: Retries,
    /// Failures in a row that make an ONLINE member OFFLINE.
    pub max_retries_down: Retries,
    /// The port to probe; none: the member's own.
    pub monitor_port: Option<NonZeroU16>,
    /// What is probed.
    pub probe_path: ProbePath,
}

impl HealthMonitor {
    /// [`Self::delay`] unless set.
    pub const DEFAULT_DELAY: ProbeSeconds = ProbeSeconds::constant(5);
    /// [`Self::timeout`] unless set.
    pub const DEFAULT_TIMEOUT: ProbeSeconds = ProbeSeconds::constant(3);
    /// [`Self::max_retries`] and [`Self::max_retries_down`] unless set.
    pub const DEFAULT_RETRIES: Retries = Retries::constant(3);

    /// Whether another one judges in the same way.
    pub fn is_like(&self, other: &Self) -> bool {
        *self == Self { id: self.id, ..other.clone() }
    }

    /// The port to probe on `member`; 0 only if neither has one, which no [`super::Model`] holds.
    pub fn port(&self, member: &Member) -> u16 {
        self.monitor_port.map_or(member.protocol_port, NonZeroU16::get)
    }
}

choice! {
    /// Where a member is probed.
    ProbePath {
        /// At its own address.
        Direct = "direct",
        /// At a virtual address of the pool's listeners, as traffic is: in the same encapsulation.
        Vip = "vip",
    }
    not yet: [], use "vip or direct"
}

/// What a probe does, named by `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HealthCheck {
    /// A connection is established.
    Tcp,
    /// Something is said on one, and answered.
    #[serde(rename = "TCP")]
    Talk(TalkCheck),
    /// An ICMP echo request is answered, and a datagram is not answered by an ICMP error.
    UdpConnect,
    /// A request is answered with an expected status code.
    Http(HttpCheck),
    /// The same over TLS.
    Https(HttpCheck),
    /// A TLS handshake is done.
    Tls(TlsCheck),
    /// A call of gRPC is answered with an expected `grpc-status`.
    Grpc(GrpcCheck),
    /// A command of this host ends with exit status 0.
    Command(CommandCheck),
}

impl HealthCheck {
    /// Its name.
    pub const fn check_type(&self) -> CheckType {
        match self {
            Self::Tcp | Self::Talk(_) => CheckType::Tcp,
            Self::UdpConnect => CheckType::UdpConnect,
            Self::Http(_) => CheckType::Http,
            Self::Https(_) => CheckType::Https,
            Self::Tls(_) => CheckType::Tls,
            Self::Grpc(_) => CheckType::Grpc,
            Self::Command(_) => CheckType::Command,
        }
    }

    /// Whether all that it asks goes over a connection of TCP.
    pub const fn is_over_tcp(&self) -> bool {
        match self {
            Self::UdpConnect | Self::Command(_) => false,
            Self::Tcp
            | Self::Talk(_)
            | Self::Http(_)
            | Self::Https(_)
            | Self::Tls(_)
            | Self::Grpc(_) => true,
        }
    }

    /// Whether it says something before the server does.
    pub const fn speaks_first(&self) -> bool {
        match self {
            Self::Tcp | Self::Command(_) => false,
            Self::Talk(talk) => talk.send.is_some(),
            Self::UdpConnect | Self::Http(_) | Self::Https(_) | Self::Tls(_) | Self::Grpc(_) => {
                true
            }
        }
    }
}

choice! {
    /// The names of [`HealthCheck`].
    CheckType {
        /// [`HealthCheck::Tcp`]
        Tcp = "TCP",
        /// [`HealthCheck::UdpConnect`]
        UdpConnect = "UDP_CONNECT",
        /// [`HealthCheck::Http`]
        Http = "HTTP",
        /// [`HealthCheck::Https`]
        Https = "HTTPS",
        /// [`HealthCheck::Tls`]
        Tls = "TLS",
        /// [`HealthCheck::Grpc`]
        Grpc = "GRPC",
        /// [`HealthCheck::Command`]
        Command = "COMMAND",
    }
    not yet: [], use "TCP, HTTP, HTTPS, TLS, GRPC, UDP_CONNECT or COMMAND"
}

impl CheckType {
    /// What probes the members of a pool of this protocol: as the V3 API has it, and TLS and GRPC
    /// for TCP too, since no pool here has a protocol of its own for them. Commands probe whatever they want.
    pub const fn of_pool(protocol: Protocol) -> &'static [Self] {
        match protocol {
            Protocol::Tcp => {
                &[Self::Tcp, Self::Http, Self::Https, Self::Tls, Self::Grpc, Self::Command]
            }
            Protocol::Udp => &[Self::UdpConnect, Self::Command],
        }
    }
}

/// What is said over TCP, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TalkCheck {
    /// What is said; none: the server speaks first.
    pub send: Option<ProbeText>,
    /// What the answer must have in it.
    pub expect: ProbeText,
}

/// A request and the answers that count as healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestCheck<C, B> {
    /// The request's method.
    pub http_method: HttpMethod,
    /// The request's target; of gRPC: `/service/method`.
    pub url_path: UrlPath,
    /// The host that the request names, and the TLS handshake if it is a name; none:
    /// [`super::Model::default_host`].
    pub domain_name: Option<DomainName>,
    /// The codes that count as healthy.
    pub expected_codes: C,
    /// What the body must have in it; nothing where bodies are not looked at.
    pub expected_body: B,
}

/// A request of HTTP/1.1.
pub type HttpCheck = RequestCheck<ExpectedCodes, Option<ProbeText>>;
/// A call of gRPC.
pub type GrpcCheck = RequestCheck<GrpcCodes, ()>;

/// A TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsCheck {
    /// The server's name, as the handshake names it (SNI).
    pub domain_name: Option<DomainName>,
}

choice! {
    /// The method of a probe's request.
    HttpMethod {
        /// GET
        Get = "GET",
        /// HEAD
        Head = "HEAD",
        /// POST
        Post = "POST",
    }
    not yet: ["PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"], use "GET, HEAD or POST"
}

/// The target of a request: `/` and up to 79 more characters of the V3 API's alphabet.
///
/// What follows a `#` is accepted, as V3 does, but never sent (RFC 9110 §4.2.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UrlPath(String);

impl UrlPath {
    /// The characters that it may have other than letters and digits (V3).
    const SIGNS: &str = "-/.?#%&_;~!()*[]@$^:',+";
    /// The most characters (V3).
    const LONGEST: usize = 80;

    /// What asks a server of gRPC for its health (grpc.health.v1).
    pub const GRPC_HEALTH: &str = "/grpc.health.v1.Health/Check";

    /// [`Self::GRPC_HEALTH`]
    pub fn grpc_health() -> Self {
        Self(Self::GRPC_HEALTH.to_owned())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UrlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Default for UrlPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl FromStr for UrlPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !text.starts_with('/') {
            return Err(Invalid::against_rule::<Self>(format!("{text:?} is not a path")));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || Self::SIGNS.contains(c);
        if let Some(c) = text.chars().find(|c| !allowed(*c)) {
            return Err(Invalid::against_rule::<Self>(format!("has the character {c:?}")));
        }
        match text.len() {
            1..=Self::LONGEST => Ok(Self(text.to_owned())),
            length => Err(Invalid::against_rule::<Self>(format!("has {length} characters"))),
        }
    }
}

impl ValueRule for UrlPath {
    fn rule() -> String {
        format!(
            "a path that starts with /, of at most {} characters: letters, digits and {}; others \
             percent-encoded",
            Self::LONGEST,
            Self::SIGNS
        )
    }
}

/// A host as a request names it: a name of labels of letters, digits, hyphens and underscores, or an
/// IPv4 address, of 1 to 100 characters, and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

impl DomainName {
    /// The whole as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name or address.
    pub fn host(&self) -> &str {
        self.0.split_once(':').map_or(self.as_str(), |(host, _)| host)
    }

    /// The port, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.0.split_once(':').and_then(|(_, port)| port.parse().ok())
    }
}

impl FromStr for DomainName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
        let is_port = |port: &str| {
            port.starts_with(|c: char| ('1'..='9').contains(&c)) && port.parse::<u16>().is_ok()
        };
        let is_of_names = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.starts_with(is_of_names)
                && label.chars().all(|c| is_of_names(c) || c == '-')
                && !label.ends_with('-')
        };
        let is_name = host.len() <= 100 && host.split('.').all(is_label);
        let is_host = is_name || host.parse::<Ipv4Addr>().is_ok();
        if is_host && port.is_none_or(is_port) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::against_rule::<Self>(format!("{text:?} is not a domain name")))
    }
}

impl ValueRule for DomainName {
    fn rule() -> String {
        "labels of letters, digits, hyphens and underscores, at most 100 characters, and a port if \
         the server wants one, for example www.example.com or web:8080"
            .to_owned()
    }
}

#[cfg(test)]
mod tests;
