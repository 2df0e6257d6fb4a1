//! Listeners for ranges of ports: servers get packets at the port that the client named.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, Load, UdpFlows, http_requests},
    config::{Config, Forwarding, Pool, PortRange, Protocol},
    lab::Lab,
    server::{Ports, Server},
    status,
};
use serde_json::Value;

use crate::scene::{LIMIT, wait_until_serving};

const TCP: &str = "tcp";
const UDP: &str = "udp";

/// Backends that listen on 1000 and 1007, 1010 and 1011, and an agent that balances 1000 to 1010.
struct Ranged {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    _servers: Vec<Server>,
    config: Config,
    lab: Lab,
}

impl Ranged {
    fn start() -> Result<Self> {
        let lab = Lab::builder().start()?;
        let mut servers = Vec::new();
        for (index, netns) in lab.backends().iter().enumerate() {
            for ports in [Ports { http: 1000, echo: 1007 }, Ports { http: 1010, echo: 1011 }] {
                servers.push(Server::start_on(netns, &lab.backend_name(index), ports)?);
            }
        }
        lab.backends_up(Forwarding::Ipip)?;
        let mut config = Config::new(&lab);
        for (name, protocol) in [(TCP, Protocol::Tcp), (UDP, Protocol::Udp)] {
            let pool = Pool::of(&lab, name, Family::V4, protocol, 0).any_port();
            config = config.balance(&lab, Family::V4, 0, pool);
            config.listener_mut(name).port_ranges = range(1000, 1010);
        }
        let agent = Agent::start(&lab, &config)?;
        wait_until_serving(&agent)?;
        Ok(Self { agent, _servers: servers, config, lab })
    }

    /// Whether requests to a port are answered.
    fn answers(&self, port: u16) -> Result<bool> {
        let target = self.lab.service(Family::V4, port);
        let load = Load { timeout: Duration::from_millis(900), ..Load::on(target) };
        let report = http_requests(self.lab.client(), load, 8)?;
        assert!([0, 8].contains(&report.answered()), "{port}: {:?}", report.failures());
        Ok(report.answered() > 0)
    }

    /// Balances other ports over TCP from now on.
    fn change(&mut self, ranges: Vec<PortRange>) -> Result<()> {
        let shown: Vec<String> =
            ranges.iter().map(|r| format!("{}-{}", r.start_port, r.end_port)).collect();
        self.config.listener_mut(TCP).port_ranges = ranges;
        self.agent.reload(&self.config)?;
        let changed = |said: &Value| {
            let listener = status::listener(said, TCP).unwrap_or(&Value::Null);
            let now = listener["port_ranges"].as_array().into_iter().flatten();
            now.filter_map(Value::as_str).eq(shown.iter().map(String::as_str))
        };
        self.agent.wait_status(&format!("ports {shown:?}"), LIMIT, changed).map(drop)
    }
}

fn range(start_port: u16, end_port: u16) -> Vec<PortRange> {
    vec![PortRange { start_port, end_port }]
}

#[test]
fn packets_keep_their_port() -> Result<()> {
    let ranged = Ranged::start()?;
    let service = |port| ranged.lab.service(Family::V4, port);
    assert_eq!(
        [ranged.answers(1000)?, ranged.answers(1010)?],
        [true; 2],
        "the first and the last port"
    );
    let beat = Duration::from_millis(50);
    let held = HeldConnections::open(ranged.lab.client(), service(1007), 10, beat)?.stop()?;
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    UdpFlows::open(ranged.lab.client(), service(1007), 10, beat)?.stop()?;
    let before = ranged.agent.status()?;
    // Servers listen there too, but no one balances to them.
    let beyond = HeldConnections::open(ranged.lab.client(), service(1011), 1, beat);
    assert!(beyond.is_err(), "port 1011 is not in the range");
    let after = ranged.agent.status()?;
    let packets = |said: &Value| {
        anyhow::Ok(status::listener(said, TCP).context("it is there")?["packets"].clone())
    };
    assert_eq!(packets(&after)?, packets(&before)?);
    let unknown = |said| status::packets_of(said, "closed_port_answered");
    assert!(unknown(&after) > unknown(&before));
    Ok(())
}

/// Connections to ports that stay in a range go on, whatever prefixes it is made of.
#[test]
fn a_range_changes_under_traffic() -> Result<()> {
    let mut ranged = Ranged::start()?;
    let service = ranged.lab.service(Family::V4, 1007);
    let beat = Duration::from_millis(20);
    let held = HeldConnections::open(ranged.lab.client(), service, 20, beat)?;
    ranged.change(range(1000, 1007))?;
    assert_eq!([ranged.answers(1000)?, ranged.answers(1010)?], [true, false]);
    ranged.change(range(1007, 1010))?;
    assert_eq!([ranged.answers(1000)?, ranged.answers(1010)?], [false, true]);
    ranged.change(vec![])?;
    assert_eq!([ranged.answers(1000)?, ranged.answers(1010)?], [true; 2], "any port");
    ranged.change([range(1, 1006), range(1007, 65_535)].concat())?;
    assert_eq!([ranged.answers(1000)?, ranged.answers(1010)?], [true; 2], "nearly any");
    let report = held.stop()?;
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    Ok(())
}

/// Numbers of addresses and listeners are found in the maps.
#[test]
fn an_agent_without_its_saved_state_finds_the_ranges() -> Result<()> {
    let mut ranged = Ranged::start()?;
    let service = ranged.lab.service(Family::V4, 1007);
    let beat = Duration::from_millis(20);
    let held = HeldConnections::open(ranged.lab.client(), service, 20, beat)?;
    ranged.agent.kill()?;
    std::fs::remove_file(ranged.config.agent.state().join("numbers.json"))?;
    ranged.agent.restart()?;
    assert_eq!([ranged.answers(1000)?, ranged.answers(1010)?], [true; 2]);
    let report = held.stop()?;
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    // Without its numbers, a pool's ring would be made anew, and packets would meet none.
    assert_eq!(status::drops(&ranged.agent.status()?), Vec::<String>::new());
    Ok(())
}
