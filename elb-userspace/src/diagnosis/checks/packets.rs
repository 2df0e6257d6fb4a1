//! What may hold packets back on their way, and whether answers show that nothing does.

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};

/// The cloud's rules for the member.
pub(super) fn security_group(evidence: &Evidence) -> Finding {
    let ask = "look at its rules in the cloud's console: security groups are not on the host";
    passed(evidence, Check::SecurityGroup, ask.to_owned())
}

/// The cloud's rules for the networks.
pub(super) fn network_acl(evidence: &Evidence) -> Finding {
    if evidence.way.gateway.is_none() && evidence.way.next_hop.is_ok() && !reached(evidence) {
        let what = "the member is on the load balancer's own segment, where no ACL stands between";
        return Finding::inferred(Check::NetworkAcl, Outcome::Pass, what);
    }
    let ask = "look at its rules in the cloud's console: network ACLs are not on the host";
    passed(evidence, Check::NetworkAcl, ask.to_owned())
}

/// The packet filter of the member's host.
pub(super) fn firewall(evidence: &Evidence) -> Finding {
    passed(evidence, Check::Firewall, fix::ON_HOST.to_owned())
}

/// The way back.
pub(super) fn route(evidence: &Evidence) -> Finding {
    if evidence.answers() {
        let what = format!("{} answers {}", evidence.address(), evidence.source());
        return Finding::inferred(Check::Route, Outcome::Pass, what);
    }
    Finding::inferred(Check::Route, Outcome::Unknown, fix::ON_HOST)
}

fn passed(evidence: &Evidence, check: Check, ask: String) -> Finding {
    if reached(evidence) {
        let what = format!("{} answers {}", evidence.target(), evidence.source());
        return Finding::inferred(check, Outcome::Pass, what);
    }
    Finding::inferred(check, Outcome::Unknown, ask)
}

/// Whether the probed port answered, even if it answered that no process listens.
fn reached(evidence: &Evidence) -> bool {
    use crate::diagnosis::evidence::sender;
    evidence.connects()
        || evidence.looks.stray == Some(true)
        || evidence.failure().and_then(sender) == Some(evidence.address())
}
