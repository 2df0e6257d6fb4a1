//! Probes of virtual addresses: what traffic to a member would meet, they meet.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    process::output,
    server::Server,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

/// How long anything may take: machines that run tests are busy.
const LIMIT: Duration = Duration::from_secs(30);

const WEB: &str = "web";
const ECHO: &str = "echo";
const DATAGRAMS: &str = "datagrams";
const POOLS: [&str; 3] = [WEB, ECHO, DATAGRAMS];

/// Two backends that serve, and an agent that probes them: a pool by HTTP, one by TCP, one by
/// UDP_CONNECT.
struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    _servers: Vec<Server>,
    config: Config,
    lab: Lab,
    family: Family,
    mode: Forwarding,
}

impl Scene {
    fn start(mode: Forwarding, family: Family) -> Result<Self> {
        Self::start_with(mode, family, |_| Ok(()))
    }

    /// With more in the lab that the agent finds when it starts.
    fn start_with(
        mode: Forwarding,
        family: Family,
        more: impl FnOnce(&Lab) -> Result<()>,
    ) -> Result<Self> {
        let families = match family {
            Family::V4 => Families::V4,
            Family::V6 => Families::V6,
        };
        let lab = Lab::builder().families(families).start()?;
        let servers = lab.serve()?;
        lab.backends_up(mode)?;
        more(&lab)?;
        let pools = [
            (WEB, Protocol::Tcp, HTTP_PORT, MonitorKind::Http),
            (ECHO, Protocol::Tcp, ECHO_PORT, MonitorKind::Tcp),
            (DATAGRAMS, Protocol::Udp, ECHO_PORT, MonitorKind::UdpConnect),
        ];
        let config = Config::new(&lab);
        let config = pools.into_iter().fold(config, |config, (name, protocol, port, kind)| {
            let pool = Pool::of(&lab, name, family, protocol, port).forwarding(mode);
            config.balance(&lab, family, port, pool.monitored_by(kind))
        });
        let agent = Agent::start(&lab, &config)?;
        let scene = Self { agent, _servers: servers, config, lab, family, mode };
        scene.agent.wait_members(&[scene.member(0), scene.member(1)], "ONLINE", LIMIT)?;
        Ok(scene)
    }

    fn member(&self, index: usize) -> IpAddr {
        self.lab.member_addr(index, self.family)
    }

    /// How a member of the pool of HTTP is probed.
    fn probe(&self, index: usize) -> Result<Value> {
        let said = self.agent.status()?;
        let member = status::member(&said, WEB, self.member(index)).context("no such member")?;
        Ok(member["paths"].clone())
    }

    /// Takes the virtual address off a backend, or gives it back, and nothing else.
    fn vip_on(&self, index: usize, verb: &str) -> Result<()> {
        let vip = self.lab.vip(self.family);
        let length = if vip.is_ipv4() { 32 } else { 128 };
        let deprecated = if vip.is_ipv4() || verb == "del" { "" } else { " preferred_lft 0 nodad" };
        let line = format!("address {verb} {vip}/{length} dev lo{deprecated}");
        self.lab.backend(index).ip(&line).map(drop)
    }

    /// The first backend turns OFFLINE because its virtual address does not answer, though the
    /// member does; the second one stays as it is.
    fn assert_only_traffic_fails(&self) -> Result<()> {
        self.agent.wait_members(&[self.member(0)], "OFFLINE", LIMIT)?;
        self.wait_paths("only the virtual address to fail", |vip, direct| {
            vip.starts_with("CONNECT_TIMEOUT") && direct == "ok"
        })?;
        let is_shown = self.agent.run(&["status"])?;
        assert!(is_shown.contains("vip: CONNECT_TIMEOUT"), "{is_shown}");
        assert!(is_shown.contains("direct: ok"), "{is_shown}");
        let said = self.agent.status()?;
        assert!(status::all_are(&said, self.member(1), "ONLINE"), "{said}");
        Ok(())
    }

    /// Waits until the last probes of the first backend, of all pools, came to this by both paths: a
    /// busy machine may be late for one.
    fn wait_paths(&self, what: &str, wanted: impl Fn(&str, &str) -> bool) -> Result<()> {
        let is_so = |said: &Value, pool: &str| {
            let paths = &status::member(said, pool, self.member(0))?["paths"];
            let text = |path: &str| paths[path].as_str().unwrap_or_default();
            Some(text("path") == "vip" && wanted(text("vip"), text("direct")))
        };
        let all = |said: &Value| POOLS.iter().all(|pool| is_so(said, pool).unwrap_or_default());
        self.agent.wait_status(what, LIMIT, all).map(drop)
    }

    fn assert_mended(&self) -> Result<()> {
        self.agent.wait_members(&[self.member(0)], "ONLINE", LIMIT)?;
        self.wait_paths("the virtual address to answer", |vip, _| vip == "ok")
    }

    /// Interfaces, rules and routes on the load balancer for probes.
    fn probe_routes(&self) -> Result<Vec<String>> {
        let mut all = String::new();
        for words in [
            "-oneline link",
            "-4 rule",
            "-6 rule",
            "-4 route show table all",
            "-6 route show table all",
        ] {
            let mut command = self.lab.lb().command("ip");
            command.args(words.split(' '));
            all += &output(command, LIMIT)?;
        }
        // Every interface with IPv6 has a route for multicast, which goes with it.
        let lines = all.lines().filter(|line| !line.starts_with("multicast"));
        let lines = lines.filter(|line| line.contains("elb-prob") || line.starts_with("90:"));
        // What follows the name of an interface changes by itself.
        let name = |line: &str| line.split(" mtu ").next().unwrap_or_default().to_owned();
        Ok(lines.map(name).collect())
    }
}

/// What a backend may lack, in turn, each repaired before the next.
fn what_is_missing_is_seen(mode: Forwarding, family: Family) -> Result<()> {
    let scene = Scene::start(mode, family)?;
    scene.assert_mended()?;
    assert_eq!(scene.probe(0)?["direct"], Value::Null, "a member that works costs one probe");

    scene.vip_on(0, "del")?;
    scene.assert_only_traffic_fails()?;
    scene.vip_on(0, "add")?;
    scene.assert_mended()?;

    if mode != Forwarding::L2 {
        scene.lab.backend_down(0, mode)?;
        let _ = scene.vip_on(0, "del");
        scene.vip_on(0, "add")?;
        scene.assert_only_traffic_fails()?;
        scene.vip_on(0, "del")?;
        scene.lab.backend_up(0, mode)?;
        scene.assert_mended()?;
    }
    // Nothing but what the members themselves did not take.
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

#[test]
fn what_is_missing_is_seen_l2_v4() -> Result<()> {
    what_is_missing_is_seen(Forwarding::L2, Family::V4)
}

#[test]
fn what_is_missing_is_seen_l2_v6() -> Result<()> {
    what_is_missing_is_seen(Forwarding::L2, Family::V6)
}

#[test]
fn what_is_missing_is_seen_ipip_v4() -> Result<()> {
    what_is_missing_is_seen(Forwarding::Ipip, Family::V4)
}

#[test]
fn what_is_missing_is_seen_ipip_v6() -> Result<()> {
    what_is_missing_is_seen(Forwarding::Ipip, Family::V6)
}

#[test]
fn what_is_missing_is_seen_gue_v4() -> Result<()> {
    what_is_missing_is_seen(Forwarding::Gue, Family::V4)
}

#[test]
fn what_is_missing_is_seen_gue_v6() -> Result<()> {
    what_is_missing_is_seen(Forwarding::Gue, Family::V6)
}

#[test]
fn an_agent_takes_over_what_leads_probes_and_detaching_removes_it() -> Result<()> {
    let mut scene = Scene::start(Forwarding::Ipip, Family::V6)?;
    let probe_routes = scene.probe_routes()?;
    // Two interfaces; a rule and a route for each IP version.
    assert_eq!(probe_routes.len(), 6, "{probe_routes:#?}");

    scene.agent.kill()?;
    assert_eq!(scene.probe_routes()?, probe_routes);
    scene.vip_on(0, "del")?;
    scene.agent.restart()?;
    assert_eq!(scene.probe_routes()?, probe_routes);
    scene.assert_only_traffic_fails()?;
    scene.vip_on(0, "add")?;
    scene.assert_mended()?;

    scene.agent.terminate()?;
    assert_eq!(scene.probe_routes()?, probe_routes);
    let is_shown = scene.agent.detach()?;
    assert!(is_shown.contains("the way of health probes is removed"), "{is_shown}");
    assert_eq!(scene.probe_routes()?, Vec::<String>::new());
    let is_shown = scene.agent.detach()?;
    assert!(!is_shown.contains("health probes"), "{is_shown}");
    Ok(())
}

#[test]
fn a_pool_may_want_the_direct_path() -> Result<()> {
    let mut scene = Scene::start(Forwarding::L2, Family::V4)?;
    let direct = |monitor| HealthMonitor { probe_path: Some("direct"), ..monitor };
    for name in POOLS {
        let pool = scene.config.pool_mut(name);
        pool.healthmonitor = pool.healthmonitor.take().map(direct);
    }
    scene.vip_on(0, "del")?;
    scene.assert_only_traffic_fails()?;
    scene.agent.reload(&scene.config)?;
    scene.agent.wait_members(&[scene.member(0)], "ONLINE", LIMIT)?;
    let probe = scene.probe(0)?;
    assert_eq!((&probe["path"], &probe["direct"]), (&"direct".into(), &"ok".into()), "{probe}");
    assert_eq!((&probe["vip"], &probe["why_direct"]), (&Value::Null, &Value::Null), "{probe}");
    Ok(())
}

/// The load balancer's own stack would take such probes for its own.
#[test]
fn a_virtual_address_of_the_load_balancer_itself_is_not_probed() -> Result<()> {
    let scene = Scene::start_with(Forwarding::Ipip, Family::V4, |lab| {
        lab.lb().ip(&format!("address add {}/32 dev lo", lab.vip4())).map(drop)
    })?;
    let probe = scene.probe(0)?;
    assert_eq!((&probe["path"], &probe["direct"]), (&"direct".into(), &"ok".into()), "{probe}");
    let why = probe["why_direct"].as_str().context("no reason")?;
    assert!(why.contains("is an address of the load balancer itself"), "{why}");
    assert!(scene.agent.run(&["status"])?.contains(why));

    scene.lab.lb().ip(&format!("address del {}/32 dev lo", scene.lab.vip4()))?;
    scene.agent.wait_status("probes of the virtual address", LIMIT, |said| {
        let member = status::member(said, WEB, scene.member(0));
        member.is_some_and(|member| member["paths"]["path"] == "vip")
    })?;
    assert_eq!(scene.mode, Forwarding::Ipip);
    Ok(())
}

/// As many hosts have it; what the reason says to set is set, and heals it.
#[test]
fn where_ipv6_is_switched_off_probes_over_it_go_direct() -> Result<()> {
    let scene = Scene::start_with(Forwarding::Ipip, Family::V6, |lab| {
        lab.lb().sysctl("ipv6/conf/default/disable_ipv6", "1")
    })?;
    let probe = scene.probe(0)?;
    assert_eq!((&probe["path"], &probe["direct"]), (&"direct".into(), &"ok".into()), "{probe}");
    let why = probe["why_direct"].as_str().context("no reason")?;
    assert!(why.starts_with("IPv6 is switched off for elb-probe-"), "{why}");
    assert!(scene.agent.log().contains("no probes of virtual IPv6 addresses on this host"));
    let settings = why.split_whitespace().filter_map(|word| word.strip_prefix("net."));
    let settings: Vec<_> = settings.map(|name| name.replace('.', "/")).collect();
    assert_eq!(settings.len(), 2, "{why}");

    for setting in settings {
        scene.lab.lb().sysctl(&setting, "0")?;
    }
    scene.wait_paths("probes of the virtual address", |vip, _| vip == "ok")
}

/// Where something else has the name, the agent serves all the same, says so, and makes its own when the
/// other is gone.
#[test]
fn without_its_interface_members_are_probed_at_their_own_addresses() -> Result<()> {
    let mut scene = Scene::start(Forwarding::L2, Family::V4)?;
    let probe_routes = scene.probe_routes()?.join("\n");
    let name = probe_routes.split_whitespace().find(|word| word.starts_with("elb-probe-"));
    let name = name.and_then(|name| name.split(['@', ':']).next()).context("no interface")?;
    scene.agent.terminate()?;
    scene.agent.detach()?;
    scene.lab.lb().ip(&format!("link add {name} type bridge"))?;
    scene.agent.restart()?;
    scene.agent.wait_members(&[scene.member(0), scene.member(1)], "ONLINE", LIMIT)?;
    let said = scene.agent.status()?;
    let problems = said["agent"]["problems"].to_string();
    assert!(problems.contains("path of health probes") && problems.contains(name), "{problems}");
    let is_shown = scene.agent.run(&["status"])?;
    assert_eq!(is_shown.matches("that is not elb's").count(), 1, "{is_shown}");
    assert_eq!(scene.probe(0)?["path"], "direct");
    scene.lab.lb().ip(&format!("link del {name}"))?;
    scene.wait_paths("probes of the virtual address", |vip, _| vip == "ok")
}
