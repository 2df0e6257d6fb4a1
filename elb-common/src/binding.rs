//! Bindings: which client's flow a port of a [source address](crate::snat) stands for (RFC 4787 §4 calls it a mapping).
//!
//! A binding is two words. The first is whose it is, and is claimed by one compare-and-exchange; the second is where
//! the flow goes, how far it is, and when it was last seen. Nothing collects them: one that has not been seen for as
//! long as it lives counts no more, and another flow may take its place. None that counts is ever pushed out, but
//! those that never opened.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32};
use crate::limits::HALF_OPEN_TIMEOUT;
use crate::snat::WAYS;

/// Value of `BINDINGS_V4`: those of [`WAYS`] neighbouring ports.
pub type Bucket = [Binding; WAYS as usize];

/// One binding.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Binding {
    /// Whose it is.
    pub owner: Owner,
    /// What is known of the flow.
    pub course: Course,
}

/// The client of a flow and the listener that it came by, in one word; 0: nobody's.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Owner(pub u64);

impl Owner {
    /// While another packet takes it. No client has such an address.
    pub const BUSY: Self = Self(u16::MAX as u64);

    /// Of this client at this listener.
    #[inline(always)]
    pub const fn new(client: Be32, port: Be16, listener: u16) -> Self {
        Self((client.raw() as u64) << 32 | (port.raw() as u64) << 16 | listener as u64)
    }

    /// The client's address.
    #[inline(always)]
    pub const fn client(self) -> Be32 {
        Be32::from_raw((self.0 >> 32) as u32)
    }

    /// The client's port.
    #[inline(always)]
    pub const fn port(self) -> Be16 {
        Be16::from_raw((self.0 >> 16) as u16)
    }

    /// Id of the listener.
    #[inline(always)]
    pub const fn listener(self) -> u16 {
        self.0 as u16
    }

    /// Whether it may own one: clients have an address.
    #[inline(always)]
    pub const fn is_one(self) -> bool {
        self.0 >> 32 != 0
    }
}

/// What is known of a flow, in one word: id of its backend (16 bits), seconds that it lives without a packet (16), its
/// [`stage`] (8), and when it was last seen (24 bits of coarse monotonic seconds: what has not been seen for 194 days
/// looks as if it had been just now, which keeps its place for that time).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Course(pub u64);

/// How far a flow is.
pub mod stage {
    /// Its first packet came.
    pub const OPENING: u8 = 0;
    /// Both sides spoke.
    pub const OPEN: u8 = 1;
    /// Its client has closed its side.
    pub const CLIENT_CLOSED: u8 = 2;
    /// Its member has.
    pub const MEMBER_CLOSED: u8 = 3;
    /// Both have.
    pub const CLOSED: u8 = 4;
    /// One of them has reset it, which the other may not have believed.
    pub const RESET: u8 = 5;
}

/// What a packet says of its flow, in bits.
pub mod says {
    /// It opens a TCP connection.
    pub const OPENS: u32 = 1 << 0;
    /// It is a datagram.
    pub const DATAGRAM: u32 = 1 << 1;
    /// It closes its sender's side of a TCP connection.
    pub const CLOSES: u32 = 1 << 2;
    /// It resets a TCP connection.
    pub const RESETS: u32 = 1 << 3;
    /// It is only about the flow.
    pub const QUOTED: u32 = 1 << 4;
}

/// Seconds for which a flow's port is its own when its client closed first, or one side reset it: for segments that
/// are still on their way.
pub const CLOSED_LIFETIME: u32 = 5;
/// … when its member closed first, and would refuse another from the same port (TIME-WAIT, RFC 9293 §3.6.1; Linux waits 60
/// seconds).
pub const TIME_WAIT: u32 = 60;
/// Seconds after which another flow may take the place of one that did not open, where there is no other.
pub const UNANSWERED: u32 = 3;

/// How a binding suits a flow that looks for one to take: the greater, the better.
pub mod fit {
    /// It is another's.
    pub const NONE: u32 = 0;
    /// It is one that did not open.
    pub const UNANSWERED: u32 = 1;
    /// It counts no more.
    pub const OVER: u32 = 2;
    /// It was never used.
    pub const FREE: u32 = 3;
}

const SEEN_BITS: u32 = 24;
const SEEN: u32 = (1 << SEEN_BITS) - 1;

impl Course {
    /// Of a flow that opens.
    #[inline(always)]
    pub const fn opening(backend: u16, says: u32, idle: u32, now: u32) -> Self {
        // Datagrams have no handshake by which a flow would show that it goes on.
        let lifetime = if says & says::DATAGRAM != 0 { idle } else { HALF_OPEN_TIMEOUT };
        Self::new(backend, stage::OPENING, lifetime, now)
    }

    #[inline(always)]
    const fn new(backend: u16, stage: u8, lifetime: u32, now: u32) -> Self {
        let lifetime = if lifetime > u16::MAX as u32 { u16::MAX as u32 } else { lifetime };
        Self(
            backend as u64
                | (lifetime as u64) << 16
                | (stage as u64) << 32
                | ((now & SEEN) as u64) << 40,
        )
    }

    /// Id of the backend.
    #[inline(always)]
    pub const fn backend(self) -> u16 {
        self.0 as u16
    }

    /// Seconds that it lives without a packet.
    #[inline(always)]
    pub const fn lifetime(self) -> u32 {
        (self.0 >> 16) as u32 & 0xffff
    }

    /// One of [`stage`].
    #[inline(always)]
    pub const fn stage(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// Seconds since it was last seen.
    #[inline(always)]
    pub const fn age(self, now: u32) -> u32 {
        now.wrapping_sub((self.0 >> 40) as u32) & SEEN
    }

    /// Whether it counts no more.
    #[inline(always)]
    pub const fn is_over(self, now: u32) -> bool {
        self.age(now) > self.lifetime()
    }

    /// Whether it did not open, and another flow may have its place where there is no other.
    #[inline(always)]
    const fn is_unanswered(self, now: u32) -> bool {
        self.stage() == stage::OPENING && self.age(now) >= UNANSWERED
    }

    /// Whether a packet of its client changes it, but for the second: only then is it worth to ask for how long it lives.
    #[inline(always)]
    pub const fn changes(self, says: u32, now: u32) -> bool {
        const ENDS: u32 = says::CLOSES | says::RESETS;
        let is_sure = matches!(self.stage(), stage::OPEN..=stage::CLOSED);
        self.age(now) != 0 || says & ENDS != 0 || !is_sure
    }

    /// After a packet of its client, of a flow that lives for `idle` seconds while it is open.
    #[inline(always)]
    pub const fn after_client(self, says: u32, idle: u32, now: u32) -> Self {
        const BEGINS: u32 = says::OPENS | says::DATAGRAM;
        let closes = says & says::CLOSES != 0;
        let (stage, lifetime) = match self.stage() {
            _ if says & says::RESETS != 0 => (stage::RESET, CLOSED_LIFETIME),
            stage::OPENING if says & BEGINS != 0 => (stage::OPENING, self.lifetime()),
            stage::MEMBER_CLOSED if closes => (stage::CLOSED, TIME_WAIT),
            stage::CLOSED => (stage::CLOSED, self.lifetime()),
            stage::CLIENT_CLOSED | stage::MEMBER_CLOSED => (self.stage(), idle),
            _ if closes => (stage::CLIENT_CLOSED, idle),
            _ => (stage::OPEN, idle),
        };
        Self::new(self.backend(), stage, lifetime, now)
    }

    /// After an answer of its member.
    #[inline(always)]
    pub const fn after_member(self, says: u32, now: u32) -> Self {
        let lifetime = self.lifetime();
        let closes = says & says::CLOSES != 0;
        let (stage, lifetime) = match self.stage() {
            _ if says & says::RESETS != 0 => (stage::RESET, CLOSED_LIFETIME),
            stage::CLIENT_CLOSED if closes => (stage::CLOSED, CLOSED_LIFETIME),
            stage::OPENING | stage::OPEN | stage::RESET if closes => {
                (stage::MEMBER_CLOSED, lifetime)
            }
            stage::OPENING if says & says::DATAGRAM != 0 => (stage::OPEN, lifetime),
            // What goes on was not reset. The client's next packet says for how long it lives.
            stage::RESET => (stage::OPEN, lifetime),
            stage => (stage, lifetime),
        };
        Self::new(self.backend(), stage, lifetime, now)
    }
}

impl Binding {
    /// How it suits a flow that has none, one of [`fit`].
    #[inline(always)]
    pub const fn fit(self, now: u32) -> u32 {
        if self.owner.0 == 0 {
            fit::FREE
        } else if self.owner.0 == Owner::BUSY.0 {
            fit::NONE
        } else if self.course.is_over(now) {
            fit::OVER
        } else if self.course.is_unanswered(now) {
            fit::UNANSWERED
        } else {
            fit::NONE
        }
    }
}

#[cfg(test)]
mod tests;
