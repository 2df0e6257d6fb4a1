//! Connections that are over before either side knows: the next of both to send is reset.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Instant;

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use super::{OTHER_WEB, WEB};
use crate::ends::{Ends, is_reset, listening, reload, said, told, two_of_each};
use crate::scene::{LIMIT, wait_until_serving};

/// Seconds that a member serves on after it leaves: the least there is.
const DELAY: u32 = 10;

fn start(members: u8) -> Result<(Lab, Vec<TcpListener>, Config, Agent)> {
    let lab = Lab::builder().two_armed().backends(members).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    let listeners = listening(&lab, Family::V4)?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let pool = pool.forwarding(Forwarding::Nat).drained_for(DELAY);
    // It stays when the other goes, and so does the virtual address.
    let other = Pool::of(&lab, "other", Family::V4, Protocol::Tcp, ECHO_PORT);
    let other = other.forwarding(Forwarding::Nat);
    let config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool);
    let config = config.balance(&lab, Family::V4, OTHER_WEB, other);
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    Ok((lab, listeners, config, agent))
}

#[test]
fn the_next_segment_of_either_side_is_reset_when_the_listener_is_gone() -> Result<()> {
    let (lab, members, mut config, agent) = start(1)?;
    let target = lab.service(Family::V4, WEB);
    let open = || Ends::open(&lab, &members, target);
    let ((mut one, _), (mut other, _)) = (open()?, open()?);
    let listener = config.load_balancers[0].listeners.remove(0);
    reload(&agent, &config)?;
    assert!(is_reset(&mut one.member)?, "the member spoke first");
    assert!(is_reset(&mut one.client)?, "and its client did then");
    assert!(is_reset(&mut other.client)?, "the client spoke first");
    assert!(is_reset(&mut other.member)?, "and the member did then");
    let counted = told(&agent.status()?);
    assert_eq!(counted, 2);
    config.load_balancers[0].listeners.push(listener);
    reload(&agent, &config)?;
    open()?;
    Ok(())
}

#[test]
fn the_next_segment_of_either_side_is_reset_when_the_drain_is_over() -> Result<()> {
    let (lab, members, mut config, agent) = start(2)?;
    let target = lab.service(Family::V4, WEB);
    let (mut of_first, mut others) = two_of_each(&lab, &members, target)?;
    let left = Instant::now();
    config.pools[0].members.remove(0);
    reload(&agent, &config)?;
    for ends in &mut of_first {
        said(&mut ends.member, &mut ends.client)?;
        said(&mut ends.client, &mut ends.member)?;
    }
    assert_eq!(told(&agent.status()?), 0);
    let over = |said: &Value| {
        status::pools(said)[0]["members"].as_array().is_some_and(|all| all.len() == 1)
    };
    agent.wait_status("the member to be gone", LIMIT, over)?;
    let (first, second) = of_first.split_at_mut(1);
    wait_for("the end of the drain", LIMIT, || {
        let sent = first[0].member.write_all(b"x");
        std::thread::sleep(super::BEAT / 4);
        Ok(sent.is_err().then_some(()))
    })?;
    assert!(left.elapsed().as_secs() + 1 >= u64::from(DELAY), "{:?}", left.elapsed());
    assert!(is_reset(&mut second[0].client)?, "the client spoke first");
    assert!(told(&agent.status()?) > 0);
    for ends in &mut others {
        said(&mut ends.member, &mut ends.client)?;
        said(&mut ends.client, &mut ends.member)?;
    }
    Ok(())
}
