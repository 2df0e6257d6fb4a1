//! Which interfaces of this host are on one segment: what one of them sends, another one hears.

#![allow(clippy::cast_possible_truncation, reason = "constants and sizes of C structures")]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsRawFd as _;

use elb_common::addr::{Be16, Mac};
use elb_common::path::wire::Ethernet;
use socket2::{Domain, Protocol, Socket, Type};

use super::Announcer;
use crate::kernel::host::segments::Pair;
use crate::kernel::net::frames::BROADCAST;

/// Local experimental EtherType 1 (IEEE 802, RFC 9542 §B.2): for use inside one network, as this is.
const ETHERTYPE: u16 = 0x88b5;
/// What a question begins with.
const MAGIC: &[u8; 12] = b"elb segment\0";
/// Ethernet, magic, token, index, and zeros up to the least that Ethernet takes.
const LENGTH: usize = 60;

/// A socket that hears the questions of this agent.
#[derive(Debug)]
pub struct OwnSegment {
    socket: Socket,
    /// Distinguishes this agent's questions from another's.
    token: [u8; 8],
}

impl OwnSegment {
    /// Opens the socket.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing.
    pub fn new(token: u64) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ETHERTYPE.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, token: token.to_ne_bytes() })
    }

    /// Asks by an interface who hears it.
    pub fn ask(&self, announcer: &Announcer, index: u32, mac: Mac) {
        if let Err(error) = announcer.send(index, &self.question(index, mac)) {
            tracing::debug!(index, %error, "cannot ask who hears it");
        }
    }

    fn question(&self, index: u32, mac: Mac) -> Vec<u8> {
        let ethertype = Be16::new(ETHERTYPE);
        let ethernet = Ethernet { destination: BROADCAST, source: mac, ethertype };
        let mut frame = bytemuck::bytes_of(&ethernet).to_vec();
        frame.extend(MAGIC);
        frame.extend(self.token);
        frame.extend(index.to_ne_bytes());
        frame.resize(LENGTH, 0);
        frame
    }

    /// Who was heard by whom since the last time.
    pub fn heard(&self) -> BTreeSet<Pair> {
        let mut pairs = BTreeSet::new();
        // No more than interfaces can have asked: a flood of such frames ends here.
        for _ in 0..1024 {
            match self.receive() {
                Ok(pair) => pairs.extend(pair.filter(|(from, by)| from != by)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        pairs
    }

    fn receive(&self) -> io::Result<Option<Pair>> {
        let mut frame = [0; LENGTH];
        // SAFETY: all-zero bytes are a valid sockaddr_ll.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the socket is open for as long as `self` lives; frame and address are valid for the
        // lengths given, and the kernel writes no more than those.
        let received = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                frame.as_mut_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw mut from).cast(),
                &raw mut length,
            )
        };
        if received < 0 {
            return Err(io::Error::last_os_error());
        }
        let sender = self.sender(&frame);
        Ok(sender.map(|sender| (sender, from.sll_ifindex.unsigned_abs())))
    }

    /// The interface that asked.
    fn sender(&self, frame: &[u8; LENGTH]) -> Option<u32> {
        let said = &frame[size_of::<Ethernet>()..];
        let said = said.strip_prefix(MAGIC)?.strip_prefix(&self.token)?;
        Some(u32::from_ne_bytes(*said.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_known_again_by_who_asked_it() {
        let socket = || Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
        let [one, other] =
            [1u64, 2].map(|token| OwnSegment { socket: socket(), token: token.to_ne_bytes() });
        let question = one.question(7, Mac::new([2, 0, 0, 0, 0, 1]));
        let question: [u8; LENGTH] = question.try_into().unwrap();
        assert_eq!((one.sender(&question), other.sender(&question)), (Some(7), None));
        assert_eq!(one.sender(&[0; LENGTH]), None);
    }
}
