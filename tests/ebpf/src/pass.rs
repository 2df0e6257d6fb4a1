//! XDP program `pass`: lets every frame through. A veth device only transmits frames of XDP on a
//! device whose far end has a program, be it this one.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::xdp;
    use aya_ebpf::programs::XdpContext;

    #[xdp]
    pub(crate) fn pass(_: XdpContext) -> u32 {
        xdp_action::XDP_PASS
    }

    elb_ebpf::bpf_program!();
}
