use proptest::prelude::*;

use super::*;

fn fill(records: u32) -> Fill {
    Fill { records, room: 800 }
}

#[test]
fn the_fuller_a_table_the_sooner_closed_connections_leave_it() {
    let terms = |records| (fill(records).closed_for(), fill(records).rest().as_millis());
    assert_eq!([0, 100].map(terms), [(10, 5000); 2]);
    assert_eq!([101, 200].map(terms), [(3, 1000); 2]);
    assert_eq!([201, 800].map(terms), [(1, 500); 2]);
    assert_eq!(fill(5).max(Fill { records: 5, room: 80 }).room, 80);
    assert_eq!(Fill { records: 5, room: 80 }.max(fill(5)).room, 80);
}

#[test]
fn what_two_sweeps_agree_on_is_corrected() {
    let mut drift = Drift::default();
    assert_eq!(drift.correct(5, 100, 100, 90), 0);
    assert_eq!(drift.correct(5, 100, 100, 93), -7);
    assert_eq!(drift.correct(5, 93, 93, 93), 0);
    assert_eq!(drift.correct(5, 93, 93, 95), 0);
    assert_eq!(drift.correct(5, 93, 93, 92), 0, "once too many, once too few: that is traffic");
    assert_eq!(drift.correct(5, 93, 93, 90), -1);
    // Less than none is none, and corrected like anything else.
    let mut drift = Drift::default();
    let below = 0u64.wrapping_sub(4);
    assert_eq!([drift.correct(0, below, below, 0), drift.correct(0, below, below, 0)], [0, 4]);
    // Connections that open during the sweep are found by half of it, as far as is known.
    let mut drift = Drift::default();
    assert_eq!([drift.correct(0, 100, 120, 110), drift.correct(0, 120, 140, 130)], [0, 0]);
}

proptest! {
    /// Without traffic a count is right after two sweeps, whatever it was.
    #[test]
    fn a_count_is_right_after_two_sweeps(count: u32, open: u32, id in 0usize..99) {
        let mut drift = Drift::default();
        let mut count = u64::from(count);
        for _ in 0..2 {
            count = count.wrapping_add_signed(drift.correct(id, count, count, open));
        }
        prop_assert_eq!(count, u64::from(open));
        prop_assert_eq!(drift.correct(id, count, count, open), 0);
    }
}
