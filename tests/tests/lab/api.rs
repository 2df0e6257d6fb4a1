//! The API, by clients that others made: a service is built by it, and packets follow each step; what was
//! acknowledged outlives the agent.

mod acceptance;
mod applying;
mod certificates;
mod clients;
mod commanding;
mod described;
mod killing;
mod openstack;
mod operating;
mod replaying;
mod secured;
mod strangers;
mod subnets;
mod whole;

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HttpReport, Load, http_requests},
    config::{Config, Forwarding},
    disk::Disk,
    environment::elb_bin,
    lab::Lab,
    process::output,
    server::Server,
    status,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use serde_json::{Value, json};

use self::clients::{Client, Curl, Sdk};
use crate::scene::LIMIT;

const ENDPOINT: &str = "http://127.0.0.1:9443";

/// Two backends that serve, and an agent whose load balancers are made by the API: none yet.
struct ApiScene {
    agent: Agent,
    key: Key,
    servers: Vec<Server>,
    lab: Lab,
}

/// What `elb key create` printed.
struct Key {
    access: String,
    secret: String,
    token: String,
    project: String,
}

impl ApiScene {
    fn start() -> Result<Self> {
        Self::start_in(Lab::builder().backends(2).start()?, None)
    }

    /// With the store in a file of its own.
    fn start_in(lab: Lab, store: Option<&Path>) -> Result<Self> {
        let store = store.map(|path| format!("store = \"{}\"\n", path.display()));
        Self::start_with(lab, &store.unwrap_or_default())
    }

    /// With more in `[api]`.
    fn start_with(lab: Lab, more: &str) -> Result<Self> {
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let config = Config::new(&lab);
        // The file of a host with a store names no load balancers, not even none.
        let file = config.text()?.replace("load_balancer = []\n", "").replace("pool = []\n", "");
        let text = format!("{file}\n[api]\nforwarding = \"ipip\"\n{more}");
        let agent = Agent::start_with(&lab, &text, &config.agent.socket)?;
        let key = Key::create(&lab, agent.file(), "lab")?;
        Ok(Self { agent, key, servers, lab })
    }

    fn service(&self) -> SocketAddr {
        self.lab.service(Family::V4, HTTP_PORT)
    }

    /// Requests, each on a connection of its own.
    fn requests(&self) -> Result<HttpReport> {
        let load = Load { timeout: Duration::from_secs(2), ..Load::on(self.service()) };
        http_requests(self.lab.client(), load, 40)
    }

    /// Requests of clients, of which this many came here and were counted by a reason: how many were answered. None:
    /// not all of them have come yet, or packets for the service have another reason.
    fn answered_where(&self, reason: &str) -> Result<Option<usize>> {
        const REQUESTS: u64 = 3;
        let (client, service) =
            (SocketAddr::new(self.lab.client_addr(Family::V4), 999), self.service());
        let (src, dst) = (client.to_string(), service.to_string());
        let question = ["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--syn"];
        let explained = self.agent.ask(&question)?;
        let counted = || anyhow::Ok(status::packets_of(&self.agent.status()?, reason));
        let before = counted()?;
        let load = Load { timeout: Duration::from_millis(300), ..Load::on(service) };
        let report = http_requests(self.lab.client(), load, usize::try_from(REQUESTS)?)?;
        let is_seen = counted()? >= before + REQUESTS && explained["decision"]["reason"] == reason;
        Ok((report.answered() > 0 || is_seen).then(|| report.answered()))
    }

    /// No client is answered: packets for the service come here, and are not forwarded for this reason.
    fn is_not_served(&self, reason: &str) -> Result<()> {
        let answered =
            wait_for(&format!("clients to meet {reason}"), STUCK, || self.answered_where(reason))?;
        ensure!(answered == 0, "{answered} answers, and not {reason}");
        Ok(())
    }

    /// Waits until no client is answered any more, for this reason.
    fn becomes_unserved(&self, reason: &str) -> Result<()> {
        wait_for(&format!("clients to meet {reason}"), STUCK, || {
            Ok(self.answered_where(reason)?.filter(|answered| *answered == 0).map(drop))
        })
    }

    /// Waits until requests are answered by exactly these backends.
    fn is_served_by(&self, backends: &[usize]) -> Result<()> {
        let names: Vec<_> = backends.iter().map(|index| self.lab.backend_name(*index)).collect();
        let report = self.requests()?;
        let found: Vec<_> = report.answers_by_backend().into_keys().collect();
        ensure!(found == names, "{found:?} answer, not {names:?}: {:?}", report.failures());
        ensure!(report.failures().is_empty(), "{:?}", report.failures());
        Ok(())
    }
}

impl Key {
    fn create(lab: &Lab, file: &Path, name: &str) -> Result<Self> {
        let mut command = lab.lb().command(elb_bin()?);
        command.args(["key", "create", name, "--config"]).arg(file);
        let printed = output(command, STUCK)?;
        let value = |key: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(key));
            line.map(|value| value.trim().to_owned()).with_context(|| printed.clone())
        };
        Ok(Self {
            access: value("access")?,
            secret: value("secret")?,
            token: value("token")?,
            project: value("project")?,
        })
    }
}

/// A client, and what it made.
struct Session<'a> {
    client: Box<dyn Client>,
    scene: &'a mut ApiScene,
}

impl Session<'_> {
    fn call(&mut self, op: &str, args: Value, body: Value) -> Result<(u16, Value)> {
        self.client.call(op, &args, &body)
    }

    /// Makes a resource: its id.
    fn make(&mut self, op: &str, args: Value, key: &str, body: Value) -> Result<String> {
        let (status, reply) = self.call(op, args, json!({key: body}))?;
        ensure!(status == 201, "{op}: {status} {reply}");
        reply[key]["id"].as_str().map(str::to_owned).with_context(|| reply.to_string())
    }

    fn get(&mut self, op: &str, args: Value, key: &str) -> Result<Value> {
        let (status, reply) = self.call(op, args, Value::Null)?;
        ensure!(status == 200, "{op}: {status} {reply}");
        Ok(reply[key].clone())
    }

    /// Waits until the data path has what belongs to a load balancer.
    fn is_active(&mut self, lb: &str) -> Result<()> {
        wait_for("the load balancer to be ACTIVE", LIMIT, || {
            let found =
                self.get("show_load_balancer", json!({"loadbalancer_id": lb}), "loadbalancer")?;
            ensure!(found["provisioning_status"] != "ERROR", "{found}\n{}", self.scene.agent.log());
            Ok((found["provisioning_status"] == "ACTIVE").then_some(()))
        })
    }

    fn members_are(&mut self, pool: &str, status: &str) -> Result<()> {
        let is_version_2 = self.client.is_version_2();
        let by_listener = self.client.has_statuses_by_listener();
        let fits = |member: &Value| {
            let is_so = |of: &Value| of["operating_status"] == status;
            // Version 2 has a word of its own for members without weight.
            let is_drained = member["weight"] == 0 && member["operating_status"] == "DRAINING";
            (is_so(member) || (is_version_2 && is_drained))
                && (!by_listener || is_so(&member["status"][0]))
        };
        wait_for(&format!("members to be {status}"), LIMIT, || {
            let members = self.get("list_members", json!({"pool_id": pool}), "members")?;
            let all = members.as_array().context("members")?.clone();
            Ok(all.iter().all(fits).then_some(()))
        })
    }

    fn conflicts(&mut self, op: &str, args: Value, words: &str) -> Result<()> {
        let (status, reply) = self.call(op, args, Value::Null)?;
        let said = reply["error_msg"].as_str().unwrap_or_default();
        ensure!(status == 409 && reply["error_code"] == "ELB.8907", "{op}: {status} {reply}");
        ensure!(said.contains(words), "{op}: {reply}");
        Ok(())
    }

    fn deletes(&mut self, op: &str, args: Value) -> Result<()> {
        let (status, reply) = self.call(op, args, Value::Null)?;
        ensure!(status == 204, "{op}: {status} {reply}");
        Ok(())
    }
}

/// What was made of a service.
struct Made {
    lb: String,
    listener: String,
    pool: String,
    members: Vec<String>,
}

/// Makes a service of both backends.
fn make_service(session: &mut Session<'_>) -> Result<Made> {
    let lab = &session.scene.lab;
    let vip = lab.vip4().to_string();
    let addresses = [0, 1].map(|index| lab.member_addr(index, Family::V4).to_string());
    let lb = json!({"name": "web", "vip_address": vip, "availability_zone_list": []});
    let lb = session.make("create_load_balancer", json!({}), "loadbalancer", lb)?;
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": HTTP_PORT, "name": "http"});
    let listener = session.make("create_listener", json!({}), "listener", listener)?;
    let pool = json!({"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "name": "web"});
    let pool = session.make("create_pool", json!({}), "pool", pool)?;
    let in_pool = json!({"pool_id": pool});
    let mut members = Vec::new();
    for address in &addresses {
        let member = json!({"address": address, "protocol_port": HTTP_PORT, "name": address});
        members.push(session.make("create_member", in_pool.clone(), "member", member)?);
    }
    session.is_active(&lb)?;
    session.members_are(&pool, "NO_MONITOR")?;
    session.scene.is_served_by(&[0, 1])?;
    Ok(Made { lb, listener, pool, members })
}

/// Everything that a service has is made, changed and taken apart; packets follow each step.
fn service_follows(scene: &mut ApiScene, client: Box<dyn Client>) -> Result<()> {
    let mut session = Session { client, scene };
    let Made { lb, listener, pool, members } = make_service(&mut session)?;
    let in_pool = json!({"pool_id": pool});
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1});
    let monitor = session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    session.members_are(&pool, "ONLINE")?;

    let first = json!({"pool_id": pool, "member_id": members[0]});
    let (status, reply) =
        session.call("update_member", first.clone(), json!({"member": {"weight": 0}}))?;
    ensure!(status == 200 && reply["member"]["weight"] == 0, "{reply}");
    session.is_active(&lb)?;
    session.scene.is_served_by(&[1])?;

    session.conflicts(
        "delete_load_balancer",
        json!({"loadbalancer_id": lb}),
        "is using this loadbalancer",
    )?;
    session.conflicts(
        "delete_listener",
        json!({"listener_id": listener}),
        "is using this listener",
    )?;
    session.conflicts("delete_pool", in_pool.clone(), "is in this pool")?;

    // Killed and begun again, it has everything that it acknowledged.
    session.scene.agent.kill()?;
    session.scene.is_served_by(&[1])?;
    session.scene.agent.restart()?;
    session.is_active(&lb)?;
    session.members_are(&pool, "ONLINE")?;
    let found = session.get("list_members", json!({"pool_id": pool, "weight": [0]}), "members")?;
    ensure!(found[0]["id"] == *members[0] && found[1].is_null(), "{found}");
    session.scene.is_served_by(&[1])?;

    let (status, _) =
        session.call("update_member", first.clone(), json!({"member": {"weight": 1}}))?;
    ensure!(status == 200);
    session.is_active(&lb)?;
    session.scene.is_served_by(&[0, 1])?;
    session.deletes("delete_member", json!({"pool_id": pool, "member_id": members[1]}))?;
    session.is_active(&lb)?;
    session.scene.is_served_by(&[0])?;
    session.deletes("delete_member", first)?;
    session.deletes("delete_health_monitor", json!({"healthmonitor_id": monitor}))?;
    session.deletes("delete_listener", json!({"listener_id": listener}))?;
    session.is_active(&lb)?;
    session.scene.is_not_served("closed_port_answered")?;
    session.deletes("delete_pool", in_pool)?;
    session.deletes("delete_load_balancer", json!({"loadbalancer_id": lb}))?;
    let (status, reply) =
        session.call("show_load_balancer", json!({"loadbalancer_id": lb}), Value::Null)?;
    ensure!(status == 404 && reply["error_code"] == "ELB.8904", "{status} {reply}");
    Ok(())
}

#[test]
fn a_service_follows_each_step_of_curl_with_a_token() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    service_follows(&mut scene, Box::new(client))?;
    // Who has the file of the keys may use them: no one but its owner reads it.
    let keys = scene.lab.files().join("state/api-keys.json");
    let text = fs::read_to_string(&keys)?;
    ensure!(!text.contains(&scene.key.token) && text.contains("lab"));
    let mut revoke = scene.lab.lb().command(elb_bin()?);
    revoke.args(["key", "revoke", "lab", "--config"]).arg(scene.agent.file());
    output(revoke, STUCK)?;
    let mut client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    let (status, reply) = client.call("list_load_balancers", &json!({}), &Value::Null)?;
    ensure!(status == 401 && reply["error_code"] == "APIGW.0301", "{status} {reply}");
    ensure!(
        !scene.agent.log().contains(&scene.key.secret)
            && !scene.agent.log().contains(&scene.key.token)
    );
    Ok(())
}

#[test]
fn a_service_follows_each_step_of_the_unmodified_sdk() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let Key { access, secret, project, .. } = &scene.key;
    let start = |lab: &Lab| Sdk::start(lab, [ENDPOINT, access, secret, project]);
    let (first, second) = (start(&scene.lab)?, start(&scene.lab)?);
    service_follows(&mut scene, Box::new(first))?;
    openstack::echo_follows(&mut scene, Box::new(second))
}

/// A disk that is full refuses changes, and a store that is damaged refuses everything; neither stops a packet.
#[test]
fn a_full_disk_and_a_damaged_store_stop_no_packet() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    let disk = Disk::mount(&lab.files().join("disk"), 1024)?;
    let store = lab.files().join("disk/store.db");
    let mut scene = ApiScene::start_in(lab, Some(&store))?;
    let client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let Made { lb, .. } = make_service(&mut session)?;
    let named = |name: &str| json!({"loadbalancer": {"name": name}});
    let args = json!({"loadbalancer_id": lb});

    disk.fill()?;
    let mut last = "web".to_owned();
    // What the file has room for is taken still.
    let refused = (0..100).find_map(|n| {
        let name = format!("full-{n}");
        match session.call("update_load_balancer", args.clone(), named(&name)) {
            Ok((200, _)) => {
                last = name;
                None
            }
            other => Some(other),
        }
    });
    let (status, reply) = refused.context("a full disk takes everything")??;
    ensure!(status == 500 && reply["error_code"] == "ELB.8906", "{status} {reply}");
    let found = session.get("show_load_balancer", args.clone(), "loadbalancer")?;
    ensure!(found["name"] == *last, "{found}, and {last:?} was acknowledged last");
    session.scene.is_served_by(&[0, 1])?;
    disk.free()?;
    let (status, reply) = session.call("update_load_balancer", args.clone(), named("free"))?;
    ensure!(status == 200, "{status} {reply}");
    session.is_active(&lb)?;

    session.scene.agent.kill()?;
    // What is in the log of the database would repair the file.
    fs::remove_file(store.with_extension("db-wal"))?;
    fs::write(&store, [0xa5; 20_000])?;
    session.scene.agent.restart()?;
    session.scene.is_served_by(&[0, 1])?;
    // The last good configuration is there for the next agent, too.
    ensure!(session.scene.agent.terminate()?.success());
    session.scene.agent.restart()?;
    session.scene.is_served_by(&[0, 1])?;
    let (status, reply) = session.call("show_load_balancer", args, Value::Null)?;
    ensure!(status == 503 && reply["error_code"] == "ELB.8906", "{status} {reply}");
    let problems = session.scene.agent.status()?["agent"]["problems"].to_string();
    ensure!(problems.contains("the store cannot be used"), "{problems}");
    // A reload has no more to go by, and takes nothing away.
    let reloaded = session.scene.agent.end(&["reload"], LIMIT)?;
    ensure!(reloaded.code != Some(0), "{}", reloaded.printed);
    session.scene.is_served_by(&[0, 1])
}

/// An agent that starts with a file that cannot be read goes on with what was served, and says where the API was why it
/// has nothing to answer with.
#[test]
fn the_api_of_an_agent_whose_file_cannot_be_read_says_so() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let Made { lb, .. } = make_service(&mut session)?;
    let (file, args) = (session.scene.agent.file().to_owned(), json!({"loadbalancer_id": lb}));
    let right = fs::read_to_string(&file)?;
    session.scene.agent.kill()?;
    fs::write(&file, format!("{right}\n[[["))?;
    session.scene.agent.restart()?;
    for (op, body) in [
        ("show_load_balancer", Value::Null),
        ("update_load_balancer", json!({"loadbalancer": {"name": "other"}})),
    ] {
        let (status, reply) = session.call(op, args.clone(), body)?;
        let said = reply["error_msg"].as_str().unwrap_or_default();
        let is_said = said.contains("had errors when the agent started; correct it");
        ensure!(status == 503 && reply["error_code"] == "ELB.8906" && is_said, "{op}: {reply}");
    }
    session.scene.is_served_by(&[0, 1])?;
    fs::write(&file, right)?;
    session.scene.agent.restart()?;
    session.is_active(&lb)?;
    let found = session.get("show_load_balancer", args, "loadbalancer")?;
    ensure!(found["name"] == "web", "{found}");
    session.scene.is_served_by(&[0, 1])
}
