//! Services of TCP and UDP by clients of version 2, unmodified: OpenStack's command and SDK, the cloud's extensions of
//! that, and the cloud's SDK of this version.

use std::collections::BTreeSet;

use elb_tests::{client::UdpFlows, wire::ECHO_PORT};

use super::{
    clients::{Sdk, openstack},
    *,
};

impl ApiScene {
    /// What `openstack loadbalancer` with these words prints as JSON; nothing where it prints nothing.
    fn openstack(&self, words: &[&str]) -> Result<Value> {
        // Statuses are JSON in any case.
        let json: &[&str] = match words {
            ["create" | "show", ..] | [_, "create" | "show" | "list", ..]
                if words[0] != "status" =>
            {
                &["-f", "json"]
            }
            _ => &[],
        };
        let ended = openstack(&self.lab, ENDPOINT, &self.key.token, &[words, json].concat())?;
        ensure!(ended.code == Some(0), "{words:?}: {}{}", ended.said, self.agent.log());
        if ended.printed.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&ended.printed).with_context(|| ended.printed.clone())
    }

    /// What `openstack loadbalancer` with these words says when it is refused.
    fn openstack_fails(&self, words: &[&str], parts: &[&str]) -> Result<()> {
        let ended = openstack(&self.lab, ENDPOINT, &self.key.token, words)?;
        ensure!(ended.code != Some(0), "{words:?} succeeds: {}", ended.printed);
        for part in parts {
            ensure!(ended.said.contains(part), "{words:?} says {:?}, without {part:?}", ended.said);
        }
        Ok(())
    }

    /// Waits until datagrams of new clients are answered by exactly these backends. By consistent hash, those without
    /// a record would go where they went before for `udp_hold`.
    fn echo_is_served_by(&self, backends: &[usize]) -> Result<()> {
        let names: Vec<_> = backends.iter().map(|index| self.lab.backend_name(*index)).collect();
        let target = self.lab.service(Family::V4, ECHO_PORT);
        wait_for(&format!("{names:?} to answer datagrams, and no others"), LIMIT, || {
            let flows = UdpFlows::open(self.lab.client(), target, 40, Duration::from_millis(50))?;
            let report = flows.stop()?;
            let found = report.flows.iter().filter_map(|flow| flow.backend());
            let found: BTreeSet<_> = found.map(str::to_owned).collect();
            Ok(found.into_iter().eq(names.iter().cloned()).then_some(()))
        })
    }

    /// What the command makes is what the other ways in see, and the other way round.
    fn all_see_it(&self, lb: &Value) -> Result<()> {
        let shown = self.agent.ask(&["lb", "show", "web"])?;
        ensure!(shown["id"] == lb["id"] && shown["tags"][0]["key"] == "env", "{shown}");
        let described = ["lb", "set", "web", "--attribute", "description=\"by elb\""];
        self.agent.ask(&described)?;
        let shown = self.openstack(&["show", "web"])?;
        ensure!(shown["description"] == "by elb" && shown["id"] == lb["id"], "{shown}");
        Ok(())
    }
}

const TCP: [&str; 3] = ["--protocol", "TCP", "--wait"];
const ROUND_ROBIN: [&str; 2] = ["--lb-algorithm", "ROUND_ROBIN"];

/// Both services, by the command: the load balancer.
fn make_services(scene: &ApiScene) -> Result<Value> {
    let vip = scene.lab.vip4().to_string();
    let (http, echo) = (HTTP_PORT.to_string(), ECHO_PORT.to_string());
    // A load balancer needs a subnet there, which is a label here.
    let create = ["create", "--name", "web", "--vip-address", &vip, "--vip-subnet-id", "front"];
    let more = ["--tag", "env=lab", "--wait"];
    let lb = scene.openstack(&[&create[..], &more].concat())?;
    ensure!(lb["provisioning_status"] == "ACTIVE" && lb["vip_address"] == *vip, "{lb}");
    let listener = ["listener", "create", "web", "--name", "http", "--protocol-port", &http];
    scene.openstack(&[&listener[..], &TCP].concat())?;
    let pool = ["pool", "create", "--name", "http", "--listener", "http"];
    scene.openstack(&[&pool[..], &TCP, &ROUND_ROBIN].concat())?;
    let udp = ["--protocol", "UDP", "--wait"];
    let listener = ["listener", "create", "web", "--name", "echo", "--protocol-port", &echo];
    scene.openstack(&[&listener[..], &udp].concat())?;
    let pool = ["pool", "create", "--name", "echo", "--listener", "echo"];
    let pool = scene.openstack(&[&pool[..], &udp, &ROUND_ROBIN].concat())?;
    ensure!(pool["lb_algorithm"] == "ROUND_ROBIN" && pool["protocol"] == "UDP", "{pool}");
    for (pool, port) in [("http", &http), ("echo", &echo)] {
        for index in [0, 1] {
            let address = scene.lab.member_addr(index, Family::V4).to_string();
            let name = ["first", "second"][index];
            let member = ["member", "create", pool, "--name", name, "--address", &address];
            scene.openstack(&[&member[..], &["--protocol-port", port, "--wait"]].concat())?;
        }
    }
    Ok(lb)
}

#[test]
fn services_follow_each_step_of_the_openstack_command() -> Result<()> {
    let scene = ApiScene::start()?;
    let lb = make_services(&scene)?;
    scene.is_served_by(&[0, 1])?;
    scene.echo_is_served_by(&[0, 1])?;
    scene.all_see_it(&lb)?;
    let monitor = ["healthmonitor", "create", "http", "--name", "http", "--type", "TCP"];
    let times = ["--delay", "1", "--timeout", "1", "--max-retries", "1", "--wait"];
    scene.openstack(&[&monitor[..], &times].concat())?;
    wait_for("members to be ONLINE", LIMIT, || {
        let members = scene.openstack(&["member", "list", "http"])?;
        let members = members.as_array().context("members")?.clone();
        ensure!(members.len() == 2, "{members:?}");
        Ok(members.iter().all(|one| one["operating_status"] == "ONLINE").then_some(()))
    })?;

    for pool in ["http", "echo"] {
        scene.openstack(&["member", "set", pool, "first", "--weight", "0", "--wait"])?;
    }
    scene.is_served_by(&[1])?;
    scene.echo_is_served_by(&[1])?;
    let member = scene.openstack(&["member", "show", "http", "first"])?;
    ensure!(member["operating_status"] == "DRAINING" && member["weight"] == 0, "{member}");
    let tree = scene.openstack(&["status", "show", "web"])?;
    let tree = &tree["loadbalancer"];
    ensure!(tree["listeners"].as_array().is_some_and(|all| all.len() == 2), "{tree}");

    let in_the_way = |part| [part, "HTTP 409"];
    scene.openstack_fails(&["delete", "web"], &in_the_way("is using this loadbalancer"))?;
    scene
        .openstack_fails(&["listener", "delete", "http"], &in_the_way("is using this listener"))?;
    scene.openstack_fails(&["pool", "delete", "http"], &in_the_way("is in this pool"))?;
    let disable = ["member", "set", "http", "first", "--disable"];
    scene.openstack_fails(&disable, &["drain a member by weight 0", "HTTP 501"])?;
    scene.openstack_fails(&["stats", "show", "web"], &["elb status", "HTTP 501"])?;

    for name in ["first", "second"] {
        scene.openstack(&["member", "delete", "http", name, "--wait"])?;
    }
    scene.openstack(&["healthmonitor", "delete", "http", "--wait"])?;
    scene.openstack(&["listener", "delete", "http", "--wait"])?;
    scene.openstack(&["pool", "delete", "http"])?;
    let load = Load { timeout: Duration::from_millis(300), ..Load::on(scene.service()) };
    let report = http_requests(scene.lab.client(), load, 5)?;
    ensure!(report.answered() == 0, "{:?}", report.answers_by_backend());
    // The other service goes on, and goes with its load balancer.
    scene.echo_is_served_by(&[1])?;
    scene.openstack(&["delete", "--cascade", "web", "--wait"])?;
    ensure!(scene.agent.ask(&["pool", "list"])? == json!([]));
    Ok(())
}

/// The service of UDP.
pub(super) fn echo_follows(scene: &mut ApiScene, client: Box<dyn Client>) -> Result<()> {
    let vip = scene.lab.vip4().to_string();
    let addresses = [0, 1].map(|index| scene.lab.member_addr(index, Family::V4).to_string());
    let mut session = Session { client, scene };
    let is_version_2 = session.client.is_version_2();
    let mut lb = json!({"name": "echo", "vip_address": vip});
    if !is_version_2 {
        lb["availability_zone_list"] = json!([]);
    }
    let lb = session.make("create_load_balancer", json!({}), "loadbalancer", lb)?;
    let listener = json!({"loadbalancer_id": lb, "protocol": "UDP", "protocol_port": ECHO_PORT});
    let listener = session.make("create_listener", json!({}), "listener", listener)?;
    let pool = json!({"listener_id": listener, "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN"});
    let pool = session.make("create_pool", json!({}), "pool", pool)?;
    let in_pool = json!({"pool_id": pool});
    let mut members = Vec::new();
    for address in &addresses {
        let member = json!({"address": address, "protocol_port": ECHO_PORT});
        members.push(session.make("create_member", in_pool.clone(), "member", member)?);
    }
    session.is_active(&lb)?;
    session.scene.echo_is_served_by(&[0, 1])?;
    let kind = if is_version_2 { "UDP-CONNECT" } else { "UDP_CONNECT" };
    let monitor =
        json!({"pool_id": pool, "type": kind, "delay": 1, "timeout": 1, "max_retries": 1});
    session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    session.members_are(&pool, "ONLINE")?;
    // OpenStack's clients have another call for the tree.
    if session.client.has_statuses_by_listener() {
        let tree = json!({"loadbalancer_id": lb});
        let tree = session.get("show_load_balancer_status", tree, "statuses")?;
        let members = &tree["loadbalancer"]["pools"][0]["members"];
        let is_online = |one: &Value| one["operating_status"] == "ONLINE";
        let all = members.as_array().with_context(|| tree.to_string())?;
        ensure!(all.len() == 2 && all.iter().all(is_online), "{tree}");
    }
    let first = json!({"pool_id": pool, "member_id": members[0]});
    let (status, reply) =
        session.call("update_member", first.clone(), json!({"member": {"weight": 0}}))?;
    ensure!(status == 200 && reply["member"]["weight"] == 0, "{reply}");
    session.is_active(&lb)?;
    session.scene.echo_is_served_by(&[1])?;
    session.conflicts("delete_pool", in_pool.clone(), "is in this pool")?;
    for member in &members {
        session.deletes("delete_member", json!({"pool_id": pool, "member_id": member}))?;
    }
    session.deletes("delete_listener", json!({"listener_id": listener}))?;
    session.deletes("delete_pool", in_pool)?;
    session.deletes("delete_load_balancer", json!({"loadbalancer_id": lb}))
}

fn sdk(scene: &ApiScene, face: &str) -> Result<Box<Sdk>> {
    let Key { token, project, .. } = &scene.key;
    Ok(Box::new(Sdk::openstack(&scene.lab, [face, ENDPOINT, token, project])?))
}

#[test]
fn services_follow_each_step_of_openstacksdk() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = sdk(&scene, "load_balancer")?;
    service_follows(&mut scene, client)?;
    let client = sdk(&scene, "load_balancer")?;
    echo_follows(&mut scene, client)
}

/// Version 3 for TCP, and both versions for UDP.
#[test]
fn services_follow_each_step_of_otcextensions() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = sdk(&scene, "vlb")?;
    service_follows(&mut scene, client)?;
    for face in ["vlb", "elb"] {
        let client = sdk(&scene, face)?;
        echo_follows(&mut scene, client)?;
    }
    Ok(())
}

#[test]
fn a_service_follows_the_sdk_of_version_2() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let vip = scene.lab.vip4().to_string();
    let addresses = [0, 1].map(|index| scene.lab.member_addr(index, Family::V4).to_string());
    let Key { access, secret, project, .. } = &scene.key;
    let client = Sdk::version_2(&scene.lab, [ENDPOINT, access, secret, project])?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let lb = json!({"name": "web", "vip_address": vip});
    let lb = session.make("create_loadbalancer", json!({}), "loadbalancer", lb)?;
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": HTTP_PORT});
    let listener = session.make("create_listener", json!({}), "listener", listener)?;
    let pool = json!({"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
    let pool = session.make("create_pool", json!({}), "pool", pool)?;
    let in_pool = json!({"pool_id": pool});
    let mut members = Vec::new();
    for address in &addresses {
        let member = json!({"address": address, "protocol_port": HTTP_PORT});
        members.push(session.make("create_member", in_pool.clone(), "member", member)?);
    }
    let of_lb = json!({"loadbalancer_id": lb});
    let is_active = |session: &mut Session<'_>| {
        wait_for("the load balancer to be ACTIVE", LIMIT, || {
            let found = session.get("show_loadbalancer", of_lb.clone(), "loadbalancer")?;
            Ok((found["provisioning_status"] == "ACTIVE").then_some(()))
        })
    };
    is_active(&mut session)?;
    session.scene.is_served_by(&[0, 1])?;
    let first = json!({"pool_id": pool, "member_id": members[0]});
    let (status, reply) = session.call("update_member", first, json!({"member": {"weight": 0}}))?;
    ensure!(status == 200 && reply["member"]["weight"] == 0, "{reply}");
    is_active(&mut session)?;
    session.scene.is_served_by(&[1])?;
    let tree = session.get("show_loadbalancers_status", of_lb.clone(), "statuses")?;
    let found = &tree["loadbalancer"]["pools"][0]["members"];
    ensure!(found.as_array().is_some_and(|all| all.len() == 2), "{tree}");
    session.conflicts("delete_loadbalancer", of_lb.clone(), "is using this loadbalancer")?;
    for member in &members {
        session.deletes("delete_member", json!({"pool_id": pool, "member_id": member}))?;
    }
    session.deletes("delete_listener", json!({"listener_id": listener}))?;
    session.deletes("delete_pool", in_pool)?;
    session.deletes("delete_loadbalancer", of_lb)
}
