//! One datagram and its answer, from an address and with contents of the caller's choice.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{netns::NetNs, wire};

const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Datagrams may be lost; one that is not answered is sent again.
const TRIES: u32 = 3;

/// A socket that asks an echo service, and learns who answers.
#[derive(Debug)]
pub struct Datagrams(UdpSocket);

impl Datagrams {
    /// A socket in `netns` with this address and any port, for `target`.
    pub fn from(netns: &NetNs, source: IpAddr, target: SocketAddr) -> Result<Self> {
        let socket = netns.run(|| {
            let socket = UdpSocket::bind((source, 0))?;
            socket.connect(target)?;
            socket.set_read_timeout(Some(ANSWER_LIMIT))?;
            io::Result::Ok(socket)
        })?;
        Ok(Self(socket.with_context(|| format!("from {source} to {target}"))?))
    }

    /// Who answers these bytes.
    pub fn ask(&self, bytes: &[u8]) -> Result<String> {
        for _ in 0..TRIES {
            self.0.send(bytes)?;
            if let Some(backend) = self.answer(bytes)? {
                return Ok(backend);
            }
        }
        let local = self.0.local_addr()?;
        anyhow::bail!("no member answers {local}: {TRIES} times not within {ANSWER_LIMIT:?}")
    }

    fn answer(&self, asked: &[u8]) -> Result<Option<String>> {
        let expected = String::from_utf8_lossy(asked);
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut buffer = [0; 2048];
        while Instant::now() < deadline {
            let length = match self.0.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let answer = String::from_utf8_lossy(&buffer[..length]);
            // Anything else is the late answer to an earlier datagram.
            let Some((backend, echoed)) = wire::parse_echo(&answer) else { continue };
            if expected.trim_end() == echoed {
                return Ok(Some(backend.to_owned()));
            }
        }
        Ok(None)
    }
}
