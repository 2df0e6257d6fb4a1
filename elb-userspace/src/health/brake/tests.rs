//! Failures of many are held back for a while, and never longer.

use proptest::prelude::*;

use super::*;

const PACE: Pace = Pace { together: Duration::from_secs(2), hold: Duration::from_secs(2) };

fn at(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

fn host(member: u32) -> IpAddr {
    IpAddr::from([10, 0, 0, 10 + u8::try_from(member).unwrap()])
}

fn brake(online: u32) -> Brake {
    let mut brake = Brake::default();
    (0..online).for_each(|member| brake.is_online(member, true));
    brake
}

#[test]
fn a_failure_of_many_waits_and_is_decided() {
    let mut brake = brake(3);
    brake.fails(0, host(0), at(0), true);
    assert!(brake.lets_go(0, PACE, at(900)), "one of three");
    brake.is_online(0, false);
    brake.fails(1, host(1), at(1000), true);
    assert!(!brake.lets_go(1, PACE, at(2000)), "two of three");
    let group = JointFailure { members: 2, of: 3, hosts: 2, is_silent: true };
    assert_eq!(brake.mass(), Some(Mass::Held(&group)));
    assert!(!brake.lets_go(1, PACE, at(3999)));
    assert!(brake.lets_go(1, PACE, at(4000)));
    assert_eq!(brake.mass(), Some(Mass::Decided(&group)));
    brake.fails(2, host(2), at(1500), true);
    assert!(brake.lets_go(2, PACE, at(4001)), "it is decided");
    [1, 2].into_iter().for_each(|member| brake.works(member));
    assert_eq!(brake.mass(), None);
}

#[test]
fn what_this_host_explains_waits_on() {
    let mut brake = brake(2);
    (0..2).for_each(|member| brake.fails(member, host(member), at(0), true));
    assert!(!brake.lets_go(0, PACE, at(1000)));
    brake.explained(at(2000));
    assert!(!brake.lets_go(0, PACE, at(6999)));
    assert!(brake.lets_go(0, PACE, at(7000)));
}

#[test]
fn what_this_host_explains_does_not_wait_for_ever() {
    let mut brake = brake(2);
    (0..2).for_each(|member| brake.fails(member, host(member), at(0), true));
    for second in 1..301 {
        assert!(!brake.lets_go(0, PACE, at(second * 1000)), "{second}");
        brake.explained(at(second * 1000));
    }
    assert!(brake.lets_go(0, PACE, at(301_000)));
    assert!(matches!(brake.mass(), Some(Mass::Decided(_))));
    (0..2).for_each(|member| brake.works(member));
    assert_eq!(brake.mass(), None, "the next one is held again");
}

#[test]
fn few_and_answers_do_not_wait() {
    let mut apart = brake(2);
    apart.fails(0, host(0), at(0), true);
    apart.fails(1, host(1), at(2001), true);
    assert!(apart.lets_go(1, PACE, at(3000)), "not together");
    let mut same = brake(2);
    (0..2).for_each(|member| same.fails(member, host(0), at(0), true));
    assert!(same.lets_go(1, PACE, at(1)), "one host");
    let mut wrong = brake(2);
    (0..2).for_each(|member| wrong.fails(member, host(member), at(0), false));
    assert!(wrong.lets_go(1, PACE, at(1)), "answers came back");
    assert!(matches!(wrong.mass(), Some(Mass::Decided(_))));
}

#[test]
fn fast_probes_fail_together_within_a_second() {
    let ms = Duration::from_millis;
    for (delay, timeout, together, hold) in
        [(100, 100, 1000, 1100), (1000, 500, 1500, 1500), (10_000, 9000, 19_000, 6000)]
    {
        let pace = Pace::of(ms(delay), ms(timeout));
        assert_eq!((pace.together, pace.hold), (ms(together), ms(hold)));
    }
}

proptest! {
    /// Whatever happened: who goes on failing turns OFFLINE, at the latest after one hold.
    #[test]
    fn a_hold_is_bounded(
        steps in prop::collection::vec((0u32..6, any::<bool>(), any::<bool>()), 0..40),
    ) {
        let mut brake = brake(6);
        let mut now = 0;
        for (member, works, silent) in steps {
            now += 100;
            if works {
                brake.works(member);
            } else {
                brake.fails(member, host(member), at(now), silent);
                let _ = brake.lets_go(member, PACE, at(now));
            }
        }
        brake.fails(0, host(0), at(now), true);
        let first = brake.lets_go(0, PACE, at(now));
        prop_assert!(first || brake.lets_go(0, PACE, at(now + 2000)));
    }
}
