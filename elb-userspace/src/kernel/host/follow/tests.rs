//! An answer that is late is asked for again; one that refuses is not.

use std::cell::Cell;

use super::*;

#[tokio::test]
async fn only_a_late_answer_is_asked_for_again() {
    let (asked, late) = (Cell::new(0), io::ErrorKind::TimedOut);
    let answer = async |then: io::Result<u8>| {
        asked.set(asked.get() + 1);
        if asked.get() < 3 { Err(late.into()) } else { then }
    };
    assert_eq!(patiently(async || answer(Ok(7)).await).await.unwrap(), 7);
    assert_eq!(asked.get(), 3);
    let refused = patiently(async || answer(Err(io::ErrorKind::PermissionDenied.into())).await);
    assert_eq!(refused.await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(asked.get(), 4);
}
