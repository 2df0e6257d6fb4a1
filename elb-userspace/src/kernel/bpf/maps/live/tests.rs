//! Tests of `live`.

use super::*;

#[test]
fn what_is_kept_stays() {
    let kept = Kept::default();
    let all: Vec<&u32> = (0..5).map(|n| kept.keep(n)).collect();
    assert_eq!(all, [&0, &1, &2, &3, &4]);
}
