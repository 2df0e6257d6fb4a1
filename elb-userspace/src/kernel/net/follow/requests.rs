//! A socket for requests to the kernel. Each has a deadline, and no notification gets in between.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages, of which a handful matter here"
)]

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv, send};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::FollowError;
use super::notices::{open, packets, watched};

/// How long the kernel has for an answer. It answers at once, but for the lock that others hold.
const DEADLINE: Duration = Duration::from_secs(10);
/// Requests that are sent together: their answers fit into the socket.
pub(super) const TOGETHER: usize = 64;
const ROOM: usize = 4 << 20;
/// The longest part of a dump is half of this.
const LONGEST: usize = 64 << 10;

/// What the kernel answered to one request: a message, or the number of an error (0: done).
pub(super) type Answer = Result<RouteNetlinkMessage, i32>;

/// A socket for requests.
#[derive(Debug)]
pub(super) struct Requests {
    socket: AsyncFd<OwnedFd>,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    pub(super) fn open() -> std::io::Result<Self> {
        let socket = watched(open(0, ROOM)?)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; LONGEST] })
    }

    /// One by which the kernel lists only what is asked for (`NETLINK_GET_STRICT_CHK`), if it knows that.
    pub(super) fn open_strict() -> std::io::Result<Self> {
        const STRICT: libc::c_int = 12;
        let requests = Self::open()?;
        let on: libc::c_int = 1;
        let length = libc::socklen_t::try_from(size_of_val(&on)).map_err(std::io::Error::other)?;
        let fd = requests.socket.as_raw_fd();
        // SAFETY: the socket is open; the kernel reads one number, which lives until the call returns.
        let set = unsafe {
            libc::setsockopt(fd, libc::SOL_NETLINK, STRICT, (&raw const on).cast(), length)
        };
        if set < 0 {
            tracing::debug!("the kernel lists all routing tables where one is asked for");
        }
        Ok(requests)
    }

    /// The routes of a table, message by message. None where the host lacks the table or the IP version.
    pub(super) async fn routes(
        &mut self,
        family: i32,
        table: u32,
        take: impl FnMut(&[u8]),
    ) -> Result<(), FollowError> {
        let mut message = RouteMessage::default();
        message.header.address_family = match family {
            libc::AF_INET => AddressFamily::Inet,
            _ => AddressFamily::Inet6,
        };
        message.header.table = u8::try_from(table).unwrap_or_default();
        match self.list(RouteNetlinkMessage::GetRoute(message), take).await {
            Err(FollowError::Refused(error)) if is_missing(&error) => Ok(()),
            listed => listed,
        }
    }

    /// The routing rules of all IP versions, message by message.
    pub(super) async fn rules(&mut self, take: impl FnMut(&[u8])) -> Result<(), FollowError> {
        self.list(RouteNetlinkMessage::GetRule(RuleMessage::default()), take).await
    }

    /// As [`Self::dump`], of which there may be much: each message as it comes, without its header.
    async fn list(
        &mut self,
        question: RouteNetlinkMessage,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), FollowError> {
        const ERROR: u16 = 2;
        const DONE: u16 = 3;
        self.send([(question, NLM_F_DUMP)].into_iter())?;
        let mut done = None;
        while done.is_none() {
            let length = timeout(DEADLINE, self.read()).await.map_err(|_| FollowError::Late)??;
            for packet in packets(&self.buffer[..length]) {
                let number =
                    |at: usize| packet.get(at..)?.first_chunk().map(|n| u32::from_ne_bytes(*n));
                if number(8) != Some(self.sequence) {
                    continue;
                }
                match u16::from_ne_bytes([packet[4], packet[5]]) {
                    // Both begin with the number of an error.
                    ERROR | DONE => done = Some(number(16).unwrap_or(0).cast_signed()),
                    _ => take(&packet[16..]),
                }
            }
            // Everything else gets its turn.
            tokio::task::yield_now().await;
        }
        match done {
            None | Some(0) => Ok(()),
            Some(code) => Err(FollowError::Refused(Errno::from_raw(-code).into())),
        }
    }

    /// Asks for several things at once, [`TOGETHER`] at the most; the answers come in the order of
    /// the questions.
    pub(super) async fn ask(
        &mut self,
        questions: Vec<RouteNetlinkMessage>,
    ) -> Result<Vec<Answer>, FollowError> {
        let first = self.sequence.wrapping_add(1);
        let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
        let mut missing = answers.len();
        self.send(questions.into_iter().map(|question| {
            // Not NLM_F_REPLACE: the kernel would forget which neighbours are IPv6 routers.
            let changes = matches!(question, RouteNetlinkMessage::NewNeighbour(_));
            (question, if changes { NLM_F_ACK | NLM_F_CREATE } else { 0 })
        }))?;
        while missing > 0 {
            self.receive(|sequence, payload| {
                let index = sequence.wrapping_sub(first) as usize;
                let answer = match payload {
                    NetlinkPayload::InnerMessage(message) => Ok(message),
                    NetlinkPayload::Error(error) => Err(error.raw_code()),
                    _ => Err(-(Errno::EPROTO as i32)),
                };
                if let Some(place @ None) = answers.get_mut(index) {
                    (*place, missing) = (Some(answer), missing - 1);
                }
            })
            .await?;
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// All that the kernel has of a kind.
    pub(super) async fn links(&mut self) -> Result<Vec<RouteNetlinkMessage>, FollowError> {
        self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).await
    }

    /// As [`Self::links`], of neighbours.
    pub(super) async fn neighbors(&mut self) -> Result<Vec<RouteNetlinkMessage>, FollowError> {
        self.dump(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default())).await
    }

    async fn dump(
        &mut self,
        question: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, FollowError> {
        self.send([(question, NLM_F_DUMP)].into_iter())?;
        let wanted = self.sequence;
        let (mut all, mut done) = (Vec::new(), None);
        while done.is_none() {
            self.receive(|sequence, payload| match payload {
                _ if sequence != wanted => {}
                NetlinkPayload::InnerMessage(message) => all.push(message),
                NetlinkPayload::Done(_) => done = Some(0),
                NetlinkPayload::Error(error) => done = Some(error.raw_code()),
                _ => {}
            })
            .await?;
        }
        match done {
            None | Some(0) => Ok(all),
            Some(code) => Err(FollowError::Refused(Errno::from_raw(-code).into())),
        }
    }

    fn send(
        &mut self,
        questions: impl Iterator<Item = (RouteNetlinkMessage, u16)>,
    ) -> Result<(), FollowError> {
        let mut bytes = Vec::new();
        for (question, flags) in questions {
            self.sequence = self.sequence.wrapping_add(1);
            let mut message = NetlinkMessage::from(question);
            message.header.flags = NLM_F_REQUEST | flags;
            message.header.sequence_number = self.sequence;
            message.finalize();
            let begin = bytes.len();
            bytes.resize(begin + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut bytes[begin..]);
        }
        if !bytes.is_empty() {
            send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())
                .map_err(|error| FollowError::Socket(error.into()))?;
        }
        Ok(())
    }

    /// Waits for a packet and hands over what is in it, with its number.
    async fn receive(
        &mut self,
        mut take: impl FnMut(u32, NetlinkPayload<RouteNetlinkMessage>),
    ) -> Result<(), FollowError> {
        let length = timeout(DEADLINE, self.read()).await.map_err(|_| FollowError::Late)??;
        for packet in packets(&self.buffer[..length]) {
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(packet) {
                Ok(message) => take(message.header.sequence_number, message.payload),
                Err(error) => {
                    tracing::debug!(%error, "unexpected netlink message");
                    let [.., a, b, c, d] = *packet.first_chunk::<12>().unwrap_or(&[0; 12]);
                    take(u32::from_ne_bytes([a, b, c, d]), NetlinkPayload::Noop);
                }
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<usize, FollowError> {
        loop {
            let mut guard = self.socket.readable().await.map_err(FollowError::Socket)?;
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => return Ok(length),
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(FollowError::Socket(error.into())),
            }
        }
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    const NONE: [i32; 3] = [libc::ENOENT, libc::EAFNOSUPPORT, libc::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|code| NONE.contains(&code))
}
