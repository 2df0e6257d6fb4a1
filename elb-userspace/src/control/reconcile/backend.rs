//! A backend's record: all that the forward stage needs, computed once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use elb_common::addr::{Be16, Be32, Be128};
use elb_common::backend::{Backend, Translation, backend_flags, mode, outer_sum};

use super::EncapSource;
use crate::control::assign::AssignedMember;
use crate::control::network::NextHop;
use crate::model::Forwarding;
use crate::model::ipgroup::Cidr;

/// The record of a member, but for what it serves.
pub(super) fn record(
    member: &AssignedMember,
    forwarding: Forwarding,
    next_hop: Option<NextHop>,
    segment: Option<Cidr>,
    encap_source: EncapSource,
) -> Backend {
    let mut record = Backend::default();
    if let Some(hop) = next_hop {
        record.flags |= backend_flags::REACHABLE;
        record.next_hop = hop.mac;
        record.source = hop.source_mac;
        record.ifindex = hop.ifindex;
    }
    let source = next_hop.and_then(|hop| hop.source);
    let [ipip, gue] = match member.address {
        IpAddr::V4(address) => {
            let own = match source {
                Some(IpAddr::V4(own)) => own,
                Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
            };
            let source: Be32 = bytemuck::cast(encap_source.v4.unwrap_or(own).octets());
            let address: Be32 = bytemuck::cast(address.octets());
            record.address = Be128::from_raw([address.raw(), 0, 0, 0]);
            record.outer_source = Be128::from_raw([source.raw(), 0, 0, 0]);
            record.outer_sum = outer_sum(source, address);
            [mode::IPIP_V4, mode::GUE_V4]
        }
        IpAddr::V6(address) => {
            let own = match source {
                Some(IpAddr::V6(own)) => own,
                Some(IpAddr::V4(_)) | None => Ipv6Addr::UNSPECIFIED,
            };
            let source = encap_source.v6.unwrap_or(own);
            record.address = bytemuck::cast(address.octets());
            record.outer_source = bytemuck::cast(source.octets());
            [mode::IPIP_V6, mode::GUE_V6]
        }
    };
    record.mode = match forwarding {
        Forwarding::L2 => mode::L2,
        Forwarding::Ipip => ipip,
        Forwarding::Gue => gue,
        Forwarding::Nat => mode::NAT,
        Forwarding::FullNat => mode::FULLNAT,
        Forwarding::Nat46 => mode::NAT46,
    };
    if forwarding.translates() {
        let mut translation = Translation::new(record.address, Be16::new(member.port), 0);
        translation.segment = segment.map_or([0; 2], mask);
        record.outer_source = translation.to_words();
        record.outer_sum = 0;
    }
    record.set_mtu(next_hop.map_or(0, |hop| hop.mtu));
    record
}

/// The mask of a prefix in words as they lie in memory: of IPv6, for the first 64 bits.
fn mask(segment: Cidr) -> [u32; 2] {
    let bits = u32::from(segment.bits());
    let ones = |bits: u32| u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0).to_be();
    match segment.address() {
        IpAddr::V4(_) => [ones(bits), 0],
        IpAddr::V6(_) => [ones(bits), ones(bits.saturating_sub(32))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_lies_as_addresses_do() {
        let mask = |text: &str| mask(text.parse().unwrap()).map(u32::to_ne_bytes);
        assert_eq!(mask("10.0.0.0/8"), [[255, 0, 0, 0], [0; 4]]);
        assert_eq!(mask("10.1.2.0/23"), [[255, 255, 254, 0], [0; 4]]);
        assert_eq!(mask("fd00::/16"), [[255, 255, 0, 0], [0; 4]]);
        assert_eq!(mask("fd00::/48"), [[255; 4], [255, 255, 0, 0]]);
        assert_eq!(mask("fd00::/64"), [[255; 4]; 2]);
        assert_eq!(mask("fd00::/120"), [[255; 4]; 2]);
    }
}
