//! Connections through source addresses that are over: the next of both to send is reset.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::HeldConnections,
    config::{Config, Forwarding, Pool, Protocol, SourceAddresses},
    lab::Lab,
    status,
    wait::wait_for,
    wire::HTTP_PORT,
};

use super::{BEAT, WEB};
use crate::ends::{Ends, is_reset, listening, reload, said, told, two_of_each};
use crate::scene::{LIMIT, SHORT, wait_until_serving};

/// The other half of what [`SourceAddresses::of_backends`] has.
fn other_addresses() -> SourceAddresses {
    let SourceAddresses { v4 } = SourceAddresses::of_backends();
    SourceAddresses { v4: v4.replace(".208/28", ".224/28") }
}

fn start(shape: impl Fn(Pool) -> Pool) -> Result<(Lab, Vec<TcpListener>, Config, Agent)> {
    let lab = Lab::builder().two_armed().backends(2).start()?;
    lab.lb_forwards()?;
    let listeners = listening(&lab, Family::V4)?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let pool = shape(pool.forwarding(Forwarding::FullNat));
    let mut config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool).idle_after(SHORT);
    config.snat = Some(SourceAddresses::of_backends());
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    Ok((lab, listeners, config, agent))
}

fn target(lab: &Lab) -> SocketAddr {
    lab.service(Family::V4, WEB)
}

/// Bytes in both directions.
fn talks(ends: &mut Ends) -> Result<()> {
    said(&mut ends.member, &mut ends.client)?;
    said(&mut ends.client, &mut ends.member)
}

/// One silence less than the timeout after the other is none; a longer one ends the connection.
#[test]
fn the_first_to_speak_after_a_long_silence_is_reset() -> Result<()> {
    let (lab, members, _config, agent) = start(|pool| pool)?;
    let open = || Ends::open(&lab, &members, target(&lab)).map(|(ends, _)| ends);
    let (mut one, mut other, mut busy) = (open()?, open()?, open()?);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(u64::from(SHORT) + 4) {
        std::thread::sleep(Duration::from_secs(u64::from(SHORT) / 2));
        talks(&mut busy)?;
    }
    assert_eq!(told(&agent.status()?), 0);
    assert!(is_reset(&mut one.member)?, "the member spoke first");
    assert!(is_reset(&mut one.client)?, "and its client did then");
    assert!(is_reset(&mut other.client)?, "the client spoke first");
    assert!(is_reset(&mut other.member)?, "and the member did then");
    assert_eq!(told(&agent.status()?), 4);
    talks(&mut busy)?;
    talks(&mut open()?)
}

#[test]
fn connections_of_a_member_end_with_its_drain() -> Result<()> {
    let (lab, members, mut config, agent) = start(|pool| pool.drained_for(SHORT))?;
    let (mut leaving, mut staying) = two_of_each(&lab, &members, target(&lab))?;
    config.pools[0].members.remove(0);
    reload(&agent, &config)?;
    let [before, after] = [SHORT - 4, SHORT + 2].map(|at| Duration::from_secs(at.into()));
    let left = Instant::now();
    while left.elapsed() < after {
        std::thread::sleep(BEAT);
        let are_served = left.elapsed() < before;
        for ends in staying.iter_mut().chain(leaving.iter_mut().filter(|_| are_served)) {
            talks(ends)?;
        }
    }
    let (first, second) = leaving.split_at_mut(1);
    assert!(is_reset(&mut first[0].client)?, "the client spoke first");
    assert!(is_reset(&mut second[0].member)?, "the member spoke first");
    agent.wait_status("the member to be gone", LIMIT, |said| {
        status::pools(said)[0]["members"].as_array().is_some_and(|all| all.len() == 1)
    })?;
    Ok(())
}

/// What clients send next is answered with a reset; members hear nothing more from the addresses of before.
#[test]
fn other_source_addresses_end_connections_and_serve_new_ones() -> Result<()> {
    let (lab, members, mut config, agent) = start(|pool| pool)?;
    let (mut one, _) = Ends::open(&lab, &members, target(&lab))?;
    config.snat = Some(other_addresses());
    reload(&agent, &config)?;
    assert!(is_reset(&mut one.client)?, "the client spoke first");
    let (mut other, _) = Ends::open(&lab, &members, target(&lab))?;
    talks(&mut other)?;
    let seen = other.member.peer_addr()?.ip().to_string();
    assert!(seen.rsplit('.').next().and_then(|last| last.parse().ok()) >= Some(224), "{seen}");
    Ok(())
}

/// Maps of another size take over which connection has which port.
#[test]
fn held_connections_outlive_maps_of_another_size() -> Result<()> {
    for algorithm in ["5_TUPLE_HASH", "ROUND_ROBIN"] {
        let lab = Lab::builder().two_armed().backends(3).start()?;
        lab.lb_forwards()?;
        let _servers = lab.serve()?;
        let pool = Pool::of(&lab, "echo", Family::V4, Protocol::Tcp, elb_tests::wire::ECHO_PORT);
        let pool = pool.forwarding(Forwarding::FullNat).by(algorithm);
        let mut config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool);
        config.snat = Some(SourceAddresses::of_backends());
        config.agent.max_flows = Some(65_536);
        let mut agent = Agent::start(&lab, &config)?;
        wait_until_serving(&agent)?;
        let held = HeldConnections::open(lab.client(), target(&lab), 200, BEAT)?;
        config.agent.max_flows = Some(131_072);
        agent.restart_with(&config)?;
        std::thread::sleep(3 * BEAT);
        config.pools[0].members.remove(0);
        agent.reload(&config)?;
        let before = held.so_far();
        wait_for("answers on every connection", LIMIT, || {
            assert!(held.first_broken().is_none(), "{algorithm}: {:?}", held.first_broken());
            Ok(held.so_far().is_beyond(&before, 3).then_some(()))
        })?;
        assert_eq!(held.stop()?.broken().len(), 0, "{algorithm}");
    }
    Ok(())
}
