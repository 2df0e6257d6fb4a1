//! What results of probes come to for members, their addresses, and this host.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::agent::saved;
use crate::agent::state::members::Members;
use crate::health::Stage;
use crate::model::ResourceId;
use crate::source::file::parse;

const V4: [u8; 4] = [192, 0, 2, 10];
const V6: &str = "2001:db8::10";

/// Three members of a pool with two virtual addresses, all ONLINE.
fn members() -> Members {
    let text = format!(
        "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
         vip_address = \"192.0.2.10\"\nipv6_vip_address = \"{V6}\"\n\
         [[load_balancer.listener]]\nname = \"l\"\nprotocol = \"TCP\"\nprotocol_port = 80\n\
         default_pool = \"web\"\n[[pool]]\nname = \"web\"\nprotocol = \"TCP\"\n\
         forwarding = \"ipip\"\n\
         healthmonitor = {{ type = \"TCP\", delay = 5, timeout = 3, max_retries_down = 2 }}\n\
         member = [{{ address = \"10.0.0.1\", protocol_port = 80 }}, \
         {{ address = \"10.0.0.2\", protocol_port = 80 }}, \
         {{ address = \"10.0.0.3\", protocol_port = 80 }}]\n"
    );
    let config = parse("elb.toml", &text).unwrap();
    let mut members = Members::default();
    members.follow(&config.model, &mut saved::SavedHealth::default(), at(0));
    let mut now = 0;
    round(&mut members, &mut now, |_| answers());
    round(&mut members, &mut now, |_| answers());
    assert_eq!(online(&members), [true; 3]);
    members
}

fn at(seconds: u64) -> Now {
    let time = Time::from_nanos(seconds * 1_000_000_000);
    Now { time, wall: std::time::UNIX_EPOCH + Duration::from_secs(seconds) }
}

type Result = std::result::Result<(), Failure>;

fn silence() -> Result {
    Err(Cause::Timeout { stage: Stage::Connect }.into())
}

fn lack() -> Result {
    Err(Cause::NoLocalResource { error: "too many open files".to_owned() }.into())
}

fn outcome(v4: Result, v6: Result, direct: Option<Result>) -> ProbeOutcome {
    ProbeOutcome {
        result: v4.clone().and(v6.clone()),
        duration: Duration::from_secs(1),
        path: ProbePath::Vip,
        other: direct,
        vips: vec![(V4.into(), v4), (V6.parse().unwrap(), v6)],
    }
}

fn answers() -> ProbeOutcome {
    outcome(Ok(()), Ok(()), None)
}

/// Every member has a probe, whose result depends on the last number of its address.
fn round(members: &mut Members, now: &mut u64, what: impl Fn(u8) -> ProbeOutcome) {
    *now += 10;
    for probe in members.due(at(*now), usize::MAX) {
        let IpAddr::V4(host) = probe.spec.target.ip() else { panic!("an IPv4 address") };
        members.probed(probe.member, what(host.octets()[3]), at(*now + 1));
    }
}

fn online(members: &Members) -> [bool; 3] {
    [1, 2, 3].map(|host| {
        let member = ([10, 0, 0, host], 80).into();
        members.health(ResourceId::of_pool("web"), member).unwrap().status()
            == OperatingStatus::Online
    })
}

#[test]
fn what_this_host_lacks_is_no_verdict() {
    let (mut members, mut now) = (members(), 100);
    for _ in 0..9 {
        round(&mut members, &mut now, |_| outcome(lack(), lack(), Some(lack())));
    }
    assert_eq!(online(&members), [true; 3]);
    assert!(members.all().all(|one| one.health.streak() == 0 && one.local.is_some()));
    round(&mut members, &mut now, |_| answers());
    assert!(members.all().all(|one| one.local.is_none()));
}

#[test]
fn an_address_that_others_answer_at_is_the_members_own() {
    let (mut members, mut now) = (members(), 100);
    for _ in 0..2 {
        round(&mut members, &mut now, |host| match host {
            1 => outcome(Ok(()), silence(), Some(Ok(()))),
            _ => answers(),
        });
    }
    assert_eq!(online(&members), [false, true, true]);
    let first = members.get(ResourceId::of_pool("web"), ([10, 0, 0, 1], 80).into()).unwrap();
    let at: Vec<_> = first.at.values().map(MemberHealth::status).collect();
    assert_eq!(at, [OperatingStatus::Online, OperatingStatus::Offline]);

    // Now no member answers at either address: those that failed before stay out, the others stay in.
    for _ in 0..5 {
        round(&mut members, &mut now, |_| outcome(silence(), silence(), Some(Ok(()))));
    }
    assert_eq!(online(&members), [false, true, true]);
    assert!(members.judging.is_suspected());
    for _ in 0..3 {
        round(&mut members, &mut now, |_| answers());
    }
    assert_eq!(online(&members), [true; 3]);
    assert!(!members.judging.is_suspected());
}

#[test]
fn members_that_all_die_are_offline_after_a_hold() {
    let (mut members, mut now) = (members(), 100);
    let dead = |_| outcome(silence(), silence(), Some(silence()));
    round(&mut members, &mut now, dead);
    round(&mut members, &mut now, dead);
    assert_eq!(online(&members), [true; 3], "held");
    assert!(matches!(members.judging.mass(), Some(Mass::Held(_))));
    round(&mut members, &mut now, dead);
    assert_eq!(online(&members), [false; 3]);
    assert!(matches!(members.judging.mass(), Some(Mass::Decided(_))));
}

fn refusal() -> Result {
    Err(Cause::Refused { by: V6.parse().unwrap() }.into())
}

/// A service that takes IPv4 only: its clients of IPv4 lose nothing, in whatever order members turn so.
#[test]
fn an_address_that_no_member_serves_is_not_counted() {
    for failing in [refusal(), Err(Cause::Timeout { stage: Stage::Connect }.into())] {
        let (mut members, mut now) = (members(), 100);
        for _ in 0..4 {
            round(&mut members, &mut now, |_| outcome(Ok(()), failing.clone(), Some(Ok(()))));
            assert_eq!(online(&members), [true; 3], "{failing:?}");
        }
        assert!(members.all().all(|one| one.uncounted.contains_key(&V6.parse().unwrap())));
        round(&mut members, &mut now, |_| answers());
        assert!(members.all().all(|one| one.uncounted.is_empty()));
    }
    // One after the other: the last that answers decides on the others, until it fails, too.
    let (mut members, mut now) = (members(), 100);
    for last in [2, 3, 4] {
        for _ in 0..5 {
            round(&mut members, &mut now, |host| match host {
                host if host < last => outcome(Ok(()), refusal(), Some(Ok(()))),
                _ => answers(),
            });
        }
        assert_eq!(online(&members), [last == 4, last != 3, true], "{last}");
    }
}

/// The first member's probes came to `what`, the others answer; a rule drops its probes at these addresses.
fn dropped(members: &mut Members, now: &mut u64, at: &[&str], what: &ProbeOutcome) {
    let (text, drops) = ("a rule drops".to_owned(), Vec::new());
    let fault = Fault { what: text.clone(), fix: text, hits_all: false, drops };
    let by = |at: &&str| (at.parse().unwrap(), fault.clone());
    *now += 10;
    for probe in members.due(self::at(*now), usize::MAX) {
        let is_first = probe.spec.target.ip() == IpAddr::from([10, 0, 0, 1]);
        let (proved, outcome) = if is_first {
            (at.iter().map(by).collect(), what.clone())
        } else {
            (BTreeMap::new(), answers())
        };
        members.prove(probe.member, proved);
        members.probed(probe.member, outcome, self::at(*now + 1));
    }
}

#[test]
fn a_probe_that_this_host_drops_is_no_verdict() {
    let is_online = |at: &[&str], outcome: &ProbeOutcome, rounds| {
        let (mut members, mut now) = (members(), 100);
        (0..rounds).for_each(|_| dropped(&mut members, &mut now, at, outcome));
        online(&members)[0]
    };
    let at_vip = outcome(silence(), Ok(()), Some(Ok(())));
    assert!(is_online(&["192.0.2.10"], &at_vip, 99), "its own address works");
    assert!(!is_online(&[], &at_vip, 3), "nothing is proved");
    assert!(!is_online(&[V6], &at_vip, 3), "it is proved of another address");
    let refused = outcome(refusal(), Ok(()), Some(refusal()));
    assert!(!is_online(&["192.0.2.10", "10.0.0.1"], &refused, 3), "an answer came");
    let dead = outcome(silence(), silence(), Some(silence()));
    assert!(!is_online(&["192.0.2.10", V6], &dead, 3), "its own address is not dropped");
    let all = ["192.0.2.10", V6, "10.0.0.1"];
    assert!(is_online(&all, &dead, 25));
    assert!(!is_online(&all, &dead, 40), "not for ever");

    let (mut members, mut now) = (members(), 100);
    (0..9).for_each(|_| dropped(&mut members, &mut now, &all, &dead));
    assert!(members.all().any(|one| one.uncounted.len() == 3));
    round(&mut members, &mut now, |_| answers());
    assert!(members.all().all(|one| one.uncounted.is_empty()));
    let at = members.all().flat_map(|one| one.at.values());
    assert!(at.into_iter().all(|one| one.status() == OperatingStatus::Online));
}

#[test]
fn a_member_that_failed_before_a_rule_came_stays_out() {
    let (mut members, mut now) = (members(), 100);
    let at_vip = outcome(silence(), Ok(()), Some(Ok(())));
    (0..3).for_each(|_| dropped(&mut members, &mut now, &[], &at_vip));
    (0..9).for_each(|_| dropped(&mut members, &mut now, &["192.0.2.10"], &at_vip));
    assert_eq!(online(&members), [false, true, true]);
    (0..3).for_each(|_| dropped(&mut members, &mut now, &[], &answers()));
    assert_eq!(online(&members), [true; 3]);
}

/// Members that refuse at all their virtual addresses, or at their own, are dead.
#[test]
fn what_refuses_everywhere_is_offline() {
    for outcome in [
        outcome(refusal(), refusal(), Some(Ok(()))),
        outcome(refusal(), refusal(), Some(refusal())),
        outcome(Ok(()), refusal(), Some(refusal())),
    ] {
        let (mut members, mut now) = (members(), 100);
        for _ in 0..4 {
            round(&mut members, &mut now, |_| outcome.clone());
        }
        assert_eq!(online(&members), [false; 3], "{outcome:?}");
    }
}

proptest! {
    /// No member turns OFFLINE for an address that none ever answers at, while the other one works.
    #[test]
    fn an_address_without_any_answer_takes_no_member(
        kinds in prop::collection::vec((0u8..3, 0u8..3, 0u8..3), 1..20),
    ) {
        let (mut members, mut now) = (members(), 100);
        for kinds in kinds {
            round(&mut members, &mut now, |host| {
                let kind = [kinds.0, kinds.1, kinds.2][usize::from(host) - 1];
                let at = [refusal(), silence(), lack()][usize::from(kind)].clone();
                outcome(Ok(()), at, Some(Ok(())))
            });
        }
        // The first to fail has two that answered before; after that none has.
        prop_assert_eq!(online(&members), [true; 3]);
    }

    /// Whatever else happens, what this host lacks changes no verdict.
    #[test]
    fn a_lack_changes_nothing(kinds in prop::collection::vec(0u8..5, 1..30)) {
        let (mut members, mut now) = (members(), 100);
        for kind in kinds {
            let before = online(&members);
            let is_lack = kind > 2;
            round(&mut members, &mut now, |host| match (kind, host) {
                (0, _) => answers(),
                (1, 1) => outcome(silence(), silence(), Some(silence())),
                (2, 2) => outcome(silence(), Ok(()), Some(Ok(()))),
                (3, _) => outcome(silence(), lack(), Some(lack())),
                (4, _) => outcome(lack(), lack(), Some(lack())),
                _ => answers(),
            });
            prop_assert!(!is_lack || online(&members) == before);
        }
    }
}
