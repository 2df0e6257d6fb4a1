//! Servers and clients of others, on hosts that leave checksums and segments to their devices.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    config::{Config, Forwarding, MonitorKind, Pool, Protocol, SourceAddresses, client_prefix},
    lab::Lab,
    status,
};

use super::{
    clients::{Client, Known},
    servers::{Member, OFFERS, OFFERS_IN_PYTHON, Offer},
};
use crate::scene::wait_until_serving;

const MEMBERS: usize = 2;

#[test]
fn programs_of_others_from_one_interface_to_another() -> Result<()> {
    let lab = two_armed()?;
    let interfaces = lab.lb_interfaces();
    serve_all(&lab, &interfaces, Lab::vip)
}

/// Clients are behind a router on the members' segment.
#[test]
fn programs_of_others_on_one_interface() -> Result<()> {
    let lab = two_armed()?;
    lab.leave_front()?;
    serve_all(&lab, &["lb1"], Lab::back_vip)
}

/// Members see source addresses, and have no route by the load balancer.
#[test]
fn programs_of_others_by_source_addresses() -> Result<()> {
    let members = u8::try_from(MEMBERS)?;
    let lab = Lab::builder().two_armed().backends(members).mtu(1500).start()?;
    lab.lb_forwards()?;
    lab.offload()?;
    let mut config = config(&lab, &lab.lb_interfaces(), Lab::vip, &OFFERS);
    config.load_balancers.retain(|lb| lb.vip_address.is_some());
    config.pools.retain(|pool| pool.members.iter().all(|member| member.address.is_ipv4()));
    config.pools.iter_mut().for_each(|pool| pool.forwarding = Forwarding::FullNat);
    config.snat = Some(SourceAddresses::of_backends());
    serve(&lab, &config, &[(Family::V4, Known::Source)], Lab::vip)
}

/// Members have IPv6, and clients of both versions.
#[test]
fn programs_of_others_with_ipv6_for_clients_with_ipv4() -> Result<()> {
    let lab = two_armed()?;
    let mut config = config(&lab, &lab.lb_interfaces(), Lab::vip, &OFFERS);
    // Those of IPv6 are the second half.
    let half = config.pools.len() / 2;
    let (first, second) = config.pools.split_at_mut(half);
    for (pool, other) in first.iter_mut().zip(second) {
        pool.members = other.members.clone();
        pool.forwarding = Forwarding::Nat46;
    }
    config.client_prefix = Some(client_prefix());
    serve(&lab, &config, &[(Family::V4, Known::Embedded), (Family::V6, Known::Itself)], Lab::vip)
}

#[test]
fn mail_and_web_sockets_in_python() -> Result<()> {
    let lab = two_armed()?;
    let start = |index| Member::start_in_python(&lab, index);
    let _members = (0..MEMBERS).map(start).collect::<Result<Vec<_>>>()?;
    let interfaces = lab.lb_interfaces();
    let agent = Agent::start(&lab, &config(&lab, &interfaces, Lab::vip, &OFFERS_IN_PYTHON))?;
    wait_until_serving(&agent)?;
    for family in [Family::V4, Family::V6] {
        Client { lab: &lab, vip: lab.vip(family), known: Known::Itself }.mail_and_chat()?;
    }
    assert_eq!(status::drops(&agent.status()?), Vec::<String>::new());
    Ok(())
}

fn two_armed() -> Result<Lab> {
    let members = u8::try_from(MEMBERS)?;
    let lab = Lab::builder().two_armed().backends(members).families(Families::Both).mtu(1500);
    let lab = lab.start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    lab.offload()?;
    Ok(lab)
}

type Vip = fn(&Lab, Family) -> std::net::IpAddr;

fn serve_all(lab: &Lab, interfaces: &[&str], vip: Vip) -> Result<()> {
    let families = [(Family::V4, Known::Itself), (Family::V6, Known::Itself)];
    serve(lab, &config(lab, interfaces, vip, &OFFERS), &families, vip)
}

fn serve(lab: &Lab, config: &Config, families: &[(Family, Known)], vip: Vip) -> Result<()> {
    let start = |index| Member::start(lab, index);
    let members = (0..MEMBERS).map(start).collect::<Result<Vec<_>>>()?;
    let agent = Agent::start(lab, config)?;
    wait_until_serving(&agent)?;
    for (family, known) in families {
        let client = Client { lab, vip: vip(lab, *family), known: *known };
        client.requests()?;
        client.contents(&members)?;
        client.names()?;
        client.halves()?;
        client.datagrams()?;
        client.streams()?;
    }
    let mut drops = status::drops(&agent.status()?);
    if config.client_prefix.is_some() {
        // Fragments that do not fit: of their first, the sender is notified, and sends smaller ones.
        drops.retain(|drop| !drop.contains("too_big"));
    }
    assert_eq!(drops, Vec::<String>::new());
    Ok(())
}

fn config(lab: &Lab, interfaces: &[&str], vip: Vip, offers: &[Offer]) -> Config {
    let mut config = Config::new(lab);
    config.agent.interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    for family in [Family::V4, Family::V6] {
        for offer in offers {
            let name = format!("{} {family:?}", offer.name);
            let pool = Pool::of(lab, &name, family, offer.protocol, offer.member_port);
            let mut pool = pool.forwarding(Forwarding::Nat);
            if offer.protocol == Protocol::Tcp && !offer.by_one {
                pool = pool.monitored_by(MonitorKind::Tcp);
            }
            if offer.by_one {
                pool.members.truncate(1);
            }
            config = config.balance(lab, family, offer.port, pool);
        }
    }
    super::at(config, |family| vip(lab, family))
}
