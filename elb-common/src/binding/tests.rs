use core::mem::{align_of, offset_of, size_of};

use proptest::prelude::*;

use super::*;

const NOW: u32 = 1_000_000;
const IDLE: u32 = 300;

fn client(last: u8) -> Be32 {
    bytemuck::cast([203, 0, 113, last])
}

fn tcp() -> Course {
    Course::opening(7, says::OPENS, IDLE, NOW)
}

fn open() -> Course {
    tcp().after_client(0, IDLE, NOW)
}

#[test]
fn layout() {
    assert_eq!((size_of::<Binding>(), align_of::<Binding>()), (16, 8));
    assert_eq!((offset_of!(Binding, course), size_of::<Bucket>()), (8, 128));
}

#[test]
fn words_hold_what_they_are_made_of() {
    let owner = Owner::new(client(9), Be16::new(40_000), 513);
    assert_eq!(
        (owner.client(), owner.port(), owner.listener()),
        (client(9), Be16::new(40_000), 513)
    );
    assert!(owner.is_one() && !Owner::BUSY.is_one() && !Owner::default().is_one());
    let course = Course::new(65_535, stage::MEMBER_CLOSED, 90_000, NOW);
    assert_eq!((course.backend(), course.lifetime()), (65_535, 65_535));
    assert_eq!((course.stage(), course.age(NOW + 5)), (stage::MEMBER_CLOSED, 5));
}

#[test]
fn who_closes_first_decides_how_long_the_port_rests() {
    let client_first = open().after_client(says::CLOSES, IDLE, NOW);
    assert_eq!((client_first.stage(), client_first.lifetime()), (stage::CLIENT_CLOSED, IDLE));
    let both = client_first.after_member(says::CLOSES, NOW).after_client(0, IDLE, NOW);
    assert_eq!((both.stage(), both.lifetime()), (stage::CLOSED, CLOSED_LIFETIME));
    let member_first = open().after_member(says::CLOSES, NOW);
    assert_eq!((member_first.stage(), member_first.lifetime()), (stage::MEMBER_CLOSED, IDLE));
    let both = member_first.after_client(says::CLOSES, IDLE, NOW).after_member(0, NOW);
    assert_eq!((both.stage(), both.lifetime()), (stage::CLOSED, TIME_WAIT));
}

/// A client that sends no more may read for hours.
#[test]
fn a_side_that_is_closed_ends_nothing() {
    let mut course = open().after_client(says::CLOSES, IDLE, NOW);
    for second in 0..1000 {
        course = course.after_member(0, NOW + second * 100);
        assert!(!course.is_over(NOW + second * 100 + IDLE));
    }
}

#[test]
fn a_reset_that_was_not_believed_ends_nothing() {
    let reset = open().after_client(says::RESETS, IDLE, NOW);
    assert!(reset.is_over(NOW + CLOSED_LIFETIME + 1));
    let goes_on = reset.after_member(0, NOW + 1);
    assert!(!goes_on.is_over(NOW + 1 + CLOSED_LIFETIME));
    let goes_on = goes_on.after_client(0, IDLE, NOW + 2);
    assert_eq!((goes_on.stage(), goes_on.lifetime()), (stage::OPEN, IDLE));
}

#[test]
fn a_repeated_opening_opens_nothing() {
    let again = tcp().after_client(says::OPENS, IDLE, NOW + 1);
    assert_eq!((again.stage(), again.lifetime()), (stage::OPENING, HALF_OPEN_TIMEOUT));
    let datagrams = Course::opening(7, says::DATAGRAM, IDLE, NOW);
    let more = datagrams.after_client(says::DATAGRAM, IDLE, NOW);
    assert_eq!((more.stage(), more.lifetime()), (stage::OPENING, IDLE));
    // Of datagrams that are never answered, one a second is written.
    assert!(!more.changes(says::DATAGRAM, NOW) && more.changes(says::DATAGRAM, NOW + 1));
    assert!(tcp().changes(0, NOW) && !tcp().changes(says::OPENS, NOW));
    assert_eq!(more.after_member(says::DATAGRAM, NOW).stage(), stage::OPEN);
}

#[test]
fn what_counts_is_nobody_elses() {
    let other = Owner::new(client(2), Be16::new(1), 0);
    let fit = |owner, course, now| {
        let one = Vacancies::default().and(Binding { owner, course }, 5, now);
        (one.vacant >> 5, one.unanswered >> 5)
    };
    assert_eq!(fit(Owner::default(), Course::default(), NOW).0, 1);
    assert_eq!(fit(Owner::BUSY, Course::default(), NOW), (0, 0));
    assert_eq!([IDLE, IDLE + 1].map(|age| fit(other, open(), NOW + age)), [(0, 0), (1, 0)]);
    let opening = [2, UNANSWERED, HALF_OPEN_TIMEOUT + 1].map(|age| fit(other, tcp(), NOW + age));
    assert_eq!(opening, [(0, 0), (0, 1), (1, 1)]);
}

#[test]
fn bits_are_found_and_counted() {
    for bits in 0u32..256 {
        assert_eq!(count(bits), bits.count_ones());
        assert!(bits == 0 || lowest(bits) == bits.trailing_zeros());
    }
    assert_eq!(Vacancies { vacant: 0, unanswered: 0x60 }.any(), 5);
    assert_eq!(Vacancies { vacant: 0x80, unanswered: 0x60 }.any(), 7);
}

proptest! {
    /// Whatever comes in whatever order: the backend stays, a packet is seen, and what was not closed by both or
    /// reset lives as long as it may idle.
    #[test]
    fn packets_keep_a_flow(packets in prop::collection::vec((any::<bool>(), 0u32..16), 1..40)) {
        let mut course = open();
        let (mut now, mut client, mut member, mut reset) = (NOW, false, false, false);
        for (from_client, says) in packets {
            now += 1;
            let says = says & !(says::OPENS | says::DATAGRAM);
            prop_assert!(course.changes(says, now));
            course = if from_client {
                course.after_client(says, IDLE, now)
            } else {
                course.after_member(says, now)
            };
            let closes = says & says::CLOSES != 0;
            (client, member) = (client || closes && from_client, member || closes && !from_client);
            reset |= says & says::RESETS != 0;
            prop_assert_eq!((course.backend(), course.age(now)), (7, 0));
            prop_assert!(reset || (client && member) == (course.stage() == stage::CLOSED));
            prop_assert!(reset || (client && member) || course.lifetime() == IDLE);
        }
    }
}
