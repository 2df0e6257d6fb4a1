//! Glue between the packet path of `elb-common` and the kernel that several programs share: the
//! frame. Maps belong to the program that uses them (`maps.rs` and `tables.rs` to `main.rs`), since
//! an object brings all maps of the crates it links.
//!
//! On the host this crate is empty, so that `cargo check` and clippy need no BPF toolchain.
#![no_std]
#![allow(clippy::cast_possible_truncation, reason = "lengths of frames are far below 2^31")]

#[cfg(target_arch = "bpf")]
pub mod packet;

/// What each object needs beside its programs: the licence that the kernel's helpers ask for, and what a panic does.
#[macro_export]
macro_rules! bpf_program {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            // The verifier refuses a program that can come here.
            loop {}
        }

        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
    };
}
