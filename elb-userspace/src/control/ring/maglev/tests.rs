//! Laws of the Maglev table, golden values, and its cost.

use proptest::prelude::*;

use super::*;
use crate::control::ring::identity;

const SIZE: u32 = 65_537;

fn member(n: u32, weight: u32) -> RingMember {
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
    RingMember { identity: identity(address.into(), 80), weight }
}

fn equal(count: u32) -> Vec<RingMember> {
    (1..=count).map(|n| member(n, 1)).collect()
}

fn shares(ring: &[u16], count: usize) -> Vec<u32> {
    let mut shares = vec![0; count];
    for &owner in ring {
        shares[usize::from(owner)] += 1;
    }
    shares
}

/// Slots that changed hands between members that are in both tables; `removed` is not in `after`.
fn moved_among_others(before: &[u16], after: &[u16], removed: u16) -> usize {
    let index = |after: u16| if after >= removed { after + 1 } else { after };
    let pairs = before.iter().zip(after);
    pairs.filter(|(b, a)| **b != removed && **b != index(**a)).count()
}

/// The interface between nodes: these values may never change.
#[test]
fn golden() {
    let members = [member(11, 1), member(12, 1), member(13, 2)];
    let hash =
        |size| build(&members, size).iter().fold(0, |hash, &owner| mix(hash ^ u64::from(owner)));
    assert_eq!(build(&members, 13), [2, 2, 2, 0, 1, 2, 2, 2, 0, 1, 2, 0, 1]);
    assert_eq!(hash(4_093), 0x8051_0e74_b8ab_dc5d);
    assert_eq!(hash(16_381), 0x9b42_a7b6_9f11_6cef);
    assert_eq!(hash(65_537), 0xdae0_c155_c639_e34f);
    assert_eq!(hash(655_373), 0x91b3_2197_c63e_8a21);
}

#[test]
fn no_members_and_weight_zero() {
    assert_eq!(build(&[], 7), [EMPTY; 7]);
    assert_eq!(build(&[member(1, 0)], 7), [EMPTY; 7]);
    assert_eq!(build(&[member(1, 0), member(2, 1)], 7), [1; 7]);
    assert_eq!(build(&[member(1, u32::MAX)], 7), [0; 7]);
}

#[test]
fn equal_identities_share() {
    let ring = build(&[member(1, 1), member(1, 1)], 4_093);
    assert_eq!(shares(&ring, 2), [2_047, 2_046]);
}

#[test]
#[should_panic(expected = "prime")]
fn a_size_that_is_not_prime_is_refused() {
    build(&equal(2), 65_536);
}

#[test]
fn removing_one_of_a_hundred_moves_little_else() {
    let members = equal(100);
    let before = build(&members, SIZE);
    let worst = (0..100).map(|removed| {
        let mut rest = members.clone();
        rest.remove(usize::from(removed));
        moved_among_others(&before, &build(&rest, SIZE), removed)
    });
    let worst = worst.max().unwrap();
    assert!(worst < SIZE as usize / 100, "{worst} of {SIZE} slots moved");
}

#[test]
fn removing_one_of_a_hundred_with_weights_moves_little_else() {
    let members: Vec<_> = (1..=100).map(|n| member(n, 1 + n * 37 % 100)).collect();
    let before = build(&members, SIZE);
    for removed in 0..100 {
        let mut rest = members.clone();
        rest.remove(usize::from(removed));
        let moved = moved_among_others(&before, &build(&rest, SIZE), removed);
        assert!(moved < SIZE as usize / 100, "{moved} of {SIZE} slots moved");
    }
}

#[test]
fn reweighting_moves_only_what_it_must_and_little_else() {
    let mut members = equal(100);
    let before = build(&members, SIZE);
    members[7].weight = 2;
    let after = build(&members, SIZE);
    let changed = before.iter().zip(&after).filter(|(b, a)| b != a).count();
    let gained = shares(&after, 100)[7] - shares(&before, 100)[7];
    assert!(changed < gained as usize + SIZE as usize / 100, "{changed} for {gained}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_members_does_not_matter(
        weights in prop::collection::vec(0u32..=100, 1..40),
        rotation in 0usize..40,
    ) {
        let members: Vec<_> = (1..).zip(&weights).map(|(n, w)| member(n, *w)).collect();
        let mut turned = members.clone();
        turned.rotate_left(rotation % members.len());
        turned.reverse();
        let identities = |members: &[RingMember]| -> Vec<Option<u64>> {
            let ring = build(members, 4_093);
            ring.iter().map(|o| members.get(usize::from(*o)).map(|m| m.identity)).collect()
        };
        prop_assert_eq!(identities(&members), identities(&turned));
    }

    #[test]
    fn shares_follow_weights(weights in prop::collection::vec(0u32..=100, 1..=100)) {
        let total: u32 = weights.iter().sum();
        prop_assume!(total > 0);
        let members: Vec<_> = (1..).zip(&weights).map(|(n, w)| member(n, *w)).collect();
        for (share, weight) in shares(&build(&members, SIZE), weights.len()).iter().zip(&weights) {
            let fair = f64::from(SIZE) * f64::from(*weight) / f64::from(total);
            let tolerance = 2.0 + fair / 100.0;
            prop_assert!((f64::from(*share) - fair).abs() <= tolerance, "{share} of {fair}");
        }
    }

    #[test]
    fn a_common_factor_of_the_weights_changes_nothing(
        count in 1u32..50,
        factor in 1u32..=100,
    ) {
        let scaled: Vec<_> = (1..=count).map(|n| member(n, factor)).collect();
        prop_assert_eq!(build(&equal(count), 4_093), build(&scaled, 4_093));
    }
}
