//! Glue between the packet path of `elb-common` and the kernel. Everything that decides is there;
//! here are the frame ([`packet`]), the maps ([`tables`]) and their definitions.
//!
//! On the host this crate is empty, so that `cargo check` and clippy need no BPF toolchain.
#![no_std]
#![allow(clippy::cast_possible_truncation, reason = "lengths of frames are far below 2^31")]

#[cfg(target_arch = "bpf")]
pub mod maps;
#[cfg(target_arch = "bpf")]
pub mod packet;
#[cfg(target_arch = "bpf")]
pub mod tables;
