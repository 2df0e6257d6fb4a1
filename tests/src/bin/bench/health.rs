//! 10,000 members, probed every 5 s by the real agent: are probes on time, and what do they cost?
//!
//! All members are addresses of one namespace's loopback device, behind one next hop; a real server
//! answers on all of them. Probes go by the virtual address, as is usual: wrapped as traffic is, and
//! unwrapped by the program of backends; once at the members' own addresses, to compare. The agent
//! itself reports how late probes start, from when each was due to the first step of the task that
//! runs it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elb_tests::address::Family;
use elb_tests::agent::Agent;
use elb_tests::config::{Config, Forwarding};
use elb_tests::cpu::Cpu;
use elb_tests::lab::Lab;
use elb_tests::resident::memory_of;
use elb_tests::server::Server;
use elb_tests::wire::HTTP_PORT;
use elb_userspace::api::client;
use elb_userspace::api::shape::status::{Status, StatusRequest};
use elb_userspace::health::lateness::{Class, quantile};

use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};

const POOLS: u8 = 20;
const MEMBERS_OF_EACH: u16 = 500;
const MEMBERS: u32 = POOLS as u32 * MEMBERS_OF_EACH as u32;
/// Seconds.
const DELAY: u32 = 5;
/// Until every member was probed a few times.
const WARM: Duration = Duration::from_secs(12);
/// What a probe that was due may be late, in milliseconds.
const LATE: f64 = 500.0;
/// Per cent of a core.
const CPU: f64 = 50.0;
/// MiB: the bar of 200 MB.
const MEMORY: f64 = 190.7;
const MIB: f64 = 1_048_576.0;

pub fn section(effort: Effort) -> Result<Section> {
    let time = Duration::from_secs(effort.of(15, 30));
    let mut rows = Vec::new();
    for (kind, path) in [("TCP", "direct"), ("TCP", "vip"), ("HTTP", "vip")] {
        let scene = Scene::start(kind, path)?;
        rows.push(scene.steady(&format!("{MEMBERS} members, {kind}, {path}"), time)?);
        if (kind, path) == ("TCP", "vip") {
            rows.extend(scene.all_fail(time)?);
        }
    }
    let notes = vec![format!(
        "{MEMBERS} members in {POOLS} pools, probed every {DELAY} s, at the virtual address (vip, \
         the default) or at their own (direct); the agent is one process with one thread for \
         everything but writing files. Lateness: from when a probe was due to its first step, in \
         the classes that `elb status -o json` shows (a quantile is the upper end of its class). \
         CPU: all that the kernel accounts to the agent, which includes both sides' handling of the \
         packets that it sends. Memory: all resident pages, mapped rings included. Where members \
         turn unhealthy, the server was killed: all do so within two probes, and their rings \
         follow. From then on each is probed by both paths."
    )];
    Ok(Section { name: "health", rows, notes })
}

struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    socket: PathBuf,
    server: Server,
    _lab: Lab,
}

/// What the agent reported and took until a moment.
struct Reading {
    at: Instant,
    cpu: Cpu,
    classes: Vec<Class>,
}

impl Scene {
    fn start(kind: &str, path: &str) -> Result<Self> {
        let lab = Lab::builder().backends(1).start()?;
        lab.backend(0).ip("route add local 10.64.0.0/10 dev lo")?;
        lab.lb().ip(&format!("route add 10.64.0.0/10 via {}", lab.member_addr(0, Family::V4)))?;
        let server = Server::start(lab.backend(0), "all")?;
        lab.backends_up(Forwarding::Ipip)?;
        let config = Config::new(&lab);
        let agent =
            Agent::start_with(&lab, &text(&lab, &config, kind, path)?, &config.agent.socket)?;
        thread::sleep(WARM);
        let scene = Self { agent, socket: config.agent.socket, server, _lab: lab };
        scene.ensure_all("ONLINE")?;
        Ok(scene)
    }

    fn steady(&self, case: &str, time: Duration) -> Result<Row> {
        let before = self.read()?;
        thread::sleep(time);
        self.row(case, &before)
    }

    /// While they turn unhealthy, and as long as they stay so.
    fn all_fail(mut self, time: Duration) -> Result<[Row; 2]> {
        let before = self.read()?;
        self.server.kill()?;
        thread::sleep(Duration::from_secs(u64::from(DELAY) * 3));
        let turning = self.row("all of them turn unhealthy", &before)?;
        self.ensure_all("OFFLINE")?;
        Ok([turning, self.steady("all of them are unhealthy", time)?])
    }

    fn row(&self, case: &str, before: &Reading) -> Result<Row> {
        let resident = memory_of(self.agent.id(), "VmRSS")? as f64 / MIB;
        let cpu = before.cpu.used()? * 100.0;
        let after = self.read()?;
        let took = (after.at - before.at).as_secs_f64();
        let classes = between(&before.classes, &after.classes);
        let probes: u64 = classes.iter().map(|class| class.probes).sum();
        let rate = probes as f64 / took;
        let expected = f64::from(MEMBERS) / f64::from(DELAY);
        ensure!(rate > 0.9 * expected, "{rate} probes a second instead of {expected}");
        let late = |part| quantile(&classes, part).map_or(f64::INFINITY, |ms| ms as f64);
        let figures = vec![
            Figure::new("probes_a_second", 0, rate),
            Figure::new("late_median_ms", 0, late(0.5)),
            Figure::new("late_p99_ms", 0, late(0.99)),
            Figure::new("cpu_percent_of_a_core", 1, cpu),
            Figure::new("resident_MiB", 1, resident),
        ];
        let bars = vec![
            Bar::at_most(late(0.99) / LATE, 1.0, "× 500 ms late (p99)"),
            Bar::at_most(cpu / CPU, 1.0, "× half a core"),
            Bar::at_most(resident / MEMORY, 1.0, "× 200 MB"),
        ];
        Ok(Row { case: case.to_owned(), figures, bars })
    }

    /// The processor time is that before the agent is asked, which costs as well.
    fn read(&self) -> Result<Reading> {
        let (at, cpu) = (Instant::now(), Cpu::of(self.agent.id())?);
        let classes = self.status()?.agent.probing.lateness;
        Ok(Reading { at, cpu, classes })
    }

    /// Without the probes that are remembered, which would keep the agent busy.
    fn status(&self) -> Result<Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(client::status(&self.socket, &StatusRequest::default()))
    }

    fn ensure_all(&self, state: &str) -> Result<()> {
        let said = self.status()?;
        let members = said.pools.iter().flat_map(|pool| &pool.members);
        let there = members.filter(|member| member.operating_status == state).count();
        ensure!(there == MEMBERS as usize, "{there} of {MEMBERS} members are {state}");
        Ok(())
    }
}

fn between(before: &[Class], after: &[Class]) -> Vec<Class> {
    let class = |(before, after): (&Class, &Class)| Class {
        probes: after.probes - before.probes,
        ..*after
    };
    before.iter().zip(after).map(class).collect()
}

/// A load balancer with a listener for each pool; all members are probed on the port of the server.
fn text(lab: &Lab, config: &Config, kind: &str, path: &str) -> Result<String> {
    let agent = &config.agent;
    let mut text = format!(
        "[agent]\ninterfaces = [\"{}\"]\nsocket = \"{}\"\npin_dir = \"{}\"\nstate_dir = \"{}\"\nmax_backends = {}\n\
         [[load_balancer]]\nname = \"lb\"\nvip_address = \"{}\"\n",
        agent.interfaces[0],
        agent.socket.display(),
        agent.pin_dir.display(),
        agent.state_dir.display(),
        MEMBERS + 1,
        lab.vip4(),
    );
    for pool in 1..=POOLS {
        write!(
            text,
            "[[load_balancer.listener]]\nname = \"{pool}\"\nprotocol = \"TCP\"\n\
             protocol_port = {pool}\ndefault_pool = \"{pool}\"\n"
        )?;
    }
    for pool in 1..=POOLS {
        write!(
            text,
            "[[pool]]\nname = \"{pool}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
             healthmonitor = {{ type = \"{kind}\", delay = {DELAY}, max_retries_down = 2, \
             monitor_port = {HTTP_PORT}, probe_path = \"{path}\" }}\nmember = [\n"
        )?;
        for member in 1..=MEMBERS_OF_EACH {
            let [high, low] = member.to_be_bytes();
            let address = format!("10.{}.{high}.{low}", 64 + pool);
            writeln!(text, "{{ address = \"{address}\", protocol_port = {pool} }},")?;
        }
        writeln!(text, "]")?;
    }
    Ok(text)
}
