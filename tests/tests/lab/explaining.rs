//! `elb explain`, `elb flows` and `elb drops` next to real connections: they show where packets
//! really go, and change nothing.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    client::{HeldConnections, HttpLoad, Load},
    config::{Forwarding, Member},
    status,
    wire::ECHO_PORT,
};
use serde_json::Value;

use crate::scene::{ECHO, LIMIT, Scene};

const CONNECTIONS: usize = 24;
const BEAT: Duration = Duration::from_millis(50);

/// What `elb explain` says of a packet from `client` to the echo service.
fn explain(scene: &Scene, client: SocketAddr, more: &[&str]) -> Result<Value> {
    let (src, dst) = (client.to_string(), scene.echo().to_string());
    let question = ["explain", "--src", &src, "--dst", &dst, "--proto", "tcp"];
    scene.agent.ask(&[&question, more].concat())
}

fn member_of(explained: &Value) -> Result<IpAddr> {
    let address = explained["backend"]["address"].as_str();
    Ok(address.with_context(|| explained.to_string())?.parse()?)
}

/// For each held connection: its client's end, and the member that answers on it.
fn served(scene: &Scene, held: &HeldConnections) -> Vec<(SocketAddr, IpAddr)> {
    let report = held.so_far();
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    let member = |backend: &str| {
        let index = (0..).find(|index| scene.lab.backend_name(*index) == backend);
        scene.member(index.expect("one of the backends"))
    };
    let ends = report.connections.iter().map(|one| (one.local, one.backend.as_deref()));
    ends.map(|(local, backend)| {
        (local.expect("it is bound"), member(backend.expect("it has answered")))
    })
    .collect()
}

fn assert_explained(scene: &Scene, connections: &[(SocketAddr, IpAddr)]) -> Result<Vec<Value>> {
    let explained = connections.iter().map(|(client, member)| {
        let said = explain(scene, *client, &[])?;
        assert_eq!(said["decision"]["fate"], "forwarded", "{said}");
        assert_eq!(member_of(&said)?, *member, "{client}: {said}");
        Ok(said)
    });
    explained.collect()
}

#[test]
fn connections_are_explained_as_they_are_served_while_slots_move() -> Result<()> {
    let mut scene = Scene::start(3, Forwarding::Ipip, |mut pool| {
        pool.members.truncate(2);
        pool
    })?;
    let old = HeldConnections::open(scene.lab.client(), scene.echo(), CONNECTIONS, BEAT)?;
    let old_ones = served(&scene, &old);
    for said in assert_explained(&scene, &old_ones)? {
        assert_eq!(said["slot"]["moving"], false, "{said}");
        assert_eq!(said["flow"], Value::Null, "{said}");
        assert_eq!(said["listener"]["name"], ECHO, "{said}");
        let member = member_of(&said)?.to_string();
        assert_eq!(said["sent"]["encapsulation"]["destination"], member, "{said}");
    }
    assert_eq!(scene.agent.ask(&["flows"])?["summary"]["flows"], 0);

    let late = Member {
        address: scene.member(2),
        protocol_port: ECHO_PORT,
        weight: 2,
        backup: false,
        max_connection: 0,
    };
    let address = late.address;
    scene.config.pool_mut(ECHO).members.push(late);
    scene.agent.reload(&scene.config)?;
    let serves = |said: &_| status::slots(said, ECHO).get(&address) > Some(&0);
    scene.agent.wait_status("slots for the new member", LIMIT, serves)?;
    let explained = assert_explained(&scene, &old_ones)?;
    let moved = |said: &&Value| said["slot"]["moving"] == true;
    let moved: Vec<_> = explained.iter().filter(moved).collect();
    assert!(!moved.is_empty(), "no slot moved");
    // The next packet of each records it where it is.
    for said in &moved {
        let recorded = &said["flow"]["recorded"];
        assert!(recorded.is_null() || recorded["number"] == said["backend"]["number"], "{said}");
    }

    let new = HeldConnections::open(scene.lab.client(), scene.echo(), CONNECTIONS, BEAT)?;
    let new_ones = served(&scene, &new);
    let explained = assert_explained(&scene, &new_ones)?;
    let recorded = |said: &&Value| said["flow"]["recorded"].is_object();
    let recorded: Vec<_> = explained.iter().filter(recorded).collect();
    assert!(!recorded.is_empty(), "no new connection is recorded");
    for said in &recorded {
        assert_eq!(said["flow"]["recorded"]["number"], said["backend"]["number"], "{said}");
        assert!(said["flow"]["idle"].as_u64().expect("a number") <= 2, "{said}");
    }
    let all = [&old_ones[..], &new_ones].concat();
    flows_are_listed(&scene, &all, moved.len() + recorded.len())?;
    nothing_is_changed_by_asking(&scene, new_ones[0].0)?;
    for held in [old.stop()?, new.stop()?] {
        assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    }
    Ok(())
}

fn flows_are_listed(
    scene: &Scene,
    connections: &[(SocketAddr, IpAddr)],
    count: usize,
) -> Result<()> {
    let said = scene.agent.ask(&["flows", "--limit", "1000"])?;
    assert_eq!(said["summary"]["flows"], count, "{said}");
    let flows = said["flows"].as_array().expect("a list");
    assert_eq!(flows.len(), count);
    let served: BTreeMap<String, IpAddr> =
        connections.iter().map(|(client, member)| (client.to_string(), *member)).collect();
    let mut by_member: BTreeMap<String, usize> = BTreeMap::new();
    for flow in flows {
        let member: IpAddr = flow["member"]["address"].as_str().expect("a string").parse()?;
        assert_eq!(served[flow["source"].as_str().expect("a string")], member, "{flow}");
        assert_eq!(flow["destination"], scene.echo().to_string());
        assert!(flow["idle"].as_u64().expect("a number") <= 2, "{flow}");
        *by_member.entry(member.to_string()).or_default() += 1;
    }
    for (member, count) in by_member {
        let said = scene.agent.ask(&["flows", "--member", &member, "--limit", "1"])?;
        assert_eq!(said["summary"]["flows"], count, "{said}");
        assert_eq!(said["flows"].as_array().expect("a list").len(), 1, "{said}");
    }
    let table = scene.agent.run(&["flows", "--pool", ECHO, "--limit", "0"])?;
    assert!(table.starts_with(&format!("{count} tracked flows;")), "{table}");
    let wrong = scene.agent.run(&["flows", "--pool", "ehco"]).expect_err("a refusal").to_string();
    assert!(wrong.contains("no pool is called \"ehco\"; there are: echo, web"), "{wrong}");
    Ok(())
}

/// Neither a flow nor a count, whatever is asked.
fn nothing_is_changed_by_asking(scene: &Scene, client: SocketAddr) -> Result<()> {
    let counted = || -> Result<_> {
        let flows = scene.agent.ask(&["flows", "--limit", "0"])?["summary"]["flows"].clone();
        Ok((flows, status::packets_of(&scene.agent.status()?, "closed_port_answered")))
    };
    let before = counted()?;
    for port in 1..20 {
        let opening = explain(scene, SocketAddr::new(client.ip(), port), &["--syn"])?;
        assert_eq!(opening["decision"]["fate"], "forwarded", "{opening}");
    }
    let (src, dst) = (client.to_string(), SocketAddr::new(scene.echo().ip(), 9).to_string());
    let unanswered =
        scene.agent.ask(&["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--syn"])?;
    assert_eq!(unanswered["decision"]["reason"], "closed_port_answered", "{unanswered}");
    assert!(
        unanswered["decision"]["fix"].as_str().expect("a string").contains("add a listener"),
        "{unanswered}"
    );
    assert_eq!(counted()?, before);
    Ok(())
}

#[test]
fn a_drop_is_shown_with_its_rate_and_its_fix() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    for pool in &mut scene.config.pools {
        pool.members.iter_mut().for_each(|member| member.weight = 0);
    }
    scene.agent.reload(&scene.config)?;
    let unanswered = |said: &_| status::slots(said, ECHO).values().all(|slots| *slots == 0);
    scene.agent.wait_status("no slots for any member", LIMIT, unanswered)?;

    let timeout = Duration::from_millis(100);
    let load = Load { timeout, concurrency: 4, limit: LIMIT * 3, ..Load::on(scene.web()) };
    let load = HttpLoad::start(scene.lab.client(), load);
    let interval = ["drops", "--interval", "2s"];
    let said = scene.agent.ask(&interval)?;
    let text = scene.agent.run(&interval)?;
    load.stop()?;

    let first = &said[0];
    assert_eq!((&first["reason"], &first["fate"]), (&"no_backend".into(), &"dropped".into()));
    assert!(first["packets"].as_u64() > Some(0) && first["bytes"].as_u64() > Some(0), "{said}");
    assert!(first["packets_per_second"].as_f64() > Some(0.0), "{said}");
    assert!(first["fix"].as_str().expect("a string").contains("elb status"), "{said}");
    assert!(text.contains("no_backend") && text.contains("→ see `elb diagnose`"), "{text}");

    let client = SocketAddr::new(scene.lab.client_addr(Family::V4), 999);
    let explained = explain(&scene, client, &["--syn"])?;
    assert_eq!(explained["decision"]["reason"], "no_backend", "{explained}");
    Ok(())
}
