//! The way to a member changes while it is used.

use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, Load, http_requests},
    config::{Config, Forwarding, Member, Pool, Protocol},
    lab::Lab,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::{LIMIT, Scene, wait_until_serving};

#[test]
fn a_member_gets_another_ethernet_address() -> Result<()> {
    let scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let beat = Duration::from_millis(50);
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), 60, beat)?;

    let backend = scene.lab.backend(1);
    // Hosts that change it say so, as network managers do.
    backend.sysctl(&format!("ipv4/conf/{}/arp_notify", scene.lab.device()), "1")?;
    backend.ip(&format!("link set {} address 02:00:00:00:be:ef", scene.lab.device()))?;
    let before = held.so_far();
    wait_for("answers on every connection", LIMIT, || {
        Ok(held.so_far().is_beyond(&before, 3).then_some(()))
    })?;
    let held = held.stop()?;
    assert!(!held.on("backend-1").is_empty());
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());

    let report = scene.request(200)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    assert_eq!(report.answers_by_backend().len(), 2);
    Ok(())
}

/// Both backends have the member's address: who answers shows which way packets went.
#[test]
fn the_route_to_a_member_takes_another_gateway() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let member = "10.9.0.1";
    for backend in lab.backends() {
        backend.ip(&format!("addr add {member}/32 dev lo"))?;
    }
    let route = |index| {
        let gateway = lab.member_addr(index, Family::V4);
        lab.lb().ip(&format!("route replace {member}/32 via {gateway} dev lb0"))
    };
    route(0)?;
    let mut config = Config::new(&lab);
    for (name, port) in [("web", HTTP_PORT), ("echo", ECHO_PORT)] {
        let mut pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
        pool.members = vec![Member {
            address: member.parse()?,
            protocol_port: port,
            weight: 1,
            backup: false,
            max_connection: 0,
        }];
        config = config.balance(&lab, Family::V4, port, pool);
    }
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;

    let load = Load::on(lab.service(Family::V4, HTTP_PORT));
    let only = |index| [(lab.backend_name(index), 20)].into();
    assert_eq!(http_requests(lab.client(), load, 20)?.answers_by_backend(), only(0));
    for index in [1, 0] {
        route(index)?;
        wait_for("requests to take the new way", LIMIT, || {
            let answers = http_requests(lab.client(), load, 20)?.answers_by_backend();
            Ok((answers == only(index)).then_some(()))
        })?;
    }

    lab.lb().ip(&format!("route del {member}/32"))?;
    let unreachable = format!("there is no route to {member}");
    let is_shown = |said: &serde_json::Value| said.to_string().contains(&unreachable);
    agent.wait_status("the status to say that there is no route", LIMIT, is_shown)?;
    route(1)?;
    wait_until_serving(&agent)?;
    assert_eq!(http_requests(lab.client(), load, 20)?.answers_by_backend(), only(1));
    Ok(())
}
