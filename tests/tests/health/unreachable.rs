//! What the network says of members that cannot be reached, and who says it.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use elb_tests::{
    address::Family,
    config::{HealthMonitor, MonitorKind, Protocol},
};
use serde_json::json;

use crate::watch::{Case, Watch, lab};

/// The first backend is the router to a network, and knows that parts of it are not to be reached.
const NETWORK: &str = "10.200.0.0/24";

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 200, 0, number).into()
}

#[test]
fn the_cause_says_what_was_reported_and_by_which_host() -> Result<()> {
    let lab = lab(1)?;
    let router = lab.member_addr(0, Family::V4);
    lab.lb().ip(&format!("route add {NETWORK} via {router}"))?;
    let backend = lab.backend(0);
    backend.sysctl("ipv4/ip_forward", "1")?;
    // All of it goes to one host, which would be informed once a second.
    backend.sysctl("ipv4/icmp_ratelimit", "0")?;
    backend.ip(&format!("route add unreachable {}", address(1)))?;
    backend.ip(&format!("route add prohibit {}", address(2)))?;
    let unused: IpAddr = Ipv4Addr::new(10, 0, 0, 99).into();
    let nowhere: IpAddr = Ipv4Addr::new(203, 0, 113, 1).into();
    let cases = [
        ("host", address(1), json!({ "kind": "host_unreachable", "by": router })),
        ("prohibited", address(2), json!({ "kind": "admin_prohibited", "by": router })),
        ("network", address(3), json!({ "kind": "net_unreachable", "by": router })),
        ("unused", unused, json!({ "kind": "no_neighbor" })),
        ("nowhere", nowhere, json!({ "kind": "no_route", "error": "network is unreachable" })),
    ];
    let case = |name: &str, member, protocol, kind| Case {
        name: name.to_owned(),
        member,
        protocol,
        // The kernel asks three times, a second each, who has an address.
        monitor: HealthMonitor {
            delay: 8,
            timeout: 7,
            ..HealthMonitor::quick(kind).port(80).direct()
        },
    };
    let mut all = Vec::new();
    for (name, member, _) in &cases {
        all.push(case(name, *member, Protocol::Tcp, MonitorKind::Tcp));
        all.push(case(&format!("udp-{name}"), *member, Protocol::Udp, MonitorKind::UdpConnect));
    }
    let watch = Watch::start(lab, all)?;
    for (name, _, cause) in &cases {
        for pool in [(*name).to_owned(), format!("udp-{name}")] {
            let said = watch.wait_reason(&pool, "CONNECT_FAILED")?;
            assert_eq!(said["reason"]["cause"], *cause, "{pool}: {said}");
        }
    }
    Ok(())
}
