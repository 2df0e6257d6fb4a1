//! Fresh looks at a member: a few packets of each kind, each look bounded in time.

mod neighbor;
mod outer;
mod quiet;
mod stray;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::evidence::{CONTROL_PORT, Evidence, HttpAttempt, Large, Looks, MemberWay, WantedMember};
use crate::health::probe::{self, ProbeOutcome, ProbeSpec};
use crate::health::{Cause, Failure, Stage, echo};
use crate::kernel::net::holders::{self, HolderQuestion};
use crate::model::monitor::{ExpectedCodes, HealthCheck, HttpCheck, HttpMethod, TlsCheck, UrlPath};
use crate::model::{Forwarding, Protocol};

/// How long a look takes at most, the health check itself aside.
const LIMIT: Duration = Duration::from_secs(1);
/// How long the health check may take here, if its own timeout is longer.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// The largest packet that clients usually send.
pub const CLIENT_MTU: u16 = 1500;

/// Looks at a member, and completes what is known about it.
pub async fn look(mut evidence: Evidence) -> Evidence {
    let Evidence { wanted, way, .. } = &evidence;
    let pinged = echo_of(wanted, way);
    let ((probe, complained), service, control, echo, neighbor) = tokio::join!(
        outer::complaint_during(evidence.address(), health_check(wanted, way)),
        optional(service(wanted, way).map(run)),
        run(tcp(wanted, way, CONTROL_PORT)),
        echo::check(&pinged, deadline()),
        neighbor::confirm(way, evidence.address()),
    );
    let echo = echoed(echo);
    let tunnelled = way.vip.is_ok() && wanted.pool.forwarding.is_tunnel();
    let unwraps = (probe.is_some() && tunnelled).then_some(!complained);
    let control = Some(control);
    let neighbor::Confirmation { answers: neighbor, pinned } = neighbor;
    evidence.looks =
        Looks { unwraps, probe, service, control, echo, neighbor, pinned, ..Looks::default() };
    let closer = closer(&evidence).await;
    Looks { probe: None, ..closer }.complete(&mut evidence.looks);
    evidence.health.answers_for = still_answered(&evidence).await;
    evidence
}

/// The virtual addresses that the member still answers for, of those that it was heard to.
async fn still_answered(evidence: &Evidence) -> Vec<IpAddr> {
    let before = evidence.health.answers_for.clone();
    let (false, Ok(hop)) = (before.is_empty(), &evidence.way.next_hop) else { return before };
    let (ifindex, mac, member) = (hop.ifindex, hop.source_mac, hop.mac);
    let questions: Vec<HolderQuestion> =
        before.iter().map(|vip| HolderQuestion { ifindex, mac, vip: *vip }).collect();
    let asked = tokio::task::spawn_blocking(move || holders::ask(&questions)).await;
    let Ok(Ok(found)) = asked else { return before };
    let still = |vip: &IpAddr| found.iter().any(|one| (one.vip, one.mac) == (*vip, member));
    before.into_iter().filter(still).collect()
}

/// What is worth looking at, given what was found.
async fn closer(evidence: &Evidence) -> Looks {
    let Evidence { wanted, way, .. } = evidence;
    let target = evidence.target();
    let is_stream = wanted.pool.protocol == Protocol::Tcp && target.port() != 0;
    let connects = is_stream && evidence.connects();
    let silent = matches!(evidence.failure(), Some(Cause::Timeout { stage: Stage::Connect }));
    let fails = connects && evidence.failure().is_some();
    let bytes = full_size(wanted.pool.forwarding, target.ip());
    let fits = way.next_hop.as_ref().is_ok_and(|hop| hop.mtu >= bytes);
    let echoes = matches!(evidence.looks.echo, Some(Ok(())));
    let tls = fails.then(|| tls(wanted)).flatten();
    let (quiet, stray, large, tls, requests) = tokio::join!(
        only(connects, quiet::watch(target, way.source, LIMIT)),
        only(silent && is_stream, stray::send(target, way.source, LIMIT)),
        only(echoes && fits, large(evidence, bytes)),
        optional(tls.map(run)),
        requests(if fails { variants(wanted) } else { Vec::new() }),
    );
    let large = large.flatten();
    Looks {
        quiet: quiet.flatten(),
        stray: stray.flatten(),
        large,
        tls,
        requests,
        ..Looks::default()
    }
}

/// A request that is lost may be lost by chance, so that another one is sent. That large ones are lost says nothing of
/// their size where small ones no longer get there either: the kernel may have given up the next hop meanwhile.
async fn large(evidence: &Evidence, bytes: u16) -> Option<Large> {
    let spec = echo_of(&evidence.wanted, &evidence.way);
    let mut answer = None;
    for _ in 0..2 {
        answer = echoed(echo::check_undivided(&spec, bytes, deadline()).await);
        if answer == Some(Ok(())) {
            break;
        }
    }
    if matches!(answer, Some(Err(_))) {
        let small = echoed(echo::check(&spec, deadline()).await);
        answer = answer.filter(|_| small == Some(Ok(())));
    }
    answer.map(|answer| Large { bytes, answer })
}

/// What came of an echo request; `None` if it could not be sent.
fn echoed(result: Result<(), Failure>) -> Option<Result<(), Cause>> {
    match result.map_err(|failure| failure.cause) {
        Err(Cause::NoLocalResource { .. }) => None,
        known => Some(known),
    }
}

fn deadline() -> Instant {
    Instant::now() + LIMIT
}

impl Looks {
    /// Adds what a closer look found.
    fn complete(self, all: &mut Self) {
        let Self { quiet, stray, large, tls, requests, .. } = self;
        *all = Self { quiet, stray, large, tls, requests, ..std::mem::take(all) };
    }
}

/// Bytes of a packet of a client that is as large as they come, with its outer headers.
pub fn full_size(forwarding: Forwarding, member: IpAddr) -> u16 {
    let outer = match (forwarding, member.is_ipv4()) {
        (Forwarding::L2 | Forwarding::Nat | Forwarding::FullNat, _) => 0,
        (Forwarding::Ipip, true) | (Forwarding::Nat46, _) => 20,
        (Forwarding::Ipip, false) => 40,
        (Forwarding::Gue, true) => 32,
        (Forwarding::Gue, false) => 52,
    };
    CLIENT_MTU + outer
}

/// The health check, by the virtual address if it goes there.
async fn health_check(wanted: &WantedMember, way: &MemberWay) -> Option<ProbeOutcome> {
    let probe = wanted.probe.clone()?;
    let probe = ProbeSpec { timeout: probe.timeout.min(PROBE_LIMIT), ..probe };
    Some(probe::run(probe, way.vips.clone()).await)
}

/// A look at the member's own address.
async fn run(probe: ProbeSpec) -> ProbeOutcome {
    probe::run(probe, Vec::new()).await
}

/// A connection to the service, where the health check makes none to it.
fn service(wanted: &WantedMember, way: &MemberWay) -> Option<ProbeSpec> {
    let port = wanted.service.port();
    let is_probed = wanted.probe.as_ref().is_some_and(|probe| probe.target.port() == port);
    let is_stream = wanted.pool.protocol == Protocol::Tcp && port != 0;
    (is_stream && !is_probed).then(|| tcp(wanted, way, port))
}

fn tcp(wanted: &WantedMember, way: &MemberWay, port: u16) -> ProbeSpec {
    let address = wanted.service.ip();
    ProbeSpec {
        target: SocketAddr::new(address, port),
        source: way.source,
        timeout: LIMIT,
        check: HealthCheck::Tcp,
        vips: Vec::new(),
        routing: None,
        default_host: address,
        names: None,
    }
}

/// Who is asked for echoes: the address alone counts.
fn echo_of(wanted: &WantedMember, way: &MemberWay) -> ProbeSpec {
    tcp(wanted, way, 0)
}

/// A TLS handshake, where the health check speaks HTTP without it.
fn tls(wanted: &WantedMember) -> Option<ProbeSpec> {
    let probe = wanted.probe.as_ref()?;
    let HealthCheck::Http(http) = &probe.check else { return None };
    let check = HealthCheck::Tls(TlsCheck { domain_name: http.domain_name.clone() });
    Some(ProbeSpec { check, timeout: probe.timeout.min(LIMIT), ..probe.clone() })
}

/// Requests like the health check's, with another path, with another `Host`, or without TLS.
fn variants(wanted: &WantedMember) -> Vec<ProbeSpec> {
    let Some(probe) = &wanted.probe else { return Vec::new() };
    let spec = |check: HealthCheck, default_host: IpAddr| ProbeSpec {
        timeout: probe.timeout.min(LIMIT),
        check,
        default_host,
        ..probe.clone()
    };
    let (own, kind): (&HttpCheck, fn(HttpCheck) -> HealthCheck) = match &probe.check {
        HealthCheck::Http(own) => (own, HealthCheck::Http),
        HealthCheck::Https(own) => (own, HealthCheck::Https),
        HealthCheck::Tls(_) | HealthCheck::Grpc(_) => {
            return vec![spec(HealthCheck::Http(plain_root()), probe.default_host)];
        }
        HealthCheck::Tcp
        | HealthCheck::Talk(_)
        | HealthCheck::UdpConnect
        | HealthCheck::Command(_) => return Vec::new(),
    };
    let unnamed = HttpCheck { domain_name: None, ..own.clone() };
    let mut all = Vec::new();
    for host in [probe.default_host, probe.target.ip()] {
        if own.domain_name.is_some() || host != probe.default_host {
            all.push(spec(kind(unnamed.clone()), host));
        }
    }
    if own.url_path.as_str() != "/" {
        let root = HttpCheck { url_path: UrlPath::default(), ..own.clone() };
        all.push(spec(kind(root), probe.default_host));
    }
    if matches!(probe.check, HealthCheck::Https(_)) {
        all.push(spec(HealthCheck::Http(own.clone()), probe.default_host));
    }
    all
}

fn plain_root() -> HttpCheck {
    HttpCheck {
        http_method: HttpMethod::Get,
        url_path: UrlPath::default(),
        domain_name: None,
        expected_codes: ExpectedCodes::default(),
        expected_body: None,
    }
}

async fn requests(variants: Vec<ProbeSpec>) -> Vec<HttpAttempt> {
    let mut asked = Vec::new();
    // One after the other: a server that is in trouble gets no burst.
    for spec in variants {
        let (http, over_tls) = match &spec.check {
            HealthCheck::Http(http) => (http.clone(), false),
            HealthCheck::Https(http) => (http.clone(), true),
            HealthCheck::Tcp
            | HealthCheck::Talk(_)
            | HealthCheck::UdpConnect
            | HealthCheck::Command(_)
            | HealthCheck::Tls(_)
            | HealthCheck::Grpc(_) => continue,
        };
        let path = http.url_path.as_str().to_owned();
        let host = http.domain_name.as_ref().map(|name| name.as_str().to_owned());
        let host = host.unwrap_or_else(|| spec.default_host.to_string());
        let answer = run(spec).await.result.map_err(|failure| failure.cause);
        asked.push(HttpAttempt { path, host, over_tls, answer });
    }
    asked
}

async fn optional(look: Option<impl Future<Output = ProbeOutcome>>) -> Option<ProbeOutcome> {
    match look {
        Some(look) => Some(look.await),
        None => None,
    }
}

async fn only<T>(wanted: bool, look: impl Future<Output = T>) -> Option<T> {
    if wanted { Some(look.await) } else { None }
}
