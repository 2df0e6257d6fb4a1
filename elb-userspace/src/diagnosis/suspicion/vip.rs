//! The member works at its own address, but not at the virtual one, where traffic goes: what direct
//! server return needs is missing on its host.

use std::net::IpAddr;

use super::return_path;
use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};
use crate::health::{Cause, Stage};

/// What keeps a member from answering at the virtual address, which fails with `cause`.
pub(super) fn suspects(evidence: &Evidence, cause: &Cause) -> Vec<Finding> {
    if evidence.wanted.pool.forwarding.translates() {
        return vec![return_path::untranslated(evidence, cause)];
    }
    let silence = [Cause::Timeout { stage: Stage::Connect }, Cause::NoEchoReply];
    if silence.contains(cause) {
        return silent(evidence);
    }
    if matches!(cause, Cause::Refused { .. } | Cause::PortUnreachable { .. }) {
        return vec![other_address(evidence, cause)];
    }
    vec![answers_differently(evidence, cause)]
}

/// Nothing comes back: the host does not unwrap, does not have the address, or drops what it has
/// unwrapped.
fn silent(evidence: &Evidence) -> Vec<Finding> {
    let mut suspects = vec![no_address(evidence), settings(evidence)];
    if evidence.wanted.pool.forwarding.is_tunnel() {
        let place = if evidence.looks.unwraps == Some(false) { 0 } else { 1 };
        suspects.insert(place, no_unwrapping(evidence));
    }
    suspects
}

fn no_address(evidence: &Evidence) -> Finding {
    let (vip, address) = (vips(evidence), evidence.address());
    let what = format!(
        "{address} answers at its own address, but not at {vip}, where traffic goes: the virtual \
         address is missing on its lo{}",
        other_source(evidence)
    );
    Finding::inferred(Check::VirtualAddress, Outcome::Fail, what).fix(up(evidence))
}

/// A host that unwraps takes packets only from the load balancers that its `--from` names.
fn other_source(evidence: &Evidence) -> String {
    let tunnelled = evidence.wanted.pool.forwarding.is_tunnel();
    let outer = evidence.way.outer.filter(|_| tunnelled);
    let text = |outer| {
        format!(
            ", or --from of `elb backend up` there does not include {outer}, where packets come from now"
        )
    };
    outer.map(text).unwrap_or_default()
}

fn no_unwrapping(evidence: &Evidence) -> Finding {
    let (address, forwarding) = (evidence.address(), evidence.wanted.pool.forwarding);
    let what = if evidence.looks.unwraps == Some(false) {
        format!(
            "{address} says with ICMP that it does not know the {forwarding} packets that it gets: \
             it does not take the outer headers off"
        )
    } else {
        format!("{address} may not take the outer headers of {forwarding} off")
    };
    Finding::inferred(Check::Decapsulation, Outcome::Fail, what).fix(up(evidence))
}

fn settings(evidence: &Evidence) -> Finding {
    let address = evidence.address();
    let what = format!("{address} may drop what it has unwrapped, by its rp_filter");
    Finding::inferred(Check::Sysctls, Outcome::Fail, what).fix(up(evidence))
}

fn other_address(evidence: &Evidence, cause: &Cause) -> Finding {
    let (vip, target) = (vips(evidence), evidence.target());
    let refuses = format!("{vip} on the same host refuses them ({cause}): the service");
    let port = target.port();
    let see = format!("ss -lntup 'sport = :{port}' must show");
    let (what, fix) = match only_version(evidence) {
        Some(version) => {
            let (other, any) = if version == 4 { (6, "[::]") } else { (4, "0.0.0.0") };
            let fix = format!(
                "on the backend server, let the service listen on IPv{other}, too: {see} \
                 {any}:{port} or *:{port}"
            );
            (
                format!(
                    "the service takes connections over IPv{version}, but {refuses} takes IPv{version} only"
                ),
                fix,
            )
        }
        None => {
            let any = if evidence.failing_vips().iter().all(IpAddr::is_ipv6) {
                format!("[::]:{port}, *:{port} or {vip}:{port}")
            } else {
                format!("0.0.0.0:{port}, *:{port} or {vip}:{port}")
            };
            let what = format!(
                "{target} takes connections, but {refuses} listens on {} only",
                target.ip()
            );
            let fix = format!(
                "on the backend server, let the service listen on all addresses: {see} {any}"
            );
            (what, fix)
        }
    };
    Finding::inferred(Check::Listening, Outcome::Fail, what).fix(fix)
}

/// The IP version that a service takes connections of, where it takes none of the other: it refuses at
/// all virtual addresses of that one, and answers at one of its own.
fn only_version(evidence: &Evidence) -> Option<u8> {
    let failing = evidence.failing_vips();
    let fails_with = |is_v4: bool| failing.iter().all(|vip| vip.is_ipv4() == is_v4);
    let tried = evidence.looks.probe.iter().flat_map(|probe| &probe.vips);
    let answers = |is_v4: bool| {
        let mut tried = tried.clone();
        tried.any(|(vip, result)| vip.is_ipv4() == is_v4 && result.is_ok())
    };
    match () {
        () if fails_with(false) && answers(true) => Some(4),
        () if fails_with(true) && answers(false) => Some(6),
        () => None,
    }
}

/// An answer came from the virtual address, but another one than from the member's own.
fn answers_differently(evidence: &Evidence, cause: &Cause) -> Finding {
    let vip = vips(evidence);
    let what = format!(
        "the health check succeeds at {}, but not at {vip} on the same host: {cause}",
        evidence.target()
    );
    let change = "domain_name to what the server answers to, or probe_path = \"direct\",";
    Finding::inferred(Check::Configuration, Outcome::Fail, what)
        .fix(fix::monitor(&evidence.wanted, change))
}

fn up(evidence: &Evidence) -> String {
    format!("on the backend server: {}", fix::backend_up(evidence))
}

fn vips(evidence: &Evidence) -> String {
    let all: Vec<String> = evidence.failing_vips().iter().map(ToString::to_string).collect();
    all.join(" and ")
}
