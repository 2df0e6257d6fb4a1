//! Operations on more than one resource: pools of a master and a slave, several at once, all that there are.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    environment::python,
    process::ended,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use serde_json::{Value, json};

use super::{ApiScene, ENDPOINT, Key, Made, Session, clients::Curl, make_service};
use crate::scene::LIMIT;

impl ApiScene {
    pub(super) fn curl(&self) -> Result<Box<Curl>> {
        Ok(Box::new(Curl::new(&self.lab, ENDPOINT, &self.key.token, &self.key.project)?))
    }

    /// Waits until new connections are served by exactly these backends.
    pub(super) fn becomes_served_by(&self, backends: &[usize]) -> Result<()> {
        wait_for(&format!("{backends:?} to serve"), LIMIT, || Ok(self.is_served_by(backends).ok()))
    }
}

impl Session<'_> {
    pub(super) fn done(
        &mut self,
        op: &str,
        args: Value,
        body: Value,
        expected: u16,
    ) -> Result<Value> {
        let (status, reply) = self.call(op, args, body)?;
        ensure!(status == expected, "{op}: {status} {reply}");
        Ok(reply)
    }

    /// What the tree of statuses says of the load balancer, its listener and its pool.
    fn tree_is(&mut self, lb: &str, expected: &str) -> Result<()> {
        wait_for(&format!("a tree that is {expected}"), LIMIT, || {
            let args = json!({"loadbalancer_id": lb});
            let tree = self.get("show_load_balancer_status", args, "statuses")?;
            let lb = &tree["loadbalancer"];
            let listener = &lb["listeners"][0];
            let all = [lb, listener, &listener["pools"][0], &lb["pools"][0]];
            Ok(all.iter().all(|one| one["operating_status"] == expected).then_some(()))
        })
    }

    /// What the job of a check finds out.
    pub(super) fn checked(&mut self, member: &Value, listener: &str) -> Result<Value> {
        let body = json!({"member_check": {"listener_id": listener, "subject": "all"}});
        let args = json!({"member_id": member});
        let reply = self.done("create_member_health_check_job", args, body, 202)?;
        let job = reply["member_check"]["job_id"].clone();
        wait_for("the check of a member", LIMIT, || {
            let args = json!({"job_id": job});
            let check = self.get("show_member_health_check_job", args, "member_check")?;
            Ok((check["status"] != "processing").then_some(check))
        })
    }
}

/// All connections go to the master; to the slave only while the master is not healthy (acceptance 46).
#[test]
fn a_slave_serves_while_the_master_is_unhealthy() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = scene.curl()?;
    let mut session = Session { client, scene: &mut scene };
    let lab = &session.scene.lab;
    let member = |index: usize, role: &str| {
        let address = lab.member_addr(index, Family::V4).to_string();
        json!({"address": address, "protocol_port": HTTP_PORT, "role": role})
    };
    let members = json!([member(0, "master"), member(1, "slave")]);
    let vip = lab.vip4().to_string();
    let lb = json!({"name": "web", "vip_address": vip, "availability_zone_list": []});
    let lb = session.make("create_load_balancer", json!({}), "loadbalancer", lb)?;
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": HTTP_PORT});
    let listener = session.make("create_listener", json!({}), "listener", listener)?;
    let pool = json!({
        "listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "ip",
        "members": members, "healthmonitor": {
            "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1},
    });
    let pool = session.make("create_master_slave_pool", json!({}), "pool", pool)?;
    session.is_active(&lb)?;
    let in_pool = json!({"pool_id": pool});
    let pair = wait_for("both members to be ONLINE", LIMIT, || {
        let pool = session.get("show_master_slave_pool", in_pool.clone(), "pool")?;
        let members = pool["members"].as_array().context("members")?.clone();
        Ok(members.iter().all(|one| one["operating_status"] == "ONLINE").then_some(members))
    })?;
    session.scene.becomes_served_by(&[0])?;
    session.tree_is(&lb, "ONLINE")?;
    let master = pair.iter().find(|one| one["role"] == "master").context("a master")?;
    let check = session.checked(&master["id"], &listener)?;
    ensure!(check["result"]["config"]["check_result"] == true, "{check}");

    session.scene.servers[0].kill()?;
    session.scene.becomes_served_by(&[1])?;
    session.tree_is(&lb, "DEGRADED")?;
    let check = session.checked(&master["id"], &listener)?;
    let said = check["result"]["config"].to_string();
    ensure!(check["status"] == "processed" && said.contains("listen"), "{check}");
    ensure!(check["result"]["config"]["check_result"] == false, "{check}");
    session.scene.servers[0].restart()?;
    session.scene.becomes_served_by(&[0])?;

    session.done("delete_load_balancer_force", json!({"loadbalancer_id": lb}), Value::Null, 204)?;
    let (status, _) = session.call("show_master_slave_pool", in_pool, Value::Null)?;
    ensure!(status == 404, "the pool is left: {status}");
    session.scene.becomes_unserved("not_vip")
}

/// Members and whole load balancers change in one call; packets follow it.
#[test]
fn packets_follow_what_changes_several_resources() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = scene.curl()?;
    let mut session = Session { client, scene: &mut scene };
    let Made { lb, listener, pool, members } = make_service(&mut session)?;
    let in_pool = json!({"pool_id": pool});
    let weights =
        json!({"members": [{"id": members[0], "weight": 0}, {"id": members[1], "weight": 5}]});
    session.done("batch_update_members", in_pool.clone(), weights, 200)?;
    session.scene.becomes_served_by(&[1])?;
    let address = session.scene.lab.member_addr(1, Family::V4).to_string();
    let gone =
        json!({"members": [{"id": members[0]}, {"address": address, "protocol_port": HTTP_PORT}]});
    session.done("batch_delete_members", in_pool.clone(), gone, 200)?;
    session.scene.becomes_unserved("no_backend")?;
    let addresses =
        [0, 1].map(|index| session.scene.lab.member_addr(index, Family::V4).to_string());
    let back = addresses.map(|address| json!({"address": address, "protocol_port": HTTP_PORT}));
    session.done("batch_create_members", in_pool, json!({"members": back}), 201)?;
    session.scene.becomes_served_by(&[0, 1])?;

    // A copy of the listener on another port, with the same members by a pool of its own, is refused: members answer
    // clients directly. One that uses no port of its own is on another load balancer.
    let target = json!({"target_listener_params": [{"loadbalancer_id": lb, "protocol_port": 81}]});
    let (status, reply) =
        session.call("clone_listener", json!({"listener_id": listener}), target)?;
    ensure!(status == 400, "{status} {reply}");
    // The address goes to a copy: what it was is deleted with its listener, and its pools stay.
    let all = json!({"loadbalancer_ids": [lb], "unbounded_pool": false});
    let job = session.done("batch_delete_loadbalancers", json!({}), all, 202)?;
    let job = session.get("show_job", json!({"job_id": job["job_id"]}), "job")?;
    ensure!(job["status"] == "SUCCESS", "{job}");
    session.scene.becomes_unserved("not_vip")?;
    let vip = session.scene.lab.vip4().to_string();
    let again =
        json!({"loadbalancer": {"vip_address": vip, "number": 1, "availability_zone_list": []}});
    let reply = session.done("batch_create_load_balancers", json!({}), again, 202)?;
    let lb = reply["loadbalancer_ids"][0].as_str().context("an id")?.to_owned();
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": HTTP_PORT, "default_pool_id": pool});
    session.make("create_listener", json!({}), "listener", listener)?;
    session.scene.becomes_served_by(&[0, 1])
}

/// The unmodified SDK has an answer to each of its operations that it understands, and none is an error of the agent.
#[test]
fn every_operation_of_the_unmodified_sdk_is_answered() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = scene.curl()?;
    let mut session = Session { client, scene: &mut scene };
    let ids = ids(&mut session)?;
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../elb-userspace/data/elb_v3.json");
    let Key { access, secret, project, .. } = &session.scene.key;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/all_operations.py");
    let mut command: Command = session.scene.lab.lb().command(python()?);
    let given = session.scene.lab.files().join("ids.json");
    fs::write(&given, ids.to_string())?;
    command.arg(script).args([ENDPOINT, access, secret, project]).arg(table).arg(given);
    command.env("HOME", session.scene.lab.files());
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let ended = ended(command, STUCK)?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let document = include_str!("../../../../docs/api.md");
    let (there, _) = document.split_once("## Operations that are not there").context("docs")?;
    let mut count = 0;
    for line in ended.printed.lines() {
        let line: Value = serde_json::from_str(line)?;
        count += 1;
        let op = line["op"].as_str().context("an operation")?;
        let status = line["status"].as_u64().with_context(|| format!("it crashed: {line}"))?;
        ensure!(status < 500, "{line}");
        let is_there = there.contains(&format!("| `{op}` |"));
        match line["method"].as_str() {
            // There is none that could be asked for.
            Some("GET") if OF_NO_POLICY.contains(&op) => {
                ensure!(status == 404 && line["code"] == "ELB.8904", "{line}");
            }
            Some("GET") if is_there => ensure!(status == 200, "{line}"),
            _ if !is_there => ensure!(line["code"] == "ELB.8903", "{line}"),
            _ => ensure!(
                status < 300 || line["code"].as_str().is_some_and(|code| code.len() == 8),
                "{line}"
            ),
        }
    }
    ensure!(count == 119, "{count} operations");
    Ok(())
}

/// Operations that look at one forwarding policy, which no listener can have yet.
const OF_NO_POLICY: [&str; 3] = ["show_l7_policy", "show_l7_rule", "list_l7_rules"];

/// Ids of one resource of each kind.
pub(super) fn ids(session: &mut Session<'_>) -> Result<Value> {
    let Made { lb, listener, pool, members } = make_service(session)?;
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1});
    let monitor = session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    let group = json!({"ip_list": [{"ip": "10.0.0.0/8"}]});
    let group = session.make("create_ip_group", json!({}), "ipgroup", group)?;
    let tags = json!({"action": "create", "tags": [{"key": "env", "value": "lab"}]});
    session.done("change_loadbalancer_tags", json!({"loadbalancer_id": lb}), tags.clone(), 204)?;
    session.done("change_listener_tags", json!({"listener_id": listener}), tags, 204)?;
    let body = json!({"loadbalancer": {"vpc_id": "v", "number": 2, "availability_zone_list": []}});
    let job = session.done("batch_create_load_balancers", json!({}), body, 202)?["job_id"].clone();
    let flavor = session.get("list_flavors", json!({}), "flavors")?[0]["id"].clone();
    let pair = json!({
        "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "ip",
        "members": [
            {"address": "10.9.9.1", "protocol_port": 80, "role": "master"},
            {"address": "10.9.9.2", "protocol_port": 80, "role": "slave"}],
        "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3},
    });
    let pair = session.make("create_master_slave_pool", json!({}), "pool", pair)?;
    let policy = json!({"protocols": ["TLSv1.2"], "ciphers": ["AES128-GCM-SHA256"]});
    let policy = session.make("create_security_policy", json!({}), "security_policy", policy)?;
    let tank = json!({"loadbalancer_id": lb, "log_group_id": "group", "log_topic_id": "topic"});
    let tank = session.make("create_logtank", json!({}), "logtank", tank)?;
    let key = rcgen::KeyPair::generate()?;
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()])?;
    let certificate =
        json!({"certificate": params.self_signed(&key)?.pem(), "private_key": key.serialize_pem()});
    let certificate = session.make("create_certificate", json!({}), "certificate", certificate)?;
    let check = session.checked(&members[0].clone().into(), &listener)?["job_id"].clone();
    Ok(json!({
        "show_master_slave_pool": {"pool_id": pair},
        "show_member_health_check_job": {"job_id": check},
        "loadbalancer_id": lb, "listener_id": listener, "pool_id": pool, "member_id": members[0],
        "healthmonitor_id": monitor, "ipgroup_id": group, "flavor_id": flavor, "job_id": job,
        "security_policy_id": policy, "logtank_id": tank, "certificate_id": certificate,
    }))
}
