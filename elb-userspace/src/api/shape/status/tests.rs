//! Tests of `status`.

use super::*;

#[test]
fn any_time_can_be_written() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!(timestamp(at(86_400)), "1970-01-02T00:00:00Z");
    assert_eq!(timestamp_millis(at(86_400)), "1970-01-02T00:00:00.000Z");
    assert_eq!(timestamp(at(1 << 60)), "9999-12-31T23:59:59Z");
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(timestamp(before), "1970-01-01T00:00:00Z");
}
