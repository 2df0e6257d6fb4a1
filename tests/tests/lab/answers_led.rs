//! Forwarding `nat` where the members' default route is another router: `elb backend up --mode nat` leads the
//! answers of the service through the load balancer, and nothing else.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{Load, UdpFlows, download, http_requests, upload},
    config::{Config, Forwarding, Pool, Protocol},
    environment::elb_bin,
    lab::Lab,
    process::output,
    status,
    wait::STUCK,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::wait_until_serving;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const BYTES: u64 = 1_000_000;
/// A service that is not balanced.
const SSH: u16 = 22;

#[test]
fn answers_come_back_although_the_default_route_is_another() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(2).families(Families::Both).start()?;
    lab.lb_forwards()?;
    let before = ways(&lab)?;
    lab.backends_up(Forwarding::Nat)?;
    serves(&lab)?;

    let after = ways(&lab)?;
    for ((what, before), (_, after)) in before.iter().zip(&after) {
        let is_of_service = !what.ends_with(&format!("sport {SSH}"));
        assert_eq!(before != after, is_of_service, "{what}: {before} {after}");
    }
    for index in 0..lab.backends().len() {
        let status = elb(&lab, index, "status")?;
        assert!(!status.contains("problem"), "{status}");
        elb(&lab, index, "down --all")?;
    }
    assert_eq!(ways(&lab)?, before);
    Ok(())
}

fn serves(lab: &Lab) -> Result<()> {
    let _servers = lab.serve()?;
    let mut config = Config::new(lab);
    config.agent.interfaces = lab.lb_interfaces().into_iter().map(str::to_owned).collect();
    for family in FAMILIES {
        for (protocol, port, member) in
            [(Protocol::Tcp, 8080, HTTP_PORT), (Protocol::Udp, 5353, ECHO_PORT)]
        {
            let name = format!("{protocol:?} {family:?}");
            let pool = Pool::of(lab, &name, family, protocol, member);
            config = config.balance(lab, family, port, pool.forwarding(Forwarding::Nat));
        }
    }
    let agent = Agent::start(lab, &config)?;
    wait_until_serving(&agent)?;
    for family in FAMILIES {
        let web = lab.service(family, 8080);
        let report = http_requests(lab.client(), Load::on(web), 200)?;
        assert_eq!(report.failures().len(), 0, "{web}: {:?}", report.failures());
        assert_eq!(report.answers_by_backend().len(), lab.backends().len());
        download(lab.client(), web, BYTES)?;
        upload(lab.client(), web, BYTES)?;
        let echo = lab.service(family, 5353);
        let flows = UdpFlows::open(lab.client(), echo, 100, Duration::from_millis(100))?.stop()?;
        assert_eq!((flows.lost(), flows.moved().len()), (0, 0), "{echo}: {flows:?}");
    }
    assert_eq!(status::drops(&agent.status()?), Vec::<String>::new());
    Ok(())
}

fn elb(lab: &Lab, index: usize, arguments: &str) -> Result<String> {
    let mut command = lab.backend(index).command(elb_bin()?);
    command.arg("backend").args(arguments.split_whitespace()).args(lab.backend_place(index));
    output(command, STUCK)
}

/// The next hop that each member has for answers to the client, by port.
fn ways(lab: &Lab) -> Result<Vec<(String, String)>> {
    let mut ways = Vec::new();
    for (index, backend) in lab.backends().iter().enumerate() {
        for family in FAMILIES {
            let (client, own) = (lab.client_addr(family), lab.member_addr(index, family));
            for port in [format!("tcp sport {HTTP_PORT}"), format!("udp sport {ECHO_PORT}")]
                .into_iter()
                .chain([format!("tcp sport {SSH}")])
            {
                let asked = format!("{client} from {own} ipproto {port}");
                let mut command = std::process::Command::new("ip");
                command.args(["-netns", backend.name(), "-json", "route", "get"]);
                command.args(asked.split(' '));
                let found: serde_json::Value = serde_json::from_str(&output(command, STUCK)?)?;
                let gateway: Option<IpAddr> =
                    found[0]["gateway"].as_str().map(str::parse).transpose()?;
                ways.push((asked, format!("{gateway:?}")));
            }
        }
    }
    Ok(ways)
}
