//! The verdict of each check, from the evidence alone.
//!
//! A failure is explained once: by what the member's host saw of itself, else by the likeliest
//! suspect that it does not clear. Whatever else would look the same stays unknown, with the
//! command that shows it.

mod attachment;
pub mod balancer;
mod configuration;
mod host;
mod packets;
mod return_path;
mod sender;
mod tunnel;

use super::check::Check;
use super::evidence::{Evidence, PoolWanted, WantedMember};
use super::report::{Basis, Finding, Outcome, Report};
use super::{fix, suspicion};

/// The checks of a member, in the order of its report.
pub const MEMBER: [Check; 18] = [
    Check::Attached,
    Check::AddressBound,
    Check::Configuration,
    Check::SecurityGroup,
    Check::NetworkAcl,
    Check::Listening,
    Check::Firewall,
    Check::Route,
    Check::Load,
    Check::HostsDeny,
    Check::VirtualAddress,
    Check::Decapsulation,
    Check::ReturnPath,
    Check::Sysctls,
    Check::Mtu,
    Check::Neighbor,
    Check::Itself,
    Check::Probes,
];

/// The report on a member.
pub fn member(evidence: &Evidence) -> Report {
    let suspects = suspicion::suspects(evidence);
    let named = named(evidence, &suspects);
    let findings = settle(evidence, &suspects, named);
    let unknown = findings.iter().any(|finding| finding.outcome == Outcome::Unknown);
    let mut report = Report::explained(subject(evidence), evidence.works(), findings, named);
    if unknown && evidence.inspection.is_none() {
        report.ask = Some(fix::ask(evidence));
    }
    report
}

/// The report on a pool itself: what the configuration alone decides.
pub fn pool(wanted: &PoolWanted, file: &std::path::Path) -> Report {
    let checks = [attachment::attached, attachment::address_bound, attachment::taken];
    let findings = checks.map(|check| check(wanted, file)).to_vec();
    Report::new(format!("pool {}", wanted.name), true, findings)
}

fn subject(evidence: &Evidence) -> String {
    let WantedMember { pool, member, service, backup, full, rising, .. } = &evidence.wanted;
    let at = match service.port() {
        0 => service.ip().to_string(),
        _ => service.to_string(),
    };
    let health = &evidence.health;
    let at = if at == *member { String::new() } else { format!(" at {at}") };
    let reason = health.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let backup = backup.map(|backup| format!(", {backup}")).unwrap_or_default();
    let full = full.as_ref().map(|full| format!(", {full}")).unwrap_or_default();
    let rising = rising.map(|rising| format!(", it {rising}")).unwrap_or_default();
    let (status, since) = (&health.status, &health.since);
    format!("{}/{member}{at}, {status} since {since}{reason}{backup}{full}{rising}", pool.name)
}

fn settle(evidence: &Evidence, suspects: &[Finding], named: Option<Check>) -> Vec<Finding> {
    let finding = |check: &Check| {
        let suspect = suspects.iter().find(|suspect| suspect.check == *check);
        if let Some(certain) =
            suspect.filter(|one| named == Some(*check) && one.basis == Basis::Seen)
        {
            return certain.clone();
        }
        if let Some(seen) = seen(evidence, *check) {
            return suspect
                .filter(|_| named == Some(*check))
                .and_then(|suspect| supported(suspect, seen))
                .or_else(|| contradicted(evidence, seen))
                .unwrap_or_else(|| seen.clone());
        }
        match suspect {
            Some(suspect) if named == Some(*check) => suspect.clone(),
            Some(suspect) => possible(evidence, suspect, named),
            None => by_itself(evidence, *check),
        }
    };
    MEMBER.iter().map(finding).collect()
}

/// The check that explains the failure.
fn named(evidence: &Evidence, suspects: &[Finding]) -> Option<Check> {
    let certain = suspects.first().filter(|suspect| suspect.basis == Basis::Seen);
    if let Some(certain) = certain {
        return Some(certain.check);
    }
    let failed = MEMBER.iter().filter_map(|check| seen(evidence, *check));
    let fails = |finding: &Finding| {
        finding.outcome == Outcome::Fail && contradicted(evidence, finding).is_none()
    };
    if let Some(failed) = failed.into_iter().find(|finding| fails(finding)) {
        return Some(failed.check);
    }
    let cleared = |check| seen(evidence, check).is_some_and(|said| said.outcome != Outcome::Warn);
    suspects.iter().map(|suspect| suspect.check).find(|check| !cleared(*check))
}

/// A suspect that what its host warns of agrees with.
fn supported(suspect: &Finding, said: &Finding) -> Option<Finding> {
    let what = format!("{}\nthe host itself: {}", suspect.evidence, said.evidence);
    let fix = said.fix.clone().or_else(|| suspect.fix.clone());
    let outcome = suspect.outcome;
    (said.outcome == Outcome::Warn).then(|| Finding {
        outcome,
        evidence: what,
        fix,
        ..said.clone()
    })
}

/// What the member's host said of a check; its silence, and what it cannot know, do not count.
fn seen(evidence: &Evidence, check: Check) -> Option<&Finding> {
    let about_host = matches!(
        check,
        Check::Listening
            | Check::Firewall
            | Check::Route
            | Check::Load
            | Check::HostsDeny
            | Check::VirtualAddress
            | Check::Decapsulation
            | Check::ReturnPath
            | Check::Sysctls
    );
    let said = evidence.inspection.as_ref().filter(|_| about_host)?.finding(check)?;
    (said.outcome != Outcome::Unknown).then_some(said)
}

/// What the host said, where it cannot be why the member fails: a check that has just succeeded, by the
/// way that traffic goes, stands against it, or the failure is of another kind.
fn contradicted(evidence: &Evidence, said: &Finding) -> Option<Finding> {
    let is_in_the_way = matches!(said.check, Check::Listening | Check::Firewall | Check::Route);
    let why = if is_in_the_way && evidence.works_at_vip() {
        "and yet the check that was just made succeeded"
    } else if !suspicion::explains(evidence, said.check) {
        "that is not why this check fails"
    } else {
        return None;
    };
    if said.outcome != Outcome::Fail {
        return None;
    }
    let what = format!("{}; {why}", said.evidence);
    Some(Finding { outcome: Outcome::Warn, evidence: what, ..said.clone() })
}

/// A suspect next to the one that is named.
fn possible(evidence: &Evidence, suspect: &Finding, named: Option<Check>) -> Finding {
    let explained = named.and_then(|check| seen(evidence, check)).is_some();
    let in_the_cloud = [Check::SecurityGroup, Check::NetworkAcl].contains(&suspect.check);
    let evidence = if explained {
        "what the backend server saw of itself explains it".to_owned()
    } else if in_the_cloud {
        "may be it as well, and cannot be seen from outside: look at its rules in the cloud's \
         console, for they are not on the host"
            .to_owned()
    } else {
        format!("may be it as well, and cannot be seen from outside: {}", fix::ON_HOST)
    };
    Finding::inferred(suspect.check, Outcome::Unknown, evidence)
}

/// The verdict of a check where nothing points to it.
fn by_itself(evidence: &Evidence, check: Check) -> Finding {
    let WantedMember { pool, file, .. } = &evidence.wanted;
    match check {
        Check::Attached => attachment::attached(pool, file),
        Check::AddressBound => attachment::address_bound_next_to_others(pool, file),
        Check::Taken => attachment::taken(pool, file),
        Check::Configuration => configuration::configuration(evidence),
        Check::SecurityGroup => packets::security_group(evidence),
        Check::NetworkAcl => packets::network_acl(evidence),
        Check::Listening => host::listening(evidence),
        Check::Firewall => packets::firewall(evidence),
        Check::Route => packets::route(evidence),
        Check::Load => host::load(evidence),
        Check::HostsDeny => host::hosts_deny(evidence),
        Check::VirtualAddress => tunnel::virtual_address(evidence),
        Check::Decapsulation => tunnel::decapsulation(evidence),
        Check::ReturnPath => return_path::return_path(evidence),
        Check::Sysctls => tunnel::sysctls(evidence),
        Check::Mtu => sender::mtu(evidence),
        Check::Neighbor => sender::neighbor(evidence),
        Check::Itself => sender::itself(evidence),
        Check::Probes => sender::probes(evidence),
        Check::Kept
        | Check::Owner
        | Check::Written
        | Check::InForce
        | Check::Tasks
        | Check::OwnAddress
        | Check::StateDir
        | Check::Kernel
        | Check::Capabilities
        | Check::Bpffs
        | Check::NativeXdp
        | Check::OtherXdp
        | Check::Offloads
        | Check::Checksums
        | Check::Queues
        | Check::RpFilter
        | Check::Interface
        | Check::WayOut
        | Check::Forwarding
        | Check::ClientRoutes
        | Check::Clock => Finding::seen(check, Outcome::NotApplicable, "see elb doctor"),
    }
}

#[cfg(test)]
mod tests;
