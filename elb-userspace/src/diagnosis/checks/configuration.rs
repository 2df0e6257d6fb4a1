//! The health check as it is configured.

use crate::diagnosis::check::Check as Checked;
use crate::diagnosis::evidence::{Evidence, WantedMember};
use crate::diagnosis::report::{Finding, Outcome};
use crate::health::OperatingStatus;
use crate::health::probe::ProbeSpec;
use crate::model::monitor::HealthCheck;

/// Whether the member answers what it is asked.
pub(super) fn configuration(evidence: &Evidence) -> Finding {
    let Some(probe) = &evidence.wanted.probe else {
        let what = "the pool has no health check: its members count as healthy, whatever they do";
        return Finding::seen(Checked::Configuration, Outcome::NotApplicable, what);
    };
    let asked = asked(probe);
    match (&evidence.looks.probe, evidence.works()) {
        (Some(look), true) => {
            let took = rounded(look.duration);
            let what = format!("{asked} succeeds, in {took:?}{}", again(evidence));
            Finding::seen(Checked::Configuration, Outcome::Pass, what)
        }
        _ if evidence.connects() => {
            let what = format!("{asked} gets a connection");
            Finding::seen(Checked::Configuration, Outcome::Pass, what)
        }
        _ => {
            let what = format!("{asked} cannot be judged before the port is reached");
            Finding::seen(Checked::Configuration, Outcome::Unknown, what)
        }
    }
}

/// A member that is OFFLINE by what is over.
fn again(evidence: &Evidence) -> String {
    if evidence.health.status != OperatingStatus::Offline {
        return String::new();
    }
    let WantedMember { max_retries, delay, .. } = &evidence.wanted;
    format!(
        ": it works now; {max_retries} successful probes in a row, with {delay:?} between two, make it \
         ONLINE"
    )
}

/// The health check in words.
fn asked(probe: &ProbeSpec) -> String {
    let (target, kind) = (probe.target, probe.check.check_type());
    match &probe.check {
        HealthCheck::Http(http) | HealthCheck::Https(http) => {
            format!("{kind} {} {} at {target}", http.http_method, http.url_path.as_str())
        }
        HealthCheck::Command(check) => format!("the command {} for {target}", check.program()),
        HealthCheck::Talk(_) => format!("{kind} with words to {target}"),
        HealthCheck::Tcp | HealthCheck::UdpConnect | HealthCheck::Tls(_) | HealthCheck::Grpc(_) => {
            format!("{kind} to {target}")
        }
    }
}

fn rounded(duration: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
