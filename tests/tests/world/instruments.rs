//! A broken instrument of the load balancer's own gives no verdict on its members.

use std::{net::IpAddr, thread, time::Duration};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{HttpLoad, Load},
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
    lab::{Builder, Lab},
    process::output,
    server::Server,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

/// How long anything may take: machines that run tests are busy.
const LIMIT: Duration = Duration::from_secs(30);
/// In this time two probes in a row fail, which would make a member OFFLINE.
const TWO_PROBES: Duration = Duration::from_secs(4);

const WEB: &str = "web";
const ECHO: &str = "echo";

/// Two backends in two pools, one probed by HTTP, one by TCP, and a client whose requests go on.
struct Scene {
    load: Option<HttpLoad>,
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    servers: Vec<Server>,
    lab: Lab,
    family: Family,
}

impl Scene {
    fn start(
        shape: Builder,
        family: Family,
        change: impl FnOnce(&Lab, &mut Config) -> Result<()>,
    ) -> Result<Self> {
        let lab = shape.start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pools = [(WEB, HTTP_PORT, MonitorKind::Http), (ECHO, ECHO_PORT, MonitorKind::Tcp)];
        let mut config = pools.into_iter().fold(Config::new(&lab), |config, (name, port, kind)| {
            let pool = Pool::of(&lab, name, family, Protocol::Tcp, port);
            config.balance(&lab, family, port, pool.monitored_by(kind))
        });
        change(&lab, &mut config)?;
        let agent = Agent::start(&lab, &config)?;
        let mut scene = Self { load: None, agent, servers, lab, family };
        scene.wait_online()?;
        scene.wait_path("vip")?;
        scene.load = Some(scene.requests());
        Ok(scene)
    }

    fn requests(&self) -> HttpLoad {
        let target = self.lab.service(self.family, HTTP_PORT);
        let pause = Duration::from_millis(20);
        let load = Load { concurrency: 2, pause, limit: LIMIT * 10, ..Load::on(target) };
        HttpLoad::start(self.lab.client(), load)
    }

    fn members(&self) -> [IpAddr; 2] {
        [0, 1].map(|index| self.lab.member_addr(index, self.family))
    }

    fn wait_online(&self) -> Result<()> {
        self.agent.wait_members(&self.members(), "ONLINE", LIMIT)
    }

    /// Waits until probes of all members succeed by this path, and nothing is said against them where it is
    /// that of traffic. A status is made in parts, so that its problems may be older than its members.
    fn wait_path(&self, path: &str) -> Result<()> {
        let is_ok = |said: &Value, pool: &str, member| {
            let member = status::member(said, pool, member);
            member.is_some_and(|member| member["paths"][path] == "ok")
        };
        let against = ["probes of", "no member answers", "began to fail together"];
        let is_quiet = |said: &Value| !against.iter().any(|words| has_problem(said, words));
        let what = format!("probes to succeed by the path {path}");
        let all_ok = |said: &Value| {
            let pools = [WEB, ECHO].into_iter();
            pools.clone().all(|pool| self.members().iter().all(|one| is_ok(said, pool, *one)))
        };
        let is_done = |said: &Value| all_ok(said) && (path != "vip" || is_quiet(said));
        self.agent.wait_status(&what, LIMIT, is_done).map(drop)
    }

    /// Runs a command in the load balancer's namespace.
    fn on_lb(&self, line: &str) -> Result<String> {
        let mut command = self.lab.lb().command("sh");
        command.args(["-ec", line]);
        output(command, LIMIT)
    }

    /// Waits for a problem with these words.
    fn wait_problem(&self, words: &str) -> Result<Value> {
        let what = format!("the problem {words:?}");
        self.agent.wait_status(&what, LIMIT, |said| has_problem(said, words))
    }

    /// No member turned OFFLINE, now and before, and no request was lost.
    fn assert_nothing_lost(&self) -> Result<()> {
        let said = self.agent.status()?;
        for member in self.members() {
            assert!(status::all_are(&said, member, "ONLINE"), "{said:#}");
        }
        for pool in [WEB, ECHO] {
            for member in self.members() {
                let health = &status::member(&said, pool, member).context("a member")?["health"];
                assert_eq!(health["turned_unhealthy"], 0, "{said:#}");
            }
        }
        let report = self.load.as_ref().context("requests go on")?.so_far();
        assert!(report.answered() > 0 && report.failures().is_empty(), "{:?}", report.failures());
        Ok(())
    }

    /// What `elb diagnose` names for the first member, and `elb doctor` for the host.
    fn assert_named(&self, words: &str) -> Result<()> {
        let shown = self.agent.diagnose(&[&format!("{WEB}/{}", self.members()[0])])?;
        assert_eq!(shown.cause(), Some("probes"), "{:#}", shown.said);
        let evidence = shown.finding("probes")["evidence"].as_str().context("evidence")?;
        assert!(evidence.contains("this load balancer") && evidence.contains(words), "{evidence}");
        let doctor = self.doctor()?;
        assert!(doctor.contains(words), "{doctor}");
        Ok(())
    }

    fn doctor(&self) -> Result<String> {
        let config = self.lab.files().join("elb.toml");
        let config = config.to_str().context("a path in UTF-8")?;
        let mut command = self.lab.lb().command(elb_tests::environment::elb_bin()?);
        command.args(["doctor", "--config", config]);
        Ok(elb_tests::process::ended(command, LIMIT)?.printed)
    }
}

fn has_problem(said: &Value, words: &str) -> bool {
    let mut problems = said["agent"]["problems"].as_array().into_iter().flatten();
    problems.any(|problem| problem.as_str().is_some_and(|problem| problem.contains(words)))
}

/// Other programs act on marks: kube-proxy on bits that ours does not have, and one on ours.
#[test]
fn marks_of_other_programs_do_not_take_members_away() -> Result<()> {
    let scene = Scene::start(Lab::builder(), Family::V4, |_, _| Ok(()))?;
    // kube-proxy's (pkg/proxy/iptables): masquerade what has 0x4000, drop what has 0x8000.
    scene.on_lb(
        "nft add table ip kube; nft 'add chain ip kube post { type nat hook postrouting priority 100; }'
         nft add rule ip kube post meta mark and 0x4000 == 0 return
         nft add rule ip kube post meta mark set meta mark xor 0x4000
         nft add rule ip kube post masquerade
         nft 'add chain ip kube fw { type filter hook output priority 0; }'
         nft add rule ip kube fw meta mark and 0x8000 == 0x8000 drop",
    )?;
    thread::sleep(TWO_PROBES);
    scene.wait_path("vip")?;
    assert!(!scene.doctor()?.contains("kube"), "{}", scene.doctor()?);

    // Someone's drop mark has our bit.
    scene.on_lb(
        "nft add table inet guard
         nft 'add chain inet guard out { type filter hook output priority 0; }'
         nft add rule inet guard out meta mark and 0x1000 == 0x1000 drop",
    )?;
    scene.wait_problem("no member answers at")?;
    let said = scene.wait_problem("nft rule inet guard out")?;
    assert!(has_problem(&said, "[agent] probe_mark"), "{said:#}");
    scene.assert_named("nft rule inet guard out")?;
    thread::sleep(TWO_PROBES);
    scene.assert_nothing_lost()?;
    scene.on_lb("nft delete table inet guard")?;
    scene.wait_path("vip")?;

    // Answers of all kinds are dropped where they come in, as a default policy without exceptions does.
    scene.on_lb(
        "nft add table inet guard
         nft 'add chain inet guard in { type filter hook input priority 0; }'
         nft add rule inet guard in iifname lb0 meta l4proto tcp drop",
    )?;
    let said = scene.wait_problem("began to fail together: no verdict")?;
    assert!(status::all_are(&said, scene.members()[0], "ONLINE"), "{said:#}");
    scene.wait_problem("nft rule inet guard in")?;
    thread::sleep(TWO_PROBES * 2);
    scene.assert_nothing_lost()?;
    scene.on_lb("nft delete table inet guard")?;
    scene.wait_path("vip")?;
    scene.assert_nothing_lost()
}

/// A rule hits answers of one port, by the way of traffic only and by every way; the other pool works on.
#[test]
fn a_rule_that_drops_the_answers_of_one_port_does_not_take_members_away() -> Result<()> {
    let scene = Scene::start(Lab::builder(), Family::V4, |_, _| Ok(()))?;
    let vip = scene.lab.vip4();
    for at in [format!("ip saddr {vip} tcp sport {HTTP_PORT}"), format!("tcp sport {HTTP_PORT}")] {
        scene.on_lb(&format!(
            "nft add table inet guard
             nft 'add chain inet guard in {{ type filter hook input priority 0; }}'
             nft add rule inet guard in {at} drop"
        ))?;
        scene.wait_problem("nft rule inet guard in")?;
        thread::sleep(TWO_PROBES);
        let said = scene.wait_problem("nft rule inet guard in")?;
        assert!(has_problem(&said, "let the rule except"), "{said:#}");
        scene.assert_nothing_lost()?;
        // Without a name, too, it is this load balancer, and not that all is well.
        let shown = scene.agent.diagnose(&[])?;
        assert_eq!((shown.cause(), shown.code), (Some("probes"), 1), "{:#}", shown.said);
        assert!(shown.evidence().contains("nft rule inet guard in"), "{:#}", shown.said);
        scene.on_lb("nft delete table inet guard")?;
        scene.wait_path("vip")?;
        scene.assert_nothing_lost()?;
    }
    let shown = scene.agent.diagnose(&[])?;
    assert_eq!((shown.cause(), shown.code), (None, 0), "{:#}", shown.said);
    Ok(())
}

/// As firewalld's IPv6_rpfilter does it, which is the default in some distributions.
#[test]
fn a_reverse_path_rule_for_ipv6_does_not_take_members_away() -> Result<()> {
    let shape = Lab::builder().families(Families::V6).two_armed();
    let scene = Scene::start(shape, Family::V6, |_, _| Ok(()))?;
    scene.on_lb(
        "nft add table inet firewalld
         nft 'add chain inet firewalld pre { type filter hook prerouting priority raw; }'
         nft add rule inet firewalld pre meta nfproto ipv6 fib saddr . mark . iif oif missing drop",
    )?;
    scene.wait_problem("nft rule inet firewalld pre")?;
    scene.assert_named("nft rule inet firewalld pre")?;
    thread::sleep(TWO_PROBES);
    scene.assert_nothing_lost()?;
    scene.on_lb("nft delete table inet firewalld")?;
    scene.wait_path("vip")?;
    scene.assert_nothing_lost()
}

/// An address, a port, a descriptor.
#[test]
fn what_probes_are_in_want_of_is_no_verdict() -> Result<()> {
    let scene = Scene::start(Lab::builder(), Family::V4, |lab, config| {
        let source = "10.0.0.222";
        lab.lb().ip(&format!("address add {source}/32 dev lo"))?;
        config.agent.probe_source = Some(source.parse()?);
        (0..2).try_for_each(|index| {
            let back = format!("route add {source}/32 via 10.0.0.2");
            lab.backend(index).ip(&back).map(drop)
        })
    })?;
    scene.on_lb("ip address del 10.0.0.222/32 dev lo")?;
    let said = scene.wait_problem("fail on this load balancer itself")?;
    assert!(has_problem(&said, "cannot assign requested address"), "{said:#}");
    scene.assert_named("10.0.0.222")?;
    thread::sleep(TWO_PROBES);
    scene.assert_nothing_lost()?;
    scene.on_lb("ip address add 10.0.0.222/32 dev lo")?;
    scene.wait_path("vip")?;

    // Sockets of others hold the only port.
    scene.lab.lb().sysctl("ipv4/ip_local_port_range", "61000 61000")?;
    let holder = scene.lab.lb().run(|| std::net::TcpListener::bind("0.0.0.0:61000"))??;
    let said = scene.wait_problem("address already in use")?;
    assert!(status::all_are(&said, scene.members()[1], "ONLINE"), "{said:#}");
    thread::sleep(TWO_PROBES);
    scene.assert_nothing_lost()?;
    drop(holder);
    scene.lab.lb().sysctl("ipv4/ip_local_port_range", "32768 60999")?;
    scene.wait_path("vip")?;

    // No descriptor is left, for anything: what is asked for waits.
    let limit =
        |soft: &str| scene.on_lb(&format!("prlimit --pid {} --nofile={soft}:", scene.agent.id()));
    limit("8")?;
    thread::sleep(TWO_PROBES * 2);
    limit("1024")?;
    scene.wait_path("vip")?;
    scene.assert_nothing_lost()
}

/// All die at once: that is decided too, a few seconds later, and said.
#[test]
fn a_true_failure_of_all_is_decided() -> Result<()> {
    let mut scene = Scene::start(Lab::builder(), Family::V4, |_, _| Ok(()))?;
    scene.load.take().context("requests go on")?.stop()?;
    [0, 1].into_iter().try_for_each(|index| scene.lab.unplug(index))?;
    scene.agent.wait_members(&scene.members(), "OFFLINE", LIMIT)?;
    let said = scene.wait_problem("on 2 backend servers, began to fail together")?;
    assert!(has_problem(&said, "nothing wrong was found on this load balancer"), "{said:#}");
    let shown = scene.agent.diagnose(&[&format!("{WEB}/{}", scene.members()[0])])?;
    assert_eq!(shown.cause(), Some("neighbor"), "{:#}", shown.said);

    [0, 1].into_iter().try_for_each(|index| scene.lab.plug(index))?;
    scene.wait_online()?;
    scene.wait_path("vip")?;
    // Answers that are wrong come back: nothing is held.
    scene.servers.clear();
    scene.agent.wait_members(&scene.members(), "OFFLINE", LIMIT)?;
    scene.wait_problem("they answer, but wrongly")?;
    Ok(())
}
