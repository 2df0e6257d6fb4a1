//! How large packets are, and by how much outer headers make them grow.

use std::net::IpAddr;

use crate::model::Forwarding;

/// The largest packet that clients send unless they learn of another size: Ethernet's.
pub(super) const USUAL: u32 = 1500;
/// What every link must carry; no packet of IPv6 has to be smaller (RFC 8200 section 5).
pub(super) const LEAST: u32 = 1280;

/// Bytes that a packet grows by on its way to a member.
pub(super) const fn overhead(forwarding: Forwarding, member: IpAddr) -> u32 {
    match (forwarding, member) {
        (Forwarding::L2 | Forwarding::Nat | Forwarding::FullNat, _) => 0,
        // The header of IPv6 is larger by so much.
        (Forwarding::Ipip, IpAddr::V4(_)) | (Forwarding::Nat46, _) => 20,
        (Forwarding::Ipip, IpAddr::V6(_)) => 40,
        (Forwarding::Gue, IpAddr::V4(_)) => 32,
        (Forwarding::Gue, IpAddr::V6(_)) => 52,
    }
}
