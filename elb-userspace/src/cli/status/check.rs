//! `elb status --check`: whether everything serves, in a line and by the exit code.

use std::process::ExitCode;

use anyhow::Result;

use super::{Output, print_json, print_text};
use crate::api::shape::serving::{ServingLevel, ServingReport};
use crate::api::shape::status::{MemberStatus, PoolStatus, Status};

/// Reasons that are listed.
const MOST: usize = 20;

/// Says it. `is_whole`: the status is of everything.
pub(super) fn show(status: &Status, is_whole: bool, output: Output) -> Result<ExitCode> {
    let report = judge(status, is_whole);
    match output {
        Output::Json => print_json(&report)?,
        Output::Table => print_text(&text(&report))?,
    }
    Ok(ExitCode::from(match report.serving {
        ServingLevel::All => 0,
        ServingLevel::Degraded => 1,
        ServingLevel::None => 2,
    }))
}

/// Whether a member takes new connections; none: it is not meant to.
pub(super) fn serves(member: &MemberStatus) -> Option<bool> {
    let is_meant =
        member.weight > 0 && !["DRAINING", "REMOVED"].contains(&member.operating_status.as_str());
    let is_healthy = ["ONLINE", "NO_MONITOR"].contains(&member.operating_status.as_str());
    is_meant.then(|| is_healthy && member.unreachable.is_none())
}

fn judge(status: &Status, is_whole: bool) -> ServingReport {
    let mut report = ServingReport {
        serving: ServingLevel::All,
        listeners: 0,
        listeners_serving: 0,
        members: 0,
        members_serving: 0,
        why: Vec::new(),
    };
    let is_attached = !status.agent.interfaces.is_empty();
    if !is_attached {
        report.why.push("the program is attached to no interface".to_owned());
    }
    report.take_listeners(status, is_attached);
    report.take_members(status);
    let missing = status.agent.kept.iter().filter(|kept| !kept.in_place);
    report.why.extend(missing.map(|kept| {
        let why = kept.reason.as_deref().unwrap_or_default();
        format!("{} is not in place: {why}", kept.object)
    }));
    let mut balancers = status.load_balancers.iter().filter(|_| is_whole);
    if report.why.is_empty() && balancers.any(|lb| lb.operating_status == "DEGRADED") {
        let problems = status.agent.problems.iter().cloned();
        report.why.extend(problems.take(MOST));
        if report.why.is_empty() {
            report.why.push("a load balancer is DEGRADED".to_owned());
        }
    }
    report.serving = match (report.listeners_serving, report.why.is_empty()) {
        (0, _) => ServingLevel::None,
        (_, true) => ServingLevel::All,
        (_, false) => ServingLevel::Degraded,
    };
    report
}

impl ServingReport {
    fn take_listeners(&mut self, status: &Status, is_attached: bool) {
        let enabled = status.load_balancers.iter().flat_map(|lb| {
            let is_on = lb.operating_status != "DISABLED" && !lb.vips.is_empty();
            lb.listeners.iter().filter(move |_| is_on).map(move |listener| (lb, listener))
        });
        for (lb, listener) in enabled.filter(|(_, one)| one.operating_status != "DISABLED") {
            self.listeners += 1;
            let pool = status.pool(listener.serving_pool());
            let fallback = listener.fallback.as_ref().filter(|fallback| fallback.in_use);
            self.why.extend(
                fallback
                    .map(|fallback| format!("listener {}/{}: {fallback}", lb.name, listener.name)),
            );
            if is_attached && pool.is_some_and(PoolStatus::takes_new) {
                self.listeners_serving += 1;
            } else {
                let (lb, name, pool) = (&lb.name, &listener.name, listener.serving_pool());
                let what = "no member takes new connections";
                self.why.push(format!("listener {lb}/{name}: {what} (pool {pool})"));
            }
        }
        if self.listeners == 0 {
            self.why.push("no listener with an address is enabled".to_owned());
        }
    }

    fn take_members(&mut self, status: &Status) {
        let served = status.pools.iter().filter(|pool| pool.listeners > 0);
        for pool in served.clone() {
            let called = pool.backup.filter(|backup| backup.in_service);
            self.why.extend(called.map(|backup| format!("pool {}: {backup}", pool.name)));
        }
        for member in served.flat_map(|pool| &pool.members) {
            let Some(serves) = serves(member) else { continue };
            self.members += 1;
            self.members_serving += usize::from(serves);
            if !serves {
                let reason = member.reason.as_ref().map(ToString::to_string);
                let why = member.unreachable.clone().or(reason).unwrap_or_default();
                let status = &member.operating_status;
                let (pool, name) = (&member.member.pool, &member.member.name);
                self.why
                    .push(format!("member {pool}/{name}: {status} {why}").trim_end().to_owned());
            }
        }
    }
}

fn text(report: &ServingReport) -> String {
    let ServingReport { serving, listeners, listeners_serving, members, members_serving, why } =
        report;
    let word = match serving {
        ServingLevel::All => "OK",
        ServingLevel::Degraded => "DEGRADED",
        ServingLevel::None => "DOWN",
    };
    let first = format!(
        "{word}: {listeners_serving} of {listeners} listeners serve, {members_serving} of {members} members\n"
    );
    let more = why.len().saturating_sub(MOST);
    let more = Some(format!("and {more} more\n")).filter(|_| more > 0);
    let lines = why.iter().take(MOST).map(|line| format!("{line}\n"));
    std::iter::once(first).chain(lines).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::*;

    #[test]
    fn all_some_or_none_serve() {
        let mut status = status();
        assert_eq!(text(&judge(&status, true)), "OK: 2 of 2 listeners serve, 1 of 1 members\n");
        let mut second = status.pools[1].members[0].clone();
        (second.member.name, second.slots) = ("web-2".to_owned(), 0);
        second.operating_status = "OFFLINE".to_owned();
        status.pools[1].members.push(second.clone());
        let said = text(&judge(&status, true));
        let wanted =
            "DEGRADED: 2 of 2 listeners serve, 1 of 2 members\nmember web/web-2: OFFLINE\n";
        assert_eq!(said, wanted);
        second.weight = 0;
        status.pools[1].members = vec![second];
        let report = judge(&status, true);
        assert_eq!((report.serving, report.members), (ServingLevel::None, 0));
        assert_eq!(report.why.len(), 2, "{report:?}");
    }

    #[test]
    fn what_is_disabled_is_not_missed_and_what_is_not_attached_is() {
        let mut status = status();
        status.load_balancers[0].listeners[1].operating_status = "DISABLED".to_owned();
        let report = judge(&status, true);
        assert_eq!((report.serving, report.listeners), (ServingLevel::All, 1));
        status.load_balancers[0].operating_status = "DEGRADED".to_owned();
        assert_eq!(judge(&status, true).serving, ServingLevel::Degraded);
        assert_eq!(judge(&status, false).serving, ServingLevel::All, "of a part");
        status.agent.interfaces.clear();
        assert_eq!(judge(&status, false).serving, ServingLevel::None);
    }
}
