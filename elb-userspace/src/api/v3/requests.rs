//! How many requests the API was asked, how they ended, and how long they took.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;

use super::route::route;
use crate::observe::metrics::{ApiFigures, Histogram, REQUEST_ENDS};

/// What is not an operation of V3.
const OTHER: &str = "other";
/// Those of version 2, whatever operation of V3 they become.
pub(in crate::api) const VERSION_2: &str = "version_2";
const METHODS: [&str; 5] = ["DELETE", "GET", "POST", "PUT", OTHER];

/// Since the process started.
static ALL: Mutex<ApiFigures> =
    Mutex::new(ApiFigures { requests: BTreeMap::new(), durations: BTreeMap::new() });

/// Requests over TCP, since the process started.
pub fn requests() -> ApiFigures {
    ALL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What a request of V3 is for, among all that it could be for.
pub(super) fn operation(method: &str, path: &str) -> &'static str {
    route(method, path).map_or(OTHER, |routed| &routed.operation.name)
}

/// Notes that a request was answered.
pub(in crate::api) fn answered(
    operation: &'static str,
    method: &str,
    status: StatusCode,
    time: Duration,
) {
    let class = match status.as_u16() {
        ..400 => 0,
        400..500 => 1,
        _ => 2,
    };
    let method = METHODS.into_iter().find(|one| *one == method).unwrap_or(OTHER);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.requests.entry(operation).or_default()[class] += 1;
    all.durations.entry(method).or_insert_with(|| Histogram::new(REQUEST_ENDS)).note(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_what_they_are_for() {
        let list = operation("GET", "/v3/abc/elb/loadbalancers");
        assert_eq!(list, "list_load_balancers");
        assert_eq!(operation("GET", "/v3/abc/elb/no-such-thing"), OTHER);
        // Other tests ask, too, but none for this.
        let before = requests().requests.get("delete_logtank").copied().unwrap_or_default();
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND, StatusCode::FORBIDDEN] {
            answered("delete_logtank", "DELETE", status, Duration::from_millis(3));
        }
        answered("delete_logtank", "BREW", StatusCode::BAD_GATEWAY, Duration::from_millis(3));
        let after = requests();
        let counts = after.requests["delete_logtank"];
        assert_eq!([0, 1, 2].map(|class| counts[class] - before[class]), [1, 2, 1]);
        assert!(after.durations["DELETE"].count() >= 3 && after.durations[OTHER].count() >= 1);
    }
}
