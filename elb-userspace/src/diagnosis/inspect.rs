//! `elb backend inspect`: what only the backend server's own host can know about why probes fail.
//!
//! What is there is gathered first (`facts`); every check then is a function of it and of the
//! question. `elb diagnose` merges the answer into its own report, where what was seen here comes
//! before what it infers from packets.

mod asked;
mod facts;
mod gather;
mod parts;

mod decapsulation;
mod firewall;
mod hosts_deny;
mod listening;
mod load;
mod mtu;
mod own;
mod return_path;
mod reverse_path;
mod route;
mod sysctls;
mod trust;
mod virtual_address;

pub mod filter;
mod wrappers;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use asked::InspectRequest;
pub use gather::{BackendDirectories, packet_filter};
pub use own::{Filtered, OwnProbe, filtered};

use super::check::Check;
use super::report::{Outcome, Report};
use facts::Facts;
use parts::{Part, finding};

/// An answer, with what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inspection {
    /// The host's name.
    pub host: String,
    /// The question, completed by what is set up on the host.
    pub asked: InspectRequest,
    /// What was seen.
    pub report: Report,
}

impl Inspection {
    /// The report, if the host was asked `question`, or more.
    ///
    /// # Errors
    /// It was asked something else; the message says what.
    pub fn answer_to(self, question: &InspectRequest) -> Result<Report, String> {
        let InspectRequest { protocol, port, from, to, direct, .. } = &self.asked;
        let differs = |what: &str, asked: String, wanted: String| {
            Err(format!(
                "the inspection of {} is about {what} {asked}, and the member has {wanted}: run \
                 `elb backend inspect` again as `elb diagnose` says",
                self.host
            ))
        };
        if *protocol != question.protocol {
            return differs(
                "the protocol",
                protocol.name().into(),
                question.protocol.name().into(),
            );
        }
        if *port != question.port {
            return differs("the port", shown(port.as_slice()), shown(question.port.as_slice()));
        }
        if !question.from.iter().all(|source| from.contains(source)) {
            return differs("probes from", shown(from), shown(&question.from));
        }
        if !to.is_empty() && !question.to.iter().all(|address| to.contains(address)) {
            return differs("the address", shown(to), shown(&question.to));
        }
        if question.direct && !direct {
            return differs("probes of", "virtual addresses".into(), "direct ones".into());
        }
        Ok(self.report)
    }
}

/// A list for a message.
fn shown(list: &[impl ToString]) -> String {
    match list {
        [] => "none".to_owned(),
        list => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Inspects this host. Not for use inside an asynchronous runtime: it waits.
pub fn inspect(asked: &InspectRequest, place: &BackendDirectories) -> Inspection {
    let (asked, facts) = gather::gather(asked, place);
    conclude(asked, &facts)
}

type Judge = fn(&InspectRequest, &Facts) -> Vec<Part>;

const CHECKS: [(Check, Judge); 10] = [
    (Check::Listening, listening::check),
    (Check::Firewall, firewall::check),
    (Check::Route, route::check),
    (Check::Load, load::check),
    (Check::HostsDeny, hosts_deny::check),
    (Check::VirtualAddress, virtual_address::check),
    (Check::Decapsulation, decapsulation::check),
    (Check::ReturnPath, return_path::check),
    (Check::Sysctls, sysctls::check),
    (Check::Mtu, mtu::check),
];

/// What the facts say about what was asked. It is healthy if no check failed and none is unknown.
fn conclude(asked: InspectRequest, facts: &Facts) -> Inspection {
    let elsewhere = elsewhere(&asked, facts);
    let findings = CHECKS.map(|(check, judge)| match &elsewhere {
        Some(why) => finding(check, vec![Part::unknown(why)]),
        None => finding(check, judge(&asked, facts)),
    });
    let known = findings.iter().all(|finding| finding.outcome != Outcome::Unknown);
    // A warning is what a host is like, not why probes fail.
    let report = Report::explained(facts.host.clone(), known, findings.to_vec(), None);
    Inspection { host: facts.host.clone(), asked, report }
}

/// Why what this host is like says nothing of a member: it has none of the member's addresses.
fn elsewhere(asked: &InspectRequest, facts: &Facts) -> Option<String> {
    let network = facts.network.as_ref().ok()?;
    let is_here = |address| network.holder(address).is_some();
    if asked.to.is_empty() || asked.to.iter().any(|address| is_here(*address)) {
        return None;
    }
    Some(format!(
        "{} is no address of {}: inspect the host that has it; if it is translated on the way, name the \
         address that this host has with --to",
        shown(&asked.to),
        facts.host
    ))
}
