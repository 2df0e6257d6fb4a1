//! Probes fail on the load balancer itself: the member may be well.

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::instrument::Fault;
use crate::diagnosis::report::{Finding, Outcome};

/// What was seen on this host that explains why the probe fails.
pub(super) fn seen(evidence: &Evidence) -> Option<Finding> {
    let at_vip = evidence.vip_failure();
    let is_silent = at_vip.or(evidence.failure())?.is_silence();
    let explains = |fault: &&Fault| is_silent && (at_vip.is_some() || fault.hits_all);
    let fault = evidence.own.faults.iter().find(explains)?;
    let what = format!("on this load balancer, not on the backend server: {}", fault.what);
    Some(Finding::seen(Check::Probes, Outcome::Fail, what).fix(fault.fix.clone()))
}

/// What the silence of all members at the virtual address allows to conclude.
pub(super) fn inferred(evidence: &Evidence) -> Option<Finding> {
    let unanswered = evidence.own.unanswered.iter();
    let vip = unanswered.into_iter().find(|vip| evidence.fails_at(**vip))?;
    let what = format!(
        "no member answers at {vip} by the way of probes, although they answer at their own \
         addresses: most likely something on this load balancer, not on the backend servers"
    );
    let theirs = if evidence.wanted.pool.forwarding.translates() {
        "the answers of backend servers do not come back through it".to_owned()
    } else {
        format!("no backend server has {vip}")
    };
    Some(
        Finding::inferred(Check::Probes, Outcome::Fail, what)
            .fix(format!("elb doctor; ip rule; nft list ruleset; if all is well here, {theirs}")),
    )
}

/// The probe could not even begin.
pub(super) fn no_local_resource(evidence: &Evidence, error: &str) -> Finding {
    let source = evidence.source();
    let what = format!("this load balancer cannot even begin a probe from {source}: {error}");
    Finding::seen(Check::Probes, Outcome::Fail, what).fix(
        "ip address show; [agent] probe_source must be an address of this host; sysctl \
         net.ipv4.ip_local_port_range; elb doctor",
    )
}
