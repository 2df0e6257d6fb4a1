//! Limits: of connections, new ones, and what there may be of everything. That a figure holds to the packet is shown by
//! runs of the program, whose clock a test knows (`tests/program/admission.rs`); here, that it gets there.

use super::*;

impl ApiScene {
    /// What the maps say how many connections a listener may open in a second, and have.
    fn limits(&self) -> Result<[Value; 2]> {
        let said = self.explained(ECHO_PORT)?;
        Ok(["cps", "max_connection"].map(|key| said["admission"][key]["limit"].clone()))
    }
}

/// Acceptance 88: a flavor's figures and those of the listener, the lower ones, are what packets meet; what is beyond a
/// rate is dropped, and connections that exist go on. Acceptance 90: no bandwidth is promised, and who asks for one is
/// refused.
#[test]
fn the_figures_of_a_flavor_reach_packets() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let query = json!({"name": "L4_flavor.elb.s1.small"});
    let small = session.get("list_flavors", query, "flavors")?[0].clone();
    ensure!(small["info"] == json!({"connection": 500_000, "cps": 10_000}), "{small}");
    let lb = session.balancer()?;
    let made = session.echo_service(&lb, "TCP")?;
    ensure!(session.scene.limits()? == [Value::Null, Value::Null]);
    let held = session.scene.hold(4)?;
    session.set("loadbalancer", &lb, &lb, json!({"l4_flavor_id": small["id"]}))?;
    ensure!(session.scene.limits()? == [json!(10_000), json!(500_000)]);
    session.scene.let_in()?;
    let own = |cps: u32, connection: u32| json!({"cps": cps, "connection": connection});
    session.set("listener", &made.listener, &lb, own(100, 600_000))?;
    ensure!(session.scene.limits()? == [json!(100), json!(500_000)]);
    session.set("listener", &made.listener, &lb, own(1, 0))?;
    wait_for("two new connections in one second", LIMIT, || {
        session.scene.attempt(PATIENCE)?;
        Ok((session.scene.packets_of("rate_limited")? > 0).then_some(()))
    })?;
    go_on(&held)?;
    let host = session.get("list_flavors", json!({"type": "L4_elastic_max"}), "flavors")?;
    session.set("loadbalancer", &lb, &lb, json!({"l4_flavor_id": host[0]["id"]}))?;
    session.set("listener", &made.listener, &lb, own(0, 0))?;
    ensure!(session.scene.limits()? == [Value::Null, Value::Null]);
    go_on(&held)?;

    let eip = json!({"network_type": "5_bgp", "bandwidth": {"size": 50, "share_type": "PER"}});
    for (key, value) in [("publicip", eip), ("ipv6_bandwidth", json!({"id": "b"}))] {
        let body = json!({"loadbalancer": {
            "vip_address": "192.0.2.99", "availability_zone_list": [], key: value}});
        session.refuses(("create_load_balancer", json!({}), body), (403, "ELB.8903"), key)?;
    }
    Ok(())
}

/// Acceptance 89: one connection more than there may be is dropped, and accepted after one of them has closed.
#[test]
fn one_connection_more_waits_until_another_closes() -> Result<()> {
    const MOST: usize = 10;
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let lb = session.balancer()?;
    let made = session.echo_service(&lb, "TCP")?;
    session.set("listener", &made.listener, &lb, json!({"connection": MOST}))?;
    let held = session.scene.hold(MOST - 1)?;
    let last = session.scene.let_in()?;
    session.scene.keeps_out("connection_limit")?;
    drop(last);
    wait_for("a connection to be let in", LIMIT, || session.scene.attempt(PATIENCE))?;
    go_on(&held)
}

/// Acceptance 91: the 301st network of a group, the 21st tag and the 501st member are refused, and what was there is
/// served. The 11th condition is one of L7 policies.
#[test]
fn quotas_hold() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let lb = session.balancer()?;
    let made = session.echo_service(&lb, "TCP")?;
    const QUOTA: (u16, &str) = (409, "ELB.8905");
    let networks = |count: usize| -> Value {
        (0..count).map(|n| json!({"ip": format!("10.{}.{}.0/24", n / 256, n % 256)})).collect()
    };
    let body = |count| json!({"ipgroup": {"ip_list": networks(count)}});
    session.refuses(("create_ip_group", json!({}), body(301)), QUOTA, "of 300")?;
    let group = json!({"ip_list": networks(300)});
    let group = session.make("create_ip_group", json!({}), "ipgroup", group)?;
    let one = json!({"ipgroup": {"ip_list": [{"ip": "192.0.2.1"}]}});
    session.refuses(("update_ip_list", json!({"ipgroup_id": group}), one), QUOTA, "of 300")?;

    let tags = |from: u32, to: u32| -> Value {
        let tags: Value = (from..to).map(|n| json!({"key": n.to_string(), "value": "v"})).collect();
        json!({"action": "create", "tags": tags})
    };
    let of = json!({"loadbalancer_id": lb});
    session.done("change_loadbalancer_tags", of.clone(), tags(0, 20), 204)?;
    session.refuses(("change_loadbalancer_tags", of, tags(20, 21)), QUOTA, "")?;

    // Weight 0: no packet is to go there.
    let members = |range: std::ops::Range<usize>| -> Value {
        let all = range.map(|n| {
            let address = format!("10.99.{}.{}", n / 250, n % 250 + 1);
            json!({"address": address, "protocol_port": ECHO_PORT, "weight": 0})
        });
        json!({"members": all.collect::<Value>()})
    };
    let pool = json!({"pool_id": made.pool});
    for range in [0..200, 200..400, 400..498] {
        session.done("batch_create_members", pool.clone(), members(range), 201)?;
    }
    session.refuses(
        ("batch_create_members", pool.clone(), members(498..499)),
        QUOTA,
        "500 members",
    )?;
    let one = json!({"member": members(498..499)["members"][0]});
    session.refuses(("create_member", pool, one), QUOTA, "500 members")?;
    session.is_active(&lb)?;
    session.scene.let_in()?;
    Ok(())
}
