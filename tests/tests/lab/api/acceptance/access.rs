//! Access control: who may open connections, and whom it does not concern.

use elb_tests::client::{Load, http_requests};

use super::*;

/// A network that no client of a lab is in.
const OTHERS: &str = "203.0.113.0/24";

impl Session<'_> {
    /// The listener has a list, or has it turned off.
    fn guard(&mut self, made: &Made, group: &str, list: &str, is_on: bool) -> Result<()> {
        let access = json!({"ipgroup_id": group, "type": list, "enable_ipgroup": is_on});
        self.set("listener", &made.listener, &made.lb, json!({"ipgroup": access}))
    }

    /// The group has these networks, and packets meet them.
    fn group_is(&mut self, made: &Made, group: &str, networks: &[&str]) -> Result<()> {
        let list: Value = networks.iter().map(|ip| json!({"ip": ip})).collect();
        let body = json!({"ipgroup": {"ip_list": list}});
        self.done("update_ip_group", json!({"ipgroup_id": group}), body, 200)?;
        self.is_active(&made.lb)
    }
}

/// Acceptance 75: who is not on a whitelist opens no connection, those that exist go on, and once the client is added
/// the next one is let in. Acceptance 76: an empty blacklist lets all pass, an empty whitelist no one, and one that is
/// turned off all. Acceptance 78: none of that concerns who talks to a member itself.
#[test]
fn lists_concern_new_connections() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let lb = session.balancer()?;
    let made = session.echo_service(&lb, "TCP")?;
    let held = session.scene.hold(8)?;
    let group = json!({"ip_list": [{"ip": OTHERS}]});
    let group = session.make("create_ip_group", json!({}), "ipgroup", group)?;
    session.guard(&made, &group, "white", true)?;
    session.scene.keeps_out("access_denied")?;
    go_on(&held)?;
    let member = SocketAddr::new(session.scene.lab.member_addr(0, Family::V4), HTTP_PORT);
    let direct = http_requests(session.scene.lab.client(), Load::on(member), 8)?;
    ensure!(direct.answered() == 8, "to the member itself: {:?}", direct.failures());
    let client = session.scene.lab.client_addr(Family::V4).to_string();
    let added = json!({"ipgroup": {"ip_list": [{"ip": client}]}});
    session.done("update_ip_list", json!({"ipgroup_id": group}), added, 200)?;
    session.is_active(&lb)?;
    session.scene.let_in()?;

    session.group_is(&made, &group, &[])?;
    session.scene.keeps_out("access_denied")?;
    session.guard(&made, &group, "black", true)?;
    session.scene.let_in()?;
    session.group_is(&made, &group, &[&client])?;
    session.scene.keeps_out("access_denied")?;
    session.guard(&made, &group, "black", false)?;
    session.scene.let_in()?;
    session.guard(&made, &group, "white", false)?;
    session.group_is(&made, &group, &[])?;
    session.scene.let_in()?;
    go_on(&held)?;
    let held = held.stop()?;
    ensure!(held.broken().is_empty(), "{:?}", held.broken());
    Ok(())
}

/// Acceptance 77: probes are no connections of clients, so that members stay ONLINE whatever a list has.
#[test]
fn a_blacklist_of_everyone_leaves_members_healthy() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let lb = session.balancer()?;
    let made = session.echo_service(&lb, "TCP")?;
    let monitor = json!({"pool_id": made.pool, "type": "TCP", "delay": 1, "timeout": 5,
        "max_retries": 1, "max_retries_down": 3});
    session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    session.members_are(&made.pool, "ONLINE")?;
    let group = json!({"ip_list": [{"ip": "0.0.0.0/0"}, {"ip": "::/0"}]});
    let group = session.make("create_ip_group", json!({}), "ipgroup", group)?;
    session.guard(&made, &group, "black", true)?;
    session.scene.keeps_out("access_denied")?;
    let probes = |scene: &ApiScene| -> Result<f64> {
        let text = scene.agent.run(&["metrics"])?;
        let lines = text.lines().filter(|line| line.starts_with("elb_member_probes_total{"));
        lines.map(|line| Ok(line.rsplit(' ').next().context("a value")?.parse::<f64>()?)).sum()
    };
    let before = probes(session.scene)?;
    wait_for("more probes", LIMIT, || Ok((probes(session.scene)? >= before + 6.0).then_some(())))?;
    let members = session.get("list_members", json!({"pool_id": made.pool}), "members")?;
    for member in members.as_array().context("members")? {
        ensure!(member["operating_status"] == "ONLINE", "{member}");
    }
    let events = session.scene.agent.run(&["events"])?;
    ensure!(!events.contains("unhealthy"), "{events}");
    session.scene.keeps_out("access_denied")
}
