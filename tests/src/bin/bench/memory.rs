//! What the maps and the agent take of the machine's memory, for 1,000 listeners of 100 members each.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use elb_common::names;
use elb_tests::address::Family;
use elb_tests::agent::Agent;
use elb_tests::config::Config;
use elb_tests::lab::Lab;
use elb_tests::resident::memory_of;
use elb_tests::status;

use crate::report::{Figure, Row, Section};

/// Each pool serves so many listeners, on addresses of their own: it cannot translate ports.
const BALANCERS: u8 = 10;
const POOLS: u16 = 100;
const MEMBERS: u16 = 100;
const FIRST_PORT: u16 = 1000;
const LIMIT: Duration = Duration::from_secs(60);
const MIB: f64 = 1_048_576.0;

pub fn section() -> Result<Section> {
    let lab = Lab::builder().backends(1).start()?;
    // One neighbour is the way to all members.
    lab.lb().ip(&format!("route add 10.64.0.0/10 via {}", lab.member_addr(0, Family::V4)))?;
    let config = Config::new(&lab);
    let agent = &config.agent;
    let text = text(&agent.socket, &agent.pin_dir, &agent.interfaces[0])?;
    let begun = Instant::now();
    let running = Agent::start_with(&lab, &text, &agent.socket)?;
    running.wait_status("all members to serve", LIMIT, status::all_serve)?;
    let ready = begun.elapsed();

    let pins = agent.pin_dir.join(format!("v{}", names::ABI_VERSION));
    let mut rows = names::MAPS.iter().map(|name| map(&pins, name)).collect::<Result<Vec<_>>>()?;
    rows.sort_by(|one, other| other.1.total_cmp(&one.1));
    let all: f64 = rows.iter().map(|(_, mib, _)| mib).sum();
    let row = |case: &str, entries: f64, mib: f64| Row {
        case: case.to_owned(),
        figures: vec![Figure::new("entries", 0, entries), Figure::new("MiB", 1, mib)],
        bars: Vec::new(),
    };
    let mut table = vec![row("all maps", f64::NAN, all)];
    table.extend(rows.iter().map(|(name, mib, entries)| row(name, f64::from(*entries), *mib)));
    let own = |figure| memory_of(running.id(), figure).map(|bytes| bytes as f64 / MIB);
    table.push(row("agent, memory of its own", f64::NAN, own("RssAnon")?));
    table.push(row("agent, with mapped rings and its program", f64::NAN, own("VmRSS")?));
    let notes = vec![format!(
        "{} listeners, {POOLS} pools of {MEMBERS} members, each pool behind {BALANCERS} listeners, \
         rings of 65,537 slots. Maps are as large as they are made, whatever they hold, but for \
         GROUPS and PORT_RANGES, which grow with their entries (here they have none). 100 different \
         members for each of 1,000 listeners would be more than `max_backends` can be (65,535): ten \
         listeners share a pool. The agent was serving all of it {:.1} s after its start.",
        u16::from(BALANCERS) * POOLS,
        ready.as_secs_f64()
    )];
    Ok(Section { name: "memory", rows: table, notes })
}

/// Name, MiB and entries of a pinned map.
fn map(pins: &Path, name: &str) -> Result<(String, f64, u32)> {
    let path = pins.join(name);
    let map = MapData::from_pin(&path).with_context(|| format!("{}", path.display()))?;
    let descriptor = map.fd().as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
    let bytes = field(&info, "memlock:").context("the kernel does not report memlock")?;
    Ok((name.to_owned(), bytes / MIB, map.info()?.max_entries()))
}

fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn text(socket: &Path, pin_dir: &Path, interface: &str) -> Result<String> {
    let backends = u32::from(POOLS) * u32::from(MEMBERS) + 1;
    let mut text = format!(
        "[agent]\ninterfaces = [\"{interface}\"]\nsocket = \"{}\"\npin_dir = \"{}\"\nstate_dir = \"{}\"\n\
         max_backends = {backends}\n",
        socket.display(),
        pin_dir.display(),
        socket.with_extension("state").display()
    );
    for balancer in 1..=BALANCERS {
        write!(
            text,
            "[[load_balancer]]\nname = \"lb-{balancer}\"\nvip_address = \"192.0.2.{balancer}\"\n"
        )?;
        for pool in 0..POOLS {
            let port = FIRST_PORT + pool;
            write!(
                text,
                "[[load_balancer.listener]]\nname = \"{balancer}-{pool}\"\nprotocol = \"TCP\"\n\
                 protocol_port = {port}\ndefault_pool = \"{pool}\"\n"
            )?;
        }
    }
    for pool in 0..POOLS {
        let port = FIRST_PORT + pool;
        write!(
            text,
            "[[pool]]\nname = \"{pool}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\nmember = [\n"
        )?;
        for member in 1..=MEMBERS {
            writeln!(text, "{{ address = \"10.64.{pool}.{member}\", protocol_port = {port} }},")?;
        }
        writeln!(text, "]")?;
    }
    Ok(text)
}
