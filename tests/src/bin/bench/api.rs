//! The API under load: a thousand load balancers are made by it, listed in pages, and changed at a rate.

mod client;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elb_tests::address::Family;
use elb_tests::agent::Agent;
use elb_tests::config::Config;
use elb_tests::environment::elb_bin;
use elb_tests::lab::Lab;
use elb_tests::process::output;
use elb_tests::wait::STUCK;
use hyper::Method;
use serde_json::{Value, json};
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::client::{ApiClient, Key};
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};

const LISTENERS: u16 = 5;
const MEMBERS: u16 = 10;
/// Connections of clients.
const CLIENTS: usize = 32;
/// Entries of a page.
const PAGE: usize = 500;
/// Writes a second.
const RATE: u32 = 200;
/// One in so many is followed to the maps.
const FOLLOWED: usize = 20;
/// Seconds for all of them to be made, of a thousand.
const MAKING: f64 = 60.0;
/// Milliseconds for a page, and from a commit to packets.
const LISTING: f64 = 50.0;
const FOLLOWING: f64 = 200.0;

pub fn section(effort: Effort) -> Result<Section> {
    let balancers: u16 = effort.of(100, 1000);
    let time = Duration::from_secs(effort.of(10, 60));
    let scene = Scene::start()?;
    let before = scene.memory()?;
    let key = scene.key.clone();
    let mut rows = scene.lab.lb().run(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(&key, balancers, time))
    })??;
    rows.push(Row {
        case: "memory of the agent".to_owned(),
        figures: figures(f64::NAN, f64::NAN, f64::NAN, scene.memory()? - before),
        bars: Vec::new(),
    });
    let notes = vec![format!(
        "{balancers} load balancers with {LISTENERS} listeners and a pool of {MEMBERS} members each are made \
         by {CLIENTS} clients at once (members ten at a time, all else one by one), then listed in pages of \
         {PAGE}, then weights of members are changed {RATE} times a second. Followed: until the load \
         balancer is ACTIVE again, one in {FOLLOWED}, asked every 2 ms. Memory: resident, beyond an agent \
         without resources, without mapped rings."
    )];
    Ok(Section { name: "api", rows, notes })
}

fn figures(seconds: f64, median: f64, p99: f64, mib: f64) -> Vec<Figure> {
    vec![
        Figure::new("seconds", 1, seconds),
        Figure::new("median_ms", 1, median),
        Figure::new("p99_ms", 1, p99),
        Figure::new("MiB", 1, mib),
    ]
}

struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    key: Key,
    lab: Lab,
}

impl Scene {
    fn start() -> Result<Self> {
        let lab = Lab::builder().backends(1).start()?;
        lab.lb().ip(&format!("route add 10.64.0.0/10 via {}", lab.member_addr(0, Family::V4)))?;
        let config = Config::new(&lab);
        let agent = &config.agent;
        let text = format!(
            "[agent]\ninterfaces = [\"{}\"]\nsocket = \"{}\"\npin_dir = \"{}\"\nstate_dir = \"{}\"\n\
             max_backends = 16384\nmax_listeners = 8192\nring_slots = 67108864\n\
             [api]\nforwarding = \"ipip\"\n",
            agent.interfaces[0],
            agent.socket.display(),
            agent.pin_dir.display(),
            agent.state_dir.display()
        );
        let agent = Agent::start_with(&lab, &text, &agent.socket)?;
        let mut command = lab.lb().command(elb_bin()?);
        command.args(["key", "create", "bench", "--config"]).arg(agent.file());
        let key = Key::read(&output(command, STUCK)?)?;
        Ok(Self { agent, key, lab })
    }

    /// MiB of its own.
    fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.agent.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no RssAnon")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }
}

async fn measure(key: &Key, balancers: u16, time: Duration) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let services = Arc::new(make(key, balancers).await?);
    let made = begun.elapsed().as_secs_f64();
    let mut client = ApiClient::connect(key).await?;
    active(&mut client, usize::from(balancers)).await?;
    let served = begun.elapsed().as_secs_f64();
    let share = f64::from(balancers) / 1000.0;
    let row = |case: String, figures, bars| Row { case, figures, bars };
    let mut rows = vec![
        row(
            format!("{balancers} load balancers are made"),
            figures(made, f64::NAN, f64::NAN, f64::NAN),
            vec![Bar::at_most(made, MAKING * share, "s")],
        ),
        row(
            "until all are ACTIVE".to_owned(),
            figures(served, f64::NAN, f64::NAN, f64::NAN),
            vec![],
        ),
    ];
    let (count, pages) = list(&mut client).await?;
    ensure!(count == usize::from(balancers * MEMBERS), "{count} members are listed");
    let slowest = pages.percentile(100);
    rows.push(row(
        format!("a page of {PAGE} of {count} members"),
        figures(f64::NAN, pages.percentile(50), pages.percentile(99), f64::NAN),
        vec![Bar::at_most(slowest, LISTING, "ms, the slowest")],
    ));
    let (answers, followed) = write(key, &services, time).await?;
    rows.push(row(
        format!("{RATE} writes a second: the answer"),
        figures(f64::NAN, answers.percentile(50), answers.percentile(99), f64::NAN),
        vec![Bar::at_least(
            answers.0.len() as f64 / time.as_secs_f64(),
            0.9 * f64::from(RATE),
            "a second",
        )],
    ));
    let p99 = followed.percentile(99);
    rows.push(row(
        "from the answer to the maps".to_owned(),
        figures(f64::NAN, followed.percentile(50), p99, f64::NAN),
        vec![Bar::at_most(p99, FOLLOWING, "ms (p99)")],
    ));
    Ok(rows)
}

/// A load balancer, its pool and the first member.
struct Service {
    balancer: String,
    pool: String,
    member: String,
}

async fn make(key: &Key, balancers: u16) -> Result<Vec<Service>> {
    let mut tasks = JoinSet::new();
    for first in 0..CLIENTS {
        let key = key.clone();
        tasks.spawn(async move {
            let mut client = ApiClient::connect(&key).await?;
            let mut made = Vec::new();
            for n in (0..balancers).skip(first).step_by(CLIENTS) {
                made.push(service(&mut client, n).await?);
            }
            anyhow::Ok(made)
        });
    }
    let mut all = Vec::new();
    while let Some(made) = tasks.join_next().await {
        all.extend(made??);
    }
    Ok(all)
}

async fn service(client: &mut ApiClient, n: u16) -> Result<Service> {
    let [high, low] = n.to_be_bytes();
    let lb = json!({"name": format!("lb-{n}"), "vip_address": format!("198.18.{high}.{low}"),
                    "availability_zone_list": []});
    let balancer = client.make("loadbalancers", "loadbalancer", lb).await?;
    let pool = json!({"name": format!("pool-{n}"), "loadbalancer_id": balancer, "protocol": "TCP",
                      "lb_algorithm": "ROUND_ROBIN", "any_port_enable": true});
    let pool = client.make("pools", "pool", pool).await?;
    let member =
        |one: u16| json!({"address": format!("10.{}.{high}.{low}", 64 + one), "protocol_port": 0});
    let members = json!({"members": (0..MEMBERS).map(member).collect::<Vec<_>>()});
    let path = format!("pools/{pool}/members/batch-add");
    let members = client.ask(Method::POST, &path, Some(members)).await?;
    let member = members["members"][0]["id"].as_str().context("an id")?.to_owned();
    for listener in 0..LISTENERS {
        let listener = json!({"loadbalancer_id": balancer, "protocol": "TCP",
                              "protocol_port": 80 + listener, "default_pool_id": pool});
        client.make("listeners", "listener", listener).await?;
    }
    Ok(Service { balancer, pool, member })
}

/// Waits until so many load balancers are ACTIVE.
async fn active(client: &mut ApiClient, count: usize) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(120);
    loop {
        let path = "loadbalancers?limit=2000&provisioning_status=ACTIVE";
        let found = client.ask(Method::GET, path, None).await?;
        let active = found["loadbalancers"].as_array().map_or(0, Vec::len);
        if active == count {
            return Ok(());
        }
        ensure!(Instant::now() < limit, "{active} of {count} load balancers are ACTIVE");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Milliseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn note(&mut self, since: Instant) {
        self.0.push(since.elapsed().as_secs_f64() * 1e3);
    }

    /// What so many per cent of them are not above.
    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = sorted.len() * percent / 100;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

/// Lists all members in pages: how many there are, and how long each page took.
async fn list(client: &mut ApiClient) -> Result<(usize, Times)> {
    let (mut count, mut times, mut marker) = (0, Times::default(), String::new());
    loop {
        let asked = Instant::now();
        let path = format!("members?limit={PAGE}{marker}");
        let page = client.ask(Method::GET, &path, None).await?;
        times.note(asked);
        count += page["members"].as_array().map_or(0, Vec::len);
        match page["page_info"]["next_marker"].as_str() {
            Some(next) => marker = format!("&marker={next}"),
            None => return Ok((count, times)),
        }
    }
}

/// Changes weights at the rate: how long answers took, and how long the maps after them.
async fn write(key: &Key, services: &Arc<Vec<Service>>, time: Duration) -> Result<(Times, Times)> {
    let clients = u32::try_from(CLIENTS)?;
    let mut tasks = JoinSet::new();
    let end = Instant::now() + time;
    for first in 0..CLIENTS {
        let (key, services) = (key.clone(), services.clone());
        tasks.spawn(async move {
            let mut client = ApiClient::connect(&key).await?;
            let mut ticks = interval(Duration::from_secs(1) * clients / RATE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut answers, mut followed) = (Times::default(), Times::default());
            for n in 0.. {
                ticks.tick().await;
                if Instant::now() > end {
                    break;
                }
                let service = &services[(n * CLIENTS + first) % services.len()];
                let path = format!("pools/{}/members/{}", service.pool, service.member);
                let weight = json!({"member": {"weight": 1 + (n + first) % 50}});
                let asked = Instant::now();
                client.ask(Method::PUT, &path, Some(weight)).await?;
                answers.note(asked);
                if (n + first) % FOLLOWED == 0 {
                    let answered = Instant::now();
                    followed_to_maps(&mut client, &service.balancer).await?;
                    followed.note(answered);
                }
            }
            anyhow::Ok((answers, followed))
        });
    }
    let (mut answers, mut followed) = (Times::default(), Times::default());
    while let Some(done) = tasks.join_next().await {
        let (answered, reached) = done??;
        answers.0.extend(answered.0);
        followed.0.extend(reached.0);
    }
    Ok((answers, followed))
}

async fn followed_to_maps(client: &mut ApiClient, balancer: &str) -> Result<()> {
    let is_active = |found: &Value| found["loadbalancer"]["provisioning_status"] == "ACTIVE";
    let path = format!("loadbalancers/{balancer}");
    while !is_active(&client.ask(Method::GET, &path, None).await?) {
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
