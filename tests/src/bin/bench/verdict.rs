//! From the verdict that a member is unhealthy to the last packet that it gets: the real agent, in a
//! lab, under continuous traffic.
//!
//! The agent's log has the time of the verdict; an XDP program on the member notes each packet for
//! the load-balanced address. The pool hands flows of a failed member to others, so that any packet
//! that comes later than the verdict is a late one.

mod clock;

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::Array;
use aya::programs::XdpMode;
use elb_tests::address::Family;
use elb_tests::agent::Agent;
use elb_tests::client::{HttpLoad, Load};
use elb_tests::config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol};
use elb_tests::lab::Lab;
use elb_tests::record::{Record, array};
use elb_tests::server::{Ports, Server};
use elb_tests::status;
use elb_tests::wire::HTTP_PORT;
use elb_tests_ebpf::bench::{ADDRESS, ARRIVALS, LAST};

use self::clock::{Instants, of_day};
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};
use crate::trials::Trials;
use crate::turns;

const BACKENDS: u8 = 8;
/// Servers that show the members' health, whatever those serve.
const HEALTH: Ports = Ports { http: 8080, echo: 8081 };
/// Between two failures.
const PACE: Duration = Duration::from_millis(130);
/// After the last verdict, to see late packets.
const AFTERWARDS: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(30);
/// Milliseconds.
const BAR: f64 = 10.0;

pub fn section(effort: Effort) -> Result<Section> {
    let mut scene = Scene::start()?;
    let load = Load {
        pause: Duration::ZERO,
        timeout: Duration::from_millis(500),
        limit: Duration::from_secs(100),
        ..Load::on(scene.lab.service(Family::V4, HTTP_PORT))
    };
    let load = HttpLoad::start(scene.lab.client(), load);
    let mut delays = Vec::new();
    for _ in 0..effort.of(1, 5) {
        delays.extend(scene.fail_all_but_one()?);
        scene.recover()?;
    }
    let requests = load.stop()?.answered();
    let delays: Trials = delays.into_iter().collect();
    let figures = vec![
        Figure::new("failures", 0, delays.count() as f64),
        Figure::new("median_ms", 2, delays.median()),
        Figure::new("greatest_ms", 2, delays.greatest()),
    ];
    let bars = vec![Bar::at_most(delays.greatest(), BAR, "ms at most")];
    let case = "verdict to last packet, 8 members, 65,537 slots".to_owned();
    let notes = vec![format!(
        "Milliseconds from the verdict in the agent's log to the last packet at the member; \
         negative: the last one came before. Meanwhile {requests} requests were answered, each on a \
         connection of its own."
    )];
    Ok(Section { name: "verdict", rows: vec![Row { case, figures, bars }], notes })
}

struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    health: Vec<Server>,
    _servers: Vec<Server>,
    arrivals: Vec<Ebpf>,
    lab: Lab,
}

impl Scene {
    fn start() -> Result<Self> {
        let lab = Lab::builder().backends(BACKENDS).start()?;
        let servers = lab.serve()?;
        let named = lab.backends().iter().enumerate();
        let start = |(n, netns)| Server::start_on(netns, &format!("health-{n}"), HEALTH);
        let health = named.map(start).collect::<Result<_>>()?;
        lab.backends_up(Forwarding::L2)?;
        let arrivals = (0..lab.backends().len()).map(|n| watch(&lab, n)).collect::<Result<_>>()?;
        let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT)
            .forwarding(Forwarding::L2)
            // Probes by the virtual address would be packets for it.
            .watched(HealthMonitor::quick(MonitorKind::Http).port(HEALTH.http).direct());
        let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
        let l2 = "forwarding = \"l2\"";
        let text = config.text()?.replace(l2, &format!("{l2}\nflows_on_unhealthy = \"rehash\""));
        let agent = Agent::start_with(&lab, &text, &config.agent.socket)?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        Ok(Self { agent, health, _servers: servers, arrivals, lab })
    }

    /// Milliseconds, for each member that failed, from the verdict to its last packet.
    fn fail_all_but_one(&mut self) -> Result<Vec<f64>> {
        for server in &mut self.health[1..] {
            server.kill()?;
            thread::sleep(PACE);
        }
        let failed: Vec<IpAddr> = (1..self.health.len()).map(|n| self.member(n)).collect();
        self.agent.wait_members(&failed, "OFFLINE", LIMIT)?;
        thread::sleep(AFTERWARDS);
        let (now, log) = (Instants::now()?, self.agent.log());
        let delay = |(member, arrivals): (&IpAddr, &Ebpf)| -> Result<f64> {
            let verdict =
                verdict(&log, *member).with_context(|| format!("no verdict on {member}"))?;
            let last: Array<_, u64> = arrivals.map(LAST).context("no LAST")?.try_into()?;
            Ok(now.seconds_between(verdict, last.get(&0, 0)?) * 1e3)
        };
        failed.iter().zip(&self.arrivals[1..]).map(delay).collect()
    }

    fn recover(&mut self) -> Result<()> {
        self.health[1..].iter_mut().try_for_each(Server::restart)?;
        let all: Vec<IpAddr> = (0..self.health.len()).map(|n| self.member(n)).collect();
        self.agent.wait_members(&all, "ONLINE", LIMIT)?;
        thread::sleep(AFTERWARDS);
        Ok(())
    }

    fn member(&self, number: usize) -> IpAddr {
        self.lab.member_addr(number, Family::V4)
    }
}

/// Notes packets that a backend gets for the load-balanced address.
fn watch(lab: &Lab, backend: usize) -> Result<Ebpf> {
    let mut object = turns::load("bench-arrivals", &[ARRIVALS])?;
    let IpAddr::V4(vip) = lab.vip4() else { anyhow::bail!("{} is no IPv4 address", lab.vip4()) };
    array(&mut object, ADDRESS)?.set(0, Record(u32::from_ne_bytes(vip.octets())), 0)?;
    let program: &mut aya::programs::Xdp =
        object.program_mut(ARRIVALS).context("no such program")?.try_into()?;
    lab.backend(backend).run(|| program.attach(lab.device(), XdpMode::Driver))??;
    Ok(object)
}

/// The time of day, in seconds, of the last line that says that a member is OFFLINE.
fn verdict(log: &str, member: IpAddr) -> Option<f64> {
    let member = format!("\"{member}");
    let says = |line: &&str| line.contains("to=OFFLINE") && line.contains(&member);
    of_day(log.lines().rfind(says)?.split_whitespace().next()?)
}
