//! With `nat`, answers to clients come back through the load balancer, which translates them.

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};

/// Where nothing points to the way of answers.
pub(super) fn return_path(evidence: &Evidence) -> Finding {
    let forwarding = evidence.wanted.pool.forwarding;
    let found = |outcome, what: String| Finding::inferred(Check::ReturnPath, outcome, what);
    if !forwarding.translates() {
        let what = format!("with {forwarding}, answers go to clients directly");
        return Finding::seen(Check::ReturnPath, Outcome::NotApplicable, what);
    }
    if forwarding.hides_clients() && evidence.health.stuck.is_none() {
        let what = format!(
            "with {forwarding}, members answer the load balancer's own source addresses, {}",
            fix::source_addresses(evidence)
        );
        return Finding::seen(Check::ReturnPath, Outcome::NotApplicable, what);
    }
    if evidence.works_at_vip() {
        let what = "probes of the virtual address are answered through this load balancer, and no \
                    openings of clients stay without an answer that comes back here";
        return found(Outcome::Pass, what.to_owned());
    }
    found(Outcome::Unknown, fix::ON_HOST.to_owned())
}
