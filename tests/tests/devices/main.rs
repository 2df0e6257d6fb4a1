//! What needs devices that not every kernel has. `cargo xtask test --kernels` runs it on those that
//! do, and nothing else runs it (`test = false`): there, a missing device is a failure.

mod cards;
mod tunnels;
