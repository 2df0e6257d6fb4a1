//! Each virtual address of a member is probed and judged by itself.

use std::{net::IpAddr, thread, time::Duration};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{HttpLoad, HttpReport, Load, http_requests},
    config::{Config, Forwarding, LoadBalancer, MonitorKind, Pool, Protocol},
    environment::elb_bin,
    lab::{Builder, Lab},
    process::output,
    server::Server,
    status,
    wire::{ECHO_PORT, HTTP_PORT, Service},
};
use serde_json::Value;

/// How long anything may take: machines that run tests are busy.
const LIMIT: Duration = Duration::from_secs(30);

const WEB: &str = "web";
const ECHO: &str = "echo";

/// Two backends with IPv4 addresses, in two pools, each behind several virtual addresses.
struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    _servers: Vec<Server>,
    lab: Lab,
}

impl Scene {
    fn start(shape: Builder, change: impl FnOnce(&Lab, &mut Config) -> Result<()>) -> Result<Self> {
        Self::serving(shape, Lab::serve, change)
    }

    fn serving(
        shape: Builder,
        serve: impl FnOnce(&Lab) -> Result<Vec<Server>>,
        change: impl FnOnce(&Lab, &mut Config) -> Result<()>,
    ) -> Result<Self> {
        let lab = shape.start()?;
        let servers = serve(&lab)?;
        lab.backends_up(Forwarding::Ipip)?;
        let pools = [(WEB, HTTP_PORT, MonitorKind::Http), (ECHO, ECHO_PORT, MonitorKind::Tcp)];
        let mut config = pools.into_iter().fold(Config::new(&lab), |config, (name, port, kind)| {
            let pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
            config.balance(&lab, Family::V4, port, pool.monitored_by(kind))
        });
        change(&lab, &mut config)?;
        let agent = Agent::start(&lab, &config)?;
        let scene = Self { agent, _servers: servers, lab };
        scene.agent.wait_members(&scene.members(), "ONLINE", LIMIT)?;
        Ok(scene)
    }

    fn members(&self) -> [IpAddr; 2] {
        [0, 1].map(|index| self.lab.member_addr(index, Family::V4))
    }

    /// Takes a virtual address off a backend, or gives it back, and nothing else.
    fn vip_on(&self, index: usize, verb: &str, vip: IpAddr) -> Result<()> {
        let length = if vip.is_ipv4() { 32 } else { 128 };
        let deprecated = if vip.is_ipv4() || verb == "del" { "" } else { " preferred_lft 0 nodad" };
        let line = format!("address {verb} {vip}/{length} dev lo{deprecated}");
        self.lab.backend(index).ip(&line).map(drop)
    }

    /// Requests to a virtual address, each on a new connection: all must be answered.
    fn all_answered(&self, vip: IpAddr) -> Result<HttpReport> {
        let load = Load { concurrency: 4, ..Load::on((vip, HTTP_PORT).into()) };
        let report = http_requests(self.lab.client(), load, 40)?;
        assert_eq!(report.answered(), 40, "{vip}: {:?}", report.failures());
        Ok(report)
    }

    fn requests(&self, vip: IpAddr) -> HttpLoad {
        let pause = Duration::from_millis(20);
        let target = (vip, HTTP_PORT).into();
        let load = Load { concurrency: 2, pause, limit: LIMIT * 10, ..Load::on(target) };
        HttpLoad::start(self.lab.client(), load)
    }

    /// What the status says of a member of the first pool.
    fn member(&self, index: usize) -> Result<Value> {
        let said = self.agent.status()?;
        let member = status::member(&said, WEB, self.members()[index]).context("no such member")?;
        Ok(member.clone())
    }

    /// The first member is OFFLINE since it fails at `vip`, which status and diagnosis name.
    fn assert_fails_at(&self, vip: IpAddr, others: &[IpAddr]) -> Result<()> {
        self.agent.wait_members(&self.members()[..1], "OFFLINE", LIMIT)?;
        let said = self.agent.status()?;
        assert!(status::all_are(&said, self.members()[1], "ONLINE"), "{said:#}");
        let member = self.member(0)?;
        let at = |vip: &IpAddr| member["paths"]["addresses"][vip.to_string()].clone();
        assert!(at(&vip).as_str().is_some_and(|at| at.starts_with("OFFLINE: ")), "{member:#}");
        for other in others {
            assert_eq!(at(other), "ONLINE", "{member:#}");
        }
        let why: Vec<_> = member["status"].as_array().into_iter().flatten().collect();
        let words = format!("it fails at {vip}");
        let named = |at: &&Value| at["why"].as_str().is_some_and(|why| why.starts_with(&words));
        assert!(why.iter().all(named), "{member:#}");

        let shown = self.agent.diagnose(&[&format!("{WEB}/{}", self.members()[0])])?;
        assert_eq!(shown.cause(), Some("virtual-address"), "{:#}", shown.said);
        let evidence = shown.finding("virtual-address")["evidence"].as_str().context("evidence")?;
        assert!(evidence.contains(&vip.to_string()), "{evidence}");
        for other in others {
            assert!(!evidence.contains(&format!("{other},")), "{evidence}");
        }
        Ok(())
    }

    fn assert_well(&self) -> Result<()> {
        self.agent.wait_members(&self.members(), "ONLINE", LIMIT)?;
        let shown = self.agent.diagnose(&[&format!("{WEB}/{}", self.members()[0])])?;
        assert_eq!((shown.cause(), shown.code), (None, 0), "{:#}", shown.said);
        Ok(())
    }
}

#[test]
fn a_member_without_its_ipv6_address_gets_no_clients() -> Result<()> {
    let scene = Scene::start(Lab::builder().families(Families::Both), |lab, config| {
        let IpAddr::V6(vip) = lab.vip6() else { unreachable!("an IPv6 address") };
        config.load_balancers[0].ipv6_vip_address = Some(vip);
        Ok(())
    })?;
    let (v4, v6) = (scene.lab.vip4(), scene.lab.vip6());
    let load = scene.requests(v4);
    scene.all_answered(v6)?;

    scene.vip_on(0, "del", v6)?;
    scene.assert_fails_at(v6, &[v4])?;
    for vip in [v4, v6] {
        let report = scene.all_answered(vip)?;
        assert_eq!(report.answers_by_backend().len(), 1, "{vip}: {report:?}");
    }
    scene.vip_on(0, "add", v6)?;
    scene.assert_well()?;
    scene.all_answered(v6)?;

    // Without any member that has it, IPv4 loses nothing, and the problem is said.
    [0, 1].into_iter().try_for_each(|index| scene.vip_on(index, "del", v6))?;
    let words = format!("no member answers at {v6}");
    let has_problem = |said: &Value| said["agent"]["problems"].to_string().contains(&words);
    scene.agent.wait_status("the problem", LIMIT, has_problem)?;
    let report = load.stop()?;
    assert!(report.failures().is_empty(), "{:?}", report.failures());
    assert_eq!(scene.all_answered(v4)?.answers_by_backend().len(), 2);
    scene.agent.wait_members(&scene.members(), "ONLINE", LIMIT)?;
    [0, 1].into_iter().try_for_each(|index| scene.vip_on(index, "add", v6))?;
    scene.agent.wait_status("no problem", LIMIT, |said| !has_problem(said))?;
    scene.assert_well()
}

/// Starts a server of one service on an address of each backend, or on all.
fn serve_on(lab: &Lab, service: Service, port: u16, at: Option<IpAddr>) -> Result<Vec<Server>> {
    let start = |index| {
        Server::start_with(lab.backend(index), &format!("b{index}"), &[(service, port)], at)
    };
    (0..2).map(start).collect()
}

/// An address that is added by a reload, while one of the services takes IPv4 only.
#[test]
fn a_service_that_takes_ipv4_only_keeps_its_clients_of_ipv4() -> Result<()> {
    const TWO_PROBES: Duration = Duration::from_secs(4);
    let serve = |lab: &Lab| -> Result<Vec<Server>> {
        let mut servers = serve_on(lab, Service::Http, HTTP_PORT, Some([0, 0, 0, 0].into()))?;
        servers.extend(serve_on(lab, Service::Echo, ECHO_PORT, None)?);
        Ok(servers)
    };
    let shape = Lab::builder().families(Families::Both);
    let mut wanted = None;
    let mut scene = Scene::serving(shape, serve, |_, config| {
        wanted = Some(config.clone());
        Ok(())
    })?;
    let (v4, IpAddr::V6(v6)) = (scene.lab.vip4(), scene.lab.vip6()) else { unreachable!("IPv6") };
    let load = scene.requests(v4);
    let mut wanted = wanted.context("a configuration")?;
    for balancer in &mut wanted.load_balancers {
        balancer.ipv6_vip_address = Some(v6);
    }
    scene.agent.reload(&wanted)?;

    let words = format!("no member answers at {v6} of pool \"{WEB}\" (");
    let has_problem = |said: &Value| {
        let mut problems = said["agent"]["problems"].as_array().into_iter().flatten();
        problems.any(|one| one.as_str().is_some_and(|one| one.contains(&words)))
    };
    scene.agent.wait_status("the problem", LIMIT, has_problem)?;
    thread::sleep(TWO_PROBES);
    let said = scene.agent.status()?;
    assert!(has_problem(&said), "{said:#}");
    for index in [0, 1] {
        let member = scene.member(index)?;
        assert!(status::all_are(&said, scene.members()[index], "ONLINE"), "{said:#}");
        assert_eq!(member["health"]["turned_unhealthy"], 0, "{member:#}");
        let at = member["paths"]["addresses"][v6.to_string()].to_string();
        assert!(at.contains("not counted: no member of the pool answers there"), "{member:#}");
    }
    assert_eq!(scene.all_answered(v4)?.answers_by_backend().len(), 2);
    let named = format!("{WEB}/{}", scene.members()[0]);
    for target in [&[][..], &[named.as_str()]] {
        let shown = scene.agent.diagnose(target)?;
        assert_eq!((shown.cause(), shown.code), (Some("listening"), 1), "{:#}", shown.said);
        assert!(shown.evidence().contains("takes IPv4 only"), "{:#}", shown.said);
        assert!(shown.fix().contains("[::]:"), "{:#}", shown.said);
    }

    let _more = serve_on(&scene.lab, Service::Http, HTTP_PORT, Some(v6.into()))?;
    scene.agent.wait_status("no problem", LIMIT, |said| !has_problem(said))?;
    scene.assert_well()?;
    scene.all_answered(v6.into())?;
    let report = load.stop()?;
    assert!(report.answered() > 0 && report.failures().is_empty(), "{:?}", report.failures());
    Ok(())
}

/// More load balancers on one pool than addresses are probed at a time.
#[test]
fn each_load_balancer_of_a_pool_has_its_own_verdict() -> Result<()> {
    const MORE: u8 = 5;
    let vip = |number: u8| IpAddr::from([10, 0, 0, 100 + number]);
    let scene = Scene::start(Lab::builder(), |lab, config| {
        for number in 1..=MORE {
            let IpAddr::V4(address) = vip(number) else { unreachable!("an IPv4 address") };
            for index in 0..2 {
                let mut command = lab.backend(index).command(elb_bin()?);
                command.args([
                    "backend",
                    "up",
                    "--vip",
                    &address.to_string(),
                    "--mode",
                    "ipip",
                    "--from",
                    "10.0.0.2",
                ]);
                command.args(["--interface", lab.device()]).args(lab.backend_place(index));
                output(command, LIMIT)?;
            }
            let first = &config.load_balancers[0];
            let mut more = LoadBalancer { vip_address: Some(address), ..first.clone() };
            more.name = format!("more-{number}");
            for listener in &mut more.listeners {
                listener.name = format!("{}-{number}", listener.name);
            }
            config.load_balancers.push(more);
        }
        Ok(())
    })?;
    let mut check = scene.lab.lb().command(elb_bin()?);
    check.args(["check", "--config"]).arg(scene.lab.files().join("elb.toml"));
    let said = output(check, LIMIT)?;
    assert!(said.contains("probed at 4 of its 6 virtual addresses at a time"), "{said}");

    // One that is probed each other time.
    let last = vip(MORE);
    scene.vip_on(0, "del", last)?;
    scene.agent.wait_members(&scene.members()[..1], "OFFLINE", LIMIT)?;
    for address in [last, vip(1)] {
        assert_eq!(scene.all_answered(address)?.answers_by_backend().len(), 1, "{address}");
    }
    let member = scene.member(0)?;
    let at = |vip: IpAddr| member["paths"]["addresses"][vip.to_string()].to_string();
    assert!(at(last).starts_with("\"OFFLINE: "), "{member:#}");
    assert!((0..MORE).map(vip).all(|vip| at(vip) == "\"ONLINE\""), "{member:#}");
    scene.vip_on(0, "add", last)?;
    scene.assert_well()
}
