//! XDP program `floor`: what no load balancer of this kind can do without, and nothing else. It
//! finds the listener (a hash with a key of 20 bytes, as for both IP versions), the slot and the
//! backend, and encapsulates IPv4 in IPv4 with a correct checksum. It checks no more than the
//! verifier wants, and counts nothing.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, HashMap};
    use aya_ebpf::programs::XdpContext;
    use elb_common::addr::Be16;
    use elb_common::backend::{Backend, OUTER_FRAGMENT, OUTER_TTL};
    use elb_common::listener::Listener;
    use elb_common::path::Packet as _;
    use elb_common::path::wire::{Ethernet, Ipv4, Tcp};
    use elb_common::ring::{CHUNK, Chunk, index};
    use elb_common::{checksum, limits};
    use elb_ebpf::packet::XdpPacket;

    #[map]
    static FLOOR_LISTENERS: HashMap<[u32; 5], Listener> = HashMap::with_max_entries(4096, 0);
    #[map]
    static FLOOR_RINGS: Array<Chunk> = Array::with_max_entries(1 << 16, 0);
    #[map]
    static FLOOR_BACKENDS: Array<Backend> = Array::with_max_entries(limits::MAX_BACKENDS, 0);

    #[xdp]
    pub(crate) fn floor(context: XdpContext) -> u32 {
        forward(&mut XdpPacket::new(&context)).unwrap_or(xdp_action::XDP_DROP)
    }

    #[inline(always)]
    fn forward(packet: &mut XdpPacket<'_>) -> Option<u32> {
        let ethernet: &Ethernet = packet.view(0)?;
        let ip: &Ipv4 = packet.view(14)?;
        let tcp: &Tcp = packet.view(34)?;
        if ethernet.ethertype.get() != 0x0800 || ip.version_length != 0x45 || ip.protocol != 6 {
            return Some(xdp_action::XDP_PASS);
        }
        let length = ip.total_length.get();
        let source = u64::from(ip.source.raw());
        let ports = u64::from(tcp.source.raw()) << 16 | u64::from(tcp.destination.raw());
        // Whole words, for the BPF stack; the key is the first 20 bytes.
        let protocol = u64::from(tcp.destination.raw()) | 6 << 16;
        let words = [u64::from(ip.destination.raw()), 0, protocol];
        let key: &[u32; 5] = bytemuck::cast_slice(&words)[..5].try_into().ok()?;
        // SAFETY: elements of a preallocated hash map stay in place, and the bench does not write
        // while it measures.
        let listener = unsafe { FLOOR_LISTENERS.get(key) }?;
        let mixed = (source << 32 | ports).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = listener.ring_base + index((mixed >> 32) as u32, listener.ring_size);
        let id = FLOOR_RINGS.get(slot / CHUNK)?[(slot % CHUNK) as usize];
        let backend = FLOOR_BACKENDS.get(id)?;
        packet.grow_head(20)?;
        *packet.view_mut(0)? = Ethernet {
            destination: backend.next_hop,
            source: backend.source,
            ethertype: Be16::new(0x0800),
        };
        let total_length = Be16::new(length.wrapping_add(20));
        *packet.view_mut(14)? = Ipv4 {
            version_length: 0x45,
            tos: 0,
            total_length,
            identification: Be16::new(0),
            fragment: Be16::new(OUTER_FRAGMENT),
            ttl: OUTER_TTL,
            protocol: 4,
            checksum: checksum::finish(
                backend.outer_sum
                    + u32::from(total_length.raw())
                    + u32::from(u16::from_ne_bytes([0, 4])),
            ),
            source: backend.outer_source_v4(),
            destination: backend.address_v4(),
        };
        Some(xdp_action::XDP_TX)
    }

    elb_ebpf::bpf_program!();
}
