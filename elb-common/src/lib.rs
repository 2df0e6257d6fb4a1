//! What the XDP program and the agent agree on.
//!
//! Two halves, both `no_std` and free of `unsafe`:
//!
//! - the **ABI**: one module per map record ([`listener`], [`pool`], [`ring`], [`backend`], [`flow`], [`room`],
//!   [`fragment`], [`quic`], [`admission`], [`error_limit`], [`interface`], [`client_hop`], [`reply`], [`exception`],
//!   [`counter`], [`reason`],
//!   [`trace`], [`cut`], [`vip_bits`], [`binding`], [`snat`], [`embedded`]) and their names and sizes ([`names`], [`limits`]);
//! - the **packet path** ([`path`]): parse → classify → select → forward → account, generic over
//!   where the bytes and the tables live. The kernel runs it over an XDP frame and BPF maps, tests
//!   and tools run the same code over a byte slice.
//!
//! Contract of every record: `#[repr(C)]`, no implicit padding, no `bool`, `enum`, `usize` or
//! `Option`; addresses and ports in network byte order, counters, ids and times in host order.
//! A change of any record is a change of [`names::ABI_VERSION`].
#![no_std]
#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "words are cut into halves on purpose, and lengths are checked to be below 2^16"
)]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod limits;
pub mod names;

pub mod addr;
pub mod admission;
pub mod backend;
pub mod binding;
pub mod client;
pub mod client_hop;
pub mod counter;
pub mod cut;
pub mod embedded;
pub mod error_limit;
pub mod exception;
pub mod flow;
pub mod flow_log;
pub mod fragment;
pub mod interface;
pub mod listener;
pub mod pool;
pub mod quic;
pub mod reason;
pub mod reply;
pub mod ring;
pub mod room;
pub mod snat;
pub mod sweep;
pub mod trace;
pub mod tunnel_source;
pub mod vip_bits;

pub mod checksum;
pub mod hash;
pub mod path;
