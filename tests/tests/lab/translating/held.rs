//! Connections that are held while the agent gives way to another version, and while members fail.

use std::path::PathBuf;

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{FailureKind, HeldConnections, HeldReport},
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
    environment::elb_bin,
    lab::Lab,
    server::{Ports, Server},
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};
use serde_json::Value;

use super::{BEAT, CONNECTIONS, ECHO};
use crate::scene::{LIMIT, wait_until_serving};

const MEMBERS: usize = 3;
const HEALTH: Ports = Ports { http: 8080, echo: 8081 };

#[test]
fn held_connections_outlive_upgrades_and_members_that_fail_break_no_others() -> Result<()> {
    let members = u8::try_from(MEMBERS)?;
    let lab = Lab::builder().two_armed().backends(members).families(Families::Both).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    let mut servers = lab.serve()?;
    let health = lab.backends().iter().map(|netns| Server::start_on(netns, "health", HEALTH));
    let mut health = health.collect::<Result<Vec<_>>>()?;
    let mut agent = Agent::start(&lab, &config(&lab))?;
    wait_until_serving(&agent)?;
    // The health check's port is none that clients' answers come from: its own would not be translated.
    agent.wait_status("probes of members themselves", LIMIT, |said| {
        probed(said, "direct").all(|way| way["why_direct"].as_str().is_some_and(is_untranslated))
    })?;
    let open = |family| {
        HeldConnections::open(lab.client(), lab.service(family, ECHO), CONNECTIONS / 2, BEAT)
    };
    let held = [open(Family::V4)?, open(Family::V6)?];

    let next = PathBuf::from(env!("CARGO_BIN_EXE_elb-next"));
    for program in [next.clone(), elb_bin()?, next] {
        agent.upgrade(&program)?;
        assert_eq!(agent.status()?["agent"]["adopted"], true);
        go_on(&held, |_| true)?;
    }
    let said = agent.status()?;
    let only_waited = status::drops(&said).iter().all(|drop| drop.contains("carried_over"));
    assert!(only_waited, "{:?}", status::drops(&said));

    // One that only counts as dead keeps its connections; those of one that died are reset.
    health[0].kill()?;
    health[1].kill()?;
    servers[1].kill()?;
    let failed = [0, 1].map(|index| lab.member_addr(index, Family::V4));
    agent.wait_members(&failed, "OFFLINE", LIMIT)?;
    go_on(&held, |backend| backend != lab.backend_name(1))?;
    for held in held {
        let report = held.stop()?;
        for index in 0..MEMBERS {
            let on = report.on(&lab.backend_name(index));
            assert!(on.len() > CONNECTIONS / 10, "{} on {index}", on.len());
            let mut failures = on.iter().map(|one| one.failure.as_ref().map(|why| why.kind));
            let expected = |kind| match kind {
                Some(kind) => {
                    index == 1 && matches!(kind, FailureKind::Reset | FailureKind::Closed)
                }
                None => index != 1,
            };
            assert!(failures.all(expected), "{index}: {:?}", report.broken());
        }
    }
    let new = open(Family::V4)?.stop()?;
    assert_eq!((new.broken().len(), new.on("backend-2").len()), (0, CONNECTIONS / 2));
    Ok(())
}

/// The ways by which members are probed, all of which are to be of this kind.
pub(super) fn probed<'s>(said: &'s Value, path: &'s str) -> impl Iterator<Item = &'s Value> {
    let members = status::pools(said).into_iter().flat_map(|pool| pool["members"].as_array());
    members.flatten().map(move |member| {
        let way = &member["paths"];
        if way["path"] == path && way[path] == "ok" { way } else { &Value::Null }
    })
}

fn is_untranslated(why: &str) -> bool {
    why.contains("answers of members to clients only are translated")
}

fn config(lab: &Lab) -> Config {
    let families = [Family::V4, Family::V6].into_iter();
    families.fold(Config::new(lab), |config, family| {
        let name = format!("echo {family:?}");
        let pool = Pool::of(lab, &name, family, Protocol::Tcp, ECHO_PORT);
        let pool = pool.forwarding(Forwarding::Nat).monitored_on(MonitorKind::Http, HEALTH.http);
        config.balance(lab, family, ECHO, pool)
    })
}

/// Waits until each connection with a backend that is `concerned` was answered again, or broke.
fn go_on(held: &[HeldConnections], concerned: impl Fn(&str) -> bool) -> Result<()> {
    let more = |now: &HeldReport, before: &HeldReport| {
        let mut pairs = now.connections.iter().zip(&before.connections);
        pairs.all(|(now, before)| {
            !now.backend.as_deref().is_some_and(&concerned)
                || now.failure.is_some()
                || now.round_trips >= before.round_trips + 2
        })
    };
    for held in held {
        let before = held.so_far();
        wait_for("answers on the connections", LIMIT, || {
            Ok(more(&held.so_far(), &before).then_some(()))
        })?;
    }
    Ok(())
}
