//! Probes succeed, but what clients send does not get where it should.

use super::return_path;
use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::{Evidence, Quiet};
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};

/// What keeps traffic from a member whose health check succeeds.
pub(super) fn suspects(evidence: &Evidence) -> Vec<Finding> {
    [
        answers_for(evidence),
        closed_service(evidence),
        no_way_to_clients(evidence),
        large_lost(evidence),
        turned_away(evidence),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The probed port works, the service's does not.
fn closed_service(evidence: &Evidence) -> Option<Finding> {
    evidence.wanted.probe.as_ref()?;
    let failure = evidence.looks.service.as_ref()?.result.as_ref().err()?;
    let (probed, service) = (evidence.target().port(), evidence.wanted.service);
    let what = format!(
        "the health check on port {probed} succeeds, but clients are sent to {service}: {}",
        failure.cause
    );
    Some(Finding::inferred(Check::Listening, Outcome::Fail, what).fix(format!(
        "on the backend server, start the service on port {0}: ss -ltnp 'sport = :{0}'",
        service.port()
    )))
}

/// It takes clients' packets past the load balancer.
fn answers_for(evidence: &Evidence) -> Option<Finding> {
    let (vip, address) = (evidence.health.answers_for.first()?, evidence.address());
    let what = format!(
        "{address} answers for the virtual address {vip} on its segment: clients' packets go there and \
         not to the load balancer"
    );
    // It was heard just now: that its host sees nothing wrong does not clear it.
    let sysctls = evidence.inspection.as_ref().and_then(|said| said.finding(Check::Sysctls));
    let is_cleared = sysctls.is_some_and(|finding| finding.outcome != Outcome::Fail);
    let heard = if is_cleared { Finding::seen } else { Finding::inferred };
    if evidence.wanted.pool.forwarding.translates() {
        return Some(heard(Check::Sysctls, Outcome::Fail, what).fix(format!(
            "on the backend server: ip address show to {vip}; ip address del {vip} dev DEVICE: with {} it needs \
             no virtual address; then clear {vip} from the neighbour tables of routers and clients",
            evidence.wanted.pool.forwarding
        )));
    }
    Some(heard(Check::Sysctls, Outcome::Fail, what).fix(format!(
        "on the backend server: {} (arp_ignore must be 1, and {vip} be on lo only); then clear {vip} \
         from the neighbour tables of routers and clients",
        fix::backend_up(evidence)
    )))
}

/// Clients open connections, and nothing follows: they never see the answer.
fn no_way_to_clients(evidence: &Evidence) -> Option<Finding> {
    let openings = evidence.health.stuck?;
    if evidence.wanted.pool.forwarding.translates() {
        return Some(return_path::elsewhere(evidence, openings));
    }
    let address = evidence.address();
    let what = format!(
        "probes of {address} are answered, but of {openings} openings of connections by clients in the \
         last minute not one was followed by a packet: its answers, which do not pass the load balancer, \
         do not reach the clients"
    );
    Some(Finding::inferred(Check::Route, Outcome::Fail, what).fix(
        "on the backend server: elb backend inspect --client ADDRESS, with the address of a client; \
         without a route to it: ip route add default via GATEWAY dev DEVICE",
    ))
}

/// Small packets get there, those of full size are lost without a word.
fn large_lost(evidence: &Evidence) -> Option<Finding> {
    if !matches!(evidence.looks.echo, Some(Ok(()))) {
        return None;
    }
    let large = evidence.looks.large.as_ref()?;
    let cause = large.answer.as_ref().err()?;
    let (address, bytes) = (evidence.address(), large.bytes);
    let what = format!(
        "packets of {bytes} bytes, as full ones of clients are with their outer headers, do not \
         get to {address}, small ones do: {cause}"
    );
    Some(Finding::inferred(Check::Mtu, Outcome::Fail, what).fix(format!(
        "on the backend server and every switch between: ip link set DEVICE mtu {bytes}"
    )))
}

fn turned_away(evidence: &Evidence) -> Option<Finding> {
    let target = evidence.target();
    let what = format!(
        "{target} takes connections, which is all that is probed, but closes them before anything \
         is sent, as tcp wrappers do for a host in /etc/hosts.deny"
    );
    (evidence.looks.quiet == Some(Quiet::Closes)).then(|| {
        Finding::inferred(Check::HostsDeny, Outcome::Warn, what).fix(
            "on the backend server: grep -v '^#' /etc/hosts.deny; type = \"HTTP\" would see it",
        )
    })
}
