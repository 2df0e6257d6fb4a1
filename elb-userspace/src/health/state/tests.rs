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
/// No jitter.
const CALM: u64 = 0;

fn now(seconds: u64) -> Now {
    at(Time::ZERO + Duration::from_secs(seconds))
}

fn at(time: Time) -> Now {
    Now { time, wall: SystemTime::UNIX_EPOCH + time.since(Time::ZERO) }
}

fn verdict(status: Status) -> Verdict {
    Verdict { status, since: now(0).wall, reason: None, streak: 0 }
}

fn member_of(status: Status, timing: Timing) -> MemberHealth {
    member_due(status, timing, 0)
}

/// A member whose first probe is due at that part of the first interval.
fn member_due(status: Status, timing: Timing, random: u64) -> MemberHealth {
    match status {
        NoMonitor => MemberHealth::new(None, now(0), random),
        Initial => MemberHealth::new(Some(timing), now(0), random),
        Online | Offline => MemberHealth::restore(verdict(status), Some(timing), now(0), random),
    }
}

fn member(status: Status) -> MemberHealth {
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
use Status::{Initial, NoMonitor, Offline, Online};

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

/// A state as the table below writes it: the status, and what its probe does.
fn state(member: &MemberHealth) -> String {
    let status = match member.status() {
        NoMonitor => "none",
        Initial => "initial",
        Online => "online",
        Offline => "offline",
    };
    let phase = match member.phase {
        Phase::Idle => "idle",
        Phase::Waiting(_) => "waits",
        Phase::Probing => "probes",
        Phase::ProbingInVain => "in vain",
    };
    format!("{status} {phase}")
}

/// A member in that state: its probe is due after 2.5 s, or was started at second 100.
fn in_state(name: &str, timing: Timing) -> MemberHealth {
    let (status, phase) = name.split_once(' ').unwrap();
    let status = match status {
        "none" => NoMonitor,
        "initial" => Initial,
        "online" => Online,
        _ => Offline,
    };
    // One that is not monitored any more has a probe under way that was started before.
    let before = if phase == "in vain" && status == NoMonitor { Online } else { status };
    let mut member = member_due(before, timing, u64::MAX / 2);
    if phase == "probes" || phase == "in vain" {
        assert!(member.start(now(100)));
    }
    if phase == "in vain" {
        member.reconfigure((status != NoMonitor).then_some(timing), now(100));
    }
    assert_eq!(state(&member), name);
    member
}

/// Every state with every input, where one result decides.
#[test]
fn every_state_with_every_input() {
    let timing = Timing { max_retries: 1, max_retries_down: 1, ..TIMING };
    // From, and what becomes of it: too early to start, start, success, failure, monitor off, on.
    let table = [
        (
            "none idle",
            ["none idle", "none idle", "none idle", "none idle", "none idle", "initial waits"],
        ),
        (
            "none in vain",
            [
                "none in vain",
                "none in vain",
                "none idle",
                "none idle",
                "none in vain",
                "initial in vain",
            ],
        ),
        (
            "initial waits",
            [
                "initial waits",
                "initial probes",
                "initial waits",
                "initial waits",
                "none idle",
                "initial waits",
            ],
        ),
        (
            "initial probes",
            [
                "initial probes",
                "initial probes",
                "online waits",
                "offline waits",
                "none in vain",
                "initial in vain",
            ],
        ),
        (
            "initial in vain",
            [
                "initial in vain",
                "initial in vain",
                "initial waits",
                "initial waits",
                "none in vain",
                "initial in vain",
            ],
        ),
        (
            "online waits",
            [
                "online waits",
                "online probes",
                "online waits",
                "online waits",
                "none idle",
                "online waits",
            ],
        ),
        (
            "online probes",
            [
                "online probes",
                "online probes",
                "online waits",
                "offline waits",
                "none in vain",
                "online in vain",
            ],
        ),
        (
            "online in vain",
            [
                "online in vain",
                "online in vain",
                "online waits",
                "online waits",
                "none in vain",
                "online in vain",
            ],
        ),
        (
            "offline waits",
            [
                "offline waits",
                "offline probes",
                "offline waits",
                "offline waits",
                "none idle",
                "offline waits",
            ],
        ),
        (
            "offline probes",
            [
                "offline probes",
                "offline probes",
                "online waits",
                "offline waits",
                "none in vain",
                "offline in vain",
            ],
        ),
        (
            "offline in vain",
            [
                "offline in vain",
                "offline in vain",
                "offline waits",
                "offline waits",
                "none in vain",
                "offline in vain",
            ],
        ),
    ];
    for (from, becomes) in table {
        for (input, to) in becomes.into_iter().enumerate() {
            let mut member = in_state(from, timing);
            let before = member.status();
            let change = match input {
                0 => {
                    assert!(!member.start(now(2)), "{from}: too early");
                    None
                }
                1 => {
                    assert_eq!(member.start(now(101)), from.ends_with("waits"), "{from}");
                    None
                }
                2 => member.finish(now(101), Ok(()), CALM),
                3 => member.finish(now(101), REFUSED, CALM),
                4 => member.reconfigure(None, now(101)),
                _ => member.reconfigure(Some(timing), now(101)),
            };
            assert_eq!(state(&member), to, "{from}, input {input}");
            let expected =
                (member.status() != before).then_some(Change { from: before, to: member.status() });
            assert_eq!(change, expected, "{from}, input {input}");
            assert_eq!(change.is_some(), member.since() == now(101).wall, "{from}, input {input}");
        }
    }
}

/// How many results it takes.
#[test]
fn thresholds() {
    let table: [(Status, &[Input], Status); 19] = [
        (NoMonitor, &[Success], NoMonitor),
        (NoMonitor, &[Fail], NoMonitor),
        (NoMonitor, &[On], Initial),
        (Initial, &[Success], Online),
        (Initial, &[Fail], Offline),
        (Initial, &[On], Initial),
        (Online, &[Success], Online),
        (Online, &[Fail], Online),
        (Online, &[Fail, Fail], Online),
        (Online, &[Fail, Fail, Fail], Offline),
        (Online, &[Fail, Fail, Success, Fail, Fail], Online),
        (Online, &[Fail, Fail, On, Fail, Fail], Online),
        (Online, &[Off, On], Initial),
        (Offline, &[Fail], Offline),
        (Offline, &[Success], Offline),
        (Offline, &[Success, Success], Online),
        (Offline, &[Success, Fail, Success], Offline),
        (Offline, &[Success, On, Success], Offline),
        (Offline, &[Off, On], Initial),
    ];
    for (from, inputs, to) in table {
        let mut member = member(from);
        for (step, input) in (1..).zip(inputs) {
            apply(&mut member, *input, now(step * 100));
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
    assert!(now(12).time < first && first < now(13).time, "the middle of the interval");
    assert!(!member.start(now(12)), "too early");
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
        MemberHealth::restore(Verdict { status, since, reason, streak: 1 }, timing, now(9), 0)
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

/// Probes until the verdict changes; how long that took from the start of the first probe.
fn window(
    member: &mut MemberHealth,
    timeout: Duration,
    result: &Result<(), Failure>,
    mut random: impl FnMut() -> u64,
) -> Duration {
    let start = member.next_probe().unwrap();
    let mut time = start;
    loop {
        assert!(member.start(at(time)));
        let end = time + timeout;
        if member.finish(at(end), result.clone(), random()).is_some() {
            return end.since(start);
        }
        time = member.next_probe().unwrap();
    }
}

/// The worked example of the ELB's documentation: every 4 s, 2 s, three times.
#[test]
fn fourteen_seconds_to_unhealthy() {
    let timing = Timing { delay: Duration::from_secs(4), ..TIMING };
    let timeout = Duration::from_secs(2);
    let mut online = member_of(Online, timing);
    assert_eq!(window(&mut online, timeout, &REFUSED, || CALM), Duration::from_secs(14));
}

proptest! {
    /// The ELB's formulas, timeout x threshold + delay x (threshold - 1), are what it takes at most,
    /// and it takes less than one delay less.
    #[test]
    fn windows(
        delay in 1u64..=50,
        timeout in 1u64..=50,
        max_retries in 1u32..=10,
        max_retries_down in 1u32..=10,
        random: u64,
        worst in prop::option::of(prop::bool::ANY),
    ) {
        let (delay, timeout) = (Duration::from_secs(delay), Duration::from_secs(timeout));
        let timing = Timing { delay, max_retries, max_retries_down };
        let mut chance = random;
        let mut random = || match worst {
            Some(true) => u64::MAX,
            Some(false) => 0,
            None => {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                chance
            }
        };
        for (from, result, threshold) in [(Online, &REFUSED, max_retries_down), (Offline, &Ok(()), max_retries)] {
            let formula = timeout * threshold + delay * (threshold - 1);
            let took = window(&mut member_of(from, timing), timeout, result, &mut random);
            prop_assert!(took <= formula && took + delay > formula, "{took:?}, {formula:?}");
            let mut changed = member_of(from, timing);
            changed.reconfigure(Some(timing), now(0));
            let took = window(&mut changed, timeout, result, &mut random);
            prop_assert!(took <= formula && took + delay > formula, "{took:?}, {formula:?}");
        }
    }

    #[test]
    fn the_first_probe_is_within_the_first_interval(random: u64) {
        let member = MemberHealth::new(Some(TIMING), now(10), random);
        let first = member.next_probe().unwrap();
        prop_assert!(now(10).time <= first && first < now(15).time);
    }

    /// Against the rule in its plainest words: look at the results since the verdict.
    #[test]
    fn the_verdict_follows_the_last_results(
        results in prop::collection::vec(prop::bool::weighted(0.4), 1..120),
        max_retries in 1u32..=10,
        max_retries_down in 1u32..=10,
    ) {
        let timing = Timing { max_retries, max_retries_down, ..TIMING };
        let mut member = member_of(Initial, timing);
        let mut healthy = None;
        let mut since: &[bool] = &[];
        for (step, result) in results.iter().enumerate() {
            let moment = at(member.next_probe().unwrap());
            prop_assert!(member.start(moment));
            member.finish(moment, if *result { Ok(()) } else { REFUSED }, CALM);
            let begun = step - since.len();
            since = &results[begun..=step];
            let last = |needed: u32, what: bool| {
                since.iter().rev().take_while(|result| **result == what).count() >= needed as usize
            };
            let verdict = match healthy {
                None => *result,
                Some(true) => !last(max_retries_down, false),
                Some(false) => last(max_retries, true),
            };
            if healthy != Some(verdict) {
                (healthy, since) = (Some(verdict), &[]);
            }
            let expected = if verdict { Online } else { Offline };
            prop_assert_eq!(member.status(), expected, "after {:?}", &results[..=step]);
        }
    }

    /// A member has at most one probe under way, never an early one, and always a next step.
    #[test]
    fn probes_never_overlap(inputs in prop::collection::vec((0u8..5, 0u64..8, any::<u64>()), 0..80)) {
        let mut member = member(Initial);
        let (mut clock, mut under_way) = (0, false);
        for (input, passed, random) in inputs {
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
                    let result = if clock % 2 == 0 { Ok(()) } else { REFUSED };
                    member.finish(now(clock), result, random);
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
