//! The forwarding program without what it counts of connections, and of a listener's dropped packets: what it costs
//! less than `elb` is what those counters cost. All else is the source of that program itself.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", allow(internal_features, reason = "as in the program itself"))]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[path = "../../../elb-ebpf/src"]
#[allow(dead_code, reason = "parts of it are for its other programs")]
mod elb {
    pub(crate) mod binding;
    pub(crate) mod draft;
    pub(crate) mod handle;
    pub(crate) mod maps;
    pub(crate) mod shared;
    pub(crate) mod sockets;
    pub(crate) mod subprogram;
    pub(crate) mod tables;
}

// Where the sources of the program look for each other.
#[cfg(target_arch = "bpf")]
use elb::{binding, draft, handle, shared, sockets, subprogram};

/// The maps, without two of them.
#[cfg(target_arch = "bpf")]
mod maps {
    use core::marker::PhantomData;

    use elb_common::counter::ListenerEvents;

    pub(crate) use crate::elb::maps::*;

    pub(crate) const LISTENER_EVENTS: Absent<ListenerEvents> = Absent(PhantomData);
    pub(crate) const BACKEND_OPENED: Absent<u64> = Absent(PhantomData);

    /// A map that is not there: nothing is counted, and whether it should be is not asked.
    pub(crate) struct Absent<T>(PhantomData<T>);

    impl<T> Absent<T> {
        #[inline(always)]
        #[allow(clippy::unused_self, reason = "as of a map that is there")]
        pub(crate) const fn get_ptr_mut(&self, _: u32) -> Option<*mut T> {
            None
        }
    }
}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::xdp;
    use aya_ebpf::programs::XdpContext;
    use elb_common::path::{Outcome, process};
    use elb_ebpf::packet::XdpPacket;

    use crate::handle::Maps;

    #[xdp]
    #[inline(always)]
    pub(crate) fn uncounted(context: XdpContext) -> u32 {
        match process(&mut XdpPacket::new(&context), &Maps::new(&context)) {
            Outcome::Pass(_) | Outcome::HandOver => xdp_action::XDP_PASS,
            Outcome::Drop(_) => xdp_action::XDP_DROP,
            Outcome::Answer(_) | Outcome::Transmit => xdp_action::XDP_TX,
            Outcome::Redirect(_) => xdp_action::XDP_REDIRECT,
        }
    }

    elb_ebpf::bpf_program!();
}
