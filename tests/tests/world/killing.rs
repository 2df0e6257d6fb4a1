//! kill -9 at random moments: while it attaches, reloads, publishes, saves. `ELB_KILL_ROUNDS` says how often,
//! `ELB_LAB_SEED` repeats a run.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    thread::sleep,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    client::{HttpLoad, Load},
    environment::elb_bin,
    lab::Lab,
    netns::NetNs,
    process::output,
    status,
    wire::HTTP_PORT,
};
use fastrand::Rng;
use serde_json::Value;

use crate::served::{LIMIT, Served, with_another_pool};

/// Rounds where no one says how many.
const FEW: u32 = 8;

#[test]
#[expect(clippy::disallowed_methods, reason = "a seed")]
fn an_agent_is_killed_at_any_moment() -> Result<()> {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("ELB_KILL_ROUNDS").map_or(FEW, |n| u32::try_from(n).unwrap_or(FEW));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    let seed = number("ELB_LAB_SEED").unwrap_or(u64::try_from(now & 0xffff_ffff)?);
    println!("ELB_LAB_SEED={seed}, {rounds} rounds");
    let mut random = Rng::with_seed(seed);

    let mut served = Served::start()?;
    let before = Left::of(&served)?;
    let held = served.held(60)?;
    let load = Load {
        concurrency: 2,
        pause: Duration::from_millis(5),
        timeout: Duration::from_secs(10),
        limit: Duration::from_secs(3600),
        ..Load::on(served.lab.service(Family::V4, HTTP_PORT))
    };
    let requests = HttpLoad::start(served.lab.client(), load);
    for round in 0..rounds {
        let what = round_of(&mut served, &mut random).with_context(|| format!("round {round}"))?;
        let broken = held.so_far();
        let broken = broken.broken();
        assert!(broken.is_empty(), "round {round}, {what}, seed {seed}: {broken:?}");
    }
    fs::write(served.lab.files().join("elb.toml"), served.config.text()?)?;
    served.agent.restart()?;
    for member in ["10.0.0.11", "10.0.0.12", "10.0.0.13"] {
        served.agent.run(&["drain", member, "--cancel"])?;
    }
    served.agent.wait_status("all to serve", LIMIT, status::all_serve)?;
    served.go_on(&held)?;
    let (requests, held) = (requests.stop()?, held.stop()?);
    assert_eq!(requests.failures().len(), 0, "seed {seed}: {:?}", requests.failures());
    assert_eq!(held.broken().len(), 0, "seed {seed}: {:?}", held.broken());
    println!("{} requests and {} connections lived", requests.total(), held.connections.len());

    // What the rounds used and no one needs goes with the sweeps.
    let found =
        elb_tests::wait::wait_for("everything to be as before", Duration::from_secs(90), || {
            let now = Left::of(&served)?;
            Ok((now == before).then_some(()))
        });
    found.with_context(|| format!("seed {seed}: {:?} is not {before:?}", Left::of(&served)))
}

/// One life of an agent; what it did when it was killed.
fn round_of(served: &mut Served, random: &mut Rng) -> Result<&'static str> {
    let ms = |random: &mut Rng, most| Duration::from_millis(random.u64(0..most));
    if random.u8(0..3) == 0 {
        served.agent.start_in_vain(&elb_bin()?, ms(random, 500))?;
        return Ok("starting");
    }
    served.agent.restart()?;
    let what = match random.u8(0..3) {
        0 => {
            served.agent.reload(&varied(&served.lab, served, random))?;
            "reloading"
        }
        1 => {
            let member = format!("10.0.0.1{}", random.u8(1..4));
            let command = if random.bool() {
                vec!["drain", &member]
            } else {
                vec!["drain", &member, "--cancel"]
            };
            let running = served.agent.start_command(&command)?;
            sleep(ms(random, 40));
            served.agent.kill()?;
            drop(running);
            return Ok("draining");
        }
        _ => {
            for _ in 0..3 {
                served.agent.reload(&varied(&served.lab, served, random))?;
            }
            "publishing"
        }
    };
    sleep(ms(random, 60));
    served.agent.kill()?;
    Ok(what)
}

/// Other weights, and sometimes a pool more.
fn varied(lab: &Lab, served: &Served, random: &mut Rng) -> elb_tests::config::Config {
    let mut config = served.config.clone();
    for member in config.pools.iter_mut().flat_map(|pool| &mut pool.members) {
        member.weight = random.u32(1..9);
    }
    if random.bool() { with_another_pool(lab, config, "third", 8443) } else { config }
}

/// What an agent puts into a host and into its maps.
#[derive(Debug, PartialEq)]
struct Left {
    pins: BTreeSet<String>,
    links: usize,
    rules: [String; 2],
    /// How many ids are in use.
    backends: usize,
    listeners: usize,
    leaving: usize,
    files: BTreeSet<String>,
}

impl Left {
    fn of(served: &Served) -> Result<Self> {
        let agent = &served.config.agent;
        let numbers: Value = serde_json::from_slice(&fs::read(served.numbers())?)?;
        let all = &numbers["assignments"];
        let pools = all["pools"].as_object().into_iter().flat_map(|all| all.values());
        let members = pools.flat_map(|pool| pool["members"].as_array().into_iter().flatten());
        let leaving = all["leaving"].as_object().into_iter().flat_map(|all| all.values());
        let lb = served.lab.lb();
        Ok(Self {
            pins: names(&agent.pin_dir)?,
            links: lb.ip("link show")?.lines().filter(|line| !line.starts_with(' ')).count(),
            rules: [rules(lb, "-4")?, rules(lb, "-6")?],
            backends: members.count(),
            listeners: all["listeners"].as_object().map_or(0, serde_json::Map::len),
            leaving: leaving.filter_map(Value::as_array).map(Vec::len).sum(),
            files: files(&agent.state_dir)?,
        })
    }
}

fn rules(netns: &NetNs, family: &str) -> Result<String> {
    let mut command = netns.command("ip");
    command.args([family, "rule", "show"]);
    output(command, LIMIT)
}

/// The files of a state directory, but the one of drained members: these come and go.
fn files(folder: &Path) -> Result<BTreeSet<String>> {
    Ok(names(folder)?.into_iter().filter(|name| !name.ends_with("/drained.json")).collect())
}

/// Everything below a folder.
fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        all.insert(path.display().to_string());
        if path.is_dir() {
            all.extend(names(&path)?);
        }
    }
    Ok(all)
}
