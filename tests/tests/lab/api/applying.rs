//! What a file leaves out, and a file that cannot be read, open no listener and break nothing.

use super::*;

impl Session<'_> {
    fn changes(&mut self, op: &str, args: Value, body: Value) -> Result<()> {
        let (status, reply) = self.call(op, args, body)?;
        ensure!(status == 200, "{op}: {status} {reply}");
        Ok(())
    }

    fn is_refused(&mut self, op: &str, args: Value, body: Value, words: &str) -> Result<()> {
        let (status, reply) = self.call(op, args, body)?;
        let said = reply["error_msg"].as_str().unwrap_or_default();
        ensure!(status == 400 && said.contains(words), "{op}: {status} {reply}");
        Ok(())
    }
}

impl ApiScene {
    fn is_closed(&self) -> Result<()> {
        let load = Load { timeout: Duration::from_millis(300), ..Load::on(self.service()) };
        let report = http_requests(self.lab.client(), load, 5)?;
        ensure!(report.answered() == 0, "{:?} answer", report.answers_by_backend());
        Ok(())
    }
}

/// The group of a listener without a pool is not in the file, and keeps clients out once the listener has a pool again.
#[test]
fn a_listener_has_its_access_list_after_a_file_was_applied_that_does_not_know_it() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let Made { lb, listener, pool, .. } = make_service(&mut session)?;
    let group = json!({"name": "office", "ip_list": [{"ip": "203.0.113.0/24"}]});
    let group = session.make("create_ip_group", json!({}), "ipgroup", group)?;
    let of_listener = json!({"listener_id": listener});
    let idle = json!({"listener": {"default_pool_id": null, "ipgroup": {"ipgroup_id": group}}});
    session.changes("update_listener", of_listener.clone(), idle)?;
    session.is_active(&lb)?;

    let mut export = session.scene.lab.lb().command(elb_bin()?);
    export.args(["export", "--config"]).arg(session.scene.agent.file());
    let mut file: toml::Table = output(export, STUCK)?.parse()?;
    ensure!(file.remove("ipgroup").is_some(), "{file}");
    let path = session.scene.lab.files().join("whole.toml");
    fs::write(&path, file.to_string())?;
    let path = path.to_str().context("a path")?.to_owned();
    let said = session.scene.agent.run(&["apply", "-f", &path])?;
    ensure!(said.contains("has it already"), "{said}");

    // In any letters, ids are the same.
    let serving = json!({"listener": {"default_pool_id": pool.to_uppercase()}});
    session.changes("update_listener", of_listener.clone(), serving)?;
    session.is_active(&lb)?;
    session.scene.is_closed()?;
    let args = json!({"ipgroup_id": group});
    session.conflicts("delete_ip_group", args, "is using this ipgroup")?;
    let open = json!({"listener": {"ipgroup": {"ipgroup_id": ""}}});
    session.changes("update_listener", of_listener, open)?;
    session.is_active(&lb)?;
    session.scene.is_served_by(&[0, 1])
}

/// While the file cannot be read, changes are judged as before, and what was served goes on.
#[test]
fn a_file_that_cannot_be_read_lets_no_wrong_change_through() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let Made { lb, pool, members, .. } = make_service(&mut session)?;
    let file = session.scene.agent.file().to_owned();
    let right = fs::read_to_string(&file)?;
    let in_pool = json!({"pool_id": pool});
    let address = session.scene.lab.member_addr(0, Family::V4).to_string();
    let wrong = json!({"member": {"address": address, "protocol_port": HTTP_PORT + 1}});
    for text in [format!("{right}[agent\n"), String::new()] {
        fs::write(&file, text)?;
        // With the next commit, the agent reads it.
        for weight in [5, 0] {
            let member = json!({"pool_id": pool, "member_id": members[0]});
            session.changes("update_member", member, json!({"member": {"weight": weight}}))?;
            wait_for("the file to be seen", LIMIT, || {
                let args = json!({"loadbalancer_id": lb});
                let found = session.get("show_load_balancer", args, "loadbalancer")?;
                Ok((found["provisioning_status"] == "ERROR").then_some(()))
            })?;
            let port = (HTTP_PORT + 1).to_string();
            session.is_refused("create_member", in_pool.clone(), wrong.clone(), &port)?;
            session.scene.is_served_by(&[0, 1])?;
        }
    }
    fs::write(&file, right)?;
    session.scene.agent.run(&["reload"])?;
    wait_for("what was changed to be served", LIMIT, || Ok(session.scene.is_served_by(&[1]).ok()))?;
    session.is_refused("create_member", in_pool, wrong, &(HTTP_PORT + 1).to_string())
}
