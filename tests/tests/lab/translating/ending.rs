//! Connections that are over before either side knows: the next of both to send is reset.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Result, bail};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::{STUCK, wait_for},
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use super::{OTHER_WEB, WEB};
use crate::scene::{LIMIT, wait_until_serving};

/// Seconds that a member serves on after it leaves: the least there is.
const DELAY: u32 = 10;

/// Both ends of a connection.
struct Ends {
    client: TcpStream,
    member: TcpStream,
}

impl Ends {
    /// A client's connection to a virtual address, and the member's end of it; the members listen.
    fn open(lab: &Lab, members: &[TcpListener], target: SocketAddr) -> Result<(Self, usize)> {
        let mut client = lab.client().run(|| TcpStream::connect_timeout(&target, LIMIT))??;
        let (index, mut member) = wait_for("the member's end", LIMIT, || accepted(members))?;
        for end in [&client, &member] {
            end.set_read_timeout(Some(LIMIT))?;
            end.set_nodelay(true)?;
        }
        said(&mut client, &mut member)?;
        said(&mut member, &mut client)?;
        Ok((Self { client, member }, index))
    }
}

/// The first connection that a member accepts.
fn accepted(members: &[TcpListener]) -> Result<Option<(usize, TcpStream)>> {
    for (index, member) in members.iter().enumerate() {
        match member.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(Some((index, stream)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// One byte from one end to the other.
fn said(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    from.write_all(b"x")?;
    to.read_exact(&mut [0])?;
    Ok(())
}

/// Whether the end sends, and is reset for it.
fn is_reset(end: &mut TcpStream) -> Result<bool> {
    let sent = end.write_all(b"x").and_then(|()| end.read(&mut [0; 16]));
    match sent {
        Ok(count) => bail!("{count} bytes instead of a reset"),
        Err(error) if is_any(&error, [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]) => {
            Ok(true)
        }
        Err(error) if is_any(&error, [ErrorKind::WouldBlock, ErrorKind::TimedOut]) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_any(error: &io::Error, kinds: [ErrorKind; 2]) -> bool {
    kinds.contains(&error.kind())
}

fn listening(lab: &Lab) -> Result<Vec<TcpListener>> {
    let at = |index: usize| {
        let address = SocketAddr::new(lab.member_addr(index, Family::V4), HTTP_PORT);
        let listener = lab.backends()[index].run(|| TcpListener::bind(address))??;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    (0..lab.backends().len()).map(at).collect()
}

/// How many members were reset.
fn told(said: &Value) -> u64 {
    let all = said["not_forwarded"].as_array().into_iter().flatten();
    let own = all.filter(|one| one["reason"] == "reset_told");
    own.filter_map(|one| one["packets"].as_u64()).sum()
}

fn start(members: u8) -> Result<(Lab, Vec<TcpListener>, Config, Agent)> {
    let lab = Lab::builder().two_armed().backends(members).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    let listeners = listening(&lab)?;
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

/// Returns when the maps say it.
fn reload(agent: &Agent, config: &Config) -> Result<()> {
    agent.write(&config.text()?)?;
    agent.run(&["reload", "--wait"]).map(drop)
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
    // Two connections of the first member, by turns: which one gets a connection is not known before.
    let mut of_first = Vec::new();
    let mut others = Vec::new();
    wait_for("two connections of each member", STUCK, || {
        let (ends, index) = Ends::open(&lab, &members, target)?;
        if index == 0 {
            of_first.push(ends);
        } else {
            others.push(ends);
        }
        Ok((of_first.len() > 1 && others.len() > 1).then_some(()))
    })?;
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
