//! The parts of a report make a whole.

use super::*;
use crate::api::shape::status::{Probing, Status};

fn pool(name: &str) -> PoolStatus {
    PoolStatus {
        session_persistence: None,
        id: None,
        name: name.to_owned(),
        forwarding: "ipip".to_owned(),
        lb_algorithm: "5_TUPLE_HASH".to_owned(),
        slots: 5,
        moving_slots: 0,
        former_slots: 0,
        listeners: 1,
        takes_new: Some(true),
        backup: None,
        members: Vec::new(),
    }
}

fn member(name: &str) -> MemberStatus {
    serde_json::from_value(serde_json::json!({
        "name": name, "address": "10.0.0.11", "protocol_port": 80, "weight": 1,
        "operating_status": "ONLINE", "since": "", "slots": 5, "share": 1.0, "packets": 0,
        "bytes": 0,
    }))
    .unwrap()
}

fn balancer(name: &str) -> LoadBalancerStatus {
    LoadBalancerStatus {
        id: None,
        name: name.to_owned(),
        vips: Vec::new(),
        operating_status: "ONLINE".to_owned(),
        listeners: Vec::new(),
    }
}

fn listener(name: &str) -> ListenerStatus {
    serde_json::from_value(serde_json::json!({
        "name": name, "protocol": "TCP", "protocol_port": 80, "operating_status": "ONLINE",
        "packets": 0, "bytes": 0, "cps": 0, "max_connection": 0, "default_pool": "web",
    }))
    .unwrap()
}

fn end() -> Part {
    let agent = Agent {
        version: "0".to_owned(),
        pid: 1,
        started: String::new(),
        adopted: false,
        attach_mode: "native".to_owned(),
        traced: false,
        flow_log: None,
        sflow: None,
        snat: None,
        client_prefix: None,
        api: None,
        interfaces: Vec::new(),
        config: "/x".into(),
        loaded: String::new(),
        generation: 1,
        published: None,
        no_vip_probes: None,
        problems: vec!["\"".to_owned()],
        failed_writes: 0,
        panics: Vec::new(),
        notify: Vec::new(),
        kept: Vec::new(),
        probing: Probing {
            under_way: 0,
            most: 1,
            late_p99_ms: None,
            late_most_ms: 0,
            lateness: Vec::new(),
        },
    };
    Part::End(Box::new(agent), Vec::new())
}

fn read(parts: Vec<Part>) -> Status {
    let mut encoder = Encoder::default();
    let texts = parts.into_iter().map(|part| encoder.encode(part).unwrap());
    let text = texts.collect::<Vec<_>>().concat();
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        panic!("{error} in {}", String::from_utf8_lossy(&text));
    })
}

#[test]
fn parts_make_a_whole() {
    let a_pool = |name| Part::Pool(Box::new(pool(name)));
    let whole = read(vec![
        a_pool("web"),
        Part::Members(vec![member("a"), member("b")]),
        Part::Members(vec![member("c")]),
        Part::Nothing,
        a_pool("empty"),
        Part::Pool(Box::new(PoolStatus { members: vec![member("x")], ..pool("api") })),
        Part::Members(vec![member("d")]),
        Part::Balancer(balancer("lb")),
        Part::Listeners(vec![listener("http")]),
        Part::Listeners(vec![listener("https")]),
        Part::Balancer(balancer("none")),
        end(),
    ]);
    let names: Vec<_> =
        whole.pools.iter().map(|pool| (&pool.name[..], pool.members.len())).collect();
    assert_eq!(names, [("web", 3), ("empty", 0), ("api", 2)]);
    let balancers = whole.load_balancers.iter();
    let names: Vec<_> = balancers.map(|lb| (&lb.name[..], lb.listeners.len())).collect();
    assert_eq!(names, [("lb", 2), ("none", 0)]);
    assert_eq!(whole.agent.problems, ["\""]);
    assert!(read(vec![end()]).pools.is_empty());
    assert_eq!(read(vec![a_pool("web"), end()]).pools.len(), 1);
    assert_eq!(read(vec![Part::Balancer(balancer("lb")), end()]).load_balancers.len(), 1);
}
