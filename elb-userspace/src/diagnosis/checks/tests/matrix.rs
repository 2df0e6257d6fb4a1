//! Every cause next to everything that hosts are like without harm: the cause is named, and never what is
//! harmless.

use super::*;

/// What a host or its way is like, and its name.
type Peculiarity = (&'static str, fn(&mut Evidence));

const PECULIARITIES: [Peculiarity; 12] = [
    ("MTU 1500", |e| {
        if let Ok(hop) = &mut e.way.next_hop {
            hop.mtu = 1500;
        }
    }),
    ("rp_filter loose", |e| said(e, Check::Sysctls, Outcome::Pass, "rp_filter is 2")),
    ("rp_filter strict", |e| {
        said(e, Check::Sysctls, Outcome::Warn, "rp_filter is strict, which may drop something");
    }),
    ("second address", |e| {
        for served in &mut e.wanted.pool.listeners {
            if !served.vips.is_empty() {
                served.vips.push([10, 0, 0, 101].into());
            }
        }
    }),
    ("second load balancer without address", |e| {
        if let Some(served) = e.wanted.pool.listeners.first().filter(|one| one.enabled).cloned()
            && !served.vips.is_empty()
        {
            let other = Served { balancer: "spare".to_owned(), vips: Vec::new(), ..served };
            e.wanted.pool.listeners.push(other);
        }
    }),
    ("unrelated firewall rules", |e| {
        said(e, Check::Firewall, Outcome::Warn, "a rule changes the address of other packets");
    }),
    ("busy host", |e| {
        said(e, Check::Load, Outcome::Warn, "load average 9.00 on 2 CPUs: answers may be late");
    }),
    ("old overflows", |e| {
        said(e, Check::Load, Outcome::Warn, "3 connections were dropped since this host is up");
    }),
    ("no default route", |e| {
        said(e, Check::Route, Outcome::Warn, "there is no default route for IPv4");
    }),
    ("open tunnels", |e| {
        said(e, Check::Decapsulation, Outcome::Warn, "tunnel packets are accepted from any sender");
    }),
    ("a next hop from before", |e| {
        if e.looks.neighbor.is_some() {
            e.way.doubt = Some("10.0.0.11 does not answer ARP".to_owned());
        }
    }),
    ("a narrow way", |e| {
        if let Ok(hop) = &mut e.way.next_hop {
            (hop.mtu, e.way.path_mtu) = (1400, Some(1400));
        }
    }),
];

/// Adds what the host says of a check, unless it says something of it already.
fn said(evidence: &mut Evidence, check: Check, outcome: Outcome, what: &str) {
    let before = evidence.inspection.take();
    let mut findings = before.map(|report| report.findings).unwrap_or_default();
    if findings.iter().all(|finding| finding.check != check) {
        findings.push(Finding::seen(check, outcome, what).fix("…"));
    }
    evidence.inspection = Some(Report::new("b1", true, findings));
}

fn with(evidence: &Evidence, peculiarities: &[Peculiarity]) -> Evidence {
    let mut evidence = evidence.clone();
    peculiarities.iter().for_each(|(_, change)| change(&mut evidence));
    evidence
}

/// Causes that only the member's host sees.
fn seen_by_the_host() -> Vec<(&'static str, Evidence, Check)> {
    let late = || failing(Cause::Timeout { stage: Stage::Response });
    let seen = |evidence, check, what| changed(evidence, |e| said(e, check, Outcome::Fail, what));
    let silent_at_vip = || {
        changed(healthy(), |e| {
            let result = Err(Cause::Timeout { stage: Stage::Connect });
            e.looks.probe =
                Some(ProbeOutcome { path: ProbePath::Vip, other: Some(Ok(())), ..outcome(result) });
        })
    };
    vec![
        ("SIGSTOP", seen(late(), Check::Load, "nginx is stopped (SIGSTOP)"), Check::Load),
        (
            "a service that hangs on a host that is not short of anything",
            changed(late(), |e| said(e, Check::Load, Outcome::Pass, "load average 0.10")),
            Check::Listening,
        ),
        (
            "a rule",
            seen(silent(silence(), false), Check::Firewall, "rule 3 drops it"),
            Check::Firewall,
        ),
        (
            "no way back",
            seen(silent(silence(), false), Check::Route, "no route to 10.0.0.2"),
            Check::Route,
        ),
        (
            "rp_filter that drops",
            seen(silent_at_vip(), Check::Sysctls, "answers go out by eth1"),
            Check::Sysctls,
        ),
        (
            "a load balancer that is not let in",
            seen(silent_at_vip(), Check::Decapsulation, "drops packets from 10.0.0.2"),
            Check::Decapsulation,
        ),
    ]
}

fn causes() -> Vec<(&'static str, Evidence, Check)> {
    let pictures = pictures::cases().into_iter();
    pictures
        .map(|(name, evidence, check, ..)| (name, evidence, check))
        .chain(seen_by_the_host())
        .collect()
}

#[test]
fn the_cause_is_named_whatever_else_is_peculiar() {
    let all = PECULIARITIES.as_slice();
    for (name, evidence, check) in causes() {
        for peculiarity in PECULIARITIES {
            let report = member(&with(&evidence, &[peculiarity]));
            assert_eq!(report.cause, Some(check), "{name}, {}: {report:#?}", peculiarity.0);
        }
        let report = member(&with(&evidence, all));
        assert_eq!(report.cause, Some(check), "{name}, all of it: {report:#?}");
    }
}

/// A fault of this load balancer may be why a member fails as it does, whatever that looks like.
#[test]
fn a_fault_of_this_load_balancer_comes_before_every_member() {
    for (fault, balancer, check, ..) in balancer::faults() {
        let own = super::super::balancer::balancer(&balancer);
        for (name, evidence, cause) in causes() {
            let report = member(&with(&evidence, &PECULIARITIES));
            let reports = super::super::balancer::placed(own.clone(), vec![report]);
            let named: Vec<_> = reports.iter().map(|report| report.cause).collect();
            assert_eq!(named, [Some(check), Some(cause)], "{fault}, {name}");
        }
        let well = member(&with(&healthy(), &PECULIARITIES));
        let reports = super::super::balancer::placed(own, vec![well]);
        let named: Vec<_> = reports.iter().map(|report| report.cause).collect();
        assert_eq!(named, [Some(check), None], "{fault}, a healthy member");
    }
}

#[test]
fn no_peculiarity_is_an_alarm() {
    let at_vip = changed(healthy(), |e| {
        e.looks.probe = Some(ProbeOutcome { path: ProbePath::Vip, ..outcome(Ok(())) });
    });
    let again = changed(healthy(), |e| e.health.status = OperatingStatus::Offline);
    for evidence in [healthy(), at_vip, again] {
        for peculiarity in PECULIARITIES {
            let report = member(&with(&evidence, &[peculiarity]));
            let found = (report.conclusion, report.cause);
            assert_eq!(found, (Conclusion::Healthy, None), "{}: {report:#?}", peculiarity.0);
        }
        let report = member(&with(&evidence, &PECULIARITIES));
        assert_eq!((report.conclusion, report.cause), (Conclusion::Healthy, None), "{report:#?}");
    }
}

/// What is wrong on a host, and not why this fails, stays a warning.
#[test]
fn what_is_wrong_and_does_not_explain_it_is_not_named() {
    let refused = || failing(Cause::Refused { by: MEMBER_ADDRESS.into() });
    let status = || {
        changed(failing(Cause::Status { expected: "200".to_owned(), seen: 503 }), |e| {
            e.wanted.probe = Some(probe(http("/healthz")));
        })
    };
    for (name, evidence, check) in [
        ("refused", refused(), Check::Listening),
        ("503", status(), Check::Listening),
        ("late", failing(Cause::Timeout { stage: Stage::Response }), Check::Load),
    ] {
        for other in [Check::Sysctls, Check::VirtualAddress, Check::Decapsulation, Check::Route] {
            let evidence =
                changed(evidence.clone(), |e| said(e, other, Outcome::Fail, "it is wrong"));
            let report = member(&evidence);
            assert_eq!(report.cause, Some(check), "{name}, {other}: {report:#?}");
            let finding = report.finding(other).unwrap();
            assert_eq!(finding.outcome, Outcome::Warn, "{name}, {other}");
            assert!(finding.evidence.ends_with("that is not why this check fails"), "{finding:?}");
        }
    }
}
