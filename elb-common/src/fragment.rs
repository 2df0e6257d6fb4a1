//! Datagrams that come in fragments: only the first names the ports, so it is noted where it went.

use bytemuck::{Pod, Zeroable};
use network_types::ip::IpProto;

use crate::addr::{Be32, Be128};
use crate::flow::{FlowKeyV4, FlowKeyV6, Ports};

/// Value of `FRAGMENTS_V4` and `FRAGMENTS_V6`: where the first fragment of a datagram went.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Fragment {
    /// Id of the backend that got it.
    pub backend: u32,
    /// Id of the listener that it was for.
    pub listener: u32,
    /// Hash of its flow, so that routers on the way keep all fragments on one path.
    pub hash: u32,
    /// When it came, in coarse monotonic seconds.
    pub seen: u32,
}

/// Key of `FRAGMENTS_V4`: what fragments of one datagram have in common (RFC 791 §2.3), shaped as
/// the key of a flow with the identification in place of the ports.
#[inline(always)]
pub const fn key_v4(source: Be32, destination: Be32, protocol: u8, id: u32) -> FlowKeyV4 {
    FlowKeyV4::new(source, destination, identification(id), protocol)
}

/// Key of `FRAGMENTS_V6`: what fragments of one packet have in common (RFC 8200 §4.5). The next
/// header is not part of it: it may differ from one fragment to another.
#[inline(always)]
pub const fn key_v6(source: Be128, destination: Be128, id: u32) -> FlowKeyV6 {
    FlowKeyV6::new(source, destination, identification(id), IpProto::Ipv6Frag as u8)
}

/// The two halves of an identification, a word as it lies in memory.
#[inline(always)]
const fn identification(id: u32) -> Ports {
    let [source, destination] = Be32::from_raw(id).halves();
    Ports { source, destination }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn keys_hold_what_fragments_have_in_common() {
        let id = u32::from_ne_bytes([0x12, 0x34, 0, 0]);
        let v4 = key_v4(bytemuck::cast([10u8, 0, 0, 1]), bytemuck::cast([192u8, 0, 2, 10]), 17, id);
        assert_eq!(
            bytemuck::bytes_of(&v4),
            [10, 0, 0, 1, 192, 0, 2, 10, 0x12, 0x34, 0, 0, 17, 0, 0, 0]
        );
        let id = u32::from_ne_bytes([1, 2, 3, 4]);
        let v6 = key_v6(bytemuck::cast([1u8; 16]), bytemuck::cast([2u8; 16]), id);
        assert_eq!(bytemuck::bytes_of(&v6)[..32], [[1; 16], [2; 16]].concat());
        assert_eq!(bytemuck::bytes_of(&v6)[32..], [1, 2, 3, 4, 44, 0, 0, 0]);
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<Fragment>(), align_of::<Fragment>()), (16, 4));
        assert_eq!((offset_of!(Fragment, backend), offset_of!(Fragment, listener)), (0, 4));
        assert_eq!((offset_of!(Fragment, hash), offset_of!(Fragment, seen)), (8, 12));
    }
}
