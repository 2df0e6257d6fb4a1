//! Backup members: they serve while no other can, and go back into reserve; connections stay where they are.

use anyhow::Result;
use elb_tests::{
    config::{Forwarding, MonitorKind, Pool},
    lab::Lab,
    server::{Ports, Server},
    status,
    wait::{STUCK, wait_for},
};
use serde_json::Value;

use crate::scene::{self, ECHO, LIMIT, Scene, all_go_on};

const HEALTH: Ports = Ports { http: 8080, echo: 8081 };

/// Three backends, the last of which is a backup in the pool of echoes.
fn start() -> Result<(Scene, Vec<Server>)> {
    Scene::start_of(3, Forwarding::Ipip, |lab: &Lab| {
        let monitored = |pool: Pool| pool.monitored_on(MonitorKind::Http, HEALTH.http);
        let mut config = scene::config(lab, Forwarding::Ipip, monitored);
        config.pool_mut(ECHO).members[2].backup = true;
        let backends = lab.backends().iter().enumerate();
        let start = |(n, netns)| Server::start_on(netns, &format!("health-{n}"), HEALTH);
        Ok((config, backends.map(start).collect::<Result<Vec<_>>>()?))
    })
}

impl Scene {
    /// Waits until backup members of the pool of echoes are needed, or not.
    fn wait_backup(&self, in_service: bool) -> Result<Value> {
        let is_so = |said: &Value| {
            status::pool(said, ECHO).is_some_and(|pool| pool["backup"]["in_service"] == in_service)
        };
        self.agent.wait_status(&format!("backup in service: {in_service}"), LIMIT, is_so)
    }

    /// Events of the backup member, the oldest first.
    fn backup_events(&self) -> Result<Vec<String>> {
        let said = self.agent.run(&["events", "--pool", ECHO, "-o", "json"])?;
        let lines = said.lines().map(serde_json::from_str::<Value>);
        let events = lines.collect::<Result<Vec<_>, _>>()?;
        let kinds = events.iter().filter_map(|event| event["event"].as_str());
        Ok(kinds.filter(|kind| kind.starts_with("in_")).map(str::to_owned).collect())
    }

    /// The line of a metric that begins so.
    fn metric(&self, name: &str) -> Result<String> {
        let said = self.agent.run(&["metrics"])?;
        Ok(said.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned())
    }
}

#[test]
fn a_backup_serves_while_no_other_can_and_connections_stay() -> Result<()> {
    let (mut scene, mut health) = start()?;
    let backup = scene.member(2);
    let all = [0, 1, 2].map(|index| scene.member(index));
    scene.agent.wait_members(&all, "ONLINE", LIMIT)?;
    let said = scene.wait_backup(false)?;
    let member = status::member(&said, ECHO, backup).expect("it is there");
    assert_eq!((&member["operating_status"], &member["slots"]), (&"ONLINE".into(), &0.into()));
    let text = scene.agent.run(&["status"])?;
    assert!(text.contains("backup in reserve: 2 of the others can serve"), "{text}");
    assert_eq!(scene.agent.end(&["status", "--check"], STUCK)?.code, Some(0));
    let diagnosed = scene.agent.run(&["diagnose"])?;
    assert!(diagnosed.contains("(backup in reserve: 2 of the others can serve)"), "{diagnosed}");
    let before = scene.held_on(&[0, 1])?;

    // One fails, the other is drained; the connections that they have go on.
    health[0].kill()?;
    scene.agent.run(&["drain", &scene.member(1).to_string(), "--pool", ECHO])?;
    scene.wait_backup(true)?;
    let meanwhile = scene.held_on(&[2])?;
    let text = scene.agent.run(&["status"])?;
    assert!(text.contains("SERVED BY BACKUP MEMBERS"), "{text}");
    assert!(text.contains("backup in service: 0 of the others can serve, fewer than 1"), "{text}");
    let checked = scene.agent.end(&["status", "--check"], STUCK)?;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.printed.contains("pool echo: backup in service"), "{checked:?}");
    let echo = scene.echo().to_string();
    let explained = scene
        .agent
        .run(&["explain", "--src", "10.1.0.9", "--dst", &echo, "--proto", "tcp", "--syn"])?;
    assert!(explained.contains(", backup)"), "{explained}");
    let name = format!("{ECHO}/{}", status_name(&scene, backup)?);
    let diagnosed = scene.agent.end(&["diagnose", &name], STUCK)?.printed;
    assert!(diagnosed.contains("backup in service: 0 of the others"), "{diagnosed}");
    wait_for("metrics of the backup", LIMIT, || {
        let line = scene.metric("elb_pool_backup_used{pool=\"echo\"}")?;
        Ok(line.ends_with(" 1").then_some(()))
    })?;
    assert_eq!(scene.backup_events()?, ["in_service"]);

    // The next agent knows it all, and says nothing anew.
    scene.agent.restart()?;
    scene.wait_backup(true)?;
    scene.held_on(&[2])?.stop()?;

    health[0].restart()?;
    scene.agent.run(&["drain", &scene.member(1).to_string(), "--pool", ECHO, "--cancel"])?;
    scene.agent.wait_members(&[scene.member(0), scene.member(1)], "ONLINE", LIMIT)?;
    scene.wait_backup(false)?;
    let after = scene.held_on(&[0, 1])?;
    let log = scene.agent.log();
    assert!(log.contains("in reserve again"), "{log}");
    assert_eq!(scene.backup_events()?.last().map(String::as_str), Some("in_reserve"));

    // One in reserve is as healthy for the next agent as it was for this one.
    scene.agent.restart()?;
    let said = scene.wait_backup(false)?;
    let member = status::member(&said, ECHO, backup).expect("it is there");
    assert_eq!(member["operating_status"], "ONLINE");
    all_go_on([("before", before), ("meanwhile", meanwhile), ("after", after)])
}

/// What a member is called.
fn status_name(scene: &Scene, address: std::net::IpAddr) -> Result<String> {
    let said = scene.agent.status()?;
    let member = status::member(&said, ECHO, address).expect("it is there");
    Ok(member["name"].as_str().unwrap_or_default().to_owned())
}
