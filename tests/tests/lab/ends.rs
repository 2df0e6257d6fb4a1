//! Connections of which a lab holds both ends, and what ends them.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Result, bail};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::Config,
    lab::Lab,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::scene::LIMIT;

/// Both ends of a connection.
pub(crate) struct Ends {
    pub(crate) client: TcpStream,
    pub(crate) member: TcpStream,
}

impl Ends {
    /// A client's connection to a virtual address, and the member's end of it; the members listen.
    pub(crate) fn open(
        lab: &Lab,
        members: &[TcpListener],
        target: SocketAddr,
    ) -> Result<(Self, usize)> {
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

/// Connections of the first member, and those of others: at least two of each, since which one gets a connection is not
/// known before.
pub(crate) fn two_of_each(
    lab: &Lab,
    members: &[TcpListener],
    target: SocketAddr,
) -> Result<(Vec<Ends>, Vec<Ends>)> {
    let (mut of_first, mut others) = (Vec::new(), Vec::new());
    wait_for("two connections of each member", STUCK, || {
        let (ends, index) = Ends::open(lab, members, target)?;
        let of = if index == 0 { &mut of_first } else { &mut others };
        of.push(ends);
        Ok((of_first.len() > 1 && others.len() > 1).then_some(()))
    })?;
    Ok((of_first, others))
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
pub(crate) fn said(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    from.write_all(b"x")?;
    to.read_exact(&mut [0])?;
    Ok(())
}

/// Whether the end sends, and is reset for it.
pub(crate) fn is_reset(end: &mut TcpStream) -> Result<bool> {
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

pub(crate) fn listening(lab: &Lab, family: Family) -> Result<Vec<TcpListener>> {
    let at = |index: usize| {
        let address = SocketAddr::new(lab.member_addr(index, family), HTTP_PORT);
        let listener = lab.backends()[index].run(|| TcpListener::bind(address))??;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    (0..lab.backends().len()).map(at).collect()
}

/// How many were reset for what they sent.
pub(crate) fn told(said: &Value) -> u64 {
    let all = said["not_forwarded"].as_array().into_iter().flatten();
    let own = all.filter(|one| one["reason"] == "reset_told");
    own.filter_map(|one| one["packets"].as_u64()).sum()
}

/// Returns when the maps say it.
pub(crate) fn reload(agent: &Agent, config: &Config) -> Result<()> {
    agent.write(&config.text()?)?;
    agent.run(&["reload", "--wait"]).map(drop)
}
