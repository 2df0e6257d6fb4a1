//! A virtual address that is an address of the load balancer itself is refused or warned of.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, Load, http_requests},
    config::{Config, Forwarding, MonitorKind, Pool, PortRange, Protocol},
    lab::Lab,
    server::Server,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use crate::served::{doctor, finding};

const LIMIT: Duration = Duration::from_secs(20);
const WEB: &str = "web";

/// HTTP at the lab's address, with members that are watched.
fn config(lab: &Lab) -> Config {
    let pool = Pool::of(lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT);
    Config::new(lab).balance(lab, Family::V4, HTTP_PORT, pool.monitored_by(MonitorKind::Tcp))
}

/// The same, and one listener more at the load balancer's own address, for these ports.
fn with_own(lab: &Lab, port: u16, ranges: &[PortRange]) -> Result<Config> {
    let mut config = config(lab);
    let mut pool = Pool::of(lab, "own", Family::V4, Protocol::Tcp, HTTP_PORT);
    pool = if port == 0 { pool.any_port() } else { pool };
    let mut own = config.load_balancers[0].clone();
    own.name = "own".into();
    own.vip_address = Some(own_address(lab)?);
    own.listeners[0].name = "own".into();
    own.listeners[0].default_pool = "own".into();
    own.listeners[0].protocol_port = port;
    own.listeners[0].port_ranges = ranges.to_vec();
    config.load_balancers.push(own);
    config.pools.push(pool);
    Ok(config)
}

fn own_address(lab: &Lab) -> Result<std::net::Ipv4Addr> {
    let said = lab.lb().ip("addr show dev lb0")?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "inet").skip(1);
    let address = words.next().and_then(|one| one.split('/').next());
    Ok(address.context("lb0 has an address")?.parse()?)
}

fn problems(agent: &Agent) -> Result<Vec<String>> {
    let status: Value = agent.status()?;
    let all = status["agent"]["problems"].as_array().cloned().unwrap_or_default();
    Ok(all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
}

fn serves(lab: &Lab) -> Result<()> {
    let web = lab.service(Family::V4, HTTP_PORT);
    let report = http_requests(lab.client(), Load::on(web), 50)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}

/// Any port, ranges with a port where the host listens, and ranges with its ephemeral ports: refused by
/// check and by a reload; a start serves the others. The host stays reachable meanwhile.
#[test]
fn what_would_lock_the_admin_out_is_refused() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    // Something like ssh of the load balancer, and a session.
    let admin = Server::start(lab.lb(), "admin")?;
    let own = own_address(&lab)?;
    let ssh = (own, ECHO_PORT).into();
    let session = HeldConnections::open(lab.client(), ssh, 2, Duration::from_millis(50))?;

    let range = |start_port, end_port| [PortRange { start_port, end_port }];
    let any = with_own(&lab, 0, &[])?;
    let cases = [
        (any.clone(), "ssh included"),
        (with_own(&lab, 0, &range(1, 10))?, "TCP port 7, where this host itself listens"),
        (with_own(&lab, 0, &range(30_000, 60_999))?, "answers to connections that this host opens"),
    ];
    // At a start, what is wrong is left out.
    let agent = Agent::start(&lab, &any)?;
    agent.wait_status("the members of web", LIMIT, |said| {
        (0..2).all(|n| {
            let member = status::member(said, WEB, lab.member_addr(n, Family::V4));
            member.is_some_and(|one| one["operating_status"] == "ONLINE" && one["slots"] != 0)
        })
    })?;
    let said = problems(&agent)?;
    let words = format!("{own} is an address of this host (lb0)");
    assert!(
        said.iter().any(|one| one.contains(&words) && one.contains("ssh included")),
        "{said:?}"
    );
    serves(&lab)?;
    for (config, taken) in &cases {
        agent.write(&config.text()?)?;
        let file = agent.file().display().to_string();
        let check = agent.end(&["check", "--config", &file], LIMIT)?;
        assert_eq!(check.code, Some(1), "{check:?}");
        assert!(check.printed.contains(&words) && check.printed.contains(taken), "{check:?}");
        let reload = agent.end(&["reload"], LIMIT)?;
        assert_eq!(reload.code, Some(1), "{reload:?}");
        assert!(reload.printed.contains(&words) && reload.printed.contains(taken), "{reload:?}");
        let new = HeldConnections::open(lab.client(), ssh, 1, Duration::from_millis(20))?.stop()?;
        assert_eq!(new.broken().len(), 0, "{:?}", new.broken());
    }
    // Ranges that the host does not need are only warned of, and so is one port.
    for config in [with_own(&lab, 0, &range(8_000, 8_100))?, with_own(&lab, 81, &[])?] {
        let mut config = config;
        if config.load_balancers[1].listeners[0].protocol_port == 81 {
            config.pool_mut("own").members.iter_mut().for_each(|one| one.protocol_port = 81);
        }
        agent.write(&config.text()?)?;
        let reload = agent.end(&["reload"], LIMIT)?;
        assert_eq!(reload.code, Some(0), "{reload:?}");
        assert!(reload.printed.contains("warning: load balancer \"own\""), "{reload:?}");
        let said = |_: &Value| {
            problems(&agent)
                .is_ok_and(|all| all.iter().any(|one| one.contains("of this host as well")))
        };
        agent.wait_status("the problem", LIMIT, said)?;
        serves(&lab)?;
    }
    assert_eq!(session.stop()?.broken().len(), 0);
    drop((agent, admin, servers));
    Ok(())
}

/// The host's own address with a port that it does not need: members have it on their lo and answer
/// no one, which is said to be the load balancer's fault, not theirs.
#[test]
fn members_that_have_the_host_s_address_are_not_blamed() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let own = own_address(&lab)?;
    let mut config = config(&lab);
    config.load_balancers[0].vip_address = Some(own);
    for backend in lab.backends() {
        backend.ip(&format!("addr add {own}/32 dev lo"))?;
    }
    let agent = Agent::start(&lab, &config)?;
    let members = [0, 1].map(|n| lab.member_addr(n, Family::V4));
    agent.wait_members(&members, "OFFLINE", LIMIT)?;
    let said = problems(&agent)?;
    assert!(said.iter().any(|one| one.contains("do not answer this host")), "{said:?}");
    let diagnosis = agent.end(&["diagnose", "pool:web"], LIMIT)?;
    assert_eq!(diagnosis.code, Some(1), "{diagnosis:?}");
    let words =
        format!("{own} is a virtual address of this pool, and an address of this load balancer");
    assert!(diagnosis.printed.contains(&words), "{diagnosis:?}");
    assert!(!diagnosis.printed.contains("start the host"), "{diagnosis:?}");
    // The repair: an address of its own.
    config.load_balancers[0].vip_address = match lab.vip4() {
        std::net::IpAddr::V4(vip) => Some(vip),
        std::net::IpAddr::V6(_) => None,
    };
    for backend in lab.backends() {
        backend.ip(&format!("addr del {own}/32 dev lo"))?;
    }
    agent.write(&config.text()?)?;
    let reload = agent.end(&["reload", "--wait"], LIMIT)?;
    assert_eq!(reload.code, Some(0), "{reload:?}");
    agent.wait_members(&members, "ONLINE", LIMIT)?;
    let gone = |_: &Value| problems(&agent).is_ok_and(|all| all.is_empty());
    agent.wait_status("no problem", LIMIT, gone)?;
    serves(&lab)?;
    drop((agent, servers));
    Ok(())
}

/// An address that an interface gets later is said with its cause, and no longer when it goes.
#[test]
fn an_address_that_appears_later_is_said() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let agent = Agent::start(&lab, &config(&lab))?;
    agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    assert_eq!(problems(&agent)?, Vec::<String>::new());
    let vip = lab.vip4();
    lab.lb().ip(&format!("addr add {vip}/32 dev lb0"))?;
    let words = format!("{vip} is an address of this host as well");
    let said =
        |_: &Value| problems(&agent).is_ok_and(|all| all.iter().any(|one| one.contains(&words)));
    agent.wait_status("the problem", LIMIT, said)?;
    assert!(agent.log().contains(&words));
    serves(&lab)?;
    let host = doctor(&lab, agent.file())?;
    assert_eq!(finding(&host, "own-address")["outcome"], "warn", "{host:#}");
    // Something of the host listens at the port that a listener takes there.
    let other = Server::start(lab.lb(), "other")?;
    let host = doctor(&lab, agent.file())?;
    let found = finding(&host, "own-address");
    assert_eq!(found["outcome"], "fail", "{host:#}");
    let evidence = found["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains("TCP port 80, where this host itself listens"), "{evidence}");
    let fix = found["fix"].as_str().unwrap_or_default();
    assert!(fix.contains(&format!("ip address del {vip} dev lb0")), "{fix}");
    drop(other);
    // A restart goes on to serve it.
    let file = agent.file().display().to_string();
    let check = agent.end(&["check", "--config", &file], LIMIT)?;
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.printed.contains("warning: load balancer \"lb-0\": vip_address"), "{check:?}");
    let strict = agent.end(&["check", "--strict", "--config", &file], LIMIT)?;
    assert_eq!(strict.code, Some(1), "{strict:?}");
    lab.lb().ip(&format!("addr del {vip}/32 dev lb0"))?;
    let gone = |_: &Value| problems(&agent).is_ok_and(|all| all.is_empty());
    agent.wait_status("no problem", LIMIT, gone)?;
    let host = doctor(&lab, agent.file())?;
    assert_eq!(finding(&host, "own-address")["outcome"], "pass", "{host:#}");
    agent.wait_status("all members to serve", LIMIT, |said| {
        (0..2).all(|n| status::all_are(said, lab.member_addr(n, Family::V4), "ONLINE"))
    })?;
    serves(&lab)?;
    drop((agent, servers));
    Ok(())
}
