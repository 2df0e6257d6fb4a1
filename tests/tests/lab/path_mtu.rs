//! Packets that are too big somewhere: their senders learn of it, clients and backends alike.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{download, upload},
    config::{Config, Forwarding, Pool, Protocol},
    lab::{Builder, Lab},
    server::Server,
    status,
    wire::HTTP_PORT,
};
use serde_json::{Value, json};

use crate::scene::wait_until_serving;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const BYTES: u64 = 1_000_000;
const FEWER_BYTES: u64 = 200_000;

/// HTTP for both families over backends of the same family. In the order in which they are made, so
/// that they go in the reverse one.
fn start(lab: Builder, mode: Forwarding, backends: u8) -> Result<(Lab, Vec<Server>, Agent)> {
    let lab = lab.backends(backends).families(Families::Both).start()?;
    let servers = lab.serve()?;
    lab.backends_up(mode)?;
    let config = FAMILIES.into_iter().fold(Config::new(&lab), |config, family| {
        let pool = Pool::of(&lab, &format!("web {family:?}"), family, Protocol::Tcp, HTTP_PORT);
        config.balance(&lab, family, HTTP_PORT, pool.forwarding(mode))
    });
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    Ok((lab, servers, agent))
}

/// Behind the load balancer there is no room for outer headers around a client's full packets, and
/// no one has lowered the clients' segment size: they learn it from the answer.
#[test]
fn clients_learn_what_fits_into_a_tunnel() -> Result<()> {
    for (mode, fits) in [(Forwarding::Ipip, [1480, 1460]), (Forwarding::Gue, [1468, 1448])] {
        let (lab, _servers, agent) = start(Lab::builder().mtu(1500), mode, 2)?;
        for (family, fits) in FAMILIES.into_iter().zip(fits) {
            upload(lab.client(), lab.service(family, HTTP_PORT), BYTES)?;
            let vip = lab.vip(family);
            let route = lab.client().ip(&format!("route get {vip}"))?;
            assert!(route.contains(&format!("mtu {fits} ")), "{mode:?}: {route}");
            is_explained(&lab, &agent, family, mode, fits)?;
        }
        let said = agent.status()?;
        assert!(status::packets_of(&said, "too_big_answered") >= 2, "{said}");
    }
    Ok(())
}

/// `elb explain` shows what the client has learned, and what goes on in which tunnel.
fn is_explained(
    lab: &Lab,
    agent: &Agent,
    family: Family,
    mode: Forwarding,
    fits: u32,
) -> Result<()> {
    let src = lab.client_addr(family).to_string();
    let dst = lab.service(family, HTTP_PORT).to_string();
    let explain = |size: u32| {
        let size = size.to_string();
        agent.ask(&["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--size", &size])
    };
    let answered = explain(fits + 1)?;
    let kind = if family == Family::V4 { "fragmentation_needed" } else { "packet_too_big" };
    assert_eq!(answered["answer"], json!({ "kind": kind, "mtu": fits }), "{answered}");
    assert_eq!(answered["sent"], Value::Null, "{answered}");
    let sent = explain(fits)?["sent"].take();
    let gue = &sent["encapsulation"]["gue"]["destination_port"];
    assert_eq!(
        (&sent["length"], gue.is_number()),
        (&1514.into(), mode == Forwarding::Gue),
        "{sent}"
    );
    Ok(())
}

/// A hop between router and client is narrower than backends and client know: the router informs the
/// virtual address, whose answer was too big, and the load balancer the backend that sent it.
#[test]
fn backends_learn_what_fits_to_the_client() -> Result<()> {
    const NARROW: u32 = 1300;
    for mode in [Forwarding::L2, Forwarding::Ipip, Forwarding::Gue] {
        let (lab, _servers, _agent) = start(Lab::builder().two_armed(), mode, 3)?;
        lab.router().ip(&format!("link set front mtu {NARROW}"))?;
        for family in FAMILIES {
            let mut learned = vec![false; lab.backends().len()];
            for _ in 0..12 {
                let transfer = download(lab.client(), lab.service(family, HTTP_PORT), FEWER_BYTES)?;
                let index = (0..learned.len()).find(|i| lab.backend_name(*i) == transfer.backend);
                learned[index.expect("a backend of the lab")] = true;
            }
            assert!(learned.iter().filter(|it| **it).count() > 1, "{mode:?}: one backend only");
            for (index, _) in learned.iter().enumerate().filter(|(_, learned)| **learned) {
                let client = lab.client_addr(family);
                let route = lab.backend(index).ip(&format!("route get {client}"))?;
                assert!(route.contains(&format!("mtu {NARROW} ")), "{mode:?}: {route}");
            }
        }
    }
    Ok(())
}
