//! The state machine: single cases here, and by table, and its laws.

mod laws;
mod table;

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::health::{Cause, Stage};

const TIMING: Timing =
    Timing { delay: Duration::from_secs(5), max_retries: 2, max_retries_down: 3 };
const REFUSED: Result<(), Failure> = Err(CONNECT_REFUSED);
const CONNECT_REFUSED: Failure =
    Failure::new(Cause::Refused { by: IpAddr::V4(Ipv4Addr::LOCALHOST) });
const CONNECT_TIMEOUT: Failure = Failure::new(Cause::Timeout { stage: Stage::Connect });
/// No jitter.
const CALM: u64 = 0;

fn now(seconds: u64) -> Now {
    at(Time::ZERO + Duration::from_secs(seconds))
}

fn at(time: Time) -> Now {
    Now { time, wall: SystemTime::UNIX_EPOCH + time.since(Time::ZERO) }
}

fn verdict(status: OperatingStatus) -> Verdict {
    Verdict { status, since: now(0).wall, reason: None, streak: 0, decided: None }
}

fn member_of(status: OperatingStatus, timing: Timing) -> MemberHealth {
    member_due(status, timing, 0)
}

/// A member whose first probe is due at that part of the first interval.
fn member_due(status: OperatingStatus, timing: Timing, random: u64) -> MemberHealth {
    match status {
        NoMonitor => MemberHealth::new(None, now(0), random),
        Initial => MemberHealth::new(Some(timing), now(0), random),
        Online | Offline => MemberHealth::restore(verdict(status), Some(timing), now(0), random),
    }
}

fn member(status: OperatingStatus) -> MemberHealth {
    member_of(status, TIMING)
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Success,
    Failure,
    Off,
    On,
}
use Input::{Failure as Fail, Off, On, Success};
use OperatingStatus::{Initial, NoMonitor, Offline, Online};

fn apply(member: &mut MemberHealth, input: Input, at: Now) -> Option<Change> {
    match input {
        Off => member.reconfigure(None, at),
        On => member.reconfigure(Some(TIMING), at),
        Success | Fail => {
            member.start(at);
            member.finish(at, if matches!(input, Fail) { REFUSED } else { Ok(()) }, CALM)
        }
    }
}

#[test]
fn who_serves() {
    let serves = |from, inputs: &[Input]| {
        let mut member = member(from);
        for (step, input) in (1..).zip(inputs) {
            apply(&mut member, *input, now(step * 100));
        }
        member.serves()
    };
    assert!(serves(NoMonitor, &[]));
    assert!(!serves(Initial, &[]));
    assert!(serves(Online, &[]));
    assert!(!serves(Offline, &[]));
    // A monitor that is added takes no member out of service before it has a result.
    assert!(serves(NoMonitor, &[On]));
    assert!(!serves(NoMonitor, &[On, Fail]));
    assert!(serves(Offline, &[Off]));
    assert!(serves(Offline, &[Off, On]));
}

#[test]
fn the_reason_is_that_of_the_latest_failure() {
    let mut member = member(Online);
    apply(&mut member, Fail, now(100));
    assert_eq!((member.reason(), member.streak()), (Some(&CONNECT_REFUSED), 1));
    apply(&mut member, Success, now(200));
    assert_eq!((member.reason(), member.streak()), (None, 0));
    for step in 3..6 {
        apply(&mut member, Fail, now(step * 100));
    }
    member.start(now(600));
    member.finish(now(600), Err(CONNECT_TIMEOUT), CALM);
    assert_eq!((member.reason(), member.since()), (Some(&CONNECT_TIMEOUT), now(500).wall));
    apply(&mut member, Success, now(700));
    assert_eq!(member.reason(), Some(&CONNECT_TIMEOUT), "still offline");
    apply(&mut member, Success, now(800));
    assert_eq!(member.reason(), None);
}

#[test]
fn probes_wait_for_each_other() {
    let mut member = MemberHealth::new(Some(TIMING), now(10), u64::MAX / 2);
    let first = member.next_probe().unwrap();
    assert!(now(10).time < first && first < now(11).time, "within a second");
    assert!(!member.start(now(10)), "too early");
    assert!(member.start(now(13)));
    assert!(!member.start(now(99)), "one is under way");
    assert_eq!(member.next_probe(), None);
    member.finish(now(15), Ok(()), CALM);
    assert_eq!(member.next_probe(), Some(now(20).time));
    assert_eq!(member.finish(now(16), REFUSED, CALM), None, "none is under way");
    assert_eq!(member.next_probe(), Some(now(20).time));
}

#[test]
fn a_change_of_the_monitor_discards_the_probe_under_way() {
    let mut member = member(Initial);
    assert!(member.start(now(0)));
    assert_eq!(member.reconfigure(Some(TIMING), now(1)), None);
    assert!(!member.start(now(1)), "the old probe is under way");
    assert_eq!((member.finish(now(2), REFUSED, CALM), member.status()), (None, Initial));
    assert_eq!(member.next_probe(), Some(now(2).time), "the new one is due at once");
    assert!(member.start(now(2)));
    member.reconfigure(None, now(3));
    assert_eq!(member.finish(now(4), REFUSED, CALM), None);
    assert_eq!((member.next_probe(), member.status()), (None, NoMonitor));
}

#[test]
fn only_verdicts_are_restored() {
    let restore = |status, timing| {
        let (since, reason) = (now(7).wall, Some(CONNECT_TIMEOUT));
        MemberHealth::restore(
            Verdict { status, since, reason, streak: 1, decided: None },
            timing,
            now(9),
            0,
        )
    };
    for unknown in [Initial, NoMonitor] {
        assert_eq!(restore(unknown, Some(TIMING)), MemberHealth::new(Some(TIMING), now(9), 0));
        assert_eq!(member(unknown).verdict(), None);
    }
    assert_eq!(restore(Offline, None), MemberHealth::new(None, now(9), 0));
    let offline = restore(Offline, Some(TIMING));
    assert_eq!((offline.since(), offline.serves()), (now(7).wall, false));
    assert_eq!(offline.reason(), Some(&CONNECT_TIMEOUT));
    for verdict in [Online, Offline] {
        let before = restore(verdict, Some(TIMING));
        let again = MemberHealth::restore(before.verdict().unwrap(), Some(TIMING), now(9), 0);
        assert_eq!(again, before, "as it was");
    }
}

#[test]
fn a_count_goes_on_after_a_restart() {
    let mut before = member(Online);
    apply(&mut before, Fail, now(100));
    apply(&mut before, Fail, now(200));
    let mut after = MemberHealth::restore(before.verdict().unwrap(), Some(TIMING), now(300), 0);
    let change = Some(Change { from: Online, to: Offline });
    assert_eq!(apply(&mut after, Fail, now(400)), change);
}

/// The members of a pool whose monitor changes are all probed at once, and not for long.
#[test]
fn a_change_of_the_monitor_is_followed_by_a_shorter_delay() {
    let mut member = member(Online);
    member.reconfigure(Some(TIMING), now(10));
    assert!(member.start(now(10)), "at once");
    member.finish(now(10), Ok(()), u64::MAX / 2);
    let delay = member.next_probe().unwrap().since(now(10).time);
    assert_eq!(delay.as_millis(), 3750, "5 s without a half of a half");
    assert!(member.start(now(15)));
    member.finish(now(15), Ok(()), u64::MAX / 2);
    let delay = member.next_probe().unwrap().since(now(15).time);
    assert_eq!(delay.as_millis(), 4843, "5 s without a half of a sixteenth");
}
