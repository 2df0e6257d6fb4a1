//! What the program answers for a virtual address, and what it leaves to the host.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use elb_tests::{
    address::{Families, Family, Host, Network},
    agent::Agent,
    client::{FailureKind, Load, http_requests, ping},
    config::{Announce, Config, Forwarding, LoadBalancer, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::wait_until_serving;

const PATIENCE: Duration = Duration::from_secs(2);
/// For answers that do not come: longer than the kernel tries to find a neighbour.
const IN_VAIN: Duration = Duration::from_millis(300);

/// One backend behind the lab's addresses of both families.
fn config(lab: &Lab) -> Config {
    [Family::V4, Family::V6].into_iter().fold(Config::new(lab), |config, family| {
        let pool = Pool::of(lab, &format!("web {family:?}"), family, Protocol::Tcp, HTTP_PORT);
        config.balance(lab, family, HTTP_PORT, pool.forwarding(Forwarding::L2))
    })
}

/// In the order in which they are made, so that they go in the reverse one.
fn start() -> Result<(Lab, Vec<Server>, Agent)> {
    let lab = Lab::builder().backends(1).families(Families::Both).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::L2)?;
    let agent = Agent::start(&lab, &config(&lab))?;
    wait_until_serving(&agent)?;
    Ok((lab, servers, agent))
}

/// The Ethernet address that the client knows for `address`, if any.
fn resolved(lab: &Lab, address: IpAddr) -> Result<Option<String>> {
    let said = lab.client().ip(&format!("neigh show to {address} dev {}", lab.device()))?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "lladdr");
    Ok(words.nth(1).map(str::to_owned))
}

fn mac_of_load_balancer() -> String {
    let bytes = Host::LoadBalancer.mac(Network::Back, false);
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

#[test]
fn the_addresses_are_resolved_and_pinged_though_no_interface_has_them() -> Result<()> {
    let (lab, _servers, agent) = start()?;
    let interfaces = lab.lb().ip("addr show")?;
    for family in [Family::V4, Family::V6] {
        let vip = lab.vip(family);
        assert!(!interfaces.contains(&format!("{vip}/")), "{interfaces}");
        lab.client().ip("neigh flush all")?;
        assert_eq!(resolved(&lab, vip)?, None);

        assert_eq!(ping(lab.client(), vip, 3, PATIENCE)?, 3, "{vip}");
        assert_eq!(resolved(&lab, vip)?, Some(mac_of_load_balancer()), "{vip}");
    }
    let said = agent.status()?;
    assert_eq!(status::packets_of(&said, "echo_answered"), 6);
    for reason in ["arp_answered", "neighbor_answered"] {
        assert!(status::packets_of(&said, reason) > 0, "{reason}: {said}");
    }
    Ok(())
}

#[test]
fn an_address_without_listener_is_resolved_but_does_not_answer_pings() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let vip = lab.vip4();
    let mut config = Config::new(&lab);
    config.load_balancers.push(idle(vip, Announce::Arp));
    let agent = Agent::start(&lab, &config)?;

    assert_eq!(ping(lab.client(), vip, 2, IN_VAIN)?, 0);
    assert_eq!(resolved(&lab, vip)?, Some(mac_of_load_balancer()));
    assert_eq!(status::packets_of(&agent.status()?, "echo_answered"), 0);
    Ok(())
}

fn idle(vip: IpAddr, announce: Announce) -> LoadBalancer {
    let (vip_address, ipv6_vip_address) = match vip {
        IpAddr::V4(v4) => (Some(v4), None),
        IpAddr::V6(v6) => (None, Some(v6)),
    };
    let name = "idle".to_owned();
    LoadBalancer { name, vip_address, ipv6_vip_address, announce, listeners: Vec::new() }
}

#[test]
fn an_address_that_is_not_announced_is_served_to_who_is_routed_here() -> Result<()> {
    let lab = Lab::builder().backends(1).families(Families::Both).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::L2)?;
    let mut config = config(&lab);
    for lb in &mut config.load_balancers {
        lb.announce = Announce::None;
    }
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;

    for family in [Family::V4, Family::V6] {
        let vip = lab.vip(family);
        assert_eq!(ping(lab.client(), vip, 1, IN_VAIN)?, 0, "{vip}");
        assert_eq!(resolved(&lab, vip)?, None, "{vip}");

        let (device, mac) = (lab.device(), mac_of_load_balancer());
        lab.client().ip(&format!("neigh replace {vip} lladdr {mac} dev {device} nud permanent"))?;
        assert_eq!(ping(lab.client(), vip, 2, PATIENCE)?, 2, "{vip}");
        let report = http_requests(lab.client(), Load::on(lab.service(family, HTTP_PORT)), 20)?;
        assert_eq!(report.answered(), 20, "{:?}", report.failures());
    }
    let said = agent.status()?;
    for reason in ["arp_answered", "neighbor_answered"] {
        assert_eq!(status::packets_of(&said, reason), 0, "{reason}: {said}");
    }
    Ok(())
}

#[test]
fn the_host_itself_stays_reachable_on_the_same_interface() -> Result<()> {
    let (lab, _servers, _agent) = start()?;
    let _host = Server::start(lab.lb(), "the-host")?;
    for family in [Family::V4, Family::V6] {
        let own = Network::Back.address(family, Host::LoadBalancer);
        assert_eq!(ping(lab.client(), own, 3, PATIENCE)?, 3);
        let report = http_requests(lab.client(), Load::on((own, HTTP_PORT).into()), 50)?;
        assert_eq!(report.answers_by_backend(), [("the-host".to_owned(), 50)].into());
    }
    Ok(())
}

#[test]
fn a_port_without_listener_is_not_forwarded() -> Result<()> {
    let (lab, _servers, agent) = start()?;
    for family in [Family::V4, Family::V6] {
        // The backend serves this port, and has the address.
        let load = Load { timeout: IN_VAIN, ..Load::on(lab.service(family, ECHO_PORT)) };
        let before = status::packets_of(&agent.status()?, "closed_port_answered");
        let report = http_requests(lab.client(), load, 4)?;
        assert_eq!(report.failures().len(), 4, "{:?}", report.answers_by_backend());
        assert!(report.failures().iter().all(|one| one.kind == FailureKind::Refused));
        let after = status::packets_of(&agent.status()?, "closed_port_answered");
        assert!(after >= before + 4, "{family:?}: {before}, then {after}");

        let report = http_requests(lab.client(), Load::on(lab.service(family, HTTP_PORT)), 20)?;
        assert_eq!(report.answered(), 20, "{:?}", report.failures());
    }
    Ok(())
}
