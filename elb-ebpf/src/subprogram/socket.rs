//! Whether this host has a connection of its own.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::flow::{FlowKeyV4, FlowKeyV6};

use crate::maps::{QUESTION_V4, QUESTION_V6};
use crate::sockets;

#[inline(always)]
pub(crate) fn is_connected_v4(context: &XdpContext, key: &FlowKeyV4) -> bool {
    let Some(place) = QUESTION_V4.get_ptr_mut(0) else { return false };
    // SAFETY: as in `choose_v4` of the choice.
    unsafe { (*place).tuple = *key };
    elb_connected_v4(context.ctx) != 0
}

#[inline(always)]
pub(crate) fn is_connected_v6(context: &XdpContext, key: &FlowKeyV6) -> bool {
    let Some(place) = QUESTION_V6.get_ptr_mut(0) else { return false };
    // SAFETY: as in `choose_v4` of the choice.
    unsafe { (*place).tuple = *key };
    elb_connected_v6(context.ctx) != 0
}

/// Whether this host has the connection that the question names: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_connected_v4(context: *mut xdp_md) -> u32 {
    let Some(question) = QUESTION_V4.get_ptr_mut(0) else { return 0 };
    // SAFETY: as in `choose_v4` of the choice, which holds no reference meanwhile.
    let key = unsafe { (*question).tuple };
    sockets::is_connected(context, key.words(), key.protocol(), sockets::TUPLE_V4)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_connected_v6(context: *mut xdp_md) -> u32 {
    let Some(question) = QUESTION_V6.get_ptr_mut(0) else { return 0 };
    // SAFETY: as in `choose_v4` of the choice, which holds no reference meanwhile.
    let key = unsafe { (*question).tuple };
    sockets::is_connected(context, key.words(), key.protocol(), sockets::TUPLE_V6)
}
