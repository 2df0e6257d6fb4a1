//! What is seen from outside, and the cause that it must name.

mod balancer;
mod laws;
mod matrix;
mod pictures;
mod scene;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use elb_common::addr::Mac;

use self::scene::*;
use super::*;
use crate::control::network::{NextHop, Unreachable};
use crate::diagnosis::evidence::{
    HealthEvidence, HttpAttempt, Lapses, Large, Looks, MemberWay, OutOfRotation, Quiet, Served,
};
use crate::diagnosis::instrument::Fault;
use crate::diagnosis::report::Conclusion;
use crate::health::probe::{ProbeOutcome, ProbeSpec};
use crate::health::{Cause, Failure, OperatingStatus, Stage};
use crate::model::monitor::{self, HttpCheck, HttpMethod, ProbePath};
use crate::model::{Forwarding, Protocol};

fn fix_of(report: &Report) -> String {
    let cause = report.cause.and_then(|check| report.finding(check));
    cause.and_then(|finding| finding.fix.clone()).unwrap_or_default()
}

fn evidence_of(report: &Report) -> String {
    let cause = report.cause.and_then(|check| report.finding(check));
    cause.map(|finding| finding.evidence.clone()).unwrap_or_default()
}

#[test]
fn a_healthy_member_has_no_cause() {
    let report = member(&healthy());
    assert_eq!((report.conclusion, report.cause), (Conclusion::Healthy, None), "{report:#?}");
    let order: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
    assert_eq!(order, MEMBER);
    for finding in &report.findings {
        let known = [Outcome::Pass, Outcome::NotApplicable, Outcome::Unknown];
        assert!(known.contains(&finding.outcome), "{finding:?}");
    }
    assert_eq!(report.subject, "web/b1 at 10.0.0.11:80, ONLINE since 2026-01-01T00:00:00Z");
}

/// Works at its own address, and at the virtual one as `result` says.
fn at_vip(result: Result<(), Cause>) -> Evidence {
    changed(healthy(), |evidence| {
        let other = result.is_err().then_some(Ok(()));
        evidence.looks.probe =
            Some(ProbeOutcome { path: ProbePath::Vip, other, ..outcome(result) });
    })
}

/// What is wrong on this host comes before what may be missing on the member's.
#[test]
fn a_fault_of_this_host_is_named_where_it_explains_the_failure() {
    let silence = || Err(Cause::Timeout { stage: Stage::Connect });
    let fault = |hits_all| Fault {
        what: "a rule drops".into(),
        fix: "remove it".into(),
        hits_all,
        drops: Vec::new(),
    };
    let with = |evidence, hits_all| {
        changed(evidence, |e: &mut Evidence| e.own.faults = vec![fault(hits_all)])
    };
    let report = member(&with(at_vip(silence()), false));
    assert_eq!((report.cause, fix_of(&report).as_str()), (Some(Check::Probes), "remove it"));
    let dead = || changed(healthy(), |e| e.looks.probe = Some(outcome(silence())));
    assert_eq!(member(&with(dead(), true)).cause, Some(Check::Probes));
    assert_ne!(member(&with(dead(), false)).cause, Some(Check::Probes), "another path");
    let refused = at_vip(Err(Cause::Refused { by: [10, 0, 0, 100].into() }));
    assert_eq!(member(&with(refused, false)).cause, Some(Check::Listening), "an answer came");
    let well = member(&with(healthy(), true));
    assert_eq!((well.cause, well.conclusion), (None, Conclusion::Healthy));

    let vip: IpAddr = [10, 0, 0, 100].into();
    let all_silent = changed(at_vip(silence()), |e| {
        e.own.unanswered = vec![vip];
        let probe = e.looks.probe.as_mut().expect("one was made");
        probe.vips = vec![(vip, silence().map_err(Into::into))];
    });
    assert_eq!(member(&all_silent).cause, Some(Check::Probes));
}

#[test]
fn the_path_of_traffic_shows_what_direct_server_return_lacks() {
    let silence = || Err(Cause::Timeout { stage: Stage::Connect });
    let report = member(&at_vip(silence()));
    assert_eq!(report.cause, Some(Check::VirtualAddress), "{report:#?}");
    assert_eq!(
        fix_of(&report),
        "on the backend server: elb backend up --vip 10.0.0.100 --mode ipip --from 10.0.0.2"
    );
    for check in [Check::Decapsulation, Check::Sysctls] {
        assert_eq!(report.finding(check).unwrap().outcome, Outcome::Unknown, "{check}");
    }
    for check in [Check::Listening, Check::SecurityGroup, Check::Firewall, Check::Route] {
        assert_eq!(report.finding(check).unwrap().outcome, Outcome::Pass, "{check}");
    }

    let failed = changed(at_vip(silence()), |e| e.looks.unwraps = Some(false));
    assert_eq!(member(&failed).cause, Some(Check::Decapsulation));
    let l2 = changed(at_vip(silence()), |e| e.wanted.pool.forwarding = Forwarding::L2);
    let report = member(&l2);
    assert_eq!(report.cause, Some(Check::VirtualAddress));
    assert_eq!(report.finding(Check::Decapsulation).unwrap().outcome, Outcome::NotApplicable);

    let report = member(&at_vip(Err(Cause::Refused { by: [10, 0, 0, 100].into() })));
    assert_eq!(report.cause, Some(Check::Listening));
    assert!(evidence_of(&report).contains("the service listens on 10.0.0.11 only"));

    let (v4, v6) = (IpAddr::from([10, 0, 0, 100]), "2001:db8::100".parse::<IpAddr>().unwrap());
    let report = member(&changed(at_vip(Err(Cause::Refused { by: v6 })), |e| {
        e.wanted.pool.listeners[0].vips = vec![v4, v6];
        let probe = e.looks.probe.as_mut().expect("one was made");
        probe.vips = vec![(v4, Ok(())), (v6, Err(Cause::Refused { by: v6 }.into()))];
    }));
    assert_eq!(report.cause, Some(Check::Listening));
    assert!(evidence_of(&report).contains("takes IPv4 only"), "{report:#?}");
    assert!(fix_of(&report).contains("must show [::]:80 or *:80"), "{report:#?}");

    let report = member(&at_vip(Ok(())));
    assert_eq!(report.conclusion, Conclusion::Healthy);
    for check in [Check::VirtualAddress, Check::Decapsulation, Check::Sysctls] {
        assert_eq!(report.finding(check).unwrap().outcome, Outcome::Pass, "{check}");
    }
}

#[test]
fn what_is_blocked_for_udp_is_distinguished() {
    let udp =
        |cause| changed(failing(cause), |evidence| evidence.wanted.pool.protocol = Protocol::Udp);
    let report = member(&udp(Cause::NoEchoReply));
    assert_eq!(report.cause, Some(Check::SecurityGroup));
    assert!(evidence_of(&report).contains("ICMP is blocked"), "{report:#?}");
    assert!(fix_of(&report).contains("let ICMP (echo requests) and UDP port 80"), "{report:#?}");
    let report = member(&udp(Cause::PortUnreachable { by: MEMBER_ADDRESS.into() }));
    assert_eq!(report.cause, Some(Check::Listening));
    assert!(fix_of(&report).contains("ss -lunp 'sport = :80'"), "{report:#?}");
}

#[test]
fn what_looks_the_same_is_unknown_with_what_would_tell() {
    let report = member(&silent(refused(MEMBER_ADDRESS), true));
    for check in [Check::Load, Check::SecurityGroup] {
        let finding = report.finding(check).unwrap();
        assert_eq!(finding.outcome, Outcome::Unknown, "{finding:?}");
    }
    let load = &report.finding(Check::Load).unwrap().evidence;
    assert!(load.ends_with("known to the backend server's host only"), "{load}");
    let ask = report.ask.clone().unwrap();
    assert_eq!(ask.command, "elb diagnose member:web/b1 --ssh 10.0.0.11");
    assert_eq!(
        ask.runs,
        "elb backend inspect --protocol tcp --port 80 --from 10.0.0.2 --to 10.0.0.11 --vip 10.0.0.100 \
         --outer 10.0.0.2 --mode ipip --direct -o json"
    );
    for check in [Check::NetworkAcl, Check::Route, Check::Neighbor, Check::Itself] {
        assert_eq!(report.finding(check).unwrap().outcome, Outcome::Pass, "{check}");
    }
}

#[test]
fn what_the_host_saw_of_itself_comes_before_what_is_inferred() {
    let seen = |findings| Some(Report::new("b1", true, findings));
    let dropped = Finding::seen(Check::Firewall, Outcome::Fail, "rule 3 drops it").fix("nft …");
    let clean = |check| Finding::seen(check, Outcome::Pass, "as it should be");

    // Inferred: a security group. Seen: its own firewall.
    let mut evidence = silent(silence(), true);
    evidence.inspection = seen(vec![dropped.clone(), clean(Check::Route)]);
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::Firewall));
    assert_eq!(report.finding(Check::Firewall), Some(&dropped));
    assert_eq!(report.finding(Check::SecurityGroup).unwrap().outcome, Outcome::Unknown);
    assert_eq!(report.finding(Check::Route), Some(&clean(Check::Route)));

    // Inferred: its firewall. Seen: that is clean, so that the next suspect is named.
    let mut evidence = silent(refused(MEMBER_ADDRESS), true);
    evidence.inspection = seen(vec![clean(Check::Firewall), clean(Check::Load)]);
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::SecurityGroup), "{report:#?}");

    // Certain from outside: what was seen inside does not take its place.
    let mut evidence = healthy();
    evidence.way.next_hop = Err(Unreachable::NoRoute { address: MEMBER_ADDRESS.into() });
    evidence.inspection = seen(vec![clean(Check::Firewall)]);
    assert_eq!(member(&evidence).cause, Some(Check::Neighbor));
}

#[test]
fn a_service_that_closes_at_once_fails_where_no_wrapper_turns_away() {
    let mut evidence = failing(Cause::Closed { stage: Stage::Response });
    evidence.looks.quiet = Some(Quiet::Closes);
    assert_eq!(member(&evidence).cause, Some(Check::HostsDeny));
    let passes = [Check::Listening, Check::HostsDeny, Check::Load]
        .map(|check| Finding::seen(check, Outcome::Pass, "as it should be"));
    evidence.inspection = Some(Report::new("b1", true, passes.to_vec()));
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::Listening), "{report:#?}");
    assert!(evidence_of(&report).contains("the service itself fails"), "{report:#?}");

    // As it does without free descriptors.
    let full = Finding::seen(Check::Load, Outcome::Fail, "httpd has 8 of 8 open files").fix("…");
    let [listening, deny, _] = passes;
    evidence.inspection = Some(Report::new("b1", true, vec![listening, deny, full]));
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::Load), "{report:#?}");
}

#[test]
fn a_member_that_answers_again_but_is_offline_still_works_now() {
    let mut evidence = healthy();
    evidence.health.status = OperatingStatus::Offline;
    let report = member(&evidence);
    assert_eq!(report.conclusion, Conclusion::Healthy);
    let said = &report.finding(Check::Configuration).unwrap().evidence;
    let wanted = "it works now; 3 successful probes in a row, with 5s between two, make it ONLINE";
    assert!(said.ends_with(wanted), "{said}");
}

#[test]
fn a_slow_answer_is_a_warning() {
    let mut evidence = healthy();
    evidence.looks.probe.as_mut().unwrap().duration = Duration::from_millis(2500);
    let report = member(&evidence);
    assert_eq!(report.conclusion, Conclusion::Healthy);
    assert_eq!(report.finding(Check::Load).unwrap().outcome, Outcome::Warn);
}

#[test]
fn an_address_that_was_taken_away_does_not_hurt_health() {
    let report = member(&changed(healthy(), |e| e.wanted.pool.listeners[0].vips.clear()));
    assert_eq!(report.conclusion, Conclusion::Healthy);
    assert_eq!(report.finding(Check::AddressBound).unwrap().outcome, Outcome::Warn);
}

#[test]
fn a_member_that_fails_now_and_then_is_a_warning() {
    let lapses = Lapses { failed: 1, probes: 20 };
    let report = member(&changed(healthy(), |e| e.health.lapses = lapses));
    assert_eq!(report.conclusion, Conclusion::Healthy);
    assert_eq!(report.finding(Check::Load).unwrap().outcome, Outcome::Warn);
}

#[test]
fn a_pool_has_a_report_of_its_own() {
    let mut wanted = healthy().wanted.pool;
    let file = std::path::Path::new("/etc/elb/elb.toml");
    assert_eq!(pool(&wanted, file).conclusion, Conclusion::Healthy);
    wanted.listeners.clear();
    wanted.others.clear();
    let report = pool(&wanted, file);
    assert_eq!(report.cause, Some(Check::Attached));
    assert!(fix_of(&report).starts_with("add a listener with default_pool = \"web\""));
}

#[test]
fn a_pool_whose_members_all_rest_takes_nothing_new() {
    let mut wanted = healthy().wanted.pool;
    let file = std::path::Path::new("/etc/elb/elb.toml");
    let drained = Some(OutOfRotation::Drained("b1".to_owned()));
    wanted.members = vec![drained.clone(), None];
    assert_eq!(pool(&wanted, file).conclusion, Conclusion::Healthy);
    wanted.members = vec![drained, Some(OutOfRotation::NoWeight("b2".to_owned()))];
    let report = pool(&wanted, file);
    assert_eq!(report.cause, Some(Check::Taken));
    assert!(evidence_of(&report).ends_with("b1 is drained, b2 has weight 0"), "{report:#?}");
    assert_eq!(fix_of(&report), "elb drain b1 --pool web --cancel");
    wanted.members.clear();
    assert_eq!(pool(&wanted, file).cause, Some(Check::Taken));
}

#[test]
fn an_address_that_another_load_balancer_lacks_is_no_cause() {
    let report = member(&changed(failing(Cause::Refused { by: MEMBER_ADDRESS.into() }), |e| {
        let mut bare = e.wanted.pool.listeners[0].clone();
        bare.balancer = "bare".to_owned();
        (bare.vips, bare.was_bound) = (Vec::new(), false);
        e.wanted.pool.listeners.insert(0, bare);
    }));
    assert_eq!(report.cause, Some(Check::Listening), "{report:#?}");
    assert_eq!(report.finding(Check::AddressBound).unwrap().outcome, Outcome::Warn);
}

#[test]
fn what_a_check_that_succeeds_contradicts_is_no_cause() {
    let gone = Finding::seen(Check::Firewall, Outcome::Fail, "a rule drops probes").fix("…");
    let inspection = Report::new("b1", true, vec![gone]);
    let mut evidence = at_vip(Ok(()));
    evidence.inspection = Some(inspection.clone());
    let report = member(&evidence);
    assert_eq!((report.cause, report.conclusion), (None, Conclusion::Healthy), "{report:#?}");
    let firewall = report.finding(Check::Firewall).unwrap();
    assert!(firewall.evidence.ends_with("the check that was just made succeeded"), "{firewall:?}");

    // A check of the member's own address says nothing of the virtual one.
    let mut evidence = healthy();
    evidence.inspection = Some(inspection);
    assert_eq!(member(&evidence).cause, Some(Check::Firewall));
}

#[test]
fn a_way_that_a_router_says_is_narrow_is_no_interface_s_fault() {
    let narrow = changed(healthy(), |e| {
        let Ok(hop) = &mut e.way.next_hop else { unreachable!("it is known") };
        (hop.mtu, e.way.path_mtu) = (1400, Some(1400));
    });
    let report = member(&narrow);
    assert_eq!((report.conclusion, report.cause), (Conclusion::Healthy, None), "{report:#?}");
    let mtu = report.finding(Check::Mtu).unwrap();
    assert_eq!(mtu.outcome, Outcome::Warn);
    let said = "a router on the way to 10.0.0.11 takes packets of 1400 bytes at most";
    assert!(mtu.evidence.starts_with(said), "{mtu:?}");
    let fix = mtu.fix.clone().unwrap_or_default();
    assert!(fix.starts_with("tracepath -n 10.0.0.11") && fix.contains("--mss 1340"), "{fix}");
    assert!(!fix.contains("eth0"), "{fix}");
}

/// What was known of the next hop before counts unless it answers now.
#[test]
fn a_next_hop_from_before_is_doubted_until_it_answers() {
    let doubt = "it does not answer ARP";
    for (answers, expected) in [
        (None, (Outcome::Warn, doubt)),
        (Some(false), (Outcome::Warn, doubt)),
        (Some(true), (Outcome::Pass, "10.0.0.11 is at 02:00:00:00:00:0b on eth0")),
    ] {
        let doubted = changed(healthy(), |e| {
            e.way.doubt = Some(doubt.to_owned());
            e.looks.neighbor = answers;
        });
        let report = member(&doubted);
        assert_eq!((report.conclusion, report.cause), (Conclusion::Healthy, None), "{report:#?}");
        let neighbor = report.finding(Check::Neighbor).unwrap();
        assert_eq!((neighbor.outcome, neighbor.evidence.as_str()), expected, "{answers:?}");
    }
}
