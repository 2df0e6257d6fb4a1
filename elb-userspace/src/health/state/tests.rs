//! The state machine by table, and its laws.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::health::{Cause, Stage};

const TIMING: Timing =
    Timing { delay: Duration::from_secs(5), max_retries: 2, max_retries_down: 3 };
const REFUSED: Result<(), Failure> = Err(CONNECT_REFUSED);
const CONNECT_REFUSED: Failure =
    Failure::new(Cause::Refused { by: IpAddr::V4(Ipv4Addr::LOCALHOST) });
const CONNECT_TIMEOUT: Failure = Failure::new(Cause::Timeout { stage: Stage::Connect });

fn now(seconds: u64) -> Now {
    let passed = Duration::from_secs(seconds);
    Now { time: Time::ZERO + passed, wall: SystemTime::UNIX_EPOCH + passed }
}

fn member(status: Status) -> MemberHealth {
    match status {
        NoMonitor => MemberHealth::new(None, now(0), 0),
        Initial => MemberHealth::new(Some(TIMING), now(0), 0),
        Online | Offline => {
            MemberHealth::restore(status, now(0).wall, None, Some(TIMING), now(0), 0)
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Success,
    Failure,
    Off,
    On,
}
use Input::{Failure as Fail, Off, On, Success};
use Status::{Initial, NoMonitor, Offline, Online};

fn apply(member: &mut MemberHealth, input: Input, at: Now) -> Option<Change> {
    match input {
        Off => member.reconfigure(None, at),
        On => member.reconfigure(Some(TIMING), at),
        Success | Fail => {
            member.start(at);
            member.finish(at, if matches!(input, Fail) { REFUSED } else { Ok(()) })
        }
    }
}

/// Every status with every input, and the thresholds.
#[test]
fn transitions() {
    let table: [(Status, &[Input], Status); 24] = [
        (NoMonitor, &[Success], NoMonitor),
        (NoMonitor, &[Fail], NoMonitor),
        (NoMonitor, &[Off], NoMonitor),
        (NoMonitor, &[On], Initial),
        (Initial, &[Success], Online),
        (Initial, &[Fail], Offline),
        (Initial, &[Off], NoMonitor),
        (Initial, &[On], Initial),
        (Online, &[Success], Online),
        (Online, &[Fail], Online),
        (Online, &[Fail, Fail], Online),
        (Online, &[Fail, Fail, Fail], Offline),
        (Online, &[Fail, Fail, Success, Fail, Fail], Online),
        (Online, &[Fail, Fail, On, Fail, Fail], Online),
        (Online, &[Off], NoMonitor),
        (Online, &[On], Online),
        (Online, &[Off, On], Initial),
        (Offline, &[Fail], Offline),
        (Offline, &[Success], Offline),
        (Offline, &[Success, Success], Online),
        (Offline, &[Success, Fail, Success], Offline),
        (Offline, &[Success, On, Success], Offline),
        (Offline, &[Off], NoMonitor),
        (Offline, &[On], Offline),
    ];
    for (from, inputs, to) in table {
        let mut member = member(from);
        let mut seen = from;
        for (step, input) in (1..).zip(inputs) {
            let at = now(step * 100);
            let change = apply(&mut member, *input, at);
            let expected =
                (seen != member.status()).then_some(Change { from: seen, to: member.status });
            assert_eq!(change, expected, "{from} {inputs:?}");
            assert_eq!(change.is_some(), member.since() == at.wall, "{from} {inputs:?}");
            seen = member.status();
        }
        assert_eq!(member.status(), to, "{from} {inputs:?}");
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
    // A monitor that is added takes nobody out of service before it has a result.
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
    member.finish(now(600), Err(CONNECT_TIMEOUT));
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
    assert!(now(12).time < first && first < now(13).time, "the middle of the interval");
    assert!(!member.start(now(12)), "too early");
    assert!(member.start(now(13)));
    assert!(!member.start(now(99)), "one is under way");
    assert_eq!(member.next_probe(), None);
    member.finish(now(15), Ok(()));
    assert_eq!(member.next_probe(), Some(now(20).time));
    assert_eq!(member.finish(now(16), REFUSED), None, "none is under way");
    assert_eq!(member.next_probe(), Some(now(20).time));
}

#[test]
fn a_change_of_the_monitor_discards_the_probe_under_way() {
    let mut member = member(Initial);
    assert!(member.start(now(0)));
    assert_eq!(member.reconfigure(Some(TIMING), now(1)), None);
    assert!(!member.start(now(1)), "the old probe is under way");
    assert_eq!((member.finish(now(2), REFUSED), member.status()), (None, Initial));
    assert_eq!(member.next_probe(), Some(now(2).time), "the new one is due at once");
    assert!(member.start(now(2)));
    member.reconfigure(None, now(3));
    assert_eq!(member.finish(now(4), REFUSED), None);
    assert_eq!((member.next_probe(), member.status()), (None, NoMonitor));
}

#[test]
fn only_verdicts_are_restored() {
    let restore = |verdict, timing| {
        let reason = Some(CONNECT_TIMEOUT);
        MemberHealth::restore(verdict, now(7).wall, reason, timing, now(9), 0)
    };
    for unknown in [Initial, NoMonitor] {
        assert_eq!(restore(unknown, Some(TIMING)), MemberHealth::new(Some(TIMING), now(9), 0));
    }
    assert_eq!(restore(Offline, None), MemberHealth::new(None, now(9), 0));
    let offline = restore(Offline, Some(TIMING));
    assert_eq!((offline.since(), offline.serves()), (now(7).wall, false));
    assert_eq!(offline.reason(), Some(&CONNECT_TIMEOUT));
    assert_eq!(restore(Online, Some(TIMING)).reason(), None);
}

/// Probes until the verdict changes; how long that took from the start of the first probe.
fn window(member: &mut MemberHealth, timeout: Duration, result: &Result<(), Failure>) -> Duration {
    let start = member.next_probe().unwrap();
    let mut at = start;
    loop {
        let moment = |time| Now { time, wall: SystemTime::UNIX_EPOCH };
        assert!(member.start(moment(at)));
        let end = at + timeout;
        if member.finish(moment(end), result.clone()).is_some() {
            return end.since(start);
        }
        at = member.next_probe().unwrap();
    }
}

/// The worked example of the ELB's documentation: every 4 s, 2 s, three times.
#[test]
fn fourteen_seconds_to_unhealthy() {
    let timing = Timing { delay: Duration::from_secs(4), ..TIMING };
    let mut online =
        MemberHealth::restore(Online, SystemTime::UNIX_EPOCH, None, Some(timing), now(0), 0);
    let timeout = Duration::from_secs(2);
    assert_eq!(window(&mut online, timeout, &REFUSED), Duration::from_secs(14));
}

proptest! {
    /// The ELB's formula: timeout x threshold + delay x (threshold - 1).
    #[test]
    fn windows(
        delay in 1u64..=50,
        timeout in 1u64..=50,
        max_retries in 1u32..=10,
        max_retries_down in 1u32..=10,
    ) {
        let (delay, timeout) = (Duration::from_secs(delay), Duration::from_secs(timeout));
        let timing = Timing { delay, max_retries, max_retries_down };
        let verdict = |status| {
            MemberHealth::restore(status, SystemTime::UNIX_EPOCH, None, Some(timing), now(0), 0)
        };
        let formula = |threshold: u32| timeout * threshold + delay * (threshold - 1);
        let down = window(&mut verdict(Online), timeout, &REFUSED);
        prop_assert_eq!(down, formula(max_retries_down));
        let up = window(&mut verdict(Offline), timeout, &Ok(()));
        prop_assert_eq!(up, formula(max_retries));
    }

    #[test]
    fn the_first_probe_is_within_the_first_interval(random: u64) {
        let member = MemberHealth::new(Some(TIMING), now(10), random);
        let first = member.next_probe().unwrap();
        prop_assert!(now(10).time <= first && first < now(15).time);
    }

    /// A member has at most one probe under way, never an early one, and always a next step.
    #[test]
    fn probes_never_overlap(inputs in prop::collection::vec((0u8..5, 0u64..8), 0..80)) {
        let mut member = member(Initial);
        let (mut clock, mut under_way) = (0, false);
        for (input, passed) in inputs {
            clock += passed;
            let deadline = member.next_probe();
            match input {
                0 | 1 => {
                    let started = member.start(now(clock));
                    prop_assert_eq!(started, deadline.is_some_and(|at| at <= now(clock).time));
                    prop_assert!(!(started && under_way));
                    under_way |= started;
                }
                2 => {
                    member.finish(now(clock), if clock % 2 == 0 { Ok(()) } else { REFUSED });
                    under_way = false;
                }
                3 => drop(member.reconfigure(Some(TIMING), now(clock))),
                _ => drop(member.reconfigure(None, now(clock))),
            }
            let idle = member.status() == NoMonitor;
            prop_assert_eq!(member.next_probe().is_some(), !under_way && !idle);
        }
    }
}
