//! What was sent back instead of forwarding a packet.

use elb_common::path::wire::{Ethernet, IcmpError, Tcp};
use elb_common::path::{Family, Frame, Ip, Packet as _, V4, V6};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An answer to the sender of a packet that does not fit the way to its backend, or that nothing takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// What kind of message it is.
    pub kind: ReplyKind,
    /// Length in bytes of the longest IP packet that fits, if the answer says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mtu: Option<u32>,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplyKind {
    /// ICMP destination unreachable, fragmentation needed (RFC 1191 §4).
    FragmentationNeeded,
    /// ICMPv6 packet too big (RFC 4443 §3.2).
    PacketTooBig,
    /// ICMP or ICMPv6 destination unreachable, port unreachable (RFC 792, RFC 4443 §3.1).
    PortUnreachable,
    /// TCP reset (RFC 9293 §3.5.2).
    Reset,
}

impl Reply {
    /// What an untagged frame says; `None`: none of these.
    pub(super) fn read(frame: &Frame<'_>, is_v4: bool) -> Option<Self> {
        let is_reset = if is_v4 { is_reset::<V4>(frame) } else { is_reset::<V6>(frame) };
        if is_reset {
            return Some(Self { kind: ReplyKind::Reset, mtu: None });
        }
        let IcmpError { icmp, word } = if is_v4 { error::<V4>(frame) } else { error::<V6>(frame) }?;
        let kind = match (is_v4, icmp.kind, icmp.code) {
            (true, 3, 4) => ReplyKind::FragmentationNeeded,
            (false, 2, 0) => ReplyKind::PacketTooBig,
            (true, 3, 3) | (false, 1, 4) => ReplyKind::PortUnreachable,
            _ => return None,
        };
        // Of ICMP the MTU is the second half, and the first is zero (RFC 1191 §4).
        let mtu = (kind != ReplyKind::PortUnreachable).then(|| u32::from_be(word.raw()));
        Some(Self { kind, mtu })
    }
}

fn is_reset<F: Family>(frame: &Frame<'_>) -> bool {
    const TCP: u8 = 6;
    const RST: u8 = 4;
    let Ok(ip) = F::parse(frame, size_of::<Ethernet>()) else { return false };
    let segment = frame.view::<Tcp>(ip.payload);
    ip.protocol == TCP && segment.is_some_and(|segment| segment.flags & RST != 0)
}

fn error<F: Family>(frame: &Frame<'_>) -> Option<IcmpError> {
    let ip: Ip<F::Addr> = F::parse(frame, size_of::<Ethernet>()).ok()?;
    (ip.protocol == F::ICMP).then(|| frame.view(ip.payload).copied()).flatten()
}
