//! Bindings: which client's flow a port of a [source address](crate::snat) stands for (RFC 4787 §4 calls it a mapping).
//!
//! A binding is two words. The first is whose it is, and is claimed by one compare-and-exchange; the second is where
//! the flow goes, how far it is, and when it was last seen. Nothing collects them: one that has not been seen for as
//! long as it lives counts no more, and another flow may take its place. None that counts is ever pushed out, but
//! those that never opened.

use core::hint::black_box;

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

/// The client of a flow and the listener that it came by, in one word; 0: it has no owner.
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

    /// Whether a packet of its client changes it, but for the second: only then is it worth to ask for how long it lives.
    #[inline(always)]
    pub const fn changes(self, says: u32, now: u32) -> bool {
        const ENDS: u32 = says::CLOSES | says::RESETS;
        const BEGINS: u32 = says::OPENS | says::DATAGRAM;
        let is_opening = self.stage() == stage::OPENING;
        let is_sure =
            matches!(self.stage(), stage::OPEN..=stage::CLOSED) || is_opening && says & BEGINS != 0;
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

/// What a flow that has no binding may take of a bucket: a bit for each of its bindings.
///
/// Nothing here branches, and the compiler must not see that it could: the verifier would walk each way through eight
/// bindings, and there is nothing to predict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacancies {
    /// Those that have no owner, or count no more.
    pub vacant: u32,
    /// Those that did not open, which it may take where there is no other.
    pub unanswered: u32,
}

impl Vacancies {
    /// The same, and the binding with this place in the bucket.
    #[inline(always)]
    #[must_use]
    pub fn and(self, Binding { owner, course }: Binding, way: u32, now: u32) -> Self {
        let age = black_box(u64::from(course.age(now)));
        let is_idle = is_zero(black_box(owner.0 ^ Owner::BUSY.0)) ^ 1;
        let is_over = is_less(black_box(u64::from(course.lifetime())), age);
        let stage = black_box(u64::from(course.stage() ^ stage::OPENING));
        let is_unanswered = black_box(is_zero(stage)) & is_less(u64::from(UNANSWERED - 1), age);
        let vacant = (black_box(is_zero(owner.0)) | black_box(is_over)) & black_box(is_idle);
        let unanswered = black_box(is_unanswered) & black_box(is_idle);
        Self {
            vacant: self.vacant | (vacant as u32) << way,
            unanswered: self.unanswered | (unanswered as u32) << way,
        }
    }

    /// The place of one to take.
    #[inline(always)]
    pub const fn any(self) -> u32 {
        if self.vacant != 0 { lowest(self.vacant) } else { lowest(self.unanswered) }
    }
}

/// Which is the lowest of eight bits that is set.
#[inline(always)]
pub const fn lowest(bits: u32) -> u32 {
    let bit = (bits & bits.wrapping_neg()) as u64;
    let (odd, upper, last) = (is_zero(bit & 0xaa), is_zero(bit & 0xcc), is_zero(bit & 0xf0));
    ((odd | upper << 1 | last << 2) ^ 7) as u32
}

/// How many of eight bits are set.
#[inline(always)]
pub const fn count(bits: u32) -> u32 {
    let pairs = bits - (bits >> 1 & 0x55);
    let fours = (pairs & 0x33) + (pairs >> 2 & 0x33);
    (fours + (fours >> 4)) & 0xf
}

/// 1 if a word is 0, else 0.
#[inline(always)]
const fn is_zero(word: u64) -> u64 {
    (word | word.wrapping_neg()) >> 63 ^ 1
}

/// 1 if a number is less than another, else 0. Both have less than 63 bits.
#[inline(always)]
const fn is_less(one: u64, other: u64) -> u64 {
    one.wrapping_sub(other) >> 63
}

#[cfg(test)]
mod tests;
