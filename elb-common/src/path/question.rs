//! What is asked of the choice: a flow, its listener, and what was found out about it. A record of plain
//! numbers, since it goes from one BPF program function to another.

use super::Transport;
use super::admit::Admission;
use crate::addr::{join, split};
use crate::flow::{FlowKeyV4, FlowKeyV6};
use crate::listener::Listener;

/// What is asked. Whole words, since it lies on the BPF stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Question<K> {
    /// Addresses, ports and protocol.
    pub tuple: K,
    pub(super) listener: [u64; 5],
    /// Bits of [`packet`], and the second it is.
    pub(super) packet_and_now: u64,
    /// Offset of what the IP header carries.
    payload: u64,

    // What follows is found out by `identify::complete`.
    /// What the flow is recorded by.
    pub(super) key: K,
    /// What the ring before recorded it by.
    pub(super) former_key: K,
    /// Digest of the connection id of QUIC, 0: none.
    pub(super) digest: u64,
    /// The same as the ring before saw it.
    pub(super) former_digest: u64,
    pub(super) pool: [u64; 6],
    /// The ring that flows older than every record live on; without slots: the pool's.
    pub(super) origin: [u64; 2],
    /// Slot on the ring: its index and what it holds.
    pub(super) slot: u64,
}

/// A question about an IPv4 flow.
pub type QuestionV4 = Question<FlowKeyV4>;
/// A question about an IPv6 flow.
pub type QuestionV6 = Question<FlowKeyV6>;

/// Bits of [`Question::packet_and_now`].
pub(super) mod packet {
    pub(in crate::path) const OPENS: u32 = 1 << 0;
    pub(in crate::path) const CLOSES: u32 = 1 << 1;
    pub(in crate::path) const UDP: u32 = 1 << 2;
    pub(in crate::path) const IF_RECORDED: u32 = 1 << 3;
    pub(in crate::path) const QUOTED: u32 = 1 << 4;
    pub(in crate::path) const RESETS: u32 = 1 << 5;
}

impl<K> Question<K> {
    /// Takes the packet's part in.
    #[inline(always)]
    pub(super) fn about(
        &mut self,
        payload: usize,
        transport: &Transport,
        admission: Admission,
        now: u32,
    ) {
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        let packet = bit(transport.opens(), packet::OPENS)
            | bit(transport.closes(), packet::CLOSES)
            | bit(transport.resets(), packet::RESETS)
            | bit(transport.is_udp(), packet::UDP)
            | bit(transport.is_quoted(), packet::QUOTED)
            | bit(admission == Admission::IfRecorded, packet::IF_RECORDED);
        self.packet_and_now = join(packet, now);
        self.payload = payload as u64;
    }

    #[inline(always)]
    pub(super) fn listener(&self) -> &Listener {
        bytemuck::cast_ref(&self.listener)
    }

    /// Offset of the datagram, if it is one.
    #[inline(always)]
    pub(super) fn datagram(&self) -> Option<usize> {
        (self.bits() & packet::UDP != 0).then_some(self.payload as usize)
    }

    #[inline(always)]
    pub(super) fn admission(&self) -> Admission {
        if self.bits() & packet::IF_RECORDED == 0 {
            Admission::Granted
        } else {
            Admission::IfRecorded
        }
    }

    #[inline(always)]
    fn bits(&self) -> u32 {
        split(self.packet_and_now)[0]
    }
}
