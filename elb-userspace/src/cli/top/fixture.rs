//! What the tests look at: an agent with a listener, a pool and two members.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::rates::Look;
use crate::api::shape::events::{AgentEvent, EventKind, MemberEvent};
use crate::api::shape::status::Status;
use crate::health::OperatingStatus;
use crate::model::MemberRef;

/// Two looks, 2 seconds apart: 200 packets of 60 bytes went to two members, 10 were dropped.
pub(super) fn looks() -> (Look, Look) {
    let start = humantime::parse_rfc3339("2026-01-02T01:01:00Z").unwrap();
    let look = |seconds: u64, packets: u64, drops: u64| Look {
        at: Duration::from_secs(100 + seconds),
        wall: start + Duration::from_secs(seconds),
        status: status(1, [packets, packets / 2, packets / 2], drops),
    };
    (look(0, 1000, 40), look(2, 1200, 50))
}

/// What an agent of this process id says: packets of the listener and of its two members, and drops.
pub(super) fn status(pid: u32, packets: [u64; 3], drops: u64) -> Status {
    let member = |name: &str, address: &str, status: &str, packets: u64| {
        json!({
            "pool": "web", "name": name, "address": address, "protocol_port": 80, "weight": 1,
            "operating_status": status, "since": "2026-01-02T00:00:00Z", "slots": 5, "share": 0.5,
            "packets": packets, "bytes": packets * 60,
            "new_connections": { "count": 124, "share": 0.5, "since": "2026-01-02T01:00:00Z" },
        })
    };
    let members = [
        member("web-1", "10.0.0.11", "ONLINE", packets[1]),
        member("web-2", "10.0.0.12", "OFFLINE", packets[2]),
    ];
    let value = json!({
        "agent": agent(pid),
        "load_balancers": [{
            "name": "public", "vips": ["192.0.2.10"], "operating_status": "DEGRADED",
            "listeners": [{
                "name": "http", "protocol": "TCP", "protocol_port": 80,
                "operating_status": "DEGRADED", "packets": packets[0], "bytes": packets[0] * 60,
                "cps": 0, "max_connection": 0, "default_pool": "web",
            }],
        }],
        "pools": [{
            "name": "web", "forwarding": "ipip", "lb_algorithm": "5_TUPLE_HASH", "slots": 10,
            "moving_slots": 0, "former_slots": 0, "listeners": 1, "members": members,
        }],
        "not_forwarded": [
            { "reason": "no_backend", "fate": "dropped", "packets": drops, "bytes": drops * 60,
              "meaning": "no member takes it", "fix": "see `elb status`" },
            { "reason": "not_vip", "fate": "passed", "packets": 9 * drops, "bytes": 0,
              "meaning": "not for a listener", "fix": "" },
        ],
    });
    serde_json::from_value(value).unwrap()
}

/// Fields that later versions add are in neither this nor what reads it.
fn agent(pid: u32) -> Value {
    let sample = include_str!("../../../tests/samples/status-2026-11-29.json");
    let mut agent = serde_json::from_str::<Value>(sample).unwrap()["agent"].clone();
    let own = json!({
        "version": "0.1.0", "pid": pid, "started": "2026-01-02T00:00:00Z", "adopted": false,
        "attach_mode": "native", "problems": [],
    });
    let (Value::Object(agent_fields), Value::Object(own)) = (&mut agent, own) else {
        unreachable!("both are objects")
    };
    agent_fields.extend(own);
    agent
}

/// A member that became OFFLINE.
pub(super) fn event(name: &str) -> AgentEvent {
    AgentEvent::Member(member_event(name))
}

pub(super) fn member_event(name: &str) -> MemberEvent {
    serde_json::from_value(json!({
        "time": "2026-01-02T00:00:00.000Z", "event": EventKind::Unhealthy, "pool": "web",
        "name": name, "address": "10.0.0.12", "protocol_port": 80,
        "from": OperatingStatus::Online, "lasted": 7, "reason": null,
    }))
    .unwrap()
}

/// The member at a place of the only pool.
pub(super) fn member(status: &Status, index: usize) -> MemberRef {
    status.pools[0].members[index].member.clone()
}

/// A moment long after the looks.
pub(super) fn later() -> SystemTime {
    humantime::parse_rfc3339("2026-03-01T00:00:00Z").unwrap()
}
