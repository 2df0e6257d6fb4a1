//! Delays and timeouts below a second: when probes start, how late, and how soon a verdict falls.

use std::time::Instant;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, HealthMonitor, Member, MonitorKind, Pool, Protocol},
    lab::Lab,
    script::Script,
    status,
    wait::wait_for,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::times::{last_event, not_at_midnight, probes};
use crate::watch::{LIMIT, Watch};
use crate::watched::{HEALTH, WEB};

const MEMBERS: u8 = 60;
const DELAY: f64 = 0.1;

/// Sixty members a tenth of a second apart are 600 probes a second.
#[test]
fn a_tenth_of_a_second_is_kept() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    lab.backend(0).ip("route add local 10.64.0.0/24 dev lo")?;
    lab.lb().ip(&format!("route add 10.64.0.0/24 via {}", lab.member_addr(0, Family::V4)))?;
    let _script = Script::start(lab.backend(0), HEALTH)?;
    let mut pool = Pool::of(&lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT);
    pool.members = (1..=MEMBERS)
        .map(|n| Member {
            address: [10, 64, 0, n].into(),
            protocol_port: HTTP_PORT,
            weight: 1,
            backup: false,
            max_connection: 0,
        })
        .collect();
    let monitor = HealthMonitor::quick(MonitorKind::Tcp).brisk(DELAY, 1.0).port(HEALTH).direct();
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool.watched(monitor));
    let agent = Agent::start(&lab, &config)?;

    let first = wait_for("probes of each member", LIMIT, || {
        Ok(Some(fewest(&agent.status()?)?).filter(|fewest| *fewest > 2))
    })?;
    let begun = Instant::now();
    let last = wait_for("20 more probes of each member", LIMIT, || {
        Ok(Some(fewest(&agent.status()?)?).filter(|fewest| *fewest >= first + 20))
    })?;
    let apart = begun.elapsed() / u32::try_from(last - first)?;
    let said = agent.status()?;
    println!("{apart:?} apart; late: {}", said["agent"]["probing"]);
    // What is remembered says the same by the agent's own clock: none is sooner than chance allows.
    let pool = status::pool(&said, WEB).context("no pool")?;
    let known = probes(&pool["members"][0])?;
    for two in known.windows(2) {
        let apart = two[1].began - two[0].ended;
        assert!(apart > DELAY * 15.0 / 16.0 - 0.003, "{apart} in {known:?}");
    }
    Ok(())
}

/// How many probes are over of the member that has fewest.
fn fewest(said: &Value) -> Result<u64> {
    let members = status::pool(said, WEB).and_then(|pool| pool["members"].as_array());
    let counts = members.into_iter().flatten().map(crate::watched::probes);
    counts.min().context("no members")
}

/// A server that says nothing any more is OFFLINE after two timeouts and two delays of a fifth of a
/// second each, and no earlier than both timeouts.
#[test]
fn a_silent_server_is_found_within_a_second() -> Result<()> {
    not_at_midnight()?;
    let lab = Lab::builder().backends(1).start()?;
    let _script = Script::start(lab.backend(0), HEALTH)?;
    let monitor = HealthMonitor::quick(MonitorKind::Tcp).brisk(0.2, 0.2).port(HEALTH).direct();
    let watch = Watch::start_tcp(lab, &[("web", monitor)])?;
    watch.wait("web", "ONLINE")?;
    let backend = watch.lab.backend(0);
    let lost: Vec<_> = watch.lab.lb_addrs(Family::V4);
    for address in &lost {
        backend.ip(&format!("route add blackhole {address}"))?;
    }
    let said = watch.wait_reason("web", "CONNECT_TIMEOUT")?;
    let fell = last_event(&watch.agent, "web", "unhealthy")?;
    let known = probes(&said)?;
    let failed: Vec<_> =
        known.iter().filter(|probe| probe.result != "OK" && probe.began < fell).collect();
    let [first, second] = failed[..] else { anyhow::bail!("{failed:?}") };
    let took = fell - first.began;
    println!("the verdict took {took:.3} s");
    assert!(took > 0.38, "{took}: {known:?}");
    assert!((second.began - first.ended) > 0.18 && (first.ended - first.began) > 0.19, "{known:?}");
    assert_eq!(said["reason"]["detail"], "no answer to the connection", "{said}");
    for address in &lost {
        backend.ip(&format!("route del blackhole {address}"))?;
    }
    watch.wait("web", "ONLINE")?;
    Ok(())
}

/// What the agent makes of it: a file that asks for too much is served, with a warning.
#[test]
fn a_delay_that_is_too_short_is_refused_and_nothing_changes() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _script = Script::start(lab.backend(0), HEALTH)?;
    let quick = HealthMonitor::quick(MonitorKind::Tcp).port(HEALTH).direct();
    let mut watch = Watch::start_tcp(lab, &[("web", quick.clone())])?;
    watch.wait("web", "ONLINE")?;
    watch.config.pool_mut("web").healthmonitor = Some(quick.brisk(0.05, 0.05));
    watch.reload()?;
    let rule = "delay 0.05 is outside 0.1..=50; use 0.1 to 50 seconds";
    let is_shown = |said: &Value| said["agent"]["problems"].to_string().contains(rule);
    watch.agent.wait_status("the problem to be reported", LIMIT, is_shown)?;
    assert_eq!(watch.member("web")?["operating_status"], "ONLINE");
    Ok(())
}
