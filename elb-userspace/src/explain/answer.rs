//! What was sent back instead of forwarding a packet.

use elb_common::path::wire::{Ethernet, IcmpError};
use elb_common::path::{Family, Frame, Ip, Packet as _, V4, V6};
use serde::{Deserialize, Serialize};

/// An answer to the sender of a packet that does not fit the way to its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What kind of message it is.
    pub kind: Kind,
    /// Length in bytes of the longest IP packet that fits, as it tells.
    pub mtu: u32,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// ICMP destination unreachable, fragmentation needed (RFC 1191 §4).
    FragmentationNeeded,
    /// ICMPv6 packet too big (RFC 4443 §3.2).
    PacketTooBig,
}

impl Answer {
    /// What an untagged frame says; `None`: none of these.
    pub(super) fn read(frame: &Frame<'_>, is_v4: bool) -> Option<Self> {
        let IcmpError { icmp, word } = if is_v4 { error::<V4>(frame) } else { error::<V6>(frame) }?;
        let kind = match (is_v4, icmp.kind, icmp.code) {
            (true, 3, 4) => Kind::FragmentationNeeded,
            (false, 2, 0) => Kind::PacketTooBig,
            _ => return None,
        };
        // Of ICMP the MTU is the second half, and the first is zero (RFC 1191 §4).
        Some(Self { kind, mtu: u32::from_be(word.raw()) })
    }
}

fn error<F: Family>(frame: &Frame<'_>) -> Option<IcmpError> {
    let ip: Ip<F::Addr> = F::parse(frame, size_of::<Ethernet>()).ok()?;
    (ip.protocol == F::ICMP).then(|| frame.view(ip.payload).copied()).flatten()
}
