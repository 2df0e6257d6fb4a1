//! A load balancer with two pools that are watched, and how each event is made.

use std::{fmt::Write as _, fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    disk::Disk,
    environment::elb_bin,
    lab::Lab,
    server::Server,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use crate::{PORTS, event::Event, host::Host};

pub(crate) const MEMBERS: usize = 4;
const ECHO: &str = "echo";
const WEB: &str = "web";
const LIMIT: Duration = Duration::from_secs(30);
/// How long the file is wrong, or empty.
const WRONG: Duration = Duration::from_secs(2);
/// Routes that come and go.
const ROUTES: u32 = 4_000;

/// A lab, its servers, and an agent.
pub(crate) struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    config: Config,
    _servers: Vec<Server>,
    pub(crate) lab: Lab,
    /// Where the agent keeps its state.
    disk: Disk,
    /// Changes of Ethernet addresses so far: each address is a new one.
    macs: u8,
    /// By how many days the agent's wall clock is wrong.
    days: i64,
}

impl Scene {
    pub(crate) fn start() -> Result<Self> {
        let lab = Lab::builder().backends(u8::try_from(MEMBERS)?).start()?;
        lab.client().sysctl("ipv4/ip_local_port_range", &format!("{} 65535", PORTS.end))?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pool = |name, port, kind| {
            let monitor = HealthMonitor { delay: 2, timeout: 2, ..HealthMonitor::quick(kind) };
            Pool::of(&lab, name, Family::V4, Protocol::Tcp, port).watched(monitor)
        };
        let echo = pool(ECHO, ECHO_PORT, MonitorKind::Tcp);
        let web = pool(WEB, HTTP_PORT, MonitorKind::Http);
        let config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, echo);
        let config = config.balance(&lab, Family::V4, HTTP_PORT, web);
        let disk = Disk::mount(&config.agent.state_dir, 512)?;
        // The machine's own clock is others' as well.
        let clock = format!("ELB_LAB_CLOCK={}", clock(&lab).display());
        let mut agent = Agent::start(&lab, &config)?;
        let program = elb_bin()?.with_file_name("elb-next");
        agent.upgrade_under(&program, &["env".to_owned(), clock])?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        Ok(Self { agent, config, _servers: servers, lab, disk, macs: 0, days: 0 })
    }

    /// Where connections go.
    pub(crate) fn service(&self) -> SocketAddr {
        self.lab.service(Family::V4, ECHO_PORT)
    }

    /// Makes it happen. The agent learns of it some time after this returns.
    pub(crate) fn make(&mut self, event: Event) -> Result<()> {
        let lb = self.lab.lb().clone();
        match event {
            Event::Flap => lb.ip("link set lb0 down\nlink set lb0 up").map(drop),
            Event::Replace => {
                self.lab.remove_lb_device()?;
                self.lab.make_lb_device()
            }
            Event::FlushRules => self.flush_rules(),
            Event::FlushRoutes => self.flush_routes(),
            Event::DeleteProbeInterfaces => self.delete_probe_interfaces(),
            Event::FlushNeighbors => lb.ip("neigh flush all").map(drop),
            Event::ChangeMac { member } => {
                self.macs += 1;
                let line =
                    format!("link set eth0 address 02:00:00:0c:{member:02x}:{:02x}", self.macs);
                self.lab.backend(member).ip(&line).map(drop)
            }
            Event::RouteStorm => self.storm(),
            Event::Kill => self.agent.restart(),
            Event::Stop => {
                ensure!(self.agent.terminate()?.success(), "it does not stop in order");
                self.agent.restart()
            }
            Event::Reload { weight } => {
                let members = &mut self.config.pool_mut(WEB).members;
                members.iter_mut().for_each(|member| member.weight = weight);
                self.agent.reload(&self.config)
            }
            Event::Misspell => self.wrong_for_a_while(|text| text.replace("[agent]", "[agnet]")),
            Event::Empty => self.wrong_for_a_while(|text| {
                let (agent, _) = text.split_once("[[").expect("there are load balancers");
                agent.to_owned()
            }),
            Event::SecondAgent => self.second_agent(),
            Event::SetClock { days } => self.set_clock(days),
            Event::FullDisk => self.full_disk(),
        }
    }

    /// Whether it says that all is as the file wants it, and that nothing is wrong.
    pub(crate) fn is_as_wanted(&self, said: &Value) -> bool {
        let is_online = |pool: &str, member: &elb_tests::config::Member| {
            let said = status::member(said, pool, member.address);
            said.is_some_and(|said| {
                said["operating_status"] == "ONLINE"
                    && said["weight"] == member.weight
                    && said["slots"] != 0
            })
        };
        let pools = &self.config.pools;
        pools.iter().all(|pool| pool.members.iter().all(|member| is_online(&pool.name, member)))
            && [ECHO, WEB].iter().all(|listener| status::listener(said, listener).is_some())
            && problems(said).iter().all(|problem| is_of_the_past(problem))
    }

    /// What elb has put into the host.
    pub(crate) fn host(&self) -> Result<Host> {
        Host::of(self.lab.lb(), &self.config.agent.pin_dir)
    }

    /// The backend of a connection, by what its server calls itself.
    pub(crate) fn member_called(&self, name: &str) -> Option<usize> {
        (0..MEMBERS).find(|index| self.lab.backend_name(*index) == name)
    }

    fn flush_rules(&self) -> Result<()> {
        for version in ["-4", "-6"] {
            let rules = self.ip(&[version, "rule", "show"])?;
            let preferences = rules.lines().filter_map(|line| line.split_once(':')).map(|(p, _)| p);
            for preference in preferences.filter(|one| !["0", "32766", "32767"].contains(one)) {
                self.ip(&[version, "rule", "del", "pref", preference])?;
            }
        }
        Ok(())
    }

    /// As a service of the network does that takes all tables for its own.
    fn flush_routes(&self) -> Result<()> {
        let routes = self.ip(&["route", "show", "table", "all"])?;
        for line in routes.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let table = words.iter().skip_while(|word| **word != "table").nth(1);
            if let Some(table) = table.filter(|table| !["local", "main"].contains(*table)) {
                self.ip(&["route", "flush", "table", table])?;
            }
        }
        Ok(())
    }

    fn delete_probe_interfaces(&self) -> Result<()> {
        let links = self.ip(&["-o", "link", "show"])?;
        let names = links.lines().filter_map(|line| line.split([':', '@']).nth(1)).map(str::trim);
        let mine = names.filter(|name| name.starts_with("elb-probe-")).collect::<Vec<_>>();
        ensure!(!mine.is_empty(), "no interfaces of probes in {links}");
        mine.iter().try_for_each(|name| self.ip(&["link", "del", name]).map(drop))
    }

    fn storm(&self) -> Result<()> {
        let mut lines = String::new();
        for verb in ["add", "del"] {
            for route in 0..ROUTES {
                let [.., high, low] = route.to_be_bytes();
                writeln!(lines, "route {verb} 198.19.{high}.{low}/32 dev lb0")?;
            }
        }
        self.lab.lb().ip(&lines).map(drop)
    }

    /// Serves on with a file that is wrong, says so, and says so no more when it is right again.
    fn wrong_for_a_while(&mut self, damage: impl Fn(&str) -> String) -> Result<()> {
        self.agent.reload_with(&damage(&self.config.text()?))?;
        let said = |said: &Value| !problems(said).is_empty();
        let limit = LIMIT;
        self.agent.wait_status("the file to be a problem", limit, said)?;
        std::thread::sleep(WRONG);
        let said = self.agent.status()?;
        ensure!(status::all_serve(&said), "the wrong file took something away: {said}");
        self.agent.reload(&self.config)
    }

    fn second_agent(&self) -> Result<()> {
        let mut config = self.config.clone();
        config.agent.socket = self.lab.files().join("second.sock");
        let refused = Agent::refusal(&self.lab, &config.text()?)?;
        ensure!(refused.code != Some(0), "a second agent ran: {}", refused.said);
        let process = self.agent.id().to_string();
        ensure!(refused.said.contains(&process), "no process {process} in: {}", refused.said);
        Ok(())
    }

    /// What cannot be saved is refused, and the next agent serves what the maps hold.
    fn full_disk(&mut self) -> Result<()> {
        self.disk.fill()?;
        let member = self.lab.member_addr(0, Family::V4).to_string();
        let refused = self.agent.end(&["drain", &member], LIMIT)?;
        ensure!(refused.code != Some(0), "a drain was not saved, and not refused: {refused:?}");
        self.agent.restart()?;
        self.disk.free()
    }

    /// The time that the next reload is shown to have says that the agent goes by it.
    fn set_clock(&mut self, days: i64) -> Result<()> {
        const DAY: i64 = 86_400;
        let loaded = |said: &Value| said["agent"]["loaded"].as_str().map(str::to_owned);
        let before = loaded(&self.agent.status()?).context("no time")?;
        self.days += days;
        fs::write(clock(&self.lab), (self.days * DAY).to_string())?;
        std::thread::sleep(Duration::from_millis(200));
        self.agent.reload(&self.config)?;
        // Times in this form are in order as texts.
        let is_set = |said: &Value| loaded(said).is_some_and(|now| (now > before) == (days > 0));
        self.agent.wait_status("a reload at the time that was set", LIMIT, |said| {
            loaded(said) != Some(before.clone()) && is_set(said)
        })?;
        Ok(())
    }

    fn ip(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.lab.lb().command("ip");
        command.args(arguments);
        let output = command.output().context("cannot run ip")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip {arguments:?}: {error}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The file that says how wrong the agent's wall clock is.
fn clock(lab: &Lab) -> PathBuf {
    lab.files().join("clock")
}

/// Whether it is about the connections of the last minute: clients repeat what nothing answered.
fn is_of_the_past(problem: &str) -> bool {
    problem.contains("connections opened since")
}

/// What the agent says is wrong.
pub(crate) fn problems(said: &Value) -> Vec<String> {
    let problems = said["agent"]["problems"].as_array().cloned().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}
