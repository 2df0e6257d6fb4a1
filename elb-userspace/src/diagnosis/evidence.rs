//! What is known about a member before it is judged: what is wanted of it, what its health is, how
//! it is reached, and what a fresh look at it found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use elb_common::addr::Mac;

use super::instrument::Fault;
use super::report::Report;
use crate::control::network::{NextHop, Unreachable, UnservedWay};
use crate::control::reconcile::{Fallback, Reserve, Rising};
use crate::health::path;
use crate::health::probe::{ProbeOutcome, ProbeSpec};
use crate::health::{Cause, Failure, OperatingStatus};
use crate::model::ipgroup::Cidr;
use crate::model::monitor::ProbePath;
use crate::model::{Forwarding, Protocol};

/// All that the checks conclude from.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What is wanted of the member.
    pub wanted: WantedMember,
    /// What the agent holds of its health.
    pub health: HealthEvidence,
    /// How it is reached.
    pub way: MemberWay,
    /// What is wrong with probes on this host.
    pub own: Own,
    /// What a fresh look at it found.
    pub looks: Looks,
    /// What its own host said of itself.
    pub inspection: Option<Report>,
}

/// What the configuration wants of a member.
#[derive(Clone, Debug)]
pub struct WantedMember {
    /// The configuration file.
    pub file: PathBuf,
    /// The member's pool.
    pub pool: PoolWanted,
    /// The member's name.
    pub member: String,
    /// Where its service is; port 0: any.
    pub service: SocketAddr,
    /// How it is probed; none: it is not.
    pub probe: Option<ProbeSpec>,
    /// Of a backup member, whether it is needed.
    pub backup: Option<Reserve>,
    /// If it has as many connections as it may, and so gets no new one.
    pub full: Option<FullMember>,
    /// If it has not all of its share yet, how far it has risen to it.
    pub rising: Option<Rising>,
    /// Successes in a row that make an OFFLINE member ONLINE.
    pub max_retries: u32,
    /// From the end of a probe to the start of the next.
    pub delay: Duration,
}

/// What the configuration wants of a pool.
#[derive(Clone, Debug)]
pub struct PoolWanted {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// How packets get to its members.
    pub forwarding: Forwarding,
    /// What members see in the place of clients' addresses, with `fullnat` and `nat46`.
    pub source_addresses: Option<Cidr>,
    /// The listeners that it serves.
    pub listeners: Vec<Served>,
    /// Virtual addresses of its listeners that are this host's own.
    pub own: Vec<IpAddr>,
    /// Listeners of its protocol that other pools serve, as `load balancer/listener`.
    pub others: Vec<String>,
    /// How its backup members stand, if it has any.
    pub backup: Option<Reserve>,
    /// Members that have as many connections as they may, and so get no new one.
    pub full: Vec<FullMember>,
    /// Members that rise to their shares of the new connections, by name.
    pub rising: BTreeMap<String, Rising>,
    /// Of each member, why it takes no new connections however healthy it is, if so.
    pub members: Vec<Option<OutOfRotation>>,
}

impl PoolWanted {
    /// The virtual addresses of its listeners, each once.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let all = self.listeners.iter().flat_map(|served| served.vips.iter().copied());
        all.collect::<BTreeSet<IpAddr>>().into_iter()
    }
}

/// A member that has as many connections as it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullMember {
    /// Its name.
    pub member: String,
    /// Its open connections.
    pub open: u32,
    /// Its `max_connection`.
    pub most: u32,
}

impl fmt::Display for FullMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it has {} of at most {} connections", self.open, self.most)
    }
}

/// A member that takes no new connections however healthy it is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutOfRotation {
    /// By `elb drain`.
    Drained(String),
    /// By its weight of 0.
    NoWeight(String),
}

impl fmt::Display for OutOfRotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained(member) => write!(f, "{member} is drained"),
            Self::NoWeight(member) => write!(f, "{member} has weight 0"),
        }
    }
}

impl OutOfRotation {
    /// What gives it new connections again.
    pub fn fix(&self, pool: &str, file: &Path) -> String {
        match self {
            Self::Drained(member) => format!("elb drain {member} --pool {pool} --cancel"),
            Self::NoWeight(member) => format!(
                "give member {member:?} of pool {pool:?} a weight above 0 in {}, then {}",
                file.display(),
                super::command::apply(file)
            ),
        }
    }
}

/// A listener that a pool serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its load balancer.
    pub balancer: String,
    /// Its name.
    pub listener: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The addresses of its load balancer.
    pub vips: Vec<IpAddr>,
    /// Whether its load balancer has or had an address: members behind one that never had any count
    /// as unhealthy.
    pub was_bound: bool,
    /// How the pool stands that takes over, if there is one.
    pub fallback: Option<Fallback>,
    /// Whether it is to be served: it and its load balancer are administratively up.
    pub enabled: bool,
}

/// What the agent holds of a member's health.
#[derive(Clone, Debug)]
pub struct HealthEvidence {
    /// The verdict.
    pub status: OperatingStatus,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why the latest probe failed, or for an OFFLINE member the latest that did.
    pub reason: Option<Failure>,
    /// Probes that failed though it is ONLINE.
    pub lapses: Lapses,
    /// Connections that clients tried to open in the last minute, if no packet followed any opening, or, where answers come
    /// back through this host, if no SYN-ACK and no reset did.
    pub stuck: Option<u64>,
    /// The virtual addresses that it answers for on the segment, in the place of the load balancer.
    pub answers_for: Vec<IpAddr>,
}

/// Probes that failed, of those that are remembered since a member is ONLINE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lapses {
    /// That failed.
    pub failed: u32,
    /// All of them.
    pub probes: u32,
}

/// How a member is reached.
#[derive(Clone, Debug)]
pub struct MemberWay {
    /// What a frame to it needs, or why none can be sent.
    pub next_hop: Result<NextHop, Unreachable>,
    /// The interface that it leaves by, if that does not carry the program.
    pub unserved: Option<UnservedWay>,
    /// Served interfaces on which IPv6 is switched off, if it is of IPv6.
    pub ipv6_off: Vec<String>,
    /// Why the next hop, which is used all the same, may be wrong.
    pub doubt: Option<String>,
    /// The largest packet on the way, if a router has said so.
    pub path_mtu: Option<u32>,
    /// The interface that it leaves by; empty if there is none.
    pub interface: String,
    /// The gateway; none: the member is a neighbour.
    pub gateway: Option<IpAddr>,
    /// Where probes come from.
    pub source: Option<IpAddr>,
    /// The outer source of packets in tunnels to it.
    pub outer: Option<IpAddr>,
    /// How the virtual address is probed, as traffic goes, or why it is not.
    pub vip: Result<path::ProbeRoute, String>,
    /// How each of its virtual addresses is probed that can be.
    pub vips: Vec<path::ProbeRoute>,
}

/// What is wrong with probes on the load balancer's own host.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// What was found there.
    pub faults: Vec<Fault>,
    /// Virtual addresses at which no member answers, though several hosts work.
    pub unanswered: Vec<IpAddr>,
}

/// What a fresh look at a member found. What was not looked at is `None`.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// The health check itself.
    pub probe: Option<ProbeOutcome>,
    /// A TCP connection to the service's port, where another one is probed.
    pub service: Option<ProbeOutcome>,
    /// A TCP connection to [`CONTROL_PORT`], which no rule is likely to name.
    pub control: Option<ProbeOutcome>,
    /// Whether an ICMP echo request of few bytes was answered.
    pub echo: Option<Result<(), Cause>>,
    /// Whether the next hop confirmed its Ethernet address just now.
    pub neighbor: Option<bool>,
    /// An entry for the next hop that an administrator made, and that the next hop does not confirm.
    pub pinned: Option<PinnedNeighbor>,
    /// Whether the probed port resets a TCP segment that belongs to no connection.
    pub stray: Option<bool>,
    /// Whether the member takes outer headers off: it said that it does not, or did not say so.
    pub unwraps: Option<bool>,
    /// What becomes of a connection on which nothing is sent.
    pub quiet: Option<Quiet>,
    /// Whether TLS is spoken at the probed port.
    pub tls: Option<ProbeOutcome>,
    /// What other requests than the health check's are answered with.
    pub requests: Vec<HttpAttempt>,
    /// Whether a packet as large as clients' may be, with its outer headers, gets there.
    pub large: Option<Large>,
}

/// A permanent neighbour entry that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedNeighbor {
    /// The Ethernet address in the entry.
    pub has: Mac,
    /// The one that answers for the next hop's address; none: no host does.
    pub answers: Option<Mac>,
}

/// A port that hardly any host serves, and that no rule is likely to name: discard (RFC 863).
pub const CONTROL_PORT: u16 = 9;

/// What becomes of a connection on which nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// It stays.
    Stays,
    /// The server says something.
    Speaks,
    /// The server closes it at once.
    Closes,
    /// The server resets it at once.
    Resets,
}

/// A request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAttempt {
    /// Its path.
    pub path: String,
    /// What its `Host` field says.
    pub host: String,
    /// Whether it was sent over TLS.
    pub over_tls: bool,
    /// Whether it was answered as the health check expects it.
    pub answer: Result<(), Cause>,
}

impl HttpAttempt {
    /// Whether the answer is one that the health check expects.
    pub fn is_good(&self) -> bool {
        self.answer.is_ok()
    }

    /// Whether it was answered in HTTP at all.
    pub fn is_answered(&self) -> bool {
        matches!(self.answer, Ok(()) | Err(Cause::Status { .. } | Cause::Body { .. }))
    }
}

/// A large packet and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Large {
    /// Bytes of the packet, its IP header included.
    pub bytes: u16,
    /// Whether it was answered.
    pub answer: Result<(), Cause>,
}

impl Evidence {
    /// Whether probes, as the configuration wants them, succeed right now; without a health check,
    /// whether its service can be connected to.
    pub fn works(&self) -> bool {
        self.failure().is_none()
    }

    /// Why they do not.
    pub fn failure(&self) -> Option<&Cause> {
        match (&self.wanted.probe, &self.looks.probe) {
            (Some(_), Some(probe)) => cause_of(direct(probe)).or_else(|| cause_of(&probe.result)),
            (Some(_), None) => self.health.reason.as_ref().map(|reason| &reason.cause),
            (None, _) => self.looks.service.as_ref().and_then(|look| cause_of(&look.result)),
        }
    }

    /// Why it fails at the virtual address although it works at the member's own.
    pub fn vip_failure(&self) -> Option<&Cause> {
        let probe = self.looks.probe.as_ref()?;
        direct(probe).as_ref().ok().and_then(|()| cause_of(&probe.result))
    }

    /// Whether it fails at this virtual address.
    pub fn fails_at(&self, vip: IpAddr) -> bool {
        let vips = self.looks.probe.iter().flat_map(|probe| &probe.vips);
        vips.into_iter().any(|(address, result)| *address == vip && result.is_err())
    }

    /// The virtual addresses at which it does not answer as it should; all, if that is not known.
    pub fn failing_vips(&self) -> Vec<IpAddr> {
        let all = self.wanted.pool.vips();
        let vips: Vec<_> = all.collect();
        let failing: Vec<_> = vips.iter().copied().filter(|vip| self.fails_at(*vip)).collect();
        if failing.is_empty() { vips } else { failing }
    }

    /// Whether it works at the virtual address, as traffic goes.
    pub fn works_at_vip(&self) -> bool {
        let probe = self.looks.probe.as_ref();
        probe.is_some_and(|probe| probe.path == ProbePath::Vip && probe.result.is_ok())
    }

    /// Where the failure, or the success, is: the port that is probed, or without a health check
    /// the service's.
    pub fn target(&self) -> SocketAddr {
        self.wanted.probe.as_ref().map_or(self.wanted.service, |probe| probe.target)
    }

    /// The member's address.
    pub fn address(&self) -> IpAddr {
        self.wanted.service.ip()
    }

    /// Where probes come from, in words.
    pub fn source(&self) -> String {
        self.way.source.map_or_else(|| "the load balancer".to_owned(), |source| source.to_string())
    }

    /// Whether the member's host sent anything back: a connection, a reset, an echo, or its own
    /// ICMP error.
    pub fn answers(&self) -> bool {
        let looks = &self.looks;
        let outcomes = [&looks.probe, &looks.service, &looks.control];
        outcomes.into_iter().flatten().any(|outcome| self.is_answer(direct(outcome)))
            || matches!(looks.echo, Some(Ok(())))
    }

    /// Whether the control port answered.
    pub fn control_answers(&self) -> bool {
        self.looks.control.as_ref().is_some_and(|outcome| self.is_answer(&outcome.result))
    }

    /// Whether the probed port took a connection, or answered a datagram's probe.
    pub fn connects(&self) -> bool {
        match (&self.looks.probe, self.failure()) {
            (Some(_), None) => true,
            (_, Some(_)) if self.vip_failure().is_some() => true,
            (_, Some(cause)) => came_after_connect(cause),
            (None, None) => self.looks.service.as_ref().is_some_and(|look| look.result.is_ok()),
        }
    }

    fn is_answer(&self, result: &Result<(), Failure>) -> bool {
        match result {
            Ok(()) => true,
            Err(failure) => {
                came_after_connect(&failure.cause) || sender(&failure.cause) == Some(self.address())
            }
        }
    }
}

/// What came of a look at the member's own address, if one was made; one that works at the
/// virtual address works.
const fn direct(outcome: &ProbeOutcome) -> &Result<(), Failure> {
    match &outcome.other {
        Some(other) => other,
        None => &outcome.result,
    }
}

fn cause_of(result: &Result<(), Failure>) -> Option<&Cause> {
    result.as_ref().err().map(|failure| &failure.cause)
}

/// Whether a cause shows that a connection was established before.
pub fn came_after_connect(cause: &Cause) -> bool {
    use crate::health::Stage;
    match cause {
        Cause::Timeout { stage } | Cause::Reset { stage } | Cause::Closed { stage } => {
            *stage != Stage::Connect
        }
        Cause::Broken { stage, .. } => *stage != Stage::Connect,
        Cause::NotTls
        | Cause::TlsAlert { .. }
        | Cause::TlsFailed { .. }
        | Cause::BadHttp { .. }
        | Cause::TooMuch { .. }
        | Cause::Answer { .. }
        | Cause::Body { .. }
        | Cause::Status { .. }
        | Cause::GrpcStatus { .. }
        | Cause::NoGrpcStatus { .. }
        | Cause::NotServing { .. } => true,
        Cause::Refused { .. }
        | Cause::PortUnreachable { .. }
        | Cause::HostUnreachable { .. }
        | Cause::NetUnreachable { .. }
        | Cause::AdminProhibited { .. }
        | Cause::OtherIcmp { .. }
        | Cause::NoNeighbor
        | Cause::NoRoute { .. }
        | Cause::NoLocalResource { .. }
        | Cause::NoCommand { .. }
        | Cause::CommandExit { .. }
        | Cause::CommandSignal { .. }
        | Cause::CommandTimeout { .. }
        | Cause::NoEchoReply => false,
    }
}

/// Who sent what a cause is about, if it was sent.
pub fn sender(cause: &Cause) -> Option<IpAddr> {
    match cause {
        Cause::Refused { by }
        | Cause::PortUnreachable { by }
        | Cause::HostUnreachable { by }
        | Cause::NetUnreachable { by }
        | Cause::AdminProhibited { by }
        | Cause::OtherIcmp { by, .. } => Some(*by),
        Cause::NoNeighbor
        | Cause::NoRoute { .. }
        | Cause::NoLocalResource { .. }
        | Cause::NoCommand { .. }
        | Cause::CommandExit { .. }
        | Cause::CommandSignal { .. }
        | Cause::CommandTimeout { .. }
        | Cause::NoEchoReply
        | Cause::Timeout { .. }
        | Cause::Reset { .. }
        | Cause::Closed { .. }
        | Cause::Broken { .. }
        | Cause::NotTls
        | Cause::TlsAlert { .. }
        | Cause::TlsFailed { .. }
        | Cause::BadHttp { .. }
        | Cause::TooMuch { .. }
        | Cause::Answer { .. }
        | Cause::Body { .. }
        | Cause::Status { .. }
        | Cause::GrpcStatus { .. }
        | Cause::NoGrpcStatus { .. }
        | Cause::NotServing { .. } => None,
    }
}
