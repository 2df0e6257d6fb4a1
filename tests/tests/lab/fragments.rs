//! Datagrams larger than a packet: every part of one reaches the same backend.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    topology::CLIENT_MTU,
    wire::{ECHO_PORT, parse_echo},
};

use crate::scene::wait_until_serving;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const SOCKETS: usize = 60;
/// Four fragments.
const LENGTH: usize = 5000;
/// Once for each that is informed, and once more.
const TRIES: usize = 5;

/// On a network where all have the same MTU: into tunnels, a client's first fragments do not fit
/// until it has been informed.
#[test]
fn a_large_datagram_reaches_one_backend_and_is_answered() -> Result<()> {
    for mode in [Forwarding::L2, Forwarding::Ipip, Forwarding::Gue] {
        let lab = Lab::builder().mtu(CLIENT_MTU).backends(3).families(Families::Both).start()?;
        let _servers = lab.serve()?;
        lab.backends_up(mode)?;
        let config = FAMILIES.into_iter().fold(Config::new(&lab), |config, family| {
            let name = format!("echo {family:?}");
            let pool = Pool::of(&lab, &name, family, Protocol::Udp, ECHO_PORT);
            config.balance(&lab, family, ECHO_PORT, pool.forwarding(mode))
        });
        let agent = Agent::start(&lab, &config)?;
        wait_until_serving(&agent)?;
        for family in FAMILIES {
            let target = lab.service(family, ECHO_PORT);
            let backends = lab.client().run(|| ask_all(target))?;
            let drops = || agent.status().map(|said| status::drops(&said));
            let backends =
                backends.with_context(|| format!("{mode:?} {family:?}: {:?}", drops()))?;
            assert_eq!(backends.len(), 3, "{mode:?} {family:?}: {backends:?}");
        }
        let said = agent.status()?;
        if mode == Forwarding::L2 {
            assert_eq!(status::drops(&said), Vec::<String>::new());
        } else {
            assert!(status::packets_of(&said, "too_big_answered") >= 2, "{mode:?}: {said}");
        }
    }
    Ok(())
}

/// Asks from many ports; the names of those who answered.
fn ask_all(target: SocketAddr) -> Result<std::collections::BTreeSet<String>> {
    (0..SOCKETS).map(|index| ask(target, index)).collect()
}

fn ask(target: SocketAddr, index: usize) -> Result<String> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    // Different in each part and from socket to socket.
    let question: String =
        (0..LENGTH / 10).map(|part| format!("{:010}", part * 7919 + index)).collect();
    let mut buffer = vec![0; 1 << 16];
    let answered = (0..TRIES)
        .find_map(|_| socket.send(question.as_bytes()).and_then(|_| socket.recv(&mut buffer)).ok());
    let length = answered.with_context(|| format!("no answer to socket {index}"))?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let (backend, echoed) = parse_echo(&answer).context("not an answer")?;
    assert!(echoed == question, "the datagram changed");
    Ok(backend.to_owned())
}
