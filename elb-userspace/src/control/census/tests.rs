use proptest::prelude::*;

use super::*;

fn fill(records: u32) -> Fill {
    Fill { records, room: 800 }
}

#[test]
fn the_fuller_a_table_the_sooner_closed_connections_leave_it() {
    let seconds = |records| fill(records).closed_for();
    assert_eq!([0, 100].map(seconds), [10; 2]);
    assert_eq!([101, 200].map(seconds), [3; 2]);
    assert_eq!([201, 266].map(seconds), [1; 2]);
    assert_eq!([267, 800].map(seconds), [0; 2]);
    assert_eq!(fill(5).max(Fill { records: 5, room: 80 }).room, 80);
    assert_eq!(Fill { records: 5, room: 80 }.max(fill(5)).room, 80);
}

#[test]
fn a_table_that_fills_is_swept_again_soon() {
    let rest = |left, now, took| {
        let took = Duration::from_millis(took);
        let (backends, listeners) = (Vec::new(), Vec::new());
        let left = fill(left);
        let census = Census { swept: 1, backends, listeners, is_counting: false, fill: left, took };
        census.rest(fill(now)).as_millis()
    };
    assert_eq!(rest(0, 100, 10), 3000);
    assert_eq!(rest(0, 101, 10), 200);
    assert_eq!(rest(0, 101, 300), 300, "no more than half of a processor");
    assert_eq!(rest(700, 712, 10), 3000, "full, but of records that stay");
    assert_eq!(rest(700, 713, 10), 200);
    assert_eq!(rest(700, 100, 1000), 8000);
}

#[test]
fn what_three_sweeps_agree_on_is_corrected() {
    let mut drift = Drift::default();
    let mut correct = |count, found| drift.correct(5, count, count, found);
    assert_eq!([correct(100, 90), correct(100, 91), correct(100, 93)], [0, 0, -7]);
    assert_eq!([correct(93, 93), correct(93, 95), correct(93, 94)], [0; 3]);
    assert_eq!(correct(93, 92), 0, "once too few, twice too many: that is traffic");
    assert_eq!([correct(93, 90), correct(93, 91)], [0, -1]);
    // Less than none is none, and corrected like anything else.
    let mut drift = Drift::default();
    let below = 0u64.wrapping_sub(4);
    assert_eq!([(); 3].map(|()| drift.correct(0, below, below, 0)), [0, 0, 4]);
    // Of the connections that open during the sweep it may find any part, however often.
    for part in [0, 1, 10, 19, 20] {
        let mut drift = Drift::default();
        let opened = [100u32, 120, 140, 160];
        let correct = |n: u32| drift.correct(0, n.into(), u64::from(n) + 20, n + part);
        assert_eq!(opened.map(correct), [0; 4], "{part} of 20");
    }
    let mut drift = Drift::default();
    assert_eq!([(); 3].map(|()| drift.correct(0, 100, 120, 125)), [0, 0, 5]);
}

/// A hundred connections open during a sweep, which makes it very inexact; the next one sees one end.
#[test]
fn a_count_of_connections_that_just_opened_stays_exact() {
    let mut drift = Drift::default();
    assert_eq!(drift.correct(0, 0, 99, 30), 0);
    assert_eq!(drift.correct(0, 100, 100, 99), 0);
    assert_eq!(drift.correct(0, 100, 100, 100), 0);
}

proptest! {
    /// Without traffic a count is right after three sweeps, whatever it was.
    #[test]
    fn a_count_is_right_after_three_sweeps(count: u32, open: u32, id in 0usize..99) {
        let mut drift = Drift::default();
        let mut count = u64::from(count);
        for _ in 0..3 {
            count = count.wrapping_add_signed(drift.correct(id, count, count, open));
        }
        prop_assert_eq!(count, u64::from(open));
        prop_assert_eq!(drift.correct(id, count, count, open), 0);
    }
}
