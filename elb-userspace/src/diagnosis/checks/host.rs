//! The service and its host: what they show to the outside.

use std::time::Duration;

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::{Evidence, HttpAttempt, Lapses, Quiet};
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};
use crate::model::Protocol;

/// A member that takes longer than this, and more than half of the timeout, is about to fail.
const SLOW: Duration = Duration::from_millis(500);

/// Whether something listens where the probe goes.
pub(super) fn listening(evidence: &Evidence) -> Finding {
    let target = evidence.target();
    if evidence.connects() {
        let what = match evidence.wanted.pool.protocol {
            Protocol::Tcp => format!("{target} takes connections"),
            Protocol::Udp => format!("{target} is not answered with port unreachable"),
        };
        return Finding::inferred(Check::Listening, Outcome::Pass, what);
    }
    Finding::inferred(Check::Listening, Outcome::Unknown, fix::ON_HOST)
}

/// Whether the member keeps up.
pub(super) fn load(evidence: &Evidence) -> Finding {
    let (Some(look), Some(probe)) = (&evidence.looks.probe, &evidence.wanted.probe) else {
        return Finding::inferred(Check::Load, Outcome::Unknown, fix::ON_HOST);
    };
    let took = look.duration;
    if look.result.is_err() {
        return Finding::inferred(Check::Load, Outcome::Unknown, fix::ON_HOST);
    }
    let is_datagram = evidence.wanted.pool.protocol == Protocol::Udp;
    // A UDP check that succeeds lasts until its timeout.
    if !is_datagram && took > SLOW && took > probe.timeout / 2 {
        let what = format!("it answers, but only after {took:?} of {:?}", probe.timeout);
        return Finding::inferred(Check::Load, Outcome::Warn, what)
            .fix("on the backend server: uptime; ss -ltn; give it more, or add members");
    }
    let Lapses { failed, probes } = evidence.health.lapses;
    if failed > 0 {
        let what = format!("it answers now, but {failed} of its last {probes} probes failed");
        return Finding::seen(Check::Load, Outcome::Warn, what)
            .fix("elb events, and on the backend server: uptime; ss -ltn");
    }
    Finding::inferred(Check::Load, Outcome::Pass, format!("it answers within {took:?}"))
}

/// Whether tcp wrappers turn the load balancer away.
pub(super) fn hosts_deny(evidence: &Evidence) -> Finding {
    if evidence.wanted.pool.protocol == Protocol::Udp {
        let what = "tcp wrappers are for TCP";
        return Finding::inferred(Check::HostsDeny, Outcome::NotApplicable, what);
    }
    let answered = evidence.looks.requests.iter().any(HttpAttempt::is_answered);
    match evidence.looks.quiet {
        Some(Quiet::Stays | Quiet::Speaks) => {
            let what = "a connection on which nothing is sent stays open";
            Finding::inferred(Check::HostsDeny, Outcome::Pass, what)
        }
        _ if answered => {
            Finding::inferred(Check::HostsDeny, Outcome::Pass, "requests are answered")
        }
        Some(Quiet::Closes | Quiet::Resets) | None => {
            Finding::inferred(Check::HostsDeny, Outcome::Unknown, fix::ON_HOST)
        }
    }
}
