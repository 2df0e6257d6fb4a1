//! Glue between the packet path of `elb-common` and the kernel. Everything that decides is there;
//! here are the frame ([`packet`]), the maps ([`tables`]) and their definitions.
//!
//! On the host this crate is empty, so that `cargo check` and clippy need no BPF toolchain.
#![no_std]

#[cfg(target_arch = "bpf")]
pub mod maps;
#[cfg(target_arch = "bpf")]
pub mod packet;
#[cfg(target_arch = "bpf")]
pub mod tables;
