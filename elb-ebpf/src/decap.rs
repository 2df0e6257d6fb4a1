//! XDP program `decap`: on a backend server, takes the outer headers off packets for its virtual
//! addresses. Needs no tunnel device, which some kernels do not have.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::lpm_trie::Key;
    use aya_ebpf::maps::{Array, HashMap, LpmTrie, PerCpuArray};
    use aya_ebpf::programs::XdpContext;
    use elb_common::addr::{Be32, Be128};
    use elb_common::counter::Counter;
    use elb_common::path::Packet as _;
    use elb_common::path::unwrap::{Server, Unwrapped, unwrap};
    use elb_common::tunnel_source::{NO_SET, SET_BITS, SOURCE_ENTRIES, SourceKey, mapped, words};
    use elb_ebpf::packet::XdpPacket;

    /// `elb backend up|down` writes, every encapsulated packet reads. IPv4 addresses are held as
    /// IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2), so that one map serves both.
    #[map]
    static DECAP_VIPS: HashMap<[u32; 4], u32> = HashMap::with_max_entries(4096, 0);

    /// Packets write, `elb backend` reads. By the number of `Unwrapped`.
    #[map]
    static DECAP_COUNTERS: PerCpuArray<Counter> =
        PerCpuArray::with_max_entries(Unwrapped::ALL.len() as u32, 0);

    /// `elb backend up` writes, packets for virtual addresses read. A trie, since load balancers are
    /// given as networks; tries cannot be allocated beforehand.
    #[map]
    static DECAP_SOURCES: LpmTrie<SourceKey, u32> =
        LpmTrie::with_max_entries(SOURCE_ENTRIES, BPF_F_NO_PREALLOC);

    /// As `DECAP_SOURCES`. One word, the number of the set that counts: it changes at once.
    #[map]
    static DECAP_SET: Array<u32> = Array::with_max_entries(1, 0);

    struct Maps;

    impl Server for Maps {
        #[inline(always)]
        fn has_v4(&self, address: Be32) -> bool {
            has(mapped(address))
        }

        #[inline(always)]
        fn has_v6(&self, address: Be128) -> bool {
            has(words(address))
        }

        #[inline(always)]
        fn trusts(&self, source: [u32; 4]) -> bool {
            let set = DECAP_SET.get(0).copied().unwrap_or(NO_SET);
            set != NO_SET && DECAP_SOURCES.get(SourceQuestion::new(set, source).key()).is_some()
        }
    }

    /// The key of a source with all its bits, in aligned words: the BPF stack allows no others.
    #[repr(C, align(8))]
    struct SourceQuestion {
        bits: u32,
        key: SourceKey,
    }

    impl SourceQuestion {
        #[inline(always)]
        const fn new(set: u32, source: [u32; 4]) -> Self {
            Self { bits: SET_BITS + 128, key: SourceKey::new(set, source) }
        }

        #[inline(always)]
        fn key(&self) -> &Key<SourceKey> {
            const { assert!(size_of::<Self>() == size_of::<Key<SourceKey>>()) };
            // SAFETY: a key is a length and then its data, packed, which is this record; any bytes
            // are valid ones.
            unsafe { &*(&raw const *self).cast() }
        }
    }

    #[inline(always)]
    fn has(address: [u32; 4]) -> bool {
        // SAFETY: only the presence of the element is asked for.
        unsafe { DECAP_VIPS.get(address) }.is_some()
    }

    #[xdp]
    pub(crate) fn decap(context: XdpContext) -> u32 {
        let mut packet = XdpPacket::new(&context);
        let bytes = u64::from(packet.length());
        let unwrapped = unwrap(&mut packet, &Maps);
        if let Some(counter) = DECAP_COUNTERS.get_ptr_mut(unwrapped as u32) {
            // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each
            // other on one CPU.
            unsafe { (*counter).add(bytes) };
        }
        match unwrapped {
            Unwrapped::Yes | Unwrapped::NotEncapsulated | Unwrapped::NotVip => xdp_action::XDP_PASS,
            Unwrapped::Failed | Unwrapped::Congested | Unwrapped::UntrustedSource => {
                xdp_action::XDP_DROP
            }
        }
    }

    elb_ebpf::bpf_program!();
}
