//! The steps of the demonstration, in their order.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HttpLoad, HttpReport, Load, http_requests},
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    wire::HTTP_PORT,
};

use crate::report::{Finding, Report, count, kinds, time};

const WEIGHTS: [u32; 3] = [1, 2, 1];
/// The backend with the greatest weight is the one whose absence shows.
const VICTIM: usize = 1;
/// How far a share may be from its weight, in percent of all requests.
const TOLERANCE: f64 = 5.0;

const REQUESTS: usize = 4_000;
const REQUESTS_LIMIT: Duration = Duration::from_secs(5);
const ONLINE_LIMIT: Duration = Duration::from_secs(8);
const OFFLINE_LIMIT: Duration = Duration::from_secs(8);

/// What there is to show: a lab, servers in it, and the agent.
pub(crate) struct Demo {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Option<Agent>,
    servers: Vec<Server>,
    lab: Lab,
}

type Step = fn(&mut Demo) -> Result<Finding>;

/// Name and claim of each step.
pub(crate) const ALL: [(&str, Step); 6] = [
    ("backends", prepare_backends),
    ("agent", start_agent),
    ("shares", show_shares),
    ("failure", kill_a_backend),
    ("recovery", bring_it_back),
    ("agent crash", crash_the_agent),
];

/// Builds the lab and starts a server in each backend.
pub(crate) fn build(report: &mut Report) -> Result<Demo> {
    let started = Instant::now();
    let lab = Lab::builder().backends(3).start();
    let lab = lab.context("cannot build the lab")?;
    let servers = lab.serve()?;
    let figures = format!(
        "client, load balancer and {} backends, each in a network namespace, in {}",
        servers.len(),
        time(started.elapsed())
    );
    report.note("lab", Ok(Finding::new(true, figures)))?;
    Ok(Demo { agent: None, servers, lab })
}

fn prepare_backends(demo: &mut Demo) -> Result<Finding> {
    demo.lab.backends_up(Forwarding::Ipip)?;
    let figures = format!("take packets for {} out of IPIP and answer directly", demo.lab.vip4());
    Ok(Finding::new(true, figures))
}

fn start_agent(demo: &mut Demo) -> Result<Finding> {
    let pool = Pool::of(&demo.lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT)
        .weights(&WEIGHTS)
        .monitored_by(MonitorKind::Http);
    let config = Config::new(&demo.lab).balance(&demo.lab, Family::V4, HTTP_PORT, pool);

    let started = Instant::now();
    let agent = demo.agent.insert(Agent::start(&demo.lab, &config)?);
    let ready = started.elapsed();
    let members: Vec<IpAddr> =
        config.pools[0].members.iter().map(|member| member.address).collect();
    agent.wait_members(&members, "ONLINE", ONLINE_LIMIT)?;
    let figures =
        format!("ready in {}, every backend ONLINE after {}", time(ready), time(started.elapsed()));
    Ok(Finding::new(true, figures))
}

fn show_shares(demo: &mut Demo) -> Result<Finding> {
    let report = demo.request(REQUESTS)?;
    Ok(fair_shares(&demo.lab, &report))
}

fn kill_a_backend(demo: &mut Demo) -> Result<Finding> {
    let load = demo.start_load();
    thread::sleep(Duration::from_millis(500));
    let killed = Instant::now();
    demo.servers[VICTIM].kill()?;
    demo.wait_victim("OFFLINE", OFFLINE_LIMIT)?;
    let noticed = Instant::now();
    thread::sleep(Duration::from_secs(2));
    let report = load.stop()?;

    let after = report.since(noticed);
    // A request that was under way when the server died is lost with it.
    let mut before = report.outcomes().iter().filter(|outcome| outcome.ended < killed);
    let meanwhile = report.since(killed).before(noticed);
    let last_lost = report.last_started(|outcome| outcome.result.is_err());
    let figures = format!(
        "{} killed under load: OFFLINE after {}, last lost request after {}\n\
         meanwhile {} of {} requests lost; since then {} of {} lost, {:.1} % to {0}",
        demo.servers[VICTIM].name(),
        time(noticed - killed),
        last_lost.map_or("-".to_owned(), |lost| time(lost.saturating_duration_since(killed))),
        count(meanwhile.failures().len()),
        count(meanwhile.total()),
        count(after.failures().len()),
        count(after.total()),
        after.share(demo.servers[VICTIM].name()) * 100.0,
    );
    let quiet = before.all(|outcome| outcome.result.is_ok()) && after.failures().is_empty();
    Ok(Finding::new(quiet && after.answered() > 0, figures))
}

fn bring_it_back(demo: &mut Demo) -> Result<Finding> {
    let load = demo.start_load();
    let restarted = Instant::now();
    demo.servers[VICTIM].restart()?;
    demo.wait_victim("ONLINE", ONLINE_LIMIT)?;
    let online = restarted.elapsed();
    let lost = load.stop()?.failures().len();

    let shares = fair_shares(&demo.lab, &demo.request(REQUESTS)?);
    let figures = format!(
        "{} restarted under load: ONLINE after {}, {} requests lost\n{}",
        demo.servers[VICTIM].name(),
        time(online),
        count(lost),
        shares.figures
    );
    Ok(Finding::new(shares.held && lost == 0, figures))
}

fn crash_the_agent(demo: &mut Demo) -> Result<Finding> {
    let load = demo.start_load();
    thread::sleep(Duration::from_millis(500));
    let agent = demo.agent.as_mut().context("no agent runs")?;
    agent.kill()?;
    let killed = Instant::now();
    thread::sleep(Duration::from_secs(1));
    agent.restart()?;
    let absent = killed.elapsed();
    thread::sleep(Duration::from_secs(1));
    let report = load.stop()?;

    let figures = format!(
        "killed under load, another ready {} later: {}; longest gap {}",
        time(absent),
        losses(&report),
        time(report.longest_gap())
    );
    let held = report.failures().is_empty() && report.since(killed).answered() > 0;
    Ok(Finding::new(held, figures))
}

fn fair_shares(lab: &Lab, report: &HttpReport) -> Finding {
    let total = f64::from(WEIGHTS.iter().sum::<u32>());
    let mut fair = true;
    let mut figures = losses(report);
    for (index, weight) in WEIGHTS.iter().enumerate() {
        let name = lab.backend_name(index);
        let (share, due) = (report.share(&name) * 100.0, f64::from(*weight) / total * 100.0);
        fair &= (share - due).abs() <= TOLERANCE;
        figures += &format!("\n{name}, weight {weight}: {share:.1} % of {due:.1} % due");
    }
    let complete = report.answered() == REQUESTS;
    Finding::new(fair && complete, figures)
}

fn losses(report: &HttpReport) -> String {
    let failures = report.failures();
    let text = format!("{} requests, {} lost", count(report.total()), count(failures.len()));
    match kinds(failures.iter().map(|failure| failure.kind)) {
        kinds if kinds.is_empty() => text,
        kinds => format!("{text} ({kinds})"),
    }
}

impl Demo {
    /// A picture of who is where.
    pub(crate) fn topology(&self) -> String {
        let lab = &self.lab;
        let backend = |(index, weight): (usize, &u32)| {
            let address = lab.member_addr(index, Family::V4);
            format!("{} {address} (weight {weight})", lab.backend_name(index))
        };
        let backends: Vec<String> = WEIGHTS.iter().enumerate().map(backend).collect();
        let client = format!("client {}", lab.client_addr(Family::V4));
        let service = format!("elb {}", lab.service(Family::V4, HTTP_PORT));
        let (left, right) = (" ".repeat(client.len()), " ".repeat(service.len()));
        format!(
            "  {left}     {right} ┌─> {}\n  {client} ──> {service} ┼─> {}\n  {left}     {right} └─> {}\n",
            backends[0], backends[1], backends[2]
        )
    }

    /// What `elb status` prints for people.
    pub(crate) fn status(&self) -> Result<String> {
        self.agent()?.run(&["status"])
    }

    /// What the agent logged.
    pub(crate) fn log(&self) -> String {
        self.agent.as_ref().map_or_else(String::new, Agent::log)
    }

    /// How to get a shell in each namespace.
    pub(crate) fn how_to_enter(&self) -> String {
        self.lab.how_to_enter()
    }

    fn agent(&self) -> Result<&Agent> {
        self.agent.as_ref().context("no agent runs")
    }

    fn load(&self) -> Load {
        Load::on(self.lab.service(Family::V4, HTTP_PORT))
    }

    fn start_load(&self) -> HttpLoad {
        HttpLoad::start(self.lab.client(), self.load())
    }

    fn request(&self, total: usize) -> Result<HttpReport> {
        let load =
            Load { concurrency: 16, pause: Duration::ZERO, limit: REQUESTS_LIMIT, ..self.load() };
        http_requests(self.lab.client(), load, total)
    }

    fn wait_victim(&self, state: &str, limit: Duration) -> Result<()> {
        let address = self.lab.member_addr(VICTIM, Family::V4);
        self.agent()?.wait_members(&[address], state, limit)
    }
}
