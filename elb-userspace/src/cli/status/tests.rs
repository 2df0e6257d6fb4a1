//! Tests of `status`.

use serde_json::{Value, json};

use super::units::bytes;
use super::*;
use crate::api::shape::status::Replies;

fn pool(name: &str, listeners: usize, member: &str) -> Value {
    json!({
        "name": name, "forwarding": "ipip", "lb_algorithm": "5_TUPLE_HASH", "slots": 65_537,
        "moving_slots": 0, "former_slots": 0, "listeners": listeners, "members": [{
            "pool": name, "name": member, "address": "10.0.0.11", "protocol_port": 80, "weight": 1,
            "operating_status": "ONLINE", "since": "2026-01-01T00:00:00Z", "slots": 65_537,
            "share": 1.0, "packets": 0, "bytes": 0,
        }],
    })
}

fn listener(name: &str, port: u16) -> Value {
    json!({
        "name": name, "protocol": "TCP", "protocol_port": port, "operating_status": "ONLINE",
        "packets": 0, "bytes": 0, "cps": 0, "max_connection": 0, "default_pool": "web",
    })
}

/// A load balancer with two listeners of one pool, and a pool that is not used.
pub(super) fn status() -> Status {
    serde_json::from_value(json!({
        "agent": {
            "version": "0", "pid": 1, "started": "", "adopted": false, "attach_mode": "native",
            "interfaces": ["eth0"], "config": "", "loaded": "", "problems": [],
            "probing": {
                "under_way": 0, "most": 1, "late_p99_ms": null, "late_most_ms": 0, "lateness": [],
            },
        },
        "load_balancers": [{
            "name": "lb", "vips": ["192.0.2.1"], "operating_status": "ONLINE",
            "listeners": [listener("http", 80), listener("alt", 8080)],
        }],
        "pools": [pool("idle", 0, "idle-1"), pool("web", 2, "web-1")],
        "not_forwarded": [],
    }))
    .unwrap()
}

#[test]
fn members_of_a_pool_are_listed_once() {
    let text = text(&status(), Form::default());
    let places = ["  http TCP/80", "web-1", "  alt TCP/8080", "those of pool web", "no listener"]
        .map(|what| text.find(what).unwrap_or_else(|| panic!("no {what:?} in\n{text}")));
    assert!(places.is_sorted(), "{text}");
    assert_eq!(text.matches("web-1").count(), 1, "{text}");
    assert_eq!(text.matches("idle-1").count(), 1, "{text}");
}

#[test]
fn answers_have_columns_where_they_come_back_through_this_host() {
    let mut status = status();
    assert!(!text(&status, Form::default()).to_lowercase().contains("repl"));
    let replies = Replies { packets: 42, bytes: 2_048, accepted: Some(7), resets: Some(1) };
    let replies = Some(replies);
    status.pools[1].members[0].replies = replies;
    status.load_balancers[0].listeners[0].replies = replies;
    let text = text(&status, Form::default());
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap().to_owned();
    assert!(
        line("  http TCP/80").contains("0 packets, 0 B, replies 42 packets, 2.0 KiB"),
        "{text}"
    );
    assert!(!line("  alt TCP/8080").contains("repl"), "{text}");
    assert!(line("REPLY BYTES").contains("PACKETS"), "{text}");
    assert!(line("web-1").contains(" 42 ") && line("web-1").contains("2.0 KiB"), "{text}");
    assert_eq!(text.matches("REPLY BYTES").count(), 1, "{text}");
}

#[test]
fn sizes_are_readable() {
    assert_eq!(bytes(0), "0 B");
    assert_eq!(bytes(1023), "1023 B");
    assert_eq!(bytes(1536), "1.5 KiB");
    assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
}
