//! Members and the addresses of what is before them: acceptance 22 and 24 of the semantics.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use elb_tests::{
    client::{Load, http_requests},
    config::{Announce, Config, LoadBalancer},
    lab::Lab,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::watched::{LIMIT, Watched, every_second, member};

/// What a member is for the listener called `listener`.
fn at(member: &Value, listener: &str) -> Result<Value> {
    let all = member["status"].as_array().context("no status by listener")?;
    let found = all.iter().find(|status| status["listener"] == listener);
    Ok(found.with_context(|| format!("no {listener} in {all:?}"))?.clone())
}

/// Another load balancer with a listener for the same pool, called "other".
fn with_another(config: &mut Config, vip_address: Option<Ipv4Addr>) {
    let mut listener = config.load_balancers[0].listeners[0].clone();
    listener.name = "other".to_owned();
    config.load_balancers.push(LoadBalancer {
        name: "another".to_owned(),
        vip_address,
        ipv6_vip_address: None,
        announce: Announce::Arp,
        listeners: vec![listener],
    });
}

fn vip(lab: &Lab) -> Option<Ipv4Addr> {
    match lab.vip4() {
        IpAddr::V4(vip) => Some(vip),
        IpAddr::V6(_) => None,
    }
}

#[test]
fn a22_a_member_has_a_status_for_each_listener_of_its_pool() -> Result<()> {
    let mut scene = Watched::start_of(1, every_second(1, 2), |_, mut config| {
        with_another(&mut config, None);
        config
    })?;
    scene.wait(0, "ONLINE")?;
    let said = scene.member(0)?;
    assert_eq!(said["status"].as_array().map(Vec::len), Some(2), "{said}");
    let web = at(&said, "web")?;
    assert_eq!(
        (&web["operating_status"], &web["load_balancer"]),
        (&"ONLINE".into(), &"lb-0".into())
    );
    let other = at(&said, "other")?;
    assert_eq!(other["operating_status"], "OFFLINE", "it was never reachable there");
    assert_eq!(other["load_balancer"], "another");
    assert!(other["why"].as_str().context("no why")?.contains("never had an address"), "{other}");

    scene.config.load_balancers[1].vip_address = Some(Ipv4Addr::new(10, 0, 0, 101));
    scene.agent.reload(&scene.config)?;
    let address = scene.address(0);
    let both = |said: &Value, state: &str| {
        let member = member(said, address).unwrap_or_default();
        ["web", "other"].iter().all(|listener| {
            at(&member, listener).is_ok_and(|status| status["operating_status"] == state)
        })
    };
    scene.agent.wait_status("both to be ONLINE", LIMIT, |said| both(said, "ONLINE"))?;
    scene.scripts[0].answer(&[500]);
    scene.agent.wait_status("both to be OFFLINE", LIMIT, |said| both(said, "OFFLINE"))?;
    Ok(())
}

#[test]
fn a24_members_need_an_address_before_them_once() -> Result<()> {
    let mut scene = Watched::start_of(2, every_second(1, 2), |_, mut config| {
        config.load_balancers[0].vip_address = None;
        config
    })?;
    // Their probes succeed, and yet no one could reach them.
    let said = scene.probed(0, 2)?;
    assert!(said["health"]["probes_ok"].as_u64() >= Some(2), "{said}");
    assert_eq!(said["operating_status"], "OFFLINE");
    assert_eq!(at(&said, "web")?["operating_status"], "OFFLINE");
    let listener = scene.agent.status()?["load_balancers"][0]["listeners"][0].clone();
    assert_eq!(listener["operating_status"], "DEGRADED");
    let table = scene.agent.run(&["status"])?;
    assert!(table.contains("never had an address"), "{table}");

    scene.config.load_balancers[0].vip_address = vip(&scene.lab);
    scene.agent.reload(&scene.config)?;
    (0..2).try_for_each(|index| scene.wait(index, "ONLINE"))?;
    let load = Load::on((scene.lab.vip4(), HTTP_PORT).into());
    assert_eq!(http_requests(scene.lab.client(), load, 40)?.answered(), 40);

    scene.config.agent.allow_empty = Some(true);
    scene.config.load_balancers[0].vip_address = None;
    scene.agent.reload(&scene.config)?;
    let unbound = |said: &Value| said["load_balancers"][0]["vips"] == Value::Array(Vec::new());
    let said = scene.agent.wait_status("no address", LIMIT, unbound)?;
    assert_eq!(member(&said, scene.address(0))?["operating_status"], "ONLINE");
    assert_eq!(scene.probed(0, 3)?["operating_status"], "ONLINE");

    assert!(scene.agent.terminate()?.success());
    scene.agent.restart()?;
    assert_eq!(scene.probed(0, 2)?["operating_status"], "ONLINE", "across a restart");
    Ok(())
}
