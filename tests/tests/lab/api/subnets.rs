//! Load balancers that get their addresses from a subnet of the host: packets find them there, also after a restart,
//! and a reload that takes the subnet away says who keeps what.

use std::collections::BTreeSet;

use super::{
    clients::{Sdk, openstack},
    *,
};

const ID: &str = "5e0b6a0e-6d8e-4c6e-9d0a-3f1a2b4c5d6e";
/// All before the lab's address but one, which is that of the load balancer's host.
const EXCLUDE: &str = r#"["10.0.0.3", "10.0.0.4/30", "10.0.0.8/29", "10.0.0.16/28", "10.0.0.32/27", "10.0.0.64/27", "10.0.0.96/30"]"#;

fn subnet(last: u8) -> String {
    format!(
        "[[api.subnet]]\nid = \"{ID}\"\nname = \"front\"\ncidr = \"10.0.0.0/24\"\nfirst = \"10.0.0.2\"\n\
         last = \"10.0.0.{last}\"\nexclude = {EXCLUDE}\n"
    )
}

fn start(last: u8) -> Result<ApiScene> {
    ApiScene::start_with(Lab::builder().backends(2).start()?, &subnet(last))
}

fn of_subnet() -> Value {
    json!({"vip_subnet_cidr_id": ID, "availability_zone_list": []})
}

impl ApiScene {
    /// Writes the file with another subnet, or without one, and reloads: what that says.
    fn reloads_with(&self, before: u8, subnet: &str) -> Result<String> {
        let text = fs::read_to_string(self.agent.file())?;
        let other = text.replace(&self::subnet(before), subnet);
        ensure!(other != text, "{text}");
        self.agent.write(&other)?;
        self.agent.run(&["reload"])
    }
}

/// `openstack` names the subnet and no address; what it gets is served, and kept.
#[test]
fn a_load_balancer_gets_an_address_that_packets_find() -> Result<()> {
    let mut scene = start(101)?;
    let create = ["create", "--name", "web", "--vip-subnet-id", "front", "--wait", "-f", "json"];
    let made = openstack(&scene.lab, ENDPOINT, &scene.key.token, &create)?;
    ensure!(made.code == Some(0), "{}", made.said);
    let made: Value = serde_json::from_str(&made.printed)?;
    let vip = scene.lab.vip4().to_string();
    ensure!(made["vip_address"] == *vip && made["vip_subnet_id"] == ID, "{made}");
    let unknown = ["create", "--name", "web", "--vip-subnet-id", "back"];
    let refused = openstack(&scene.lab, ENDPOINT, &scene.key.token, &unknown)?;
    ensure!(refused.code != Some(0) && refused.said.contains("back"), "{}", refused.said);

    let Key { access, secret, project, .. } = &scene.key;
    let client = Sdk::start(&scene.lab, [ENDPOINT, access, secret, project])?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let lb = made["id"].as_str().context("an id")?.to_owned();
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": HTTP_PORT});
    let listener = session.make("create_listener", json!({}), "listener", listener)?;
    let pool = json!({"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
    let pool = session.make("create_pool", json!({}), "pool", pool)?;
    for index in [0, 1] {
        let address = session.scene.lab.member_addr(index, Family::V4).to_string();
        let member = json!({"address": address, "protocol_port": HTTP_PORT});
        session.make("create_member", json!({"pool_id": pool}), "member", member)?;
    }
    session.is_active(&lb)?;
    session.scene.is_served_by(&[0, 1])?;

    let second = session.make("create_load_balancer", json!({}), "loadbalancer", of_subnet())?;
    let second = json!({"loadbalancer_id": second});
    let shown = session.get("show_load_balancer", second, "loadbalancer")?;
    ensure!(shown["vip_address"] == "10.0.0.101", "{shown}");
    let body = json!({"loadbalancer": of_subnet()});
    let (status, reply) = session.call("create_load_balancer", json!({}), body)?;
    ensure!(status == 400 && reply["error_code"] == "ELB.8950", "{status} {reply}");
    ensure!(
        reply["error_msg"].to_string().contains("no address of 10.0.0.0/24 is free"),
        "{reply}"
    );

    session.scene.agent.kill()?;
    session.scene.agent.restart()?;
    session.is_active(&lb)?;
    session.scene.is_served_by(&[0, 1])
}

/// A reload adds addresses at once; where it takes some away, it names the load balancers that keep theirs.
#[test]
fn a_reload_changes_subnets_and_takes_no_address_away() -> Result<()> {
    let mut scene = start(100)?;
    let client = scene.curl()?;
    let mut session = Session { client, scene: &mut scene };
    let first = session.make("create_load_balancer", json!({}), "loadbalancer", of_subnet())?;
    let body = json!({"loadbalancer": of_subnet()});
    let (status, reply) = session.call("create_load_balancer", json!({}), body)?;
    ensure!(status == 400 && reply["error_code"] == "ELB.8950", "{status} {reply}");
    let said = session.scene.reloads_with(100, &subnet(101))?;
    ensure!(!said.contains("subnet") && !said.contains("restart"), "{said}");
    let words = ["lb", "create", "by-hand", "--vip-subnet", ID];
    let made = session.scene.agent.ask(&words)?;
    ensure!(made["vip_address"] == "10.0.0.101", "{made}");

    let said = session.scene.reloads_with(101, "")?;
    for address in ["10.0.0.100", "10.0.0.101"] {
        let words = format!("{address} is no address of subnet front any more; it keeps it");
        ensure!(said.contains(&words), "{said}");
        ensure!(session.scene.agent.log().contains(&words), "{}", session.scene.agent.log());
    }
    let args = json!({"loadbalancer_id": first});
    let renamed = json!({"loadbalancer": {"name": "still there"}});
    let (status, shown) = session.call("update_load_balancer", args, renamed)?;
    ensure!(status == 200 && shown["loadbalancer"]["vip_address"] == "10.0.0.100", "{shown}");
    // Without a subnet, its id is a label again, and says nothing of addresses.
    let body = json!({"loadbalancer": of_subnet()});
    let (status, reply) = session.call("create_load_balancer", json!({}), body)?;
    ensure!(status == 403 && reply["error_code"] == "ELB.8903", "{status} {reply}");
    Ok(())
}

/// Many clients at once get an address each.
#[test]
fn clients_at_the_same_time_get_different_addresses() -> Result<()> {
    let scene = start(150)?;
    let made = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let client = scene.curl();
                scope.spawn(move || -> Result<Vec<String>> {
                    let mut client = client?;
                    let mut found = Vec::new();
                    for _ in 0..4 {
                        let body = json!({"loadbalancer": of_subnet()});
                        let (status, reply) =
                            client.call("create_load_balancer", &json!({}), &body)?;
                        ensure!(status == 201, "{status} {reply}");
                        let address = &reply["loadbalancer"]["vip_address"];
                        found.push(address.as_str().context("an address")?.to_owned());
                    }
                    Ok(found)
                })
            })
            .collect();
        let ended = clients.into_iter().map(|client| client.join().expect("no client panics"));
        ended.collect::<Result<Vec<_>>>()
    })?;
    let all: Vec<String> = made.into_iter().flatten().collect();
    let different: BTreeSet<_> = all.iter().collect();
    let expected: Vec<String> = (100..132).map(|n| format!("10.0.0.{n}")).collect();
    let expected: BTreeSet<_> = expected.iter().collect();
    ensure!(all.len() == 32 && different == expected, "{all:?}");
    Ok(())
}
