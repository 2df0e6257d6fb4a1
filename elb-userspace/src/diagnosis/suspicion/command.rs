//! The health check is a command of this host, and it failed, or could not be run.

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::report::{Finding, Outcome};
use crate::health::Cause;
use crate::model::monitor::HealthCheck;

/// It could not be run: the member may be well.
pub(super) fn not_run(error: &str) -> Finding {
    let (what, fix) = error.split_once("; ").unwrap_or((error, "elb doctor"));
    let what = format!("on this load balancer, not on the backend server: {what}");
    Finding::seen(Check::Probes, Outcome::Fail, what).fix(fix)
}

/// It says that the member is not well.
pub(super) fn says_no(evidence: &Evidence, cause: &Cause) -> Finding {
    let target = evidence.target();
    let probe = evidence.wanted.probe.as_ref();
    let (command, user) = match probe.map(|probe| &probe.check) {
        Some(HealthCheck::Command(check)) => (check.command.join(" "), check.user.as_str()),
        _ => (String::new(), "nobody"),
    };
    let names = probe.and_then(|probe| probe.names.clone()).unwrap_or_default();
    let what = format!("the health check of {target} by a command fails: {cause}");
    Finding::seen(Check::Configuration, Outcome::Fail, what).fix(format!(
        "on this load balancer, run it by hand: sudo -u {user} env -i ELB_MEMBER_ADDRESS={} ELB_MEMBER_PORT={} \
         ELB_MEMBER_NAME='{}' ELB_POOL='{}' {command}",
        target.ip(),
        target.port(),
        names.member,
        names.pool
    ))
}
