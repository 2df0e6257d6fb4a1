//! A host that knew another place of a virtual address learns anew, without asking: after each change that may
//! have made it wrong. And an address has one answer.

use std::time::Instant;

use anyhow::Result;
use elb_tests::{
    address::{Families, Family, Host, Network},
    client::ping,
    lab::Lab,
    status,
    wait::wait_for,
};

use super::scene::{LIMIT, Scene};

/// What no host has: what someone knew before.
const STALE: &str = "02:00:00:00:99:99";

/// The client knows a wrong place of the virtual address, and sends nothing.
fn mislead(lab: &Lab) -> Result<()> {
    let (vip, device) = (lab.vip4(), lab.device());
    lab.client().ip(&format!("neigh replace {vip} lladdr {STALE} dev {device} nud stale")).map(drop)
}

fn known(lab: &Lab) -> Result<String> {
    let (vip, device) = (lab.vip4(), lab.device());
    let said = lab.client().ip(&format!("neigh show to {vip} dev {device}"))?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "lladdr");
    Ok(words.nth(1).unwrap_or_default().to_owned())
}

fn wait_known(lab: &Lab, what: &str, mac: &str) -> Result<()> {
    let from = Instant::now();
    wait_for(&format!("{what}: {mac} to be known"), LIMIT, || {
        Ok((known(lab)? == mac).then_some(()))
    })?;
    // The kernel itself keeps a fresh entry for a second, whatever it receives; announcements are repeated.
    println!("{what}: announced and believed after {:?}", from.elapsed());
    assert!(from.elapsed() <= 2 * super::scene::BAR, "{what}: {:?}", from.elapsed());
    Ok(())
}

fn mac_of_load_balancer() -> String {
    let bytes = Host::LoadBalancer.mac(Network::Back, false);
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

#[test]
fn a_link_that_flaps_and_an_address_that_changes_are_announced() -> Result<()> {
    let scene = Scene::start(Families::V4, |_, _| ())?;
    let lab = &scene.lab;
    // Those of the start are over.
    std::thread::sleep(std::time::Duration::from_millis(3500));
    mislead(lab)?;
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(known(lab)?, STALE, "no announcement without a cause");

    lab.set_lb_cable("down")?;
    lab.set_lb_cable("up")?;
    wait_known(lab, "far end down and up", &mac_of_load_balancer())?;

    let traffic = scene.traffic()?;
    let changed = Instant::now();
    lab.lb().ip("link set lb0 address 02:00:00:00:00:77")?;
    wait_known(lab, "another Ethernet address", "02:00:00:00:00:77")?;
    scene.recovered("another Ethernet address", &traffic, changed)?;
    // Answers to probes, too, find the way at once.
    std::thread::sleep(std::time::Duration::from_secs(3));
    scene.wait_healthy()?;
    let events = scene.agent.run(&["events"])?;
    assert!(!events.contains("OFFLINE"), "{events}");
    traffic.stop()?;

    lab.lb().ip("link set lb0 down\nlink set lb0 up")?;
    mislead(lab)?;
    wait_known(lab, "down and up", "02:00:00:00:00:77")?;
    Ok(())
}

/// A bond uses another port: nothing of the interface changes, and a switch knows the old way.
#[test]
fn a_failover_of_a_bond_is_announced() -> Result<()> {
    let scene = Scene::start(Families::V4, |_, _| ())?;
    let lab = &scene.lab;
    let traffic = scene.traffic()?;
    // Those of the start are over.
    std::thread::sleep(std::time::Duration::from_millis(3500));
    mislead(lab)?;
    let mac = Host::LoadBalancer.mac(Network::Back, false);
    super::failover::say(lab.lb(), "lb0", mac, 1520)?;
    let failed_over = Instant::now();
    wait_known(lab, "failover of a bond", &mac_of_load_balancer())?;
    scene.recovered("failover of a bond", &traffic, failed_over)?;
    scene.wait_healthy()?;
    traffic.stop()?;
    Ok(())
}

#[test]
fn two_interfaces_on_one_segment_give_one_answer_and_no_conflict() -> Result<()> {
    let mut second = None;
    let scene = Scene::start(Families::Both, |lab, config| {
        second = Some(lab.add_lb_device("lb1", 3).expect("another device"));
        config.agent.interfaces = vec!["lb0".to_owned(), "lb1".to_owned()];
    })?;
    let lab = &scene.lab;
    wait_for("one of them to be quiet", LIMIT, || {
        let quiet = scene.agent.log().contains("another one on their segment answers");
        Ok(quiet.then_some(()))
    })?;
    let before = scene.agent.status()?;
    let count = |said: &serde_json::Value, reason| status::packets_of(said, reason);
    for family in [Family::V4, Family::V6] {
        for _ in 0..5 {
            lab.client().ip("neigh flush all")?;
            assert_eq!(ping(lab.client(), lab.vip(family), 1, LIMIT)?, 1);
            if family == Family::V4 {
                assert_eq!(known(lab)?, mac_of_load_balancer());
            }
        }
    }
    let after = scene.agent.status()?;
    let arp = count(&after, "arp_answered") - count(&before, "arp_answered");
    let nd = count(&after, "neighbor_answered") - count(&before, "neighbor_answered");
    assert!(
        (5..10).contains(&arp) && (5..10).contains(&nd),
        "{arp} and {nd} answers to 5 questions"
    );
    assert_eq!(count(&after, "vip_conflict"), count(&before, "vip_conflict"), "{after}");

    // The other one takes over.
    mislead(lab)?;
    lab.lb().ip("link set lb0 down")?;
    wait_known(lab, "the other interface", "02:00:00:00:bb:03")?;
    Ok(())
}

#[test]
fn groups_are_joined_again_and_left_when_they_are_not_wanted() -> Result<()> {
    let mut scene = Scene::start(Families::Both, |_, _| ())?;
    let last = match scene.lab.vip6() {
        std::net::IpAddr::V6(vip) => vip.octets(),
        std::net::IpAddr::V4(_) => unreachable!("an IPv6 address"),
    };
    let group = format!("33:33:ff:{:02x}:{:02x}:{:02x}", last[13], last[14], last[15]);
    let is_joined = |scene: &Scene| -> Result<bool> {
        Ok(scene.lab.lb().ip("maddr show dev lb0")?.contains(&group))
    };
    wait_for("the group", LIMIT, || Ok(is_joined(&scene)?.then_some(())))?;
    scene.lab.lb().ip(&format!("maddr del {group} dev lb0"))?;
    let removed = Instant::now();
    wait_for("the group again", LIMIT, || Ok(is_joined(&scene)?.then_some(())))?;
    println!("multicast group: joined again after {:?}", removed.elapsed());
    assert!(removed.elapsed() <= super::scene::BAR, "{:?}", removed.elapsed());
    wait_for("the report", LIMIT, || {
        Ok((scene.restored("multicast groups of lb0")? == 1).then_some(()))
    })?;

    scene.config.load_balancers.retain(|lb| lb.ipv6_vip_address.is_none());
    scene.agent.reload(&scene.config)?;
    wait_for("the group to be left", LIMIT, || Ok((!is_joined(&scene)?).then_some(())))?;
    Ok(())
}
