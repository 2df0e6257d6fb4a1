//! Everything that asks the kernel, and everything that is put into it.

pub mod bpf;
pub mod host;
pub mod lock;
pub mod net;
pub mod replace;
pub mod signals;
