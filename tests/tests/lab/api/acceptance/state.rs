//! What is seen of a service: statuses, metrics, audit records, and what a check of a member found.

use elb_tests::{
    client::{HttpLoad, Load},
    printed,
};

use super::*;

impl ApiScene {
    /// The values of the series of a metric with all of these texts in them, added up.
    fn sum_of(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let text = self.agent.run(&["metrics"])?;
        let begin = format!("{name}{{");
        let lines = text.lines().filter(|line| line.starts_with(&begin));
        let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        lines.map(|line| Ok(line.rsplit(' ').next().context("a value")?.parse::<f64>()?)).sum()
    }

    fn becomes(&self, name: &str, labels: &[&str], value: f64) -> Result<()> {
        wait_for(&format!("{name} {labels:?} to be {value}"), LIMIT, || {
            Ok((self.sum_of(name, labels)? == value).then_some(()))
        })
    }
}

impl Session<'_> {
    /// What the tree says of the load balancer, its listener and its pool.
    fn tree(&mut self, lb: &str) -> Result<[Value; 3]> {
        let args = json!({"loadbalancer_id": lb});
        let tree = self.get("show_load_balancer_status", args, "statuses")?;
        let lb = &tree["loadbalancer"];
        let listener = &lb["listeners"][0];
        Ok([lb, listener, &listener["pools"][0]].map(|one| one["operating_status"].clone()))
    }

    fn tree_becomes(&mut self, lb: &str, expected: [&str; 3]) -> Result<()> {
        wait_for(&format!("a tree of {expected:?}"), LIMIT, || {
            Ok((self.tree(lb)? == expected.map(Value::from)).then_some(()))
        })
    }
}

/// Acceptance 83: a member that is OFFLINE makes pool, listener and load balancer DEGRADED, and one that is switched off
/// is DISABLED. Acceptance 84: metrics say how many members are well and how many are not, long before a minute is over,
/// how many connections are open, and how many were opened.
#[test]
fn the_tree_and_metrics_follow_members_and_connections() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let lb = session.balancer()?;
    let made = session.echo_service(&lb, "TCP")?;
    let monitor = json!({"pool_id": made.pool, "type": "TCP", "delay": 1, "timeout": 5,
        "max_retries": 1, "max_retries_down": 1});
    session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    session.members_are(&made.pool, "ONLINE")?;
    session.tree_becomes(&lb, ["ONLINE"; 3])?;
    let members = "elb_load_balancer_members";
    session.scene.becomes(members, &["status=\"ONLINE\""], 2.0)?;

    let opened = "elb_listener_opened_connections_total";
    let before = session.scene.sum_of(opened, &[])?;
    let held = session.scene.hold(12)?;
    session.scene.becomes("elb_listener_connections", &[], 12.0)?;
    // A packet that a busy host repeats may open a connection once more.
    wait_for("all of them to be counted", LIMIT, || {
        Ok((session.scene.sum_of(opened, &[])? >= before + 12.0).then_some(()))
    })?;
    held.stop()?;
    session.scene.becomes("elb_listener_connections", &[], 0.0)?;

    session.scene.servers[0].kill()?;
    session.tree_becomes(&lb, ["DEGRADED"; 3])?;
    session.scene.becomes(members, &["status=\"OFFLINE\""], 1.0)?;
    session.scene.becomes(members, &["status=\"ONLINE\""], 1.0)?;
    session.set("loadbalancer", &lb, &lb, json!({"admin_state_up": false}))?;
    ensure!(session.tree(&lb)?[0] == "DISABLED");
    session.set("loadbalancer", &lb, &lb, json!({"admin_state_up": true}))?;
    session.scene.servers[0].restart()?;
    session.tree_becomes(&lb, ["ONLINE"; 3])?;
    session.scene.becomes(members, &["status=\"OFFLINE\""], 0.0)
}

/// Acceptance 94: while a load balancer is disabled, its packets are dropped and no member gets a connection; enabled
/// again, it serves.
#[test]
fn a_disabled_load_balancer_gives_members_nothing() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let Made { lb, .. } = make_service(&mut session)?;
    let load = Load { timeout: PATIENCE, limit: 3 * LIMIT, ..Load::on(session.scene.service()) };
    let load = HttpLoad::start(session.scene.lab.client(), load);
    session.set("loadbalancer", &lb, &lb, json!({"admin_state_up": false}))?;
    let forwarded = |scene: &ApiScene| scene.sum_of("elb_listener_forwarded_packets_total", &[]);
    let (before, dropped) = (forwarded(session.scene)?, session.scene.packets_of("disabled")?);
    wait_for("more packets to be dropped", LIMIT, || {
        Ok((session.scene.packets_of("disabled")? >= dropped + 30).then_some(()))
    })?;
    let after = forwarded(session.scene)?;
    ensure!(before == after, "{before} packets were forwarded, and {after} are");
    let answered = load.so_far().answered();
    ensure!(answered > 0, "there was no load");
    session.set("loadbalancer", &lb, &lb, json!({"admin_state_up": true}))?;
    wait_for("requests to be answered again", LIMIT, || {
        Ok((load.so_far().answered() > answered + 100).then_some(()))
    })?;
    load.stop()?;
    session.scene.is_served_by(&[0, 1])
}

/// Acceptance 87: each call that changes something has exactly one record, with the name that the service's own audit
/// has for it; calls that look have none.
#[test]
fn each_change_has_one_audit_record() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let mut expected =
        vec!["createLoadbalancer", "createListener", "createPool", "createMember", "createMember"];
    let Made { lb, listener, pool, members } = make_service(&mut session)?;
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1});
    let monitor = session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    let tank = json!({"loadbalancer_id": lb, "log_group_id": "group", "log_topic_id": "topic"});
    let tank = session.make("create_logtank", json!({}), "logtank", tank)?;
    expected.extend(["createHealthMonitor", "createLogtank"]);
    let (of_lb, in_pool) = (json!({"loadbalancer_id": lb}), json!({"pool_id": pool}));
    let member = json!({"pool_id": pool, "member_id": members[0]});
    let (listener, monitor) =
        (json!({"listener_id": listener}), json!({"healthmonitor_id": monitor}));
    let gone = Value::Null;
    for (op, args, body, status, record) in [
        (
            "update_load_balancer",
            &of_lb,
            json!({"loadbalancer": {"name": "x"}}),
            200,
            "updateLoadbalancer",
        ),
        ("update_listener", &listener, json!({"listener": {"name": "x"}}), 200, "updateListener"),
        ("update_pool", &in_pool, json!({"pool": {"name": "x"}}), 200, "updatPool"),
        (
            "update_health_monitor",
            &monitor,
            json!({"healthmonitor": {"delay": 2}}),
            200,
            "updateHealthMonitor",
        ),
        ("list_members", &in_pool, gone.clone(), 200, ""),
        ("show_load_balancer", &of_lb, gone.clone(), 200, ""),
        ("delete_load_balancer", &of_lb, gone.clone(), 409, "deleteLoadbalancer"),
        ("delete_member", &member, gone.clone(), 204, "batchUpdateMember"),
        ("delete_logtank", &json!({"logtank_id": tank}), gone.clone(), 204, "deleteLogtank"),
        ("delete_health_monitor", &monitor, gone.clone(), 204, "deleteHealthMonitor"),
        ("delete_listener_force", &listener, gone.clone(), 204, "deleteListener"),
        ("delete_pool_cascade", &in_pool, gone.clone(), 204, "deletePool"),
        ("delete_load_balancer", &of_lb, gone.clone(), 204, "deleteLoadbalancer"),
    ] {
        session.done(op, args.clone(), body, status)?;
        expected.extend(Some(record).filter(|record| !record.is_empty()));
    }
    let said = session.scene.agent.run(&["audit", "-o", "json"])?;
    let records = printed::lines(&["audit"], &said)?;
    let found: Vec<_> = records.iter().filter_map(|one| one["operation"].as_str()).collect();
    ensure!(found == expected, "{found:#?}");
    let mut requests: Vec<_> = records.iter().map(|one| one["request_id"].to_string()).collect();
    requests.sort_unstable();
    requests.dedup();
    ensure!(requests.len() == expected.len(), "records of one call: {said}");
    Ok(())
}

/// Acceptance 104: the job of a check that is done says that all of its items are, and what is in order is in order.
#[test]
fn a_check_of_a_member_says_when_all_of_it_is_done() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let Made { listener, pool, members, .. } = make_service(&mut session)?;
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1});
    session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    session.members_are(&pool, "ONLINE")?;
    let member = Value::from(members[0].clone());
    let check = session.checked(&member, &listener)?;
    ensure!(check["status"] == "processed", "{check}");
    let total = check["check_item_total_num"].as_u64().context("a number")?;
    ensure!(total > 5 && check["check_item_finished_num"] == total, "{check}");
    for group in ["config", "acl", "security_group"] {
        let group = &check["result"][group];
        ensure!(group["check_result"] == true && group["check_status"] == "processed", "{check}");
        let mut items = group["check_items"].as_array().context("items")?.iter();
        ensure!(items.all(|item| item["severity"] == "Tips"), "{check}");
    }
    session.scene.servers[0].kill()?;
    session.members_are_not_all(&pool, "ONLINE")?;
    let check = session.checked(&member, &listener)?;
    ensure!(check["check_item_finished_num"] == check["check_item_total_num"], "{check}");
    ensure!(check["result"]["config"]["check_result"] == false, "{check}");
    ensure!(check["result"]["acl"]["check_result"] == true, "{check}");
    Ok(())
}

impl Session<'_> {
    fn members_are_not_all(&mut self, pool: &str, status: &str) -> Result<()> {
        wait_for(&format!("a member that is not {status}"), LIMIT, || {
            let members = self.get("list_members", json!({"pool_id": pool}), "members")?;
            let all = members.as_array().context("members")?.clone();
            Ok(all.iter().any(|one| one["operating_status"] != status).then_some(()))
        })
    }
}
