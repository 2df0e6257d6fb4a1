//! What holds of any sequence of results.

use proptest::prelude::*;

use super::*;

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

    /// That of a member without a verdict starts within a second, whatever the delay; the second one
    /// anywhere in the interval. One whose verdict is known goes on with that.
    #[test]
    fn the_first_probe_is_soon_and_the_second_within_the_interval(
        delay in 1u64..=50,
        random: u64,
        later: u64,
        works: bool,
    ) {
        let delay = Duration::from_secs(delay);
        let timing = Timing { delay, ..TIMING };
        let mut member = MemberHealth::new(Some(timing), now(10), random);
        let first = member.next_probe().unwrap();
        prop_assert!(now(10).time <= first && first < now(11).time);

        prop_assert!(member.start(at(first)));
        let result = if works { Ok(()) } else { REFUSED };
        prop_assert!(member.finish(at(first), result, later).is_some() && !member.is_undecided());
        let pause = member.next_probe().unwrap().since(first);
        let expected = delay.as_secs_f64() * (1.0 - later as f64 / 2f64.powi(64));
        prop_assert!((pause.as_secs_f64() - expected).abs() < 1e-6, "{pause:?} {expected}");

        let known = MemberHealth::restore(verdict(Online), Some(timing), now(10), random);
        let next = known.next_probe().unwrap().since(now(10).time);
        let expected = delay.as_secs_f64() * (random as f64 / 2f64.powi(64));
        prop_assert!((next.as_secs_f64() - expected).abs() < 1e-6, "{next:?} {expected}");
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
