//! Next hops take their time: what worked goes on, and what is new comes all at once.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use anyhow::Result;
use elb_tests::{
    address::Family,
    client::{HeldConnections, HttpLoad, Load},
    config::{Config, Forwarding, Member, Pool, Protocol},
    lab::Lab,
    status,
    wait::{STUCK, wait_for},
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use super::{neighbors::doubts, problems, start, web};

/// The agent is away, the kernel forgets the members, and no member answers ARP when the next agent comes:
/// packets go where they went.
#[test]
fn a_restart_forgets_no_next_hop() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let pool = |name, port| Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
    let config = web(&lab, pool("web", HTTP_PORT));
    let config = config.balance(&lab, Family::V4, ECHO_PORT, pool("echo", ECHO_PORT));
    let mut agent = start(&lab, &config)?;
    let held = HeldConnections::open(
        lab.client(),
        lab.service(Family::V4, ECHO_PORT),
        40,
        Duration::from_millis(50),
    )?;
    let load = Load { concurrency: 2, ..Load::on(lab.service(Family::V4, HTTP_PORT)) };
    let http = HttpLoad::start(lab.client(), load);

    agent.kill()?;
    answer_arp(&lab, false)?;
    lab.lb().ip("neigh flush all")?;
    agent.restart()?;
    let before = http.so_far().answered();
    let said = agent
        .wait_status("the status to doubt both next hops", STUCK, |said| doubts(said).len() == 4)?;
    assert!(
        doubts(&said)[0]
            .starts_with("10.0.0.11 does not answer ARP or neighbour solicitations on lb0"),
        "{said}"
    );
    wait_for("requests", STUCK, || Ok((http.so_far().answered() > before + 300).then_some(())))?;
    // It works, so nothing is to be blamed; and yet it is said on what it depends.
    let shown = agent.diagnose(&["web/10.0.0.11"])?;
    assert_eq!((shown.code, shown.cause()), (0, None), "{:#}", shown.said);
    let neighbor = shown.finding("neighbor");
    assert_eq!(neighbor["outcome"], "warn", "{:#}", shown.said);
    let words = "packets still go to its last known Ethernet address";
    assert!(neighbor["evidence"].as_str().is_some_and(|said| said.contains(words)), "{neighbor}");

    answer_arp(&lab, true)?;
    agent.wait_status("both next hops to be known", STUCK, |said| doubts(said).is_empty())?;
    let shown = agent.diagnose(&["web/10.0.0.11"])?;
    assert_eq!(shown.outcome("neighbor"), "pass", "{:#}", shown.said);
    let (http, held) = (http.stop()?, held.stop()?);
    assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    assert_eq!(status::drops(&agent.status()?), Vec::<String>::new());
    assert_eq!(problems(&agent)?, "[]");
    Ok(())
}

/// A member that answers no ARP asks for the load balancer's address itself, so that the kernel has its own again, and
/// asks whether that holds: it still does not answer, and that is still said.
#[test]
fn one_that_asks_and_does_not_answer_is_doubted() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let config = web(&lab, Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT));
    let agent = start(&lab, &config)?;
    answer_arp(&lab, false)?;
    let both = |said: &Value| doubts(said).len() == 2;
    agent.wait_status("the status to doubt both next hops", STUCK, both)?;
    let (member, ours) = (lab.member_addr(0, Family::V4), lab.lb_addrs(Family::V4)[0]);
    let is_known =
        || Ok(lab.lb().ip(&format!("neigh show {member}"))?.contains("lladdr").then_some(()));
    wait_for("the kernel to know the member again", STUCK, || {
        lab.backend(0).ip("neigh flush all")?;
        lab.backend(0).run(|| UdpSocket::bind("0.0.0.0:0")?.send_to(&[0], (ours, 9)))??;
        is_known()
    })?;
    wait_for("the kernel to give it up", STUCK, || {
        let said = agent.status()?;
        assert!(both(&said), "{said}");
        Ok(is_known()?.is_none().then_some(()))
    })?;
    answer_arp(&lab, true)?;
    agent.wait_status("both next hops to be known", STUCK, |said| doubts(said).is_empty())?;
    Ok(())
}

/// Whether backends answer for their addresses.
fn answer_arp(lab: &Lab, answer: bool) -> Result<()> {
    let value = if answer { "0" } else { "8" };
    let key = format!("ipv4/conf/{}/arp_ignore", lab.device());
    lab.backends().iter().try_for_each(|backend| backend.sysctl(&key, value))
}

/// Fifty new members, and one that does not exist: the ring moves once.
#[test]
fn a_reload_with_many_members_moves_the_ring_once() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let new: Vec<IpAddr> = (150..200).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let adds = new.iter().map(|address| format!("addr add {address}/24 dev {}\n", lab.device()));
    lab.backend(0).ip(&adds.collect::<String>())?;
    let mut config: Config = web(&lab, Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT));
    let mut agent = start(&lab, &config)?;
    let before = agent_moves(&agent.log());
    let http = HttpLoad::start(lab.client(), Load::on(lab.service(Family::V4, HTTP_PORT)));

    let unused = IpAddr::from([10, 0, 0, 250]);
    let member = |address: &IpAddr| Member {
        address: *address,
        protocol_port: HTTP_PORT,
        weight: 1,
        backup: false,
        max_connection: 0,
    };
    config.pool_mut("web").members.extend(new.iter().chain([&unused]).map(member));
    agent.reload(&config)?;
    let all = |said: &_| {
        let slots = status::slots(said, "web");
        new.iter().all(|address| slots.get(address).is_some_and(|slots| *slots > 0))
    };
    let said = agent.wait_status("all new members to serve", STUCK, all)?;
    assert_eq!(agent_moves(&agent.log()) - before, 1, "{}", agent.log());
    let missing = status::member(&said, "web", unused).map(|one| one["unreachable"].to_string());
    assert!(missing.is_some_and(|why| why.contains("10.0.0.250 does not answer ARP")), "{said}");
    let http = http.stop()?;
    assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
    Ok(())
}

/// How often the ring of a pool began to move.
fn agent_moves(log: &str) -> usize {
    log.lines().filter(|line| line.contains("of the ring moves")).count()
}
