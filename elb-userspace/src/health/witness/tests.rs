//! Tests of `witness`.

use proptest::prelude::*;

use super::*;

const VIP: [u8; 4] = [10, 0, 0, 100];

fn probe(member: u32, at: u64) -> WitnessProbe {
    WitnessProbe {
        address: VIP.into(),
        member,
        host: IpAddr::from([10, 0, 0, 10 + u8::try_from(member).unwrap()]),
        started: Time::from_nanos(at),
        ended: Time::from_nanos(at + 1),
    }
}

fn seen(notes: &[(u32, u64, VipResult)]) -> Witnesses {
    let mut witnesses = Witnesses::default();
    notes.iter().for_each(|(member, at, seen)| witnesses.note(probe(*member, *at), *seen));
    witnesses
}

fn meaning(witnesses: &Witnesses, member: u32) -> Meaning {
    witnesses.meaning(probe(member, 99), true, false, false)
}

#[test]
fn one_that_answers_shows_that_the_others_lack_the_address() {
    let witnesses =
        seen(&[(1, 0, VipResult::Silence), (2, 1, VipResult::Silence), (3, 2, VipResult::Answer)]);
    assert_eq!([1, 2].map(|member| meaning(&witnesses, member)), [Meaning::Own; 2]);
    assert!(!witnesses.is_unanswered());
}

#[test]
fn where_all_are_silent_it_is_the_load_balancer() {
    let mut witnesses =
        seen(&[(1, 0, VipResult::Silence), (2, 1, VipResult::Silence), (3, 2, VipResult::Dead)]);
    assert_eq!([1, 2].map(|member| meaning(&witnesses, member)), [Meaning::Instrument; 2]);
    assert!(witnesses.is_unanswered());
    witnesses.retain(&HashMap::from([(1, HashSet::from([VIP.into()]))]));
    assert_eq!(meaning(&witnesses, 1), Meaning::Own, "alone");
}

#[test]
fn one_that_failed_before_stays_as_it_is() {
    let notes = [(1, 0, VipResult::Silence), (2, 1, VipResult::Answer), (2, 5, VipResult::Silence)];
    let witnesses = seen(&notes);
    let of = |member| witnesses.meaning(probe(member, 9), true, member == 1, false);
    assert_eq!([of(1), of(2)], [Meaning::Open, Meaning::Instrument]);
}

#[test]
fn a_first_silence_waits_for_the_others() {
    let mut witnesses = Witnesses::default();
    for member in [1, 2] {
        witnesses.expect(member, probe(member, 0).host, &[VIP.into()]);
    }
    witnesses.note(probe(1, 0), VipResult::Silence);
    assert_eq!(witnesses.meaning(probe(1, 0), true, false, true), Meaning::Open);
    assert_eq!(meaning(&witnesses, 1), Meaning::Own);
    witnesses.note(probe(2, 1), VipResult::Dead);
    assert_eq!(witnesses.meaning(probe(1, 2), true, false, true), Meaning::Own);
    assert_eq!(witnesses.meaning(probe(1, 2), false, false, true), Meaning::Instrument);
}

proptest! {
    /// What is counted is what the members' last probes came to.
    #[test]
    fn hosts_are_counted(notes in prop::collection::vec((0u32..5, 0u8..4), 0..40)) {
        const ALL: [VipResult; 4] = [VipResult::Nothing, VipResult::Answer, VipResult::Silence, VipResult::Dead];
        let mut last = HashMap::new();
        let mut witnesses = Witnesses::default();
        for (at, (member, kind)) in notes.into_iter().enumerate() {
            let kind = ALL[usize::from(kind)];
            witnesses.note(probe(member, at as u64), kind);
            last.insert(member, kind);
        }
        for member in last.keys() {
            let others = |kind| last.iter().any(|(one, seen)| one != member && *seen == kind);
            let expected = match () {
                () if others(VipResult::Answer) => Meaning::Own,
                () if others(VipResult::Silence) => Meaning::Instrument,
                () => Meaning::Own,
            };
            prop_assert_eq!(meaning(&witnesses, *member), expected);
        }
    }
}
