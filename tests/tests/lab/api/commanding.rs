//! Resources by the command line, without a key: packets follow each step, and scripts learn why something is refused.

use super::*;

const TCP: [&str; 2] = ["--protocol", "TCP"];

impl ApiScene {
    /// What `elb` with these words prints as JSON.
    fn ask(&self, words: &[&str]) -> Result<Value> {
        self.agent.ask(words)
    }

    /// How `elb` with these words fails: the exit code, and what it says.
    fn fails(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let ended = self.agent.end(words, LIMIT)?;
        Ok((ended.code, ended.said))
    }
}

#[test]
fn a_service_follows_each_step_of_the_command_line() -> Result<()> {
    let scene = ApiScene::start()?;
    let vip = scene.lab.vip4().to_string();
    let [first, second] = [0, 1].map(|index| scene.lab.member_addr(index, Family::V4).to_string());
    let port = HTTP_PORT.to_string();
    let lb = scene.ask(&["lb", "create", "web", "--vip-address", &vip, "--wait"])?;
    ensure!(lb["provisioning_status"] == "ACTIVE" && lb["vip_address"] == *vip, "{lb}");
    let http = ["listener", "create", "http", "--lb", "web", "--port", &port, "--if-not-exists"];
    let listener = scene.ask(&[&http[..], &TCP].concat())?;
    let again = scene.ask(&[&http[..], &TCP].concat())?;
    ensure!(again["id"] == listener["id"] && !listener["id"].is_null(), "{listener} {again}");
    let pool = ["pool", "create", "web", "--listener", "web/http", "--algorithm", "ROUND_ROBIN"];
    let pool = scene.ask(&[&pool[..], &TCP].concat())?;
    ensure!(pool["listeners"][0]["id"] == listener["id"], "{pool}");
    for address in [&first, &second, &first] {
        let words = ["member", "create", "--pool", "web", "--address", address, "--port", &port];
        scene.ask(&[&words[..], &["--if-not-exists", "--wait"]].concat())?;
    }
    scene.is_served_by(&[0, 1])?;
    let monitor = ["healthmonitor", "create", "--pool", "web", "--type", "TCP", "--delay", "1"];
    scene.ask(
        &[&monitor[..], &["--timeout", "1", "--max-retries", "1", "--wait", "--name", "m"]]
            .concat(),
    )?;
    wait_for("members to be ONLINE", LIMIT, || {
        let members = scene.ask(&["member", "list", "--pool", "web"])?;
        let members = members.as_array().context("members")?.clone();
        ensure!(members.len() == 2, "{members:?}");
        Ok(members.iter().all(|one| one["operating_status"] == "ONLINE").then_some(()))
    })?;
    let monitor = scene.ask(&["healthmonitor", "show", "web"])?;
    ensure!(monitor["name"] == "m", "by the name of its pool: {monitor}");

    let drained = scene.ask(&["member", "set", &first, "--weight", "0", "--wait"])?;
    ensure!(drained["weight"] == 0, "{drained}");
    scene.is_served_by(&[1])?;
    let table = scene.agent.run(&["member", "list"])?;
    ensure!(table.trim_start().starts_with("ID ") && table.contains(&first), "{table}");
    let yaml = scene.agent.run(&["lb", "show", "web", "-o", "yaml"])?;
    ensure!(yaml.contains("name: \"web\"\n"), "{yaml}");
    scene.ask(&["lb", "set", "web", "--attribute", "description=\"by hand\""])?;
    let filtered = scene.ask(&["lb", "list", "--filter", "description=by hand"])?;
    ensure!(filtered[0]["name"] == "web" && filtered[1].is_null(), "{filtered}");
    is_refused_with_reasons(&scene)?;

    scene.agent.run(&["member", "delete", &format!("{second}:{port}"), "--wait"])?;
    scene.agent.run(&["member", "delete", &first, "--wait"])?;
    scene.agent.run(&["member", "delete", &first, "--if-exists"])?;
    scene.agent.run(&["healthmonitor", "delete", "m", "--wait"])?;
    scene.agent.run(&["listener", "delete", "http", "--wait"])?;
    scene.is_not_served("closed_port_answered")?;
    scene.agent.run(&["pool", "delete", "web"])?;
    scene.agent.run(&["lb", "delete", "web"])?;
    ensure!(scene.ask(&["lb", "list"])? == json!([]));
    let records = scene.agent.run(&["audit", "--operation", "createMember"])?;
    ensure!(records.lines().count() == 2 && records.contains("local:root"), "{records}");
    Ok(())
}

fn is_refused_with_reasons(scene: &ApiScene) -> Result<()> {
    for (words, code, part) in [
        (&["lb", "delete", "web"][..], 4, "is using this loadbalancer"),
        (&["lb", "show", "nothing"], 3, "there is no load balancer \"nothing\""),
        (&["member", "set", "10.9.9.9", "--weight", "1"], 3, "there is no member"),
        (&["lb", "set", "web"], 1, "nothing is to be changed"),
        (&["lb", "set", "web", "--attribute", "nmae=\"x\""], 1, "nmae"),
        (&["member", "set", "10.9.9.9", "--weight", "much"], 2, "much"),
        (&["lb", "create"], 2, "NAME"),
    ] {
        let (found, said) = scene.fails(words)?;
        ensure!(found == Some(code) && said.contains(part), "{words:?}: {found:?} {said}");
    }
    let (code, said) = scene.fails(&["lb", "delete", "nothing"])?;
    ensure!(code == Some(3), "{said}");
    let (code, said) = scene.fails(&["lb", "show", "nothing", "-o", "json"])?;
    let error: Value = serde_json::from_str(said.trim())?;
    ensure!(code == Some(3) && error["code"] == "failed", "{said}");
    Ok(())
}
