//! The steps of the demonstration, in their order.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::HttpReport,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wait::STUCK,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::{
    report::{Finding, Report, count, kinds, rate, time},
    shares::{self, Share},
    traffic::{Pace, Traffic},
};

const WEIGHTS: [u32; 3] = [1, 2, 1];
/// The backend with the greatest weight is the one whose absence shows.
const VICTIM: usize = 1;
const POOL: &str = "web";

/// So many that a share that is due 50 % is known to 4 %, however long they take.
const MANY: usize = 4_000;
/// So many that something lost would show.
const SOME: usize = 500;
/// So many that a load is under way.
const FEW: usize = 100;

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
    report.begin("lab");
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
    // A dead server refuses probes at once. Time for answers, and three in a row that fail, are for
    // servers that live on a machine that is busy.
    let quick = HealthMonitor::quick(MonitorKind::Http);
    let monitor = HealthMonitor { delay: 2, timeout: 2, max_retries_down: 3, ..quick };
    let pool = Pool::of(&demo.lab, POOL, Family::V4, Protocol::Tcp, HTTP_PORT)
        .weights(&WEIGHTS)
        .watched(monitor);
    let config = Config::new(&demo.lab).balance(&demo.lab, Family::V4, HTTP_PORT, pool);

    let started = Instant::now();
    let agent = demo.agent.insert(Agent::start(&demo.lab, &config)?);
    let ready = started.elapsed();
    agent.wait_status("every backend to serve", STUCK, status::all_serve)?;
    let figures =
        format!("ready in {}, every backend ONLINE after {}", time(ready), time(started.elapsed()));
    Ok(Finding::new(true, figures))
}

fn show_shares(demo: &mut Demo) -> Result<Finding> {
    demo.shares_at_full_speed()
}

fn kill_a_backend(demo: &mut Demo) -> Result<Finding> {
    let traffic = demo.start_traffic(Pace::Steady);
    traffic.answers(FEW)?;
    let killed = Instant::now();
    demo.servers[VICTIM].kill()?;
    demo.wait_victim("OFFLINE", |slots| slots == 0)?;
    let noticed = Instant::now();
    traffic.answers(SOME)?;
    let report = traffic.stop()?;

    let after = report.since(noticed);
    // A request that was under way when the server died is lost with it.
    let mut before = report.outcomes().iter().filter(|outcome| outcome.ended < killed);
    let meanwhile = report.since(killed).before(noticed);
    let last_lost = report.last_started(|outcome| outcome.result.is_err());
    let figures = format!(
        "{} killed under {STEADY}: OFFLINE after {}, last lost request after {}\n\
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
    let traffic = demo.start_traffic(Pace::Steady);
    traffic.answers(FEW)?;
    let restarted = Instant::now();
    demo.servers[VICTIM].restart()?;
    demo.wait_victim("ONLINE", |slots| slots > 0)?;
    let online = restarted.elapsed();
    let lost = traffic.stop()?.failures().len();

    let shares = demo.shares_at_full_speed()?;
    let figures = format!(
        "{} restarted under {STEADY}: ONLINE after {}, {} requests lost\nat once {}",
        demo.servers[VICTIM].name(),
        time(online),
        count(lost),
        shares.figures
    );
    Ok(Finding::new(shares.held && lost == 0, figures))
}

fn crash_the_agent(demo: &mut Demo) -> Result<Finding> {
    let traffic = demo.start_traffic(Pace::Steady);
    traffic.answers(FEW)?;
    let agent = demo.agent.as_mut().context("no agent runs")?;
    agent.kill()?;
    let killed = Instant::now();
    traffic.answers(SOME)?;
    let alone = killed.elapsed();
    agent.restart()?;
    let absent = killed.elapsed();
    traffic.answers(SOME)?;
    let report = traffic.stop()?;

    let figures = format!(
        "killed under {STEADY}, another ready {} later: {}; longest gap {}",
        time(absent),
        losses(&report),
        time(report.longest_gap())
    );
    let without_agent = report.since(killed).before(killed + alone).answered();
    Ok(Finding::new(report.failures().is_empty() && without_agent >= SOME, figures))
}

/// What [`Pace::Steady`] is.
const STEADY: &str = "at most 1,000 requests/s";

/// Whether `report`, of requests that took `duration`, was answered by all as their weights say.
fn fair_shares(lab: &Lab, report: &HttpReport, duration: Duration) -> Finding {
    let mut held = report.failures().is_empty() && report.answered() >= MANY;
    let speed = rate(report.answered(), duration);
    let mut figures = format!("{}, as fast as this machine can ({speed})", losses(report));
    let answers = report.answers_by_backend();
    let number = |answers: usize| u32::try_from(answers).unwrap_or(u32::MAX);
    for (index, due) in shares::due(&WEIGHTS).into_iter().enumerate() {
        let name = lab.backend_name(index);
        let answers = answers.get(&name).copied().unwrap_or(0);
        let share = Share::new(number(answers), number(report.answered()), due);
        held &= share.is_fair();
        let [got, due, chance] = [share.got, share.due, share.allowance].map(|part| part * 100.0);
        let weight = WEIGHTS[index];
        figures += &format!(
            "\n{name}, weight {weight}: {got:.1} % of {due:.1} % due (chance: ±{chance:.1} %)"
        );
    }
    Finding::new(held, figures)
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

    fn start_traffic(&self, pace: Pace) -> Traffic {
        Traffic::start(self.lab.client(), self.lab.service(Family::V4, HTTP_PORT), pace)
    }

    fn shares_at_full_speed(&self) -> Result<Finding> {
        let started = Instant::now();
        let traffic = self.start_traffic(Pace::Full);
        traffic.answers(MANY)?;
        let report = traffic.stop()?;
        Ok(fair_shares(&self.lab, &report, started.elapsed()))
    }

    /// Waits for a verdict, and until the ring in use follows it.
    fn wait_victim(&self, state: &str, slots: impl Fn(u64) -> bool) -> Result<()> {
        let address = self.lab.member_addr(VICTIM, Family::V4);
        let follows = |said: &Value| {
            let owned = status::slots(said, POOL).get(&address).copied();
            status::all_are(said, address, state) && owned.is_some_and(&slots)
        };
        let what = format!("{} to be {state}", self.lab.backend_name(VICTIM));
        self.agent()?.wait_status(&what, STUCK, follows).map(drop)
    }
}
