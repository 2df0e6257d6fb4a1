//! Connections of this host itself, which it may have on a virtual address that is its own, too.

use aya_ebpf::bindings::{bpf_sock, bpf_sock_tuple, xdp_md};
use aya_ebpf::helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp};

/// Lengths of a [`bpf_sock_tuple`]: addresses and ports, in the order that a flow's key has them in.
pub(crate) const TUPLE_V4: u32 = 12;
pub(crate) const TUPLE_V6: u32 = 36;

/// The network namespace of the interface that the packet came by.
const CURRENT: u64 = -1i32 as u64;
const TCP: u8 = 6;
/// State of a TCP socket that waits for connections (`TCP_LISTEN`).
const LISTEN: u32 = 10;

/// Whether a socket of this host is connected by the flow whose key begins with these words: 1 or 0. One that
/// only waits for others to connect, or takes datagrams of any sender, is none.
#[inline(always)]
pub(crate) fn is_connected<const N: usize>(
    context: *mut xdp_md,
    mut words: [u64; N],
    protocol: u8,
    length: u32,
) -> u32 {
    let tuple: *mut bpf_sock_tuple = (&raw mut words).cast();
    // SAFETY: the words hold `length` bytes of addresses and ports. What is found is read while this
    // program refers to it, and let go of on every way out, which the verifier checks.
    unsafe {
        let found: *mut bpf_sock = if protocol == TCP {
            bpf_skc_lookup_tcp(context.cast(), tuple, length, CURRENT, 0)
        } else {
            bpf_sk_lookup_udp(context.cast(), tuple, length, CURRENT, 0)
        };
        if found.is_null() {
            return 0;
        }
        let is_connected = if protocol == TCP {
            (&raw const (*found).state).read_volatile() != LISTEN
        } else {
            (&raw const (*found).dst_port).read_volatile() != 0
        };
        bpf_sk_release(found.cast());
        u32::from(is_connected)
    }
}
