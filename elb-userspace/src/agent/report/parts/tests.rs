//! How much a status is, by what it is of: so much for each member and each listener, and no product of both.

use serde_json::json;

use super::*;
use crate::health::history::ProbeCounts;
use crate::health::{Cause, Failure};

/// The longest that names may be.
const NAME: usize = 64;

fn at(number: usize) -> status::AtListener {
    status::AtListener {
        load_balancer: "b".repeat(NAME),
        listener: format!("{number:l>NAME$}"),
        operating_status: "OFFLINE".to_owned(),
        why: Some("it fails at 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff: ".repeat(3)),
    }
}

/// A member about which everything is said that can be.
fn member(listeners: usize, probes: bool) -> status::MemberStatus {
    let failure = Failure::new(Cause::Refused { by: [10, 0, 0, 1].into() });
    let mut member: status::MemberStatus = serde_json::from_value(json!({
        "pool": "p".repeat(NAME), "name": "m".repeat(NAME), "address": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "protocol_port": 65535, "weight": 100, "operating_status": "DRAINING",
        "since": "2026-01-01T00:00:00Z", "slots": 65537, "share": 0.123_456_789, "packets": u64::MAX,
        "bytes": u64::MAX, "cut_in": 3600, "connections": u32::MAX,
        "new_connections": { "count": u64::MAX, "share": 0.123_456_789, "since": "2026-01-01T00:00:00Z" },
        "unreachable": "x".repeat(200),
        "paths": { "path": "direct", "why_direct": "x".repeat(200), "vip": "x".repeat(200),
                   "direct": "x".repeat(200) },
    }))
    .unwrap();
    member.reason = Some(failure.clone());
    member.status = (0..listeners.min(LISTED)).map(at).collect();
    member.more_listeners = listeners - member.status.len();
    let probe = |_| status::ProbeRecord {
        time: "2026-01-01T00:00:00.000Z".to_owned(),
        duration_ms: 1234.567,
        result: "CONNECT_REFUSED".to_owned(),
        reason: Some(failure.clone()),
    };
    let probes = if probes { (0..20).map(probe).collect() } else { Vec::new() };
    member.health =
        Some(status::ProbeSummary { streak: 1, counts: ProbeCounts::default(), probes });
    member
}

fn bytes(value: &impl serde::Serialize) -> usize {
    serde_json::to_string(value).unwrap().len()
}

#[test]
fn a_member_takes_so_much_however_many_listeners_its_pool_has() {
    let few = bytes(&member(1, false));
    let (many, most) = (bytes(&member(LISTED, false)), bytes(&member(100_000, false)));
    println!("{few} bytes with a listener, {many} with {LISTED}, {most} with 100,000");
    assert!(few <= 2_500, "{few}");
    assert!(most <= many + 32 && many <= few + LISTED * 400, "{few}, {many}, {most}");
    let probes = bytes(&member(1, true)) - few;
    assert!(probes <= 20 * 300, "{probes}");
}
