//! A link behind the next router is narrower than the load balancer's own: the router says so, and
//! clients learn what fits.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family, Host, Network},
    agent::Agent,
    client::upload,
    config::{Config, Forwarding, Pool, Protocol},
    environment::elb_bin,
    lab::Lab,
    process::output,
    status,
    wait::STUCK,
    wire::HTTP_PORT,
};

use super::{problems, start};

const NARROW: u32 = 1400;
const BYTES: u64 = 300_000;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[test]
fn a_narrow_link_behind_a_router_is_found_out_with_ipip() -> Result<()> {
    is_found_out(Forwarding::Ipip, [20, 40])
}

#[test]
fn a_narrow_link_behind_a_router_is_found_out_with_gue() -> Result<()> {
    is_found_out(Forwarding::Gue, [32, 52])
}

fn is_found_out(mode: Forwarding, overhead: [u32; 2]) -> Result<()> {
    let lab = Lab::builder().backends(1).two_armed().families(Families::Both).start()?;
    let _servers = lab.serve()?;
    FAMILIES.into_iter().try_for_each(|family| backend_up(&lab, mode, family))?;
    // The load balancer has one arm: the router goes to the members, by a link that is narrow.
    lab.lb().ip("link set lb1 down\nlink set lb0 mtu 1500\n\
         route add 10.0.0.0/24 via 10.1.0.1\nroute add fd00::/64 via fd01::1")?;
    lab.router().ip(&format!("link set back mtu {NARROW}"))?;
    let mut config = FAMILIES.into_iter().fold(Config::new(&lab), |config, family| {
        let mut pool = Pool::of(&lab, &format!("web {family:?}"), family, Protocol::Tcp, HTTP_PORT);
        pool.members.truncate(1);
        config.balance(&lab, family, HTTP_PORT, pool.forwarding(mode))
    });
    config.agent.interfaces = vec!["lb0".to_owned()];
    let agent = start(&lab, &config)?;

    for (family, overhead) in FAMILIES.into_iter().zip(overhead) {
        upload(lab.client(), lab.service(family, HTTP_PORT), BYTES)?;
        let route = lab.client().ip(&format!("route get {}", lab.vip(family)))?;
        let fits = NARROW - overhead;
        assert!(route.contains(&format!("mtu {fits} ")), "{mode:?} {family:?}: {route}");
        let answer = explained(&lab, &agent, family, fits + 1)?;
        assert!(answer.contains(&format!("\"mtu\":{fits}")), "{mode:?} {family:?}: {answer}");
    }
    assert!(status::packets_of(&agent.status()?, "too_big_answered") >= 2);
    let shown = agent.diagnose(&[&format!("web V4/{}", lab.member_addr(0, Family::V4))])?;
    assert_eq!((shown.code, shown.cause()), (0, None), "{:#}", shown.said);
    let mtu = shown.finding("mtu");
    assert_eq!(mtu["outcome"], "warn", "{:#}", shown.said);
    let words = format!("takes packets of {NARROW} bytes at most");
    assert!(mtu["evidence"].as_str().is_some_and(|said| said.contains(&words)), "{mtu}");
    assert_eq!(problems(&agent)?, "[]");
    Ok(())
}

/// The backend unwraps what comes from the load balancer's addresses in the clients' network.
fn backend_up(lab: &Lab, mode: Forwarding, family: Family) -> Result<()> {
    let mut command = lab.backend(0).command(elb_bin()?);
    let vip = lab.vip(family).to_string();
    command
        .args(["backend", "up", "--vip", &vip, "--mode", mode.name()])
        .args(["--interface", lab.device()])
        .args(lab.backend_place(0));
    for family in FAMILIES {
        let from = Network::Front.address(family, Host::LoadBalancer).to_string();
        command.args(["--from", &from]);
    }
    output(command, STUCK).map(drop)
}

fn explained(lab: &Lab, agent: &Agent, family: Family, size: u32) -> Result<String> {
    let src = lab.client_addr(family).to_string();
    let dst = lab.service(family, HTTP_PORT).to_string();
    let (size, flow) = (size.to_string(), ["--src", &src, "--dst", &dst, "--proto", "tcp"]);
    let answer = agent.ask(&[&["explain"], &flow[..], &["--size", &size]].concat())?;
    Ok(answer["answer"].to_string())
}
