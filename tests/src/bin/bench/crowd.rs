//! An agent with few listeners and members or with many, all members probed, while connections come.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elb_common::names;
use elb_tests::address::Family;
use elb_tests::agent::Agent;
use elb_tests::config::{AgentSection, Config};
use elb_tests::generated::{Play, Segment, Stream};
use elb_tests::lab::Lab;
use elb_tests::server::Server;
use elb_tests::wait::wait_for;
use elb_tests::wire::HTTP_PORT;

/// How many there are of what.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Each has a listener for each pool: a pool cannot translate ports.
    pub balancers: u8,
    pub pools: u8,
    /// Of each pool.
    pub members: u8,
}

impl Size {
    pub const FEW: Self = Self { balancers: 1, pools: 10, members: 2 };
    pub const MANY: Self = Self { balancers: 10, pools: 100, members: 100 };

    pub fn listeners(self) -> u32 {
        u32::from(self.balancers) * u32::from(self.pools)
    }

    pub fn members(self) -> u32 {
        u32::from(self.pools) * u32::from(self.members)
    }

    /// As the first words of a case.
    pub fn words(self) -> String {
        format!("{} listeners, {} members", self.listeners(), self.members())
    }
}

/// Seconds between two probes of a member.
pub const DELAY: u32 = 5;
/// New connections a second, each of two packets.
pub const CONNECTIONS: u32 = 1_000;
const FIRST_PORT: u16 = 1_000;
const LIMIT: Duration = Duration::from_secs(120);

pub struct Crowd {
    // Fields go in this order: the agent detaches while its namespace is there.
    stream: Stream,
    pub agent: Agent,
    socket: PathBuf,
    _server: Server,
    _lab: Lab,
}

/// What the agent answered.
pub struct Answer {
    pub body: Vec<u8>,
    /// From the question to the last byte.
    pub took: Duration,
}

impl Crowd {
    /// All members are healthy when this returns.
    pub fn start(size: Size) -> Result<Self> {
        let lab = Lab::builder().backends(1).start()?;
        lab.backend(0).ip("route add local 10.64.0.0/10 dev lo")?;
        // One neighbour is the way to all members.
        lab.lb().ip(&format!("route add 10.64.0.0/10 via {}", lab.member_addr(0, Family::V4)))?;
        let server = Server::start(lab.backend(0), "all")?;
        let AgentSection { socket, pin_dir, .. } = Config::new(&lab).agent;
        let agent = Agent::start_under(&lab, &text(&lab, size)?, &socket, &ahead())?;
        let link = format!("link-{}", lab.lb().index_of("lb0")?);
        let link = pin_dir.join(format!("v{}", names::ABI_VERSION)).join(link);
        let target = SocketAddrV4::new(vip(1), FIRST_PORT);
        let segments = vec![Segment::Syn, Segment::Fin];
        let play = Play { target, segments, first: 0, rate: Some(CONNECTIONS) };
        let stream = Stream::start(lab.lb(), link, play);
        let crowd = Self { stream, agent, socket, _server: server, _lab: lab };
        wait_for("all members to be healthy", LIMIT, || {
            let text = crowd.text("/metrics?scope=pool")?;
            let online = sum(&text, "elb_pool_members{", r#"status="ONLINE""#);
            thread::sleep(Duration::from_millis(500));
            Ok((online == f64::from(size.members())).then_some(()))
        })?;
        thread::sleep(Duration::from_secs(u64::from(DELAY) * 2));
        Ok(crowd)
    }

    /// Asks the agent by its socket, with more lines of a header.
    pub fn get(&self, path: &str, header: &str) -> Result<Answer> {
        let begun = Instant::now();
        let mut stream = UnixStream::connect(&self.socket)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: elb\r\nConnection: close\r\n{header}\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let took = begun.elapsed();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no header")?;
        let body = answer.split_off(end + 4);
        let header = String::from_utf8_lossy(&answer);
        ensure!(header.starts_with("HTTP/1.1 200 "), "{path}: {header}");
        Ok(Answer { body, took })
    }

    pub fn text(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8(self.get(path, "")?.body)?)
    }

    /// Whether connections still come.
    pub fn ensure_busy(&self) -> Result<()> {
        let rate = self.stream.rate();
        ensure!(rate > f64::from(CONNECTIONS) / 2.0, "only {rate:.0} connections a second");
        Ok(())
    }
}

/// The sum of the series whose names begin so and that have this label.
pub fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let series = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Words that let a command go before ordinary processes: what else the machine does is not what is measured.
/// Niceness would not do, which counts within a session only.
fn ahead() -> [String; 3] {
    ["chrt", "--fifo", "1"].map(str::to_owned)
}

fn vip(balancer: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 100 + balancer)
}

fn text(lab: &Lab, size: Size) -> Result<String> {
    let agent = Config::new(lab).agent;
    let mut text = format!(
        "[agent]\ninterfaces = [\"{}\"]\nsocket = \"{}\"\npin_dir = \"{}\"\nstate_dir = \"{}\"\n\
         max_backends = {}\n[metrics]\nmembers = 65535\n",
        agent.interfaces[0],
        agent.socket.display(),
        agent.pin_dir.display(),
        agent.state_dir.display(),
        size.members() + 1,
    );
    for balancer in 1..=size.balancers {
        let address = vip(balancer);
        write!(text, "[[load_balancer]]\nname = \"lb-{balancer}\"\nvip_address = \"{address}\"\n")?;
        for pool in 0..size.pools {
            let port = FIRST_PORT + u16::from(pool);
            write!(
                text,
                "[[load_balancer.listener]]\nname = \"{balancer}-{pool}\"\nprotocol = \"TCP\"\n\
                 protocol_port = {port}\ndefault_pool = \"{pool}\"\n"
            )?;
        }
    }
    for pool in 0..size.pools {
        let port = FIRST_PORT + u16::from(pool);
        write!(
            text,
            "[[pool]]\nname = \"{pool}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
             healthmonitor = {{ type = \"TCP\", delay = {DELAY}, max_retries_down = 3, \
             monitor_port = {HTTP_PORT}, probe_path = \"direct\" }}\nmember = [\n"
        )?;
        for member in 1..=size.members {
            writeln!(text, "{{ address = \"10.64.{pool}.{member}\", protocol_port = {port} }},")?;
        }
        writeln!(text, "]")?;
    }
    Ok(text)
}
