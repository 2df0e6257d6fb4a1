//! With `nat`: where answers to clients go.

use std::net::IpAddr;

use super::*;
use crate::backend::{Answers, Mode};

/// What is said of the way of answers on a host that a pool with translation has as its member.
fn answers_go(change: impl FnOnce(&mut Facts)) -> (Outcome, String, Option<String>) {
    let report = conclude_with(|asked, facts| {
        asked.mode = Some(Mode::Nat);
        change(facts);
    });
    assert_eq!(finding_of(&report, Check::VirtualAddress).0, Outcome::NotApplicable);
    assert_eq!(finding_of(&report, Check::Decapsulation).0, Outcome::NotApplicable);
    let (outcome, evidence, fix) = finding_of(&report, Check::ReturnPath);
    (outcome, evidence.to_owned(), fix.map(str::to_owned))
}

#[test]
fn with_fullnat_nothing_is_needed() {
    let report = conclude_with(|asked, _| asked.mode = Some(Mode::FullNat));
    for check in [Check::VirtualAddress, Check::Decapsulation, Check::ReturnPath] {
        assert_eq!(finding_of(&report, check).0, Outcome::NotApplicable, "{check:?}");
    }
}

#[test]
fn with_nat_answers_go_through_the_load_balancer() {
    let led = |ports: &[&str]| {
        let ports = ports.iter().map(|port| port.parse().unwrap()).collect();
        Answers { via: vec!["10.0.0.2".parse().unwrap()], ports }
    };
    let (outcome, evidence, fix) = answers_go(|_| {});
    assert_eq!(outcome, Outcome::Fail);
    assert!(evidence.contains("answers to clients go to 10.0.0.1, not back through"), "{evidence}");
    assert_eq!(fix.unwrap(), "elb backend up --mode nat --via 10.0.0.2 --port 80/tcp");
    let by_default = |facts: &mut Facts| facts.gateways = Ok(vec!["10.0.0.2".parse().unwrap()]);
    assert_eq!(answers_go(by_default).0, Outcome::Pass);
    for (ports, outcome) in [
        (&["80"][..], Outcome::Pass),
        (&["1-1024"], Outcome::Pass),
        (&["443"], Outcome::Fail),
        (&["80/udp"], Outcome::Fail),
    ] {
        let recorded = Recorded { answers: Some(led(ports)), ..Recorded::default() };
        let found = answers_go(|facts| facts.backend = Ok(recorded));
        assert_eq!(found.0, outcome, "{ports:?}: {found:?}");
    }
    let gone = Recorded {
        answers: Some(led(&["80"])),
        answers_fault: Some("the rule is gone".to_owned()),
        ..Recorded::default()
    };
    let found = answers_go(|facts| facts.backend = Ok(gone));
    assert_eq!((found.0, found.1.as_str()), (Outcome::Fail, "the rule is gone"));
    assert_eq!(found.2.unwrap(), "elb backend up --mode nat --via 10.0.0.2 --port 80/tcp");
}

#[test]
fn with_nat46_answers_to_the_prefix_go_through_the_load_balancer() {
    let answers_go = |from: &[&str], route: Route| {
        let report = conclude_with(|asked, facts| {
            asked.mode = Some(Mode::Nat46);
            asked.from = from.iter().map(|one| one.parse().unwrap()).collect();
            let route = |from: &IpAddr| (*from, Ok(route.clone()));
            facts.routes = asked.from.iter().map(route).collect();
        });
        let (outcome, evidence, fix) = finding_of(&report, Check::ReturnPath);
        (outcome, evidence.to_owned(), fix.map(str::to_owned))
    };
    let client = "2001:db8:1:64:0:1:192.0.2.1";
    let via = |gateway: Option<&str>| {
        let gateway = gateway.map(|gateway| gateway.parse().unwrap());
        Route::Via { interface: "eth0".to_owned(), gateway, source: None }
    };
    let (outcome, evidence, _) = answers_go(&[client], via(Some("2001:db8:9::2")));
    assert_eq!(outcome, Outcome::Pass);
    assert!(evidence.contains("in 2001:db8:1:64::/64 go to 2001:db8:9::2 by eth0"), "{evidence}");
    let fix = "ip -6 route replace 2001:db8:1:64::/64 via LOAD-BALANCER";
    for (route, says) in [(via(None), "as to a neighbour"), (Route::None, "there is no route to")] {
        let (outcome, evidence, found) = answers_go(&[client], route);
        assert_eq!((outcome, found.as_deref()), (Outcome::Fail, Some(fix)));
        assert!(evidence.contains(says), "{evidence}");
    }
    assert_eq!(answers_go(&[client], Route::Local).0, Outcome::Fail);
    // The load balancer's own address says nothing of it.
    let (outcome, evidence, _) = answers_go(&["2001:db8:9::2", "10.0.0.2"], via(None));
    assert_eq!(outcome, Outcome::Unknown);
    assert!(evidence.contains("name an address of a client"), "{evidence}");
}
