//! What operators do with a store: they copy it, put the copy back, and read what was asked of it.

use std::collections::BTreeSet;

use elb_tests::{
    client::HeldConnections,
    config::{MonitorKind, Pool},
    printed,
    process::{Ended, ended},
};

use super::*;
use crate::scene::{Scene, wait_until_serving};

/// `elb` with these words, and the agent's configuration file.
fn configured(scene: &ApiScene, words: &[&str]) -> Result<Ended> {
    let mut command = scene.lab.lb().command(elb_bin()?);
    command.args(words).arg("--config").arg(scene.agent.file());
    ended(command, STUCK)
}

/// What `elb audit` prints, a value each line.
fn audit(scene: &ApiScene, words: &[&str]) -> Result<Vec<Value>> {
    let printed = scene.agent.run(&[&["audit", "-o", "json"], words].concat())?;
    printed::lines(&["audit"], &printed)
}

/// What was asked for, that it is on the disk, and that the store was copied.
fn metrics_tell(scene: &ApiScene) -> Result<()> {
    wait_for("metrics of the API and its store", LIMIT, || {
        let text = scene.agent.run(&["metrics"])?;
        let value = |series: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_default()
        };
        let asked = |operation: &str, class: &str| {
            let labels = format!("operation={operation:?},class={class:?}");
            value(&format!("elb_api_requests_total{{{labels}}}"))
        };
        let posts = value(r#"elb_api_request_duration_seconds_count{method="POST"}"#);
        let made = asked("create_load_balancer", "ok");
        let is_told = (made, asked("create_load_balancer", "refused")) == (1.0, 0.0)
            && posts >= made + asked("create_member", "ok")
            && value("elb_store_commit_seconds_count") >= posts
            && value("elb_store_bytes") > 0.0
            && value("elb_store_backup_timestamp_seconds") > 0.0;
        Ok(is_told.then_some(()))
    })
}

#[test]
fn a_store_is_copied_while_it_serves_and_put_back_when_it_does_not() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let Made { lb, pool, members, .. } = make_service(&mut session)?;
    let copy = session.scene.lab.files().join("copies-store.db");
    let copy = copy.to_str().context("a path")?.to_owned();
    let said = session.scene.agent.run(&["store", "backup", &copy])?;
    ensure!(said.contains("5 resources"), "{said}");
    metrics_tell(session.scene)?;

    let (args, renamed) =
        (json!({"loadbalancer_id": lb}), json!({"loadbalancer": {"name": "later"}}));
    let (status, reply) = session.call("update_load_balancer", args.clone(), renamed)?;
    ensure!(status == 200, "{reply}");
    session.deletes("delete_member", json!({"pool_id": pool, "member_id": members[1]}))?;
    session.is_active(&lb)?;
    session.scene.is_served_by(&[0])?;

    let refused = configured(session.scene, &["store", "restore", &copy])?;
    let agent = format!("in use by process {} (", session.scene.agent.id());
    ensure!(refused.code == Some(1) && refused.said.contains(&agent), "{}", refused.said);
    session.scene.agent.kill()?;
    fs::write(session.scene.lab.files().join("no-store.db"), "no store")?;
    let wrong = session.scene.lab.files().join("no-store.db");
    let wrong =
        configured(session.scene, &["store", "restore", wrong.to_str().context("a path")?])?;
    ensure!(wrong.code == Some(1) && wrong.said.contains("no store of elb"), "{}", wrong.said);
    let restored = configured(session.scene, &["store", "restore", &copy])?;
    ensure!(restored.code == Some(0) && restored.printed.contains("before-"), "{}", restored.said);
    session.scene.agent.restart()?;
    let found = session.get("show_load_balancer", args, "loadbalancer")?;
    ensure!(found["name"] == "web", "{found}");
    session.is_active(&lb)?;
    session.scene.is_served_by(&[0, 1])
}

/// Every call that was to change something has a record, with what was there before and after.
#[test]
fn the_audit_log_says_who_did_what() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = Curl::new(&scene.lab, ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut reader = scene.lab.lb().command(elb_bin()?);
    reader.args(["key", "create", "reader", "--read-only", "--config"]).arg(scene.agent.file());
    let printed = output(reader, STUCK)?;
    let token = printed.lines().find_map(|line| line.strip_prefix("token")).context("a token")?;
    let mut reader = Curl::new(&scene.lab, ENDPOINT, token.trim(), &scene.key.project)?;
    let mut session = Session { client: Box::new(client), scene: &mut scene };
    let body = json!({"name": "web", "vip_address": "192.0.2.77", "availability_zone_list": []});
    let lb = session.make("create_load_balancer", json!({}), "loadbalancer", body)?;
    let args = json!({"loadbalancer_id": lb});
    let renamed = json!({"loadbalancer": {"name": "www"}});
    let (status, reply) = session.call("update_load_balancer", args.clone(), renamed.clone())?;
    ensure!(status == 200, "{reply}");
    let (status, _) = reader.call("update_load_balancer", &args, &renamed)?;
    ensure!(status == 403);
    let unknown = json!({"loadbalancer": {"nmae": "www"}});
    let (status, _) = session.call("update_load_balancer", args.clone(), unknown)?;
    ensure!(status == 400);
    session.deletes("delete_load_balancer", args)?;

    let all = audit(session.scene, &[])?;
    let said: Vec<_> = all
        .iter()
        .map(|line| ["actor", "operation", "result"].map(|key| line[key].as_str().unwrap_or("")))
        .collect();
    let expected = [
        ["lab", "createLoadbalancer", "ok"],
        ["lab", "updateLoadbalancer", "ok"],
        ["reader", "updateLoadbalancer", "SYS.0403"],
        ["lab", "updateLoadbalancer", "ELB.8902"],
        ["lab", "deleteLoadbalancer", "ok"],
    ];
    ensure!(said == expected, "{said:?}");
    let [made, changed, .., gone] = &all[..] else { anyhow::bail!("{all:?}") };
    ensure!(made["before"].is_null() && made["after"]["name"] == "web", "{made}");
    ensure!(changed["before"]["name"] == "web" && changed["after"]["name"] == "www", "{changed}");
    ensure!(gone["before"]["name"] == "www" && gone["after"].is_null(), "{gone}");
    for line in &all {
        ensure!(line["request_id"].as_str().is_some_and(|id| id.len() == 32), "{line}");
    }
    ensure!(audit(session.scene, &["--resource", &lb])?.len() == 5);
    ensure!(audit(session.scene, &["--resource", "web"])?.len() == 2);
    ensure!(audit(session.scene, &["--operation", "updateLoadbalancer"])?.len() == 3);
    ensure!(audit(session.scene, &["--since", "1h"])?.len() == 5);
    ensure!(audit(session.scene, &["--since", "2100-01-01T00:00:00Z"])?.is_empty());
    let text = session.scene.agent.run(&["audit", "--resource", &lb])?;
    ensure!(text.contains("name \"web\" -> \"www\""), "{text}");
    Ok(())
}

/// A host changes from its file to a store and back: ids are the same, and held connections notice nothing.
#[test]
fn file_and_store_change_over_and_no_connection_ends() -> Result<()> {
    let watched = |pool: Pool| pool.monitored_by(MonitorKind::Tcp);
    let mut scene = Scene::start(3, Forwarding::Ipip, watched)?;
    let beat = Duration::from_millis(50);
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), 60, beat)?;
    let (ids, rings) = (ids(&scene)?, scene.rings()?);
    let changes = |scene: &mut Scene, words: &[&str]| -> Result<()> {
        let mut command = scene.lab.lb().command(elb_bin()?);
        command.args(words).arg("--config").arg(scene.agent.file());
        let ended = ended(command, STUCK)?;
        ensure!(ended.code == Some(0), "{words:?}: {}", ended.said);
        scene.agent.restart()?;
        wait_until_serving(&scene.agent)?;
        let before = held.so_far();
        wait_for("answers on every connection", LIMIT, || {
            Ok(held.so_far().is_beyond(&before, 3).then_some(()))
        })
    };
    changes(&mut scene, &["store", "from-file"])?;
    ensure!(fs::read_to_string(scene.agent.file())?.contains("[api]"));
    ensure!(self::ids(&scene)? == ids, "{ids:?}, and now {:?}", self::ids(&scene)?);
    ensure!(scene.rings()? == rings, "slots have changed their owners");

    let rings = a_file_is_applied(&scene, &rings)?;

    changes(&mut scene, &["store", "to-file"])?;
    ensure!(!fs::read_to_string(scene.agent.file())?.contains("[api]"));
    ensure!(self::ids(&scene)? == ids, "{ids:?}, and now {:?}", self::ids(&scene)?);
    ensure!(scene.rings()? == rings, "slots have changed their owners");
    let held = held.stop()?;
    ensure!(held.broken().is_empty(), "{:?}", held.broken());
    Ok(())
}

/// A file is applied, first not and then: one member gets no new connections, and some again. Returns the rings at
/// the end.
fn a_file_is_applied(scene: &Scene, rings: &[u16]) -> Result<Vec<u16>> {
    let mut export = scene.lab.lb().command(elb_bin()?);
    export.args(["export", "--config"]).arg(scene.agent.file());
    let exported = output(export, STUCK)?;
    let file = scene.lab.files().join("whole.toml");
    let heavy = exported.replacen("weight = 1\n", "weight = 0\n", 1);
    ensure!(heavy != exported, "{exported}");
    fs::write(&file, &heavy)?;
    let mut check = scene.lab.lb().command(elb_bin()?);
    check.args(["check", "--config"]).arg(&file);
    output(check, STUCK)?;
    let path = file.to_str().context("a path")?;
    let tried = scene.agent.ask(&["apply", "-f", path, "--dry-run"])?;
    ensure!(tried["applied"] == false && tried["changes"][0]["kind"] == "member", "{tried}");
    ensure!(tried["changes"][0]["attributes"][0]["after"] == 0, "{tried}");
    let moves = |report: &Value| {
        let effects = report["effects"].as_array().cloned().unwrap_or_default();
        effects.iter().any(|effect| effect["share"].as_f64().is_some_and(|share| share > 0.2))
    };
    ensure!(moves(&tried), "{tried}");
    ensure!(scene.rings()? == *rings, "a dry run changes nothing");
    let applied = scene.agent.ask(&["apply", "-f", path])?;
    ensure!(applied["applied"] == true && applied["changes"] == tried["changes"], "{applied}");
    is_active(scene)?;
    let moved = scene.rings()?;
    ensure!(moved != *rings, "the ring follows");
    fs::write(&file, &exported)?;
    let back = scene.agent.run(&["apply", "-f", path])?;
    ensure!(back.contains("weight 0 -> 1") && back.ends_with("applied\n"), "{back}");
    is_active(scene)?;
    let rings = scene.rings()?;
    ensure!(moved != rings, "the ring follows again");
    ensure!(scene.agent.run(&["apply", "-f", path])?.contains("has it already"));
    // What the API has no word for is refused, and was tried.
    fs::write(&file, exported.replacen("weight = 1\n", "weight = 1\nbackup = true\n", 1))?;
    for more in [&["--dry-run"][..], &[]] {
        let refused = scene.agent.end(&[&["apply", "-f", path], more].concat(), LIMIT)?;
        ensure!(refused.code == Some(1) && refused.said.contains("backup"), "{}", refused.said);
    }
    let records = scene.agent.run(&["audit", "--operation", "applyFile"])?;
    ensure!(records.lines().count() == 1 && records.contains("refused"), "{records}");
    let records = scene.agent.run(&["audit", "--operation", "updateMember"])?;
    ensure!(records.lines().count() == 2 && records.contains("local:root"), "{records}");
    Ok(rings)
}

/// Waits until the data path has what the store holds.
fn is_active(scene: &Scene) -> Result<()> {
    wait_for("all load balancers to be ACTIVE", LIMIT, || {
        let all = scene.agent.ask(&["lb", "list"])?;
        let mut all = all.as_array().context("load balancers")?.iter();
        Ok(all.all(|one| one["provisioning_status"] == "ACTIVE").then_some(()))
    })
}

/// The ids of everything that is served.
fn ids(scene: &Scene) -> Result<BTreeSet<String>> {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(all) => {
                found.extend(all.get("id").and_then(Value::as_str).map(str::to_owned));
                all.values().for_each(|value| collect(value, found));
            }
            Value::Array(all) => all.iter().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (status, mut found) = (scene.agent.status()?, BTreeSet::new());
    for key in ["load_balancers", "pools"] {
        collect(&status[key], &mut found);
    }
    ensure!(found.len() > 4, "{found:?}");
    Ok(found)
}
