//! A neighbour that packets go to gets another Ethernet address and says nothing, or is gone and another
//! gateway would do.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::{Ports, Server},
    status,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use serde_json::Value;

use super::{answers_by, pool_of, problems, requests, start, web};

/// What is not announced is followed within this.
const FOLLOWED: Duration = Duration::from_secs(20);
/// Where two more services listen.
const MORE_PORTS: [Ports; 2] = [Ports { http: 81, echo: 8 }, Ports { http: 82, echo: 9 }];
/// A member behind a gateway.
const BEHIND: &str = "10.9.0.1";

/// The member itself, over IPv4 and IPv6, without a monitor and with one; and the gateway to another
/// member.
#[test]
fn an_ethernet_address_that_changes_in_silence_is_followed() -> Result<()> {
    let lab = Lab::builder().families(Families::Both).start()?;
    let _servers = lab.serve()?;
    let _more = more_servers(&lab)?;
    lab.backends_up(Forwarding::L2)?;
    let behind: IpAddr = BEHIND.parse()?;
    lab.backend(1).ip(&format!("addr add {behind}/32 dev lo"))?;
    lab.lb().ip(&format!("route add {behind}/32 via {}", lab.member_addr(1, Family::V4)))?;
    let agent = start(&lab, &four_pools(&lab, behind))?;

    lab.backend(1).ip(&format!("link set {} address 02:00:00:00:be:ef", lab.device()))?;
    let changed = Instant::now();
    let mut waiting = vec![
        ("v4", Family::V4, HTTP_PORT, 2),
        ("v6", Family::V6, HTTP_PORT, 2),
        ("watched", Family::V4, MORE_PORTS[0].http, 2),
        ("behind a gateway", Family::V4, MORE_PORTS[1].http, 1),
    ];
    wait_for("all services to be whole again", STUCK, || {
        let mut failed = Vec::new();
        for service @ (name, family, port, members) in waiting.drain(..) {
            let report = requests(&lab, family, port, 24)?;
            let answering = report.answers_by_backend().len();
            if report.failures().is_empty() && answering == members {
                println!("{name}: whole after {:?}", changed.elapsed());
            } else {
                failed.push(service);
            }
        }
        waiting = failed;
        Ok(waiting.is_empty().then_some(()))
    })?;
    let took = changed.elapsed();
    assert!(took < FOLLOWED, "after {took:?}");
    let all_online = |said: &Value| {
        let watched = status::pool(said, "watched").and_then(|pool| pool["members"].as_array());
        watched.is_some_and(|all| all.iter().all(|one| one["operating_status"] == "ONLINE"))
    };
    let said = agent.wait_status("all members to be ONLINE", STUCK, all_online)?;
    assert_eq!(doubts(&said), Vec::<String>::new());
    assert_eq!(problems(&agent)?, "[]");
    Ok(())
}

fn more_servers(lab: &Lab) -> Result<Vec<Server>> {
    let named = |index| (&lab.backends()[index], lab.backend_name(index));
    let all = MORE_PORTS.into_iter().flat_map(|ports| [(ports, 0), (ports, 1)]);
    all.map(|(ports, index)| {
        let (netns, name) = named(index);
        Server::start_on(netns, &name, ports)
    })
    .collect()
}

fn four_pools(lab: &Lab, behind: IpAddr) -> Config {
    let pool = |name: &str, family, port| {
        Pool::of(lab, name, family, Protocol::Tcp, port).forwarding(Forwarding::L2)
    };
    let [watched, gateway] = MORE_PORTS.map(|ports| ports.http);
    let monitor = HealthMonitor::quick(MonitorKind::Tcp);
    Config::new(lab)
        .balance(lab, Family::V4, HTTP_PORT, pool("v4", Family::V4, HTTP_PORT))
        .balance(lab, Family::V6, HTTP_PORT, pool("v6", Family::V6, HTTP_PORT))
        .balance(lab, Family::V4, watched, pool("watched", Family::V4, watched).watched(monitor))
        .balance(
            lab,
            Family::V4,
            gateway,
            pool_of(lab, "gateway", &[behind], gateway).forwarding(Forwarding::L2),
        )
}

/// A member behind two gateways, of which the one that the kernel chose dies, is reached by the other, and
/// stays ONLINE; and one that no one answers for is a word in the status.
#[test]
fn another_gateway_takes_the_place_of_a_dead_one() -> Result<()> {
    let (lab, _servers, agent) = two_gateways("via", "nexthop")?;
    let chosen = usize::from(!answers_by(&lab, HTTP_PORT, &lab.backend_name(0))?);
    assert!(answers_by(&lab, HTTP_PORT, &lab.backend_name(chosen))?);
    lab.unplug(chosen)?;
    let (dead, other) = (Instant::now(), lab.backend_name(1 - chosen));
    wait_for("the other gateway to be used", STUCK, || {
        Ok(answers_by(&lab, HTTP_PORT, &other)?.then_some(()))
    })?;
    println!("the other gateway is used after {:?}", dead.elapsed());
    assert!(dead.elapsed() < FOLLOWED, "after {:?}", dead.elapsed());
    let said = agent.status()?;
    assert_eq!(doubts(&said), Vec::<String>::new(), "it is reached");
    assert_ne!(said["pools"][0]["members"][0]["operating_status"], "OFFLINE", "{said}");

    lab.plug(chosen)?;
    let first = lab.backend_name(chosen);
    wait_for("the gateway to be used again", STUCK, || {
        Ok(answers_by(&lab, HTTP_PORT, &first)?.then_some(()))
    })?;
    Ok(())
}

/// A next hop object changes: where the kernel says nothing of the routes that use it, it is followed all
/// the same.
#[test]
fn a_next_hop_object_that_changes_is_followed() -> Result<()> {
    let (lab, _servers, agent) = two_gateways("object", "")?;
    assert!(answers_by(&lab, HTTP_PORT, &lab.backend_name(0))?);
    for index in [1, 0] {
        let gateway = lab.member_addr(index, Family::V4);
        lab.lb().ip(&format!("nexthop replace id 7 via {gateway} dev lb0"))?;
        let changed = Instant::now();
        wait_for("the object's gateway to be used", STUCK, || {
            Ok(answers_by(&lab, HTTP_PORT, &lab.backend_name(index))?.then_some(()))
        })?;
        assert!(changed.elapsed() < Duration::from_secs(5), "after {:?}", changed.elapsed());
    }
    assert_eq!(problems(&agent)?, "[]");
    Ok(())
}

/// Both backends have the member's address: who answers shows which way packets went.
fn two_gateways(kind: &str, hop: &str) -> Result<(Lab, Vec<Server>, Agent)> {
    let lab = Lab::builder().start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    for backend in lab.backends() {
        backend.ip(&format!("addr add {BEHIND}/32 dev lo"))?;
    }
    let gateways = [0, 1].map(|index| lab.member_addr(index, Family::V4));
    if kind == "object" {
        lab.lb().sysctl("ipv4/nexthop_compat_mode", "0")?;
        let [first, _] = gateways;
        lab.lb()
            .ip(&format!("nexthop add id 7 via {first} dev lb0\nroute add {BEHIND}/32 nhid 7"))?;
    } else {
        let hops = gateways.map(|gateway| format!("{hop} {kind} {gateway} dev lb0")).join(" ");
        lab.lb().ip(&format!("route add {BEHIND}/32 {hops}"))?;
    }
    let monitor = HealthMonitor::quick(MonitorKind::Tcp);
    let pool = pool_of(&lab, "web", &[BEHIND.parse()?], HTTP_PORT).watched(monitor);
    let agent = start(&lab, &web(&lab, pool)).context("an agent")?;
    Ok((lab, servers, agent))
}

/// What the status says of next hops that do not answer.
pub(super) fn doubts(said: &Value) -> Vec<String> {
    let pools = said["pools"].as_array().into_iter().flatten();
    let members = pools.flat_map(|pool| pool["members"].as_array().into_iter().flatten());
    members.filter_map(|member| member["doubtful_next_hop"].as_str().map(str::to_owned)).collect()
}
